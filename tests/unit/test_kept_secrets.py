"""Every secret setting takes the secret itself, `file:PATH`, `secretsmanager:ARN` or `ssm:NAME` (docs/contract.md)."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from stream_router.aws import secret_store
from stream_router.consumer.supervisor import java
from stream_router.consumer.transform_config import transform_config
from stream_router.errors import SettingsError
from stream_router.receiver.secrets import Secrets
from stream_router.send.signing import first_secret
from stream_router.settings import secrets
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import AuditKey, Cxone, Mask, Top
from stream_router.settings.reading import load
from tests.environment import CONSUMER

SECRET = "0123456789abcdef-of-a-file"


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """A setting that names a file with one secret, below a comment."""
    (tmp_path / "secret").write_text(f"\ufeff# of 2026-11\n\n{SECRET}\n", "utf-8")
    return f"file:{tmp_path / 'secret'}"


def test_each_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    """No program takes the words `file:PATH` themselves for the key: whoever reads the configuration would know it."""
    keys = ("MASKING_KEY", "AUDIT_KEY", "ADMIN_TOKEN")
    for name, value in {**CONSUMER, "STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_AUDIT_DIR": "/tmp"}.items():
        monkeypatch.setenv(name, value)
    for name in (*(f"STREAM_ROUTER_{secret}" for secret in keys), "CXONE_CLIENT_SECRET"):
        monkeypatch.setenv(name, kept)
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    consumer, cxone = load(Consumer), load(Cxone)
    assert [consumer.secret(secret.lower()) for secret in keys] == [SECRET] * 3
    assert transform_config(consumer).masking_key == SECRET.encode()
    assert load(Mask).secret("masking_key") == load(AuditKey).secret("audit_key") == load(Top).token == SECRET
    assert cxone.secret("client_secret") == SECRET
    given = java.environment(consumer, Path("/tmp"))
    assert given["STREAM_ROUTER_MASKING_KEY"] == given["STREAM_ROUTER_AUDIT_KEY"] == SECRET, "the children ask nobody"


def test_a_secret_of_aws_is_asked_for_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the region of the settings, else of the environment; its last line break is none of it."""
    asked: list[tuple[str, str]] = []

    def fetch(reference: str, region: str) -> str:
        asked.append((reference, region))
        return f"{SECRET}\n"

    monkeypatch.setattr(secret_store, "fetch", fetch)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert secrets.text(SecretStr("ssm:/key"), "KEY") == SECRET
    assert secrets.text(SecretStr("secretsmanager:key"), "KEY", region="eu-west-1") == SECRET
    assert asked == [("ssm:/key", "eu-central-1"), ("secretsmanager:key", "eu-west-1")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# nothing\n", "0 secrets stand where it points"),
        (f"{SECRET}\n{SECRET}2\n", "2 secrets stand where it points"),
        ("short\n", "has a secret of less than 16 bytes"),
        ("x" * (1024 * 1024 + 1), "larger than 1 MiB"),
        (f"{SECRET}\n".encode("utf-16-le").decode(), "holds zero bytes"),
    ],
)
def test_what_cannot_be_the_secret_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    """None or several, a weak one, a file of something else: one line that names the variable and quotes nothing."""
    (tmp_path / "secret").write_text(text)
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_MASKING_KEY: .*{problem}") as refused:
        secrets.text(SecretStr(f"file:{tmp_path / 'secret'}"), "STREAM_ROUTER_MASKING_KEY", weak=False)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)


PAIRS = '{"webhook":"0123456789abcdef-of-a-pair","other":"0123456789abcdef-of-another"}'


@pytest.mark.parametrize(
    "document", [PAIRS, f"\n {PAIRS}\n", '{\n  "webhook": "0123456789abcdef-of-a-pair"\n}', f"[{PAIRS}]"]
)
@pytest.mark.parametrize("where", ["secretsmanager:pairs", "ssm:/pairs", "file:"])
def test_key_value_pairs_are_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, document: str, where: str
) -> None:
    """Secrets Manager's console keeps pairs unless told otherwise: their JSON was cut at its commas and taken."""
    monkeypatch.setattr(secret_store, "fetch", lambda *_: document)
    (tmp_path / "pairs").write_text(document)
    where = f"{where}{tmp_path / 'pairs'}" if where == "file:" else where
    for read in (lambda: secrets.text(SecretStr(where), "KEY", region="eu-west-1"), lambda: Secrets(where, str.encode)):
        with pytest.raises(SettingsError, match=r"where it points stands a JSON document, not .*Plaintext") as refused:
            read()
        assert "\n" not in str(refused.value)
        assert "of-a-pair" not in str(refused.value)


def test_send_and_the_receiver_read_a_file_of_secrets_alike(tmp_path: Path) -> None:
    """A comment behind a blank is a comment to both: `send` signed with it, and was answered 401."""
    (tmp_path / "secrets").write_text(f"  # rotated\n{SECRET}\n")
    assert first_secret(f"file:{tmp_path / 'secrets'}") == SECRET
