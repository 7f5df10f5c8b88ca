"""Signing of a delivery like its sender, by the receiver's own table of schemes (docs/receiver.md)."""

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from stream_router.errors import SettingsError
from stream_router.receiver.auth import LAYOUTS, TOKENS, encode_base64
from stream_router.settings import secrets as secret_files
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import AWS_PREFIXES, FILE_PREFIX

SECRETS = "STREAM_ROUTER_WEBHOOK_SECRETS"

Sign = Callable[[str, bytes, int], dict[str, str]]
"""Function from a delivery id, a body and a time (Unix seconds) to the headers of the request."""


def own_url(settings: Receiver) -> str:
    """Return the URL at which the receiver of these settings accepts events, as seen from its own host."""
    return f"{types.own_url(settings.listen, 'https' if settings.tls_cert else 'http')}/v1/events"


def check_url(settings: Receiver, url: str) -> None:
    """Raise SettingsError if `url` is not a URL, or if the secret would go to it over a network in plain text.

    The receiver's own address is permitted, since its settings were checked when they were read.
    """
    if not (types.is_url(url) and url.isascii()):
        raise SettingsError("--url", "is not the URL of a receiver", "give http://HOST:PORT/v1/events")
    scheme, parts, own = settings.webhook_scheme, urlsplit(url), urlsplit(own_url(settings))
    is_ours = types.is_loopback_host(parts.hostname or "") or parts.netloc.rpartition("@")[2] == own.netloc
    if scheme in types.SENDS_ITS_SECRET and parts.scheme == "http" and not is_ours:
        cure = "give https://, or go through a tunnel to this host"
        raise SettingsError("--url", f"{scheme} would send the secret itself over plain HTTP", cure)


def signer(settings: Receiver) -> Sign:
    """Return the signer for the receiver of these settings, with the first of its secrets. Raises SettingsError."""
    scheme, id_header = settings.webhook_scheme, settings.hmac_id_header
    if scheme is None:
        raise SettingsError("STREAM_ROUTER_WEBHOOK_SCHEME", "is not set", "set the receiver's own")
    if scheme == "none":
        return lambda delivery_id, _body, _now: _headers((id_header, delivery_id))
    secret = first_secret(settings.webhook_secrets.get_secret_value())
    if scheme in TOKENS:
        TOKENS[scheme](secret)  # raises if the receiver would refuse the secret
        credentials = f"{scheme.title()} {secret if scheme == 'bearer' else encode_base64(secret.encode())}"
        return lambda delivery_id, _body, _now: _headers(("Authorization", credentials), (id_header, delivery_id))
    make, decode = LAYOUTS[scheme]
    layout, key = make(settings), decode(secret)
    before, _, after = layout.template.partition("{body}")

    def sign(delivery_id: str, body: bytes, now: int) -> dict[str, str]:
        parts = (part.replace("{id}", delivery_id).replace("{timestamp}", str(now)) for part in (before, after))
        # `body.join` puts the body between the two parts of the template.
        signature = layout.encode(hmac.digest(key, body.join(part.encode() for part in parts), layout.algorithm))
        if layout.timestamp_header == layout.header:  # time and signature share a header, as with Stripe
            return _headers((layout.header, f"t={now},{layout.prefix}{signature}"), (layout.id_header, delivery_id))
        signature_header = (layout.header, layout.prefix + signature)
        return _headers(signature_header, (layout.timestamp_header, str(now)), (layout.id_header, delivery_id))

    return sign


def first_secret(setting: str) -> str:
    """Return the first secret of the setting, read from its file if it names one. Raises SettingsError."""
    if setting.startswith(AWS_PREFIXES):
        raise SettingsError(
            SECRETS, "`send` does not read secrets from AWS", "set the secret itself, or file:PATH, here"
        )
    in_file = setting.startswith(FILE_PREFIX)
    secrets = secret_files.parse_lines(secret_files.read_file(setting, SECRETS)) if in_file else types.items(setting)
    if not secrets:
        raise SettingsError(SECRETS, "is not set", "set the receiver's secret, or file:PATH")
    return secrets[0]


def _headers(*pairs: tuple[str | None, str]) -> dict[str, str]:
    """Return these headers. A pair without a name is left out: the scheme has no such header."""
    return {name: value for name, value in pairs if name}
