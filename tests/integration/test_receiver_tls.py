"""TLS: who gets in, files that are read again, a certificate's end that is said, files that are refused in one line."""

import contextlib
import datetime as dt
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from stream_router.errors import SettingsError
from stream_router.receiver import tls
from stream_router.settings.receiver import Receiver
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, eventually, receiver
from tests.receiver_load import post

CERT, KEY = "STREAM_ROUTER_TLS_CERT", "STREAM_ROUTER_TLS_KEY"
TOKEN = "a token of many bytes"


def issue(folder: Path, authority: trustme.CA, days: float, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> float:
    """A certificate and its key in `folder`, `cert.pem` and `key.pem`; when it ends."""
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    issued = authority.issue_cert("127.0.0.1", not_after=ends, key_type=kind)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "key.pem").chmod(0o600)
    return ends.timestamp()


def trusting(authority: trustme.CA, of_client: trustme.CA | None = None) -> ssl.SSLContext:
    """A client that trusts this authority, and shows a certificate of the other one."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if of_client:
        of_client.issue_cert("client.example.com").configure_cert(context)
    return context


def status(running: ReceiverProcess, client: ssl.SSLContext) -> int:
    """What comes of an event; 0 where the connection is refused."""
    try:
        return httpx.post(f"{running.url}/v1/events", content=b"{}", verify=client).status_code
    except httpx.TransportError:
        return 0


def connect(running: ReceiverProcess, client: ssl.SSLContext) -> ssl.SSLSocket:
    return client.wrap_socket(socket.create_connection(running.address, 5), server_hostname="127.0.0.1")


def test_who_gets_in_what_is_said_and_what_is_read_again(tmp_path: Path) -> None:
    """With a client CA only who has a certificate of it; a probe asks the admin port without one.
    The certificate's end is shown, and said once; a new pair counts once it fits together; and clients that do nothing,
    before their handshake or after a request, hold up no stop."""
    ours, theirs = trustme.CA(), trustme.CA()
    ends_s = issue(tmp_path, ours, 3)
    theirs.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = {f"TLS_{name}": str(tmp_path / f"{name.lower()}.pem") for name in ("CERT", "KEY")}
    settings = {**files, "TLS_CLIENT_CA": str(tmp_path / "ca.pem"), "ADMIN_TOKEN": TOKEN}
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **settings) as running:
        welcome = trusting(ours, theirs)
        assert [status(running, client) for client in (welcome, trusting(ours), trusting(ours, ours))] == [202, 0, 0]
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert [httpx.get(f"{running.admin_url}/{name}").text for name in ("healthz", "readyz")] == [
            "well\n",
            "ready\n",
        ]
        assert httpx.get(f"{running.admin_url}/status").status_code == 401

        def shown_s() -> float:
            status = httpx.get(f"{running.admin_url}/status", headers=bearer).json()
            return dt.datetime.fromisoformat(status["tlsCertificateEndsAt"]).timestamp()

        assert shown_s() == ends_s
        metrics = httpx.get(f"{running.admin_url}/metrics", headers=bearer).text
        (line,) = re.findall(r"\nstream_router_receiver_tls_certificate_end_timestamp_seconds (\S+)", metrics)
        assert float(line) == ends_s
        with contextlib.ExitStack() as stack:
            stack.enter_context(socket.create_connection(running.address, 5))
            kept = stack.enter_context(connect(running, welcome))
            kept.sendall(post(b"{}"))
            assert kept.recv(4096)[9:12] == b"202"

            other = trustme.CA()
            first_key = (tmp_path / "key.pem").read_bytes()
            renewed_s = issue(tmp_path, other, 90)
            second_key = (tmp_path / "key.pem").read_bytes()
            (tmp_path / "key.pem").write_bytes(first_key)
            running.process.send_signal(signal.SIGHUP)
            eventually(lambda: any(line.get("event") == "tls-unusable" for line in running.lines()))
            assert (status(running, welcome), shown_s()) == (202, ends_s)
            (tmp_path / "key.pem").write_bytes(second_key)
            eventually(lambda: status(running, trusting(other, theirs)) == 202, 5.0)
            assert status(running, welcome) == 0
            eventually(lambda: shown_s() == renewed_s)
            assert running.stop() == 0
        log_events = [line.get("event") for line in running.lines("WARNING", "ERROR")]
        assert sorted(filter(None, log_events)) == ["tls-certificate-ends", "tls-unusable"]


@pytest.mark.parametrize("asks_for_one", [False, True])
def test_when_the_certificate_ends_is_known_of_one_that_has_ended_too(tmp_path: Path, asks_for_one: bool) -> None:
    """Also where senders have to show one: it serves on, and senders refuse it."""
    ends_s = issue(tmp_path, trustme.CA(), -1, trustme.KeyType.RSA)
    result = tls.Tls(settings_of(tmp_path, tmp_path / "cert.pem" if asks_for_one else None))
    assert result.ends_s == ends_s
    assert result.context is not None
    assert result.context.minimum_version is ssl.TLSVersion.TLSv1_2


def settings_of(folder: Path, client_ca: Path | None = None) -> Receiver:
    files: dict[str, Any] = {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem", "tls_client_ca": client_ca}
    return Receiver(aws_region="x", webhook_scheme="none", **files)


def encrypt(key: Path) -> None:
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def of_another(key: Path) -> None:
    cert = (key.parent / "cert.pem").read_bytes()
    issue(key.parent, trustme.CA(), 9)
    (key.parent / "cert.pem").write_bytes(cert)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def no_pem(file: Path) -> None:
    file.write_text("no PEM")


@pytest.mark.parametrize(
    ("file", "spoil", "says"),
    [
        ("key.pem", encrypt, f"{KEY}: is encrypted"),
        ("key.pem", of_another, f"{KEY}: is not the key of {CERT}"),
        ("key.pem", no_pem, f"{KEY}: holds no private key in PEM"),
        ("cert.pem", no_pem, f"{CERT}: holds no certificate in PEM"),
        ("cert.pem", Path.unlink, f"{CERT}: cannot be read"),
        ("cert.pem", pipe, f"{CERT}: cannot be read"),
        ("ca.pem", no_pem, "STREAM_ROUTER_TLS_CLIENT_CA: is not a readable PEM file"),
    ],
)
def test_the_file_that_cannot_be_used_is_named(
    tmp_path: Path, file: str, spoil: Callable[[Path], object], says: str
) -> None:
    """One line, before anything starts, and without a question: nobody sits at a server's terminal."""
    authority = trustme.CA()
    issue(tmp_path, authority, 9)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls.check(settings_of(tmp_path, tmp_path / "ca.pem"))
    spoil(tmp_path / file)
    with pytest.raises(SettingsError, match=f"^{says}[^\n]*$"):
        tls.check(settings_of(tmp_path, tmp_path / "ca.pem"))
