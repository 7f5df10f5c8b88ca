"""Where a signing scheme keeps its parts: Expert's, the Standard Webhooks', and one's own, by the settings."""

import binascii
import re
from collections.abc import Callable
from typing import NamedTuple

from stream_router.errors import SettingsError
from stream_router.settings.receiver import Receiver

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Layout(NamedTuple):
    """Where a signing scheme keeps its parts. Header names in lower case; None where it has no such header."""

    header: str
    prefix: str
    template: str
    timestamp_header: str | None
    id_header: str | None
    algorithm: str = "sha256"
    encode: Callable[[bytes], str] = bytes.hex
    many: bool = False
    other: "Layout | None" = None
    """The same under other names, taken where its own header is not there."""
    in_one_header: bool = False
    """Timestamp and signatures stand in one header, as Stripe has it: `t=1795512600,v1=5257a8…,v1=…`."""


def in_base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


EXPERT = Layout("x-nexus-signature-256", "sha256=", "{timestamp}.{body}", "x-nexus-timestamp", "x-nexus-delivery-id")
SVIX = Layout(
    "svix-signature", "v1,", "{id}.{timestamp}.{body}", "svix-timestamp", "svix-id", encode=in_base64, many=True
)
STANDARD_WEBHOOKS = SVIX._replace(
    header="webhook-signature", timestamp_header="webhook-timestamp", id_header="webhook-id", other=SVIX
)


def id_header(settings: Receiver) -> str | None:
    """The delivery id's header, for schemes that have none of their own."""
    return header_name("STREAM_ROUTER_HMAC_ID_HEADER", settings.hmac_id_header)


def own(settings: Receiver) -> Layout:
    """Scheme `hmac`: everything from the settings, refused where it would sign less than it seems to."""
    identity_header = id_header(settings)
    timestamp_header = header_name("STREAM_ROUTER_HMAC_TIMESTAMP_HEADER", settings.hmac_timestamp_header)
    template = settings.hmac_template
    if template.count("{body}") != 1:
        raise SettingsError("STREAM_ROUTER_HMAC_TEMPLATE: does not sign the body; write {body} in it, once")
    if ("{timestamp}" in template) != (timestamp_header is not None):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER: needs {timestamp} in STREAM_ROUTER_HMAC_TEMPLATE; set both or none"
        )
    if "{id}" in template and identity_header is None:
        raise SettingsError("STREAM_ROUTER_HMAC_ID_HEADER: is not set, but the template signs {id}; set it")
    header = header_name("STREAM_ROUTER_HMAC_HEADER", settings.hmac_header)
    assert header is not None
    if identity_header and identity_header in (header, timestamp_header):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_ID_HEADER: is the header of the signature or of the time; name that of the delivery id"
        )
    encode = bytes.hex if settings.hmac_encoding == "hex" else in_base64
    return Layout(
        header,
        settings.hmac_prefix,
        template,
        timestamp_header,
        identity_header,
        settings.hmac_algorithm,
        encode=encode,
        many=timestamp_header == header,
        in_one_header=timestamp_header == header,
    )


def header_name(variable: str, name: str | None) -> str | None:
    if name is not None and not _TOKEN.fullmatch(name):
        raise SettingsError(f"{variable}: is no HTTP header's name; use letters, digits and hyphens")
    return name.lower() if name else None
