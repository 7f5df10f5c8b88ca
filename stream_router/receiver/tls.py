"""TLS 1.2 or newer, with client certificates if a CA is given. Files are read again when they change.

The receiver serves on with an expired certificate, which senders refuse. The end is therefore logged in advance.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from stream_router.errors import SettingsError
from stream_router.log import Seldom
from stream_router.process import iso
from stream_router.settings import files
from stream_router.settings.receiver import Receiver

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 2.0
DAY_S = 24 * 3600
SOON_DAYS = 7
"""Days before a certificate's end from which the end is logged.

Automatic renewal happens weeks before the end. A certificate with fewer days left is not renewed automatically.
"""

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name: a certificate's dates are read even if it expired."""

CERT, KEY, CLIENT_CA = (f"STREAM_ROUTER_TLS_{name}" for name in ("CERT", "KEY", "CLIENT_CA"))


def check(settings: Receiver) -> None:
    """Raise SettingsError if the TLS settings do not fit together or their files cannot be used."""
    if not (settings.tls_cert or settings.tls_key or settings.tls_client_ca):
        return
    if not (settings.tls_cert or settings.tls_key):
        raise SettingsError(
            CLIENT_CA,
            "is set without a certificate of the receiver's, so no client would be asked for one",
            f"set {CERT} and {KEY} too, or unset it",
            related=(CERT, KEY),
        )
    context(_file(settings.tls_cert, CERT), _file(settings.tls_key, KEY), settings.tls_client_ca)


def context(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return a server's context with these files. Raises SettingsError if they cannot be used."""
    for path, variable in ((cert, CERT), (key, KEY), (client_ca, CLIENT_CA)):
        try:
            if path is not None:
                files.read(path)  # OpenSSL would wait for the writer of a pipe, and read an endless device for ever
        except (OSError, ValueError) as error:
            problem = f"cannot be read ({files.describe_failure(error)})"
            raise SettingsError(variable, problem, "give a readable PEM file") from None
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.minimum_version = ssl.TLSVersion.TLSv1_2
    server_context.set_alpn_protocols(["http/1.1"])
    asked: list[bool] = []

    def passphrase() -> bytes:  # without it OpenSSL would ask on the terminal
        asked.append(True)
        return b""

    try:
        server_context.load_cert_chain(cert, key, passphrase)
    except (OSError, ValueError) as error:
        raise _bad_half(cert, error, encrypted=bool(asked)) from None
    if client_ca:
        try:
            server_context.load_verify_locations(client_ca)
        except OSError:
            raise SettingsError(CLIENT_CA, "is no readable PEM file", "check it") from None
        server_context.verify_mode = ssl.CERT_REQUIRED
    return server_context


def _file(path: Path | None, variable: str) -> Path:
    if path is None:
        raise SettingsError(variable, "is not set", f"TLS needs {CERT} and {KEY}", related=(CERT, KEY))
    return path


def _bad_half(cert: Path, trouble: Exception, *, encrypted: bool) -> SettingsError:
    """Return the error of certificate or key, whichever is wrong. OpenSSL reports the same error for both."""
    if encrypted:
        return SettingsError(KEY, "is encrypted", "give a PEM file without a passphrase")
    if getattr(trouble, "reason", "") == "KEY_VALUES_MISMATCH":
        return SettingsError(KEY, f"is not the key of {CERT}", "give the two that belong together", related=(CERT,))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
    except (OSError, ValueError):
        return SettingsError(CERT, "holds no certificate in PEM", "give the certificate, with its chain behind it")
    return SettingsError(KEY, "holds no private key in PEM", f"give the key of {CERT}", related=(CERT,))


class Tls:
    """The context for new connections. `refresh` checks whether a file changed."""

    def __init__(self, settings: Receiver, clock: Callable[[], float] = time.monotonic) -> None:
        self._said = Seldom(clock)
        self._end_told: object = None
        self._files = (settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        self._seen = self._look()
        self.context: ssl.SSLContext | None = None
        self.ends_s: float | None = None
        """End of the certificate in force, in epoch seconds; None without a certificate or readable dates."""
        cert, key, client_ca = self._files
        if cert and key:
            self.context = context(cert, key, client_ca)
            self.ends_s = _ends_s(self.context, cert)

    @property
    def follow_every_s(self) -> float | None:
        """Seconds between two calls of `refresh`; None if there are no files."""
        return FOLLOW_EVERY_S if self.context else None

    def refresh(self) -> None:
        """Put changed files into force if they fit together; otherwise the old files stay in force."""
        seen = self._look()
        cert, key, client_ca = self._files
        if seen == self._seen or not (cert and key):
            return
        try:
            self.context = context(cert, key, client_ca)
        except SettingsError as error:
            # A pair is replaced file by file: files that do not fit now may fit in a moment, and are tried again.
            if self._said():
                log.warning("the old TLS files stay in force: %s", error, extra={"event": "tls-unusable"})
            return
        self.ends_s = _ends_s(self.context, cert)
        self._said.over()
        self._seen = seen
        log.info("the TLS files changed and are in force for new connections", extra={"event": "tls-changed"})

    def say_end(self, now_s: float) -> None:
        """Log that the certificate ends soon: once a day, and at once when it has ended.

        `now_s` is in epoch seconds.
        """
        if self.ends_s is None or self.ends_s - now_s >= SOON_DAYS * DAY_S:
            return
        ended = self.ends_s <= now_s
        if (telling := (self.ends_s, ended, now_s // DAY_S)) != self._end_told:
            self._end_told = telling
            log.log(
                logging.ERROR if ended else logging.WARNING,
                "the TLS certificate %s at %s: senders refuse the connection from then on; renew it",
                *("ended" if ended else "ends", iso(self.ends_s * 1000)),
                extra={"event": "tls-certificate-ended" if ended else "tls-certificate-ends"},
            )

    def _look(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._files)


def _ends_s(serving: ssl.SSLContext, cert: Path) -> float | None:
    try:
        return dates(serving, cert)[1]
    except (OSError, ValueError):
        return None  # the certificate is served all the same


def dates(context: ssl.SSLContext, cert: Path) -> tuple[float, float]:
    """Return the beginning and the end of the certificate of a server's context, in epoch seconds.

    A client of our own reads them in a handshake in memory. `cert` is the certificate's file. Raises OSError or
    ValueError if they cannot be read with that file.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    client.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = context.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server)
    for side in (asking, serving, asking, serving, asking):  # TLS 1.2 needs all of these steps, TLS 1.3 fewer
        try:
            side.do_handshake()
        except ssl.SSLError:  # it wants more data, or the client's certificate, which follows after the server's
            continue
    seen = asking.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(seen["notBefore"])), ssl.cert_time_to_seconds(str(seen["notAfter"]))


def _stamp(path: Path | None) -> tuple[int, ...] | None:
    try:
        stat = os.stat(path) if path else None  # noqa: PTH116 - None passes
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None
