"""Signs a delivery the way its sender would, for every scheme that the receiver knows (docs/receiver.md)."""

import base64
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from stream_router.errors import SettingsError
from stream_router.settings import secrets as kept
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import IN_AWS, IN_FILE

SECRETS = "STREAM_ROUTER_WEBHOOK_SECRETS"

Sign = Callable[[str, bytes, int], dict[str, str]]
"""The headers that a delivery id, a body and a time (Unix seconds) are sent with."""


def own_url(settings: Receiver) -> str:
    """Where the receiver of these settings takes events, seen from its own host."""
    return f"{types.own_url(settings.listen, 'https' if settings.tls_cert else 'http')}/v1/events"


def check_url(settings: Receiver, url: str) -> None:
    """Raises SettingsError where `url` is none, or one to which the secret would go over a network as it is.

    The receiver's own address may be sent to: it has judged that itself.
    """
    if not (types.is_url(url) and url.isascii()):
        raise SettingsError("--url: is no URL of a receiver; give http://HOST:PORT/v1/events")
    scheme, parts, own = settings.webhook_scheme, urlsplit(url), urlsplit(own_url(settings))
    is_ours = types.is_loopback_host(parts.hostname or "") or parts.netloc.rpartition("@")[2] == own.netloc
    if scheme in types.SENDS_ITS_SECRET and parts.scheme == "http" and not is_ours:
        cure = "give https://, or go through a tunnel to this host"
        raise SettingsError(f"--url: {scheme} would send the secret itself over plain HTTP; {cure}")


def signer(settings: Receiver) -> Sign:
    """Signs for the receiver that has these settings, with the first of its secrets. Raises SettingsError."""
    scheme, id_header = settings.webhook_scheme, settings.hmac_id_header or ""
    if scheme is None:
        raise SettingsError("STREAM_ROUTER_WEBHOOK_SCHEME: is not set; set the receiver's own")
    if scheme == "none":
        return lambda delivery_id, _body, _now: _headers((id_header, delivery_id))
    secret = first_secret(settings.webhook_secrets.get_secret_value())
    match scheme:
        case "bearer" | "basic":
            if not secret.isascii() and scheme == "bearer":
                raise SettingsError(f"{SECRETS}: a token holds a character that no HTTP header can carry; use ASCII")
            shown = f"{scheme.title()} {secret if scheme == 'bearer' else base64.b64encode(secret.encode()).decode()}"
            return lambda delivery_id, _body, _now: _headers(("Authorization", shown), (id_header, delivery_id))
        case "expert":
            names = ("X-Nexus-Signature-256", "X-Nexus-Timestamp", "X-Nexus-Delivery-Id")
            return _hmac(secret.encode(), "{timestamp}.{body}", "sha256", "hex", "sha256=", names)
        case "standard-webhooks":
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError:
                problem = "a secret is not whsec_<base64>; give it as the sender shows it"
                raise SettingsError(f"{SECRETS}: {problem}") from None
            names = ("webhook-signature", "webhook-timestamp", "webhook-id")
            return _hmac(key, "{id}.{timestamp}.{body}", "sha256", "base64", "v1,", names)
        case "hmac":
            names = (settings.hmac_header, settings.hmac_timestamp_header or "", id_header)
            algorithm, encoding = settings.hmac_algorithm, settings.hmac_encoding
            return _hmac(secret.encode(), settings.hmac_template, algorithm, encoding, settings.hmac_prefix, names)


def first_secret(setting: str) -> str:
    """The first secret of the setting, read from its file where it names one. Raises SettingsError."""
    if setting.startswith(IN_AWS):
        raise SettingsError(f"{SECRETS}: `send` reads no secret out of AWS; set the secret itself, or file:PATH, here")
    in_file = setting.startswith(IN_FILE)
    found = kept.lines(kept.in_file(setting, SECRETS)) if in_file else types.items(setting)
    if not found:
        raise SettingsError(f"{SECRETS}: is not set; set the receiver's secret, or file:PATH")
    return found[0]


def _hmac(key: bytes, template: str, algorithm: str, encoding: str, prefix: str, names: tuple[str, str, str]) -> Sign:
    """A signature over `template`, of {id}, {timestamp} and {body}; `names` are its header, the time's and the id's."""
    header, stamped, id_header = names
    before, _, after = template.partition("{body}")

    def sign(delivery_id: str, body: bytes, now: int) -> dict[str, str]:
        parts = (part.replace("{id}", delivery_id).replace("{timestamp}", str(now)) for part in (before, after))
        mac = hmac.digest(key, body.join(part.encode() for part in parts), algorithm)
        signature = prefix + (mac.hex() if encoding == "hex" else base64.b64encode(mac).decode())
        if stamped.lower() == header.lower():  # time and signature in one header, as Stripe has it
            return _headers((header, f"t={now},{signature}"), (id_header, delivery_id))
        return _headers((header, signature), (stamped, str(now)), (id_header, delivery_id))

    return sign


def _headers(*pairs: tuple[str, str]) -> dict[str, str]:
    return {name: value for name, value in pairs if name}
