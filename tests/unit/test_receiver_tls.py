"""The certificate's files, looked at every two seconds."""

import ssl
from pathlib import Path

import pytest

from stream_router.core.process.settings_error import SettingsError
from stream_router.receiver.http import tls
from stream_router.receiver.http.tls import Tls
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
