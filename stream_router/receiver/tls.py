"""TLS 1.2 or newer, with client certificates if a CA is set. Files are read again when they change.

The receiver does not stop when its certificate expires, but senders then refuse the connection. The coming end is
therefore logged in advance.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from stream_router.errors import SettingsError
from stream_router.log import LogLimiter
from stream_router.process import iso
from stream_router.settings import files
from stream_router.settings.receiver import Receiver

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 2.0
DAY_S = 24 * 3600
SOON_DAYS = 7
"""Days before a certificate's end from which the end is logged.

Automatic renewal happens weeks before the end, so it has failed for a certificate with fewer days left.
"""

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name. It lets dates of an expired certificate be read."""

CERT, KEY, CLIENT_CA = (f"STREAM_ROUTER_TLS_{name}" for name in ("CERT", "KEY", "CLIENT_CA"))


def check(settings: Receiver) -> None:
    """Raise SettingsError if the TLS settings do not fit together or their files cannot be used."""
    if not (settings.tls_cert or settings.tls_key or settings.tls_client_ca):
        return
    if not (settings.tls_cert or settings.tls_key):
        raise SettingsError(
            CLIENT_CA,
            "is set without a certificate for the receiver, so no client would be asked for one",
            f"set {CERT} and {KEY} too, or unset it",
            related=(CERT, KEY),
        )
    load_context(_require_file(settings.tls_cert, CERT), _require_file(settings.tls_key, KEY), settings.tls_client_ca)


def load_context(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return a server's TLS context made from these files. Raises SettingsError if a file cannot be used."""
    for path, variable in ((cert, CERT), (key, KEY), (client_ca, CLIENT_CA)):
        try:
            if path is not None:
                files.read(path)  # OpenSSL itself would wait for ever for a pipe or a device
        except (OSError, ValueError) as error:
            problem = f"cannot be read ({files.describe_failure(error)})"
            raise SettingsError(variable, problem, "give a readable PEM file") from None
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.minimum_version = ssl.TLSVersion.TLSv1_2
    server_context.set_alpn_protocols(["http/1.1"])
    passphrase_requests: list[bool] = []

    def passphrase() -> bytes:  # without this callback OpenSSL would ask on the terminal
        passphrase_requests.append(True)
        return b""

    try:
        server_context.load_cert_chain(cert, key, passphrase)
    except (OSError, ValueError) as error:
        raise _bad_file(cert, error, encrypted=bool(passphrase_requests)) from None
    if client_ca:
        try:
            server_context.load_verify_locations(client_ca)
        except OSError:
            raise SettingsError(CLIENT_CA, "is not a readable PEM file", "check it") from None
        server_context.verify_mode = ssl.CERT_REQUIRED
    return server_context


def _require_file(path: Path | None, variable: str) -> Path:
    if path is None:
        raise SettingsError(variable, "is not set", f"TLS needs {CERT} and {KEY}", related=(CERT, KEY))
    return path


def _bad_file(cert: Path, trouble: Exception, *, encrypted: bool) -> SettingsError:
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
    """TLS context for new connections, and its reload when a file changes (`refresh`)."""

    def __init__(self, settings: Receiver, clock: Callable[[], float] = time.monotonic) -> None:
        self._log_limiter = LogLimiter(clock)
        self._logged_end: object = None
        self._files = (settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        self._stamps = self._read_stamps()
        self.context: ssl.SSLContext | None = None
        self.ends_s: float | None = None
        """End of the certificate in force, in epoch seconds; None without a certificate or readable dates."""
        cert, key, client_ca = self._files
        if cert and key:
            self.context = load_context(cert, key, client_ca)
            self.ends_s = _read_end_s(self.context, cert)

    @property
    def follow_every_s(self) -> float | None:
        """Seconds between two calls of `refresh`; None if there are no files."""
        return CHECK_INTERVAL_S if self.context else None

    def refresh(self) -> None:
        """Put changed files into force if they fit together; otherwise the old files stay in force."""
        stamps = self._read_stamps()
        cert, key, client_ca = self._files
        if stamps == self._stamps or not (cert and key):
            return
        try:
            self.context = load_context(cert, key, client_ca)
        except SettingsError as error:
            # Certificate and key are replaced one after the other, so both may fit in a moment. They are tried again.
            if self._log_limiter():
                log.warning(
                    "The TLS files changed and cannot be used. The old files stay in force. Cure: %s.",
                    error,
                    extra={"event": "tls-unusable"},
                )
            return
        self.ends_s = _read_end_s(self.context, cert)
        self._log_limiter.reset()
        self._stamps = stamps
        log.info(
            "The TLS files changed. The new files are in force for new connections.", extra={"event": "tls-changed"}
        )

    def log_coming_end(self, now_s: float) -> None:
        """Log that the certificate ends soon or has ended: once a day, and at the moment of its end.

        `now_s` is in epoch seconds.
        """
        if self.ends_s is None or self.ends_s - now_s >= SOON_DAYS * DAY_S:
            return
        has_ended = self.ends_s <= now_s
        end_state = (self.ends_s, has_ended, now_s // DAY_S)
        if end_state == self._logged_end:
            return
        self._logged_end = end_state
        end = iso(self.ends_s * 1000)
        if has_ended:
            log.error(
                "The TLS certificate ended at %s. Senders refuse the connection. Renew the certificate.",
                end,
                extra={"event": "tls-certificate-ended"},
            )
        else:
            log.warning(
                "The TLS certificate ends at %s. From then on senders refuse the connection. Renew the certificate.",
                end,
                extra={"event": "tls-certificate-ends"},
            )

    def _read_stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._files)


def _read_end_s(serving: ssl.SSLContext, cert: Path) -> float | None:
    """Return the end of the served certificate in epoch seconds; None if its dates cannot be read."""
    try:
        return read_dates(serving, cert)[1]
    except (OSError, ValueError):
        return None  # unreadable dates are no reason not to serve the certificate


def read_dates(context: ssl.SSLContext, cert: Path) -> tuple[float, float]:
    """Return the beginning and the end of the certificate of a server's context, in epoch seconds.

    The dates are read by a handshake with a client in memory, since `ssl` offers no other way. `cert` is the
    certificate's file. Raises OSError or ValueError if the dates cannot be read.
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
        except ssl.SSLError:
            # More data is needed, or the server wants a client certificate. By then its own certificate is known.
            continue
    certificate = asking.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notBefore"])), ssl.cert_time_to_seconds(
        str(certificate["notAfter"])
    )


def _stamp(path: Path | None) -> tuple[int, ...] | None:
    """Return modification time, size and inode, which show a change of the file; None if there is no file."""
    try:
        stat = os.stat(path) if path else None  # noqa: PTH116 - None passes
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None
