"""Where secrets stand: what is a secret there, what an editor added, what was meant for a human."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from stream_router.aws import endpoints, secret_store
from stream_router.errors import SettingsError
from stream_router.receiver.secrets import Secrets

FIRST, SECOND = b"first secret of 16", b"second secret of 16"


def in_file(path: Path, text: bytes) -> Secrets:
    path.write_bytes(text)
    return Secrets(f"file:{path}", str.encode)


def test_a_byte_order_mark_is_no_part_of_the_first_secret(tmp_path: Path) -> None:
    """A file that was saved as "UTF-8 with BOM", with Windows line ends, gives the secrets that it shows."""
    assert in_file(tmp_path / "s", b"\xef\xbb\xbf%b\r\n%b\r\n" % (FIRST, SECOND)).live == (FIRST, SECOND)


def test_comments_and_empty_lines_are_no_secrets(tmp_path: Path) -> None:
    """`# rotated 2026-11-25` would else let in whoever knows the comment."""
    text = b"# rotated 2026-11-25, by the operator\n\n  \n%b\n  # indented comment as well\n" % FIRST
    assert in_file(tmp_path / "s", text).live == (FIRST,)


def test_a_file_that_is_being_written_is_read_again_before_it_counts(tmp_path: Path) -> None:
    """What a look in the middle of a write shows is cut: it never becomes live."""
    live = in_file(tmp_path / "s", FIRST)
    (tmp_path / "s").write_bytes(SECOND[:17])
    assert not live.refresh()
    (tmp_path / "s").write_bytes(SECOND)
    assert not live.refresh()
    assert list(live.live) == [FIRST]
    assert live.refresh()
    assert list(live.live) == [SECOND]


def test_a_file_that_cannot_be_read_is_said_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is looked at each second; once it could be read, the next trouble is a new one and said at once."""
    now_s = 0.0
    file = tmp_path / "s"
    file.write_bytes(FIRST)
    live = Secrets(f"file:{file}", str.encode, clock=lambda: now_s)

    def warnings_of(seconds: int) -> int:
        nonlocal now_s
        caplog.clear()
        for _ in range(seconds):
            assert not live.refresh()
            now_s += 1.0
        return [record.levelname for record in caplog.records].count("WARNING")

    file.unlink()
    assert warnings_of(90) == 2
    file.write_bytes(FIRST)
    assert warnings_of(1) == 0
    file.write_bytes(b"short")
    assert warnings_of(50) == 1
    assert live.live == (FIRST,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("short", "less than 16 bytes"),
        (f"{'x' * 20},cdef", "less than 16 bytes"),
        ("/etc/stream-router/secrets", "is a path"),
        ("./secrets-of-the-receiver", "is a path"),
        ("~/secrets-of-the-receiver", "is a path"),
    ],
)
def test_what_can_hardly_be_meant_as_a_secret_is_refused(text: str, why: str) -> None:
    """One line, with the cure; a short one may be allowed."""
    with pytest.raises(SettingsError, match=why):
        Secrets(text, str.encode)


def test_a_place_without_a_secret_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file, or a secret of Secrets Manager that is binary: the setting is set, and `not set` would mislead."""
    monkeypatch.setattr(secret_store, "fetch", lambda *_: "")
    (tmp_path / "s").write_bytes(b"# nothing yet\n")
    for where in (f"file:{tmp_path / 's'}", "secretsmanager:binary"):
        with pytest.raises(SettingsError, match="no secret stands, as text, where it points; keep one there"):
            Secrets(where, str.encode, "eu-west-1")


def refusal(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetParameter")


class NoStore:
    """A botocore client of which every call fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    meta = SimpleNamespace(endpoint_url="https://ssm")

    def get_parameter(self, **_: object) -> None:
        raise self._error


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
    held = SimpleNamespace(get_frozen_credentials=lambda: None)
    session = SimpleNamespace(create_client=lambda *_, **__: NoStore(error), get_credentials=lambda: held)
    monkeypatch.setattr(endpoints, "session", lambda _: session)
    with pytest.raises(SettingsError, match="cannot be had from AWS") as raised:
        Secrets("ssm:/cxone/secrets", str.encode, "eu-west-1")
    assert raised.value.status == status


@pytest.mark.parametrize("where", ["secretsmanager:arn:aws:secretsmanager:us-east-1:1:secret:s", "ssm:/cxone/secrets"])
def test_secrets_of_aws_are_read_again(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each five minutes; while they cannot be had, the old ones stay in force."""
    kept = ["%s,%s" % (FIRST.decode(), SECOND.decode())]  # noqa: UP031

    def fetch(reference: str, region: str) -> str:
        assert (reference, region) == (where, "eu-west-1")
        if not kept[0]:
            raise secret_store.SecretUnreadableError("AccessDeniedException")
        return kept[0]

    monkeypatch.setattr(secret_store, "fetch", fetch)
    live = Secrets(where, str.encode, "eu-west-1")
    assert list(live.live) == [FIRST, SECOND]
    assert live.follow_every_s == 300.0
    kept[0] = ""
    assert not live.refresh()
    kept[0] = SECOND.decode()
    assert live.refresh()
    assert list(live.live) == [SECOND]
