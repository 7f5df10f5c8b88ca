"""TLS: whether its files can be used, tried with the very server that will use them.

The server takes less than OpenSSL does (no P-521, no certificate of version 1, no `BEGIN TRUSTED CERTIFICATE`), and
what it cannot use ends its process with a signal. So a process of its own tries it:
`python -m stream_router.receiver.http.tls CERT KEY [CLIENT_CA]` ends with 0 where the files can be used.
"""

import asyncio
import resource
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, SSLProtocols
from granian.server.embed import Server

from stream_router.core.settings_error import SettingsError
from stream_router.settings.receiver import Receiver

TRIAL_S = 30.0
"""Most that the trial takes; it is a tenth of a second on a machine that is not busy."""
LOOK_EVERY_S = 0.01


def options(cert: Path | None, key: Path | None, client_ca: Path | None) -> dict[str, Any]:
    """The server's arguments for TLS 1.2 or newer; none of it where there is no certificate."""
    return {
        "ssl_cert": cert,
        "ssl_key": key,
        "ssl_protocol_min": SSLProtocols.tls12,
        "ssl_ca": client_ca,
        "ssl_client_verify": client_ca is not None,
    }


def check(settings: Receiver) -> None:
    """Raises SettingsError where the TLS settings do not fit together or their files cannot be used."""
    if not (settings.tls_cert or settings.tls_key or settings.tls_client_ca):
        return
    cert = _file(settings.tls_cert, "STREAM_ROUTER_TLS_CERT")
    key = _file(settings.tls_key, "STREAM_ROUTER_TLS_KEY")
    _check_pair(cert, key)
    if settings.tls_client_ca:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(settings.tls_client_ca)
        except OSError:
            raise SettingsError("STREAM_ROUTER_TLS_CLIENT_CA: is no readable PEM file; check it") from None
    if _works(cert, key, settings.tls_client_ca):
        return
    if settings.tls_client_ca and _works(cert, key, None):
        raise SettingsError(
            "STREAM_ROUTER_TLS_CLIENT_CA: the server cannot use it; give a PEM file of BEGIN CERTIFICATE (version 3)"
        )
    raise SettingsError(
        "STREAM_ROUTER_TLS_CERT: the server cannot use it with STREAM_ROUTER_TLS_KEY; "
        "give a PEM file of BEGIN CERTIFICATE (version 3) and its RSA, P-256, P-384 or Ed25519 key"
    )


def _file(path: Path | None, variable: str) -> Path:
    if path is None:
        raise SettingsError(f"{variable}: is not set; TLS needs STREAM_ROUTER_TLS_CERT and STREAM_ROUTER_TLS_KEY")
    return path


def _check_pair(cert: Path, key: Path) -> None:
    asked = False

    def passphrase() -> bytes:
        # Without this OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        return b""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, passphrase)
        good = True
    except OSError:
        good = False
    if asked:
        raise SettingsError("STREAM_ROUTER_TLS_KEY: is encrypted; give a PEM file without a passphrase")
    if not good:
        raise SettingsError(
            "STREAM_ROUTER_TLS_CERT: it and STREAM_ROUTER_TLS_KEY are no readable pair of PEM files; check both"
        )


def _works(*files: Path | None) -> bool:
    """Whether a server in a process of its own comes up with the files and shakes hands."""
    command = [sys.executable, "-m", __name__, *(str(file) for file in files if file)]
    quiet = subprocess.DEVNULL
    try:
        ended = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=TRIAL_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


async def _try(cert: Path, key: Path, client_ca: Path | None = None) -> None:
    """Serve with the files on a free port of loopback until one handshake is through. Raises where that fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(
        lambda *_: None,
        address="127.0.0.1",
        port=port,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        **options(cert, key, client_ca),
    )
    serving = asyncio.ensure_future(server.serve())
    # It is not for this client to judge the certificate.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except ConnectionRefusedError:
            await asyncio.sleep(LOOK_EVERY_S)
            continue
        writer.close()
        server.stop()  # type: ignore[no-untyped-call]
        break
    await serving


if __name__ == "__main__":
    # What the server cannot use aborts this process: that is its answer, and needs no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(asyncio.wait_for(_try(*map(Path, sys.argv[1:])), TRIAL_S))
