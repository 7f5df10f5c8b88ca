"""Where the receiver is, and whether its sender's secret may go there."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from stream_router.errors import SettingsError
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import is_url


def own_url(settings: Receiver) -> str:
    """Where the receiver of these settings takes events, seen from its own host."""
    return f"{types.own_url(settings.listen, 'https' if settings.tls_cert else 'http')}/v1/events"


def check(settings: Receiver, url: str) -> None:
    """Raises SettingsError where `url` is none, or one to which the secret would go as it is."""
    if not (is_url(url) and url.isascii()):
        raise SettingsError("--url: is no URL of a receiver; give http://HOST:PORT/v1/events")
    if in_the_clear(settings, url):
        scheme, cure = settings.webhook_scheme, "give https://, or go through a tunnel to this host"
        raise SettingsError(f"--url: {scheme} would send the secret itself over plain HTTP; {cure}")


def check_ca(path: Path | None) -> None:
    """Raises SettingsError where there are no certificates to trust in the file: each connection would fail."""
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except OSError:
            raise SettingsError("--ca: is no readable PEM file of certificates; name one, or leave it out") from None


def in_the_clear(settings: Receiver, url: str) -> bool:
    """Whether the secret would go over a network as it is, where whoever is on the way could read it.

    The receiver's own address is none of these: whether it may be sent to, it has judged itself.
    """
    parts, own = urlsplit(url), urlsplit(own_url(settings))
    if settings.webhook_scheme not in types.SENDS_ITS_SECRET or parts.scheme != "http":
        return False
    return not types.is_loopback_host(parts.hostname or "") and parts.netloc.rpartition("@")[2] != own.netloc
