"""Every secret setting takes the secret itself, `file:PATH`, `secretsmanager:ARN` or `ssm:NAME` (docs/contract.md)."""

from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
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
from tests.environment import CONSUMER, set_environment

SECRET = "0123456789abcdef-of-a-file"
FIRST, SECOND = b"first secret of 16", b"second secret of 16"


def in_file(path: Path, text: bytes) -> Secrets:
    path.write_bytes(text)
    return Secrets(f"file:{path}", str.encode)


def test_each_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program takes the words `file:PATH` themselves for the key: whoever reads the configuration would know it."""
    (tmp_path / "secret").write_text(f"\ufeff# of 2026-11\n\n{SECRET}\n", "utf-8")
    keys = ("MASKING_KEY", "AUDIT_KEY", "ADMIN_TOKEN")
    for name, value in {**CONSUMER, "STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_AUDIT_DIR": "/tmp"}.items():
        monkeypatch.setenv(name, value)
    for name in (*(f"STREAM_ROUTER_{secret}" for secret in keys), "CXONE_CLIENT_SECRET"):
        monkeypatch.setenv(name, f"file:{tmp_path / 'secret'}")
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    consumer, cxone = load(Consumer), load(Cxone)
    assert [consumer.secret(secret.lower()) for secret in keys] == [SECRET] * 3
    assert transform_config(consumer).masking_key == SECRET.encode()
    assert load(Mask).secret("masking_key") == load(AuditKey).secret("audit_key") == load(Top).token == SECRET
    assert cxone.secret("client_secret") == SECRET
    arguments = java.environment(consumer, Path("/tmp"))
    assert arguments["STREAM_ROUTER_MASKING_KEY"] == arguments["STREAM_ROUTER_AUDIT_KEY"] == SECRET, (
        "the children ask nobody"
    )


def test_a_secret_of_aws_is_asked_for_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the region of the settings, else of the environment; its last line break is none of it."""
    asked: list[tuple[str, str]] = []

    def fetch(reference: str, region: str) -> str:
        asked.append((reference, region))
        return f"{SECRET}\n"

    monkeypatch.setattr(secret_store, "fetch", fetch)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert secrets.read_secret(SecretStr("ssm:/key"), "KEY") == SECRET
    assert secrets.read_secret(SecretStr("secretsmanager:key"), "KEY", region="eu-west-1") == SECRET
    assert asked == [("ssm:/key", "eu-central-1"), ("secretsmanager:key", "eu-west-1")]


PAIRS = '{"webhook":"0123456789abcdef-of-a-pair","other":"0123456789abcdef-of-another"}'


@pytest.mark.parametrize(
    ("text", "of_one", "of_many"),
    [
        ("# nothing yet\n", "holds 0 secrets", "holds no secret; write a secret there"),
        (f"{SECRET}\n{SECRET}2\n", "holds 2 secrets", ""),
        ("short\n", "has a secret of less than 16 bytes", "less than 16 bytes"),
        ("x" * (1024 * 1024 + 1), "larger than 1 MiB", "larger than 1 MiB"),
        (f"{SECRET}\n".encode("utf-16-le").decode(), "holds zero bytes", "holds zero bytes"),
        *[(text, "JSON document, not .*Plaintext", "JSON document, not") for text in (f"\n {PAIRS}\n", f"[{PAIRS}]")],
    ],
)
def test_what_cannot_be_the_secret_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, of_one: str, of_many: str
) -> None:
    """None or several, a weak one, a file of something else, the pairs that Secrets Manager's console keeps: one line
    that quotes nothing."""
    (tmp_path / "secret").write_text(text)
    monkeypatch.setattr(secret_store, "fetch", lambda *_: text)
    in_aws = [] if "holds" in of_one or "larger" in of_one else ["secretsmanager:secret"]
    for where in (f"file:{tmp_path / 'secret'}", *in_aws):
        with pytest.raises(SettingsError, match=f"^KEY: .*{of_one}") as refused:
            secrets.read_secret(SecretStr(where), "KEY", region="eu-west-1", allow_weak=False)
        assert not any(name in str(refused.value) for name in ("\n", SECRET, "of-a-pair"))
        if of_many:
            with pytest.raises(SettingsError, match=of_many):
                Secrets(where, str.encode, "eu-west-1")


def test_a_file_of_secrets_gives_what_it_shows(tmp_path: Path) -> None:
    """Also one that was saved as "UTF-8 with BOM", with Windows line ends; a comment behind a blank is one, to `send`
    too: `# rotated 2026-11-25` would else let in whoever knows it."""
    text = b"\xef\xbb\xbf# rotated 2026-11-25\r\n\r\n  \r\n%b\r\n  # indented\r\n%b\r\n" % (FIRST, SECOND)
    assert in_file(tmp_path / "s", text).live == (FIRST, SECOND)
    (tmp_path / "s").write_bytes(b"  # indented\n%b\n" % FIRST)
    assert first_secret(f"file:{tmp_path / 's'}") == FIRST.decode()


def test_a_file_that_is_being_written_is_read_again_before_it_counts(tmp_path: Path) -> None:
    """What a look in the middle of a write shows is cut, and never becomes live; nor does what cannot be used."""
    live = in_file(tmp_path / "s", FIRST)
    assert live.follow_every_s == 1.0
    looks = [(b"short", False, FIRST), (b"short", False, FIRST), (SECOND[:17], False, FIRST)]
    for text, is_changed, now in [*looks, (SECOND, False, FIRST), (SECOND, True, SECOND)]:
        (tmp_path / "s").write_bytes(text)
        assert (live.refresh(), live.live) == (is_changed, (now,))


def refusal(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetParameter")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EndpointConnectionError(endpoint_url="https://ssm"), 1),
        (ReadTimeoutError(endpoint_url="https://ssm"), 1),
        (ConnectionClosedError(endpoint_url="https://ssm"), 1),
        (refusal("ThrottlingException", 400), 1),
        (refusal("InternalServerError", 500), 1),
        (refusal("AccessDeniedException", 400), 78),
        (refusal("ParameterNotFound", 400), 78),
        (NoCredentialsError(), 78),
    ],
)
def test_a_store_that_does_not_answer_is_no_bad_setting(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that boots in an outage of AWS is started again; only a definite no ends with 78, after which none is."""

    def fails(*_: object) -> None:
        raise error

    set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    monkeypatch.setattr(BaseClient, "_make_api_call", fails)
    with pytest.raises(SettingsError, match="cannot be read from AWS") as raised:
        Secrets("ssm:/cxone/secrets", str.encode, "eu-west-1")
    assert raised.value.status == status


def test_secrets_of_aws_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each five minutes; while they cannot be had, the old ones stay in force."""
    kept = [f"{FIRST.decode()},{SECOND.decode()}"]

    def fetch(reference: str, region: str) -> str:
        if not kept[0]:
            raise secret_store.SecretUnreadableError("AccessDeniedException")
        return kept[0]

    monkeypatch.setattr(secret_store, "fetch", fetch)
    live = Secrets("ssm:/cxone/secrets", str.encode, "eu-west-1")
    assert (live.live, live.follow_every_s) == ((FIRST, SECOND), 300.0)
    kept[0] = ""
    assert not live.refresh()
    kept[0] = SECOND.decode()
    assert live.refresh()
    assert live.live == (SECOND,)
