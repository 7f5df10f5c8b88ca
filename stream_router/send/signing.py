"""Signs a delivery the way its sender would, for every scheme that the receiver knows (docs/receiver.md)."""

import base64
import hashlib
import hmac
from collections.abc import Callable

from stream_router.errors import SettingsError
from stream_router.settings import secrets as kept
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import IN_AWS, IN_FILE

SECRETS = "STREAM_ROUTER_WEBHOOK_SECRETS"

Sign = Callable[[str, bytes, int], dict[str, str]]
"""The headers that a delivery id, a body and a time (Unix seconds) are sent with."""


def signer(settings: Receiver) -> Sign:
    """Signs for the receiver that has these settings, with the first of its secrets. Raises SettingsError."""
    scheme = settings.webhook_scheme
    if scheme is None:
        raise SettingsError("STREAM_ROUTER_WEBHOOK_SCHEME: is not set; set the receiver's own")
    if scheme == "none":
        return lambda delivery_id, _body, _now: _id_header(settings, delivery_id)
    secret = first_secret(settings.webhook_secrets.get_secret_value())
    match scheme:
        case "bearer":
            if not secret.isascii():
                raise SettingsError(f"{SECRETS}: a token holds a character that no HTTP header can carry; use ASCII")
            return lambda delivery_id, _body, _now: {
                "Authorization": f"Bearer {secret}",
                **_id_header(settings, delivery_id),
            }
        case "basic":
            token = base64.b64encode(secret.encode()).decode()
            return lambda delivery_id, _body, _now: {
                "Authorization": f"Basic {token}",
                **_id_header(settings, delivery_id),
            }
        case "expert":
            return lambda delivery_id, body, now: _expert(secret.encode(), delivery_id, body, now)
        case "standard-webhooks":
            key = _standard_key(secret)
            return lambda delivery_id, body, now: _standard(key, delivery_id, body, now)
        case "hmac":
            return lambda delivery_id, body, now: _hmac(settings, secret.encode(), delivery_id, body, now)
    raise SettingsError(f"STREAM_ROUTER_WEBHOOK_SCHEME: `send` cannot sign for {scheme}; choose another scheme")


def first_secret(setting: str) -> str:
    """The first secret of the setting, read from its file where it names one. Raises SettingsError."""
    if setting.startswith(IN_AWS):
        raise SettingsError(f"{SECRETS}: `send` reads no secret out of AWS; set the secret itself, or file:PATH, here")
    in_file = setting.startswith(IN_FILE)
    found = kept.lines(kept.in_file(setting, SECRETS)) if in_file else types.items(setting)
    if not found:
        raise SettingsError(f"{SECRETS}: is not set; set the receiver's secret, or file:PATH")
    return found[0]


def _id_header(settings: Receiver, delivery_id: str) -> dict[str, str]:
    return {settings.hmac_id_header: delivery_id} if settings.hmac_id_header else {}


def _expert(secret: bytes, delivery_id: str, body: bytes, now: int) -> dict[str, str]:
    mac = hmac.digest(secret, f"{now}.".encode() + body, hashlib.sha256)
    return {
        "X-Nexus-Signature-256": f"sha256={mac.hex()}",
        "X-Nexus-Timestamp": str(now),
        "X-Nexus-Delivery-Id": delivery_id,
    }


def _standard_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise SettingsError(f"{SECRETS}: a secret is not whsec_<base64>; give it as the sender shows it") from None


def _standard(key: bytes, delivery_id: str, body: bytes, now: int) -> dict[str, str]:
    mac = hmac.digest(key, f"{delivery_id}.{now}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _hmac(settings: Receiver, secret: bytes, delivery_id: str, body: bytes, now: int) -> dict[str, str]:
    before, _, after = settings.hmac_template.partition("{body}")
    parts = (part.replace("{id}", delivery_id).replace("{timestamp}", str(now)).encode() for part in (before, after))
    mac = hmac.digest(secret, body.join(parts), settings.hmac_algorithm)
    text = mac.hex() if settings.hmac_encoding == "hex" else base64.b64encode(mac).decode()
    header, signature, stamped = settings.hmac_header, settings.hmac_prefix + text, settings.hmac_timestamp_header or ""
    if stamped.lower() == header.lower():  # time and signature in one header, as Stripe has it
        return {header: f"t={now},{signature}", **_id_header(settings, delivery_id)}
    stamp = {stamped: str(now)} if stamped else {}
    return {header: signature, **stamp, **_id_header(settings, delivery_id)}
