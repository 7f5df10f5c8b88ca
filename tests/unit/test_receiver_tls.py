"""The certificate's files, looked at every two seconds."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from stream_router.errors import SettingsError
from stream_router.receiver import tls
from stream_router.receiver.tls import Tls
from stream_router.settings.receiver import Receiver


def test_files_that_do_not_fit_are_said_once_a_minute_and_tried_at_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pair is replaced file by file: what lasts no longer than that is one line, what lasts is no flood."""
    cert, key = tmp_path / "cert", tmp_path / "key"
    made: list[ssl.SSLContext] = []
    now_s, fits, looks = 0.0, True, 0

    def context(*_: object) -> ssl.SSLContext:
        nonlocal looks
        looks += 1
        if not fits:
            raise SettingsError("STREAM_ROUTER_TLS_CERT: they do not fit")
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return made[-1]

    monkeypatch.setattr(tls, "context", context)
    for file in (cert, key):
        file.write_text("old")
    live = Tls(Receiver(aws_region="x", webhook_scheme="none", tls_cert=cert, tls_key=key), clock=lambda: now_s)
    fits, looks = False, 0
    cert.write_text("another")
    for _ in range(45):
        live.refresh()
        now_s += 2.0
    assert looks == 45
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert live.context is made[0]
    fits = True
    live.refresh()
    assert live.context is made[1]
    fits = False
    key.write_text("a third")
    live.refresh()
    assert [record.levelname for record in caplog.records][2:] == ["WARNING"], "info is below the level"


def renew(folder: Path, days: float) -> float:
    """A pair in `folder` that ends in `days`, as `cert.pem` and `key.pem`; when it ends."""
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    issued = trustme.CA().issue_cert("hooks.example.com", not_after=ends)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return ends.timestamp()


def reading(folder: Path, client_ca: Path | None = None) -> Tls:
    cert, key = folder / "cert.pem", folder / "key.pem"
    return Tls(Receiver(aws_region="x", webhook_scheme="none", tls_cert=cert, tls_key=key, tls_client_ca=client_ca))


@pytest.mark.parametrize("days", [90, -1])
@pytest.mark.parametrize("asks_for_one", [False, True])
def test_when_the_certificate_ends_is_known_of_what_is_in_force(
    tmp_path: Path, days: float, asks_for_one: bool
) -> None:
    """Also of one that has ended, and where senders have to show one; files that do not fit change nothing."""
    first_s = renew(tmp_path, days)
    client_ca = tmp_path / "ca.pem" if asks_for_one else None
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    followed = reading(tmp_path, client_ca)
    assert followed.ends_s == first_s
    first_key = (tmp_path / "key.pem").read_bytes()
    second_s = renew(tmp_path, days + 30)
    second_key = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "key.pem").write_bytes(first_key)
    followed.refresh()
    assert followed.ends_s == first_s
    (tmp_path / "key.pem").write_bytes(second_key)
    followed.refresh()
    assert followed.ends_s == second_s


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_dates_are_read_over_either_version(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """A host's openssl.cnf may allow no newer one than 1.2."""
    ends_s = renew(tmp_path, 90)
    context = tls.context(tmp_path / "cert.pem", tmp_path / "key.pem", None)
    context.maximum_version = newest
    assert tls.dates(context, tmp_path / "cert.pem")[1] == ends_s


def test_without_tls_there_is_no_end() -> None:
    """None, and no date of 1970."""
    assert Tls(Receiver(aws_region="x", webhook_scheme="none")).ends_s is None


@pytest.mark.parametrize("trouble", [OSError, ValueError])
def test_a_certificate_whose_dates_cannot_be_read_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    """Then nobody knows when it ends; senders are served."""
    renew(tmp_path, 90)
    followed = reading(tmp_path)

    def dates(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(tls, "dates", dates)
    before = followed.context
    renew(tmp_path, 120)
    followed.refresh()
    assert followed.context is not before
    assert followed.ends_s is None
    assert reading(tmp_path).context
