"""Who may send: every scheme over the raw bytes, in constant time, and closed where anything is odd.

A scheme that signs is a row of a table, a `Layout`: where its parts stand in the headers, and what is signed. A scheme
gives the delivery id (None where the sender gave none) or raises RefusedError. It raises nothing else, whatever the
headers hold. What else belongs to a scheme: its name (`settings/types.py`), how its secret is read where that is not
its own text (`secrets.py`) and when it is too weak (`settings/`), how `send` signs, and the template's list.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from stream_router.errors import SettingsError
from stream_router.receiver import secrets
from stream_router.receiver.request import Headers
from stream_router.receiver.secrets import Decode, Secrets
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import is_loopback

BAD_SIGNATURE, STALE = "bad_signature", "stale"
MAX_ID_CHARS = 256
MAX_SIGNATURES = 16
"""Signatures of one Standard Webhooks header that are looked at; a sender that rotates its keys sends two."""
TIME_PREFIX = "t="
"""How the timestamp begins in a header that holds the signatures too."""
MILLISECONDS_FROM = 10**11
"""A timestamp from here up is in milliseconds (as seconds it would be the year 5138)."""

_FIELD = re.compile(r"(\{id\}|\{timestamp\})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RefusedError(Exception):
    """The sender is not known; `code` is `bad_signature` or `stale`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def single(headers: Headers, name: str) -> str:
    """The value of a header that must be there once: a second one could be read by somebody else."""
    values = headers.get_all(name)
    if len(values) != 1:
        raise RefusedError(BAD_SIGNATURE)
    return values[0]


def delivery_id(headers: Headers, name: str | None) -> str | None:
    """The delivery id in the header `name`; None where there is no such header, or nothing in it."""
    if name is None or name not in headers:
        return None
    value = single(headers, name)
    if len(value) > MAX_ID_CHARS:
        raise RefusedError(BAD_SIGNATURE)
    return value or None


# --- the table


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
    """Whether several signatures may stand in the header, a space between them."""
    other: "Layout | None" = None
    """The same under other names, taken where its own header is not there."""


def in_base64(raw: bytes) -> str:
    """Base64 without line breaks."""
    return binascii.b2a_base64(raw, newline=False).decode()


EXPERT = Layout("x-nexus-signature-256", "sha256=", "{timestamp}.{body}", "x-nexus-timestamp", "x-nexus-delivery-id")
SVIX = Layout(
    "svix-signature", "v1,", "{id}.{timestamp}.{body}", "svix-timestamp", "svix-id", "sha256", in_base64, True
)
STANDARD_WEBHOOKS = SVIX._replace(
    header="webhook-signature", timestamp_header="webhook-timestamp", id_header="webhook-id", other=SVIX
)


def own_layout(settings: Receiver) -> Layout:
    """Scheme `hmac`: everything from the settings, refused where it would sign less than it seems to.

    Where the timestamp's header is the signature's, both stand in one, as Stripe has it: `t=1795512600,v1=5257a8…`.
    """
    identity = _id_header(settings)
    timestamp = _header_name("STREAM_ROUTER_HMAC_TIMESTAMP_HEADER", settings.hmac_timestamp_header)
    header = _header_name("STREAM_ROUTER_HMAC_HEADER", settings.hmac_header) or ""
    template = settings.hmac_template
    if template.count("{body}") != 1:
        raise SettingsError("STREAM_ROUTER_HMAC_TEMPLATE: does not sign the body; write {body} in it, once")
    if ("{timestamp}" in template) != (timestamp is not None):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER: needs {timestamp} in STREAM_ROUTER_HMAC_TEMPLATE; set both or none"
        )
    if "{id}" in template and identity is None:
        raise SettingsError("STREAM_ROUTER_HMAC_ID_HEADER: is not set, but the template signs {id}; set it")
    if identity and identity in (header, timestamp):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_ID_HEADER: is the header of the signature or of the time; name that of the delivery id"
        )
    encode = bytes.hex if settings.hmac_encoding == "hex" else in_base64
    return Layout(header, settings.hmac_prefix, template, timestamp, identity, settings.hmac_algorithm, encode)


def _id_header(settings: Receiver) -> str | None:
    """The delivery id's header, for schemes that have none of their own."""
    return _header_name("STREAM_ROUTER_HMAC_ID_HEADER", settings.hmac_id_header)


def _header_name(variable: str, name: str | None) -> str | None:
    if name is not None and not _TOKEN.fullmatch(name):
        raise SettingsError(f"{variable}: is no HTTP header's name; use letters, digits and hyphens")
    return name.lower() if name else None


LAYOUTS: dict[str, tuple[Callable[[Receiver], Layout], Decode]] = {
    "expert": (lambda _: EXPERT, secrets.plain),
    "standard-webhooks": (lambda _: STANDARD_WEBHOOKS, secrets.standard_webhooks),
    "hmac": (own_layout, secrets.plain),
}
"""The schemes that sign: their layout, and how a secret becomes a key."""
TOKENS: dict[str, Decode] = {"bearer": secrets.bearer, "basic": secrets.basic}
"""The schemes that send the secret itself, and how it becomes what is compared."""
SCHEMES = (*LAYOUTS, *TOKENS, "none")
"""Every scheme there is. What is not here is refused."""


# --- the checks


class Scheme(Protocol):
    """One way to know a sender."""

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None: ...


class Signed:
    """A body signed with a shared secret, as the layout has it."""

    def __init__(self, layout: Layout, keys: Secrets, window_s: int) -> None:
        self._layout = layout
        self._keys = keys
        self._window_s = window_s
        before, after = layout.template.split("{body}")
        self._before, self._after = _FIELD.split(before), _FIELD.split(after)
        self._macs: dict[bytes, hmac.HMAC] = {}
        self._signs_id = "{id}" in layout.template
        self._in_one_header = layout.timestamp_header == layout.header

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """The delivery id of a body whose signature is good and fresh."""
        layout = self._layout
        if layout.other is not None and layout.header not in headers:
            layout = layout.other
        identity = delivery_id(headers, layout.id_header)
        if self._signs_id and identity is None:
            raise RefusedError(BAD_SIGNATURE)
        value = single(headers, layout.header)
        if self._in_one_header:
            timestamp, found = _taken_apart(value)
        else:
            timestamp = single(headers, layout.timestamp_header) if layout.timestamp_header else ""
            found = value.split(" ") if layout.many else [value]
        signatures = self._signatures(found)
        before, after = _filled(self._before, identity, timestamp), _filled(self._after, identity, timestamp)
        good = False
        for key in self._keys.live:
            # What depends on the key alone is hashed once.
            mac = (self._macs.get(key) or self._macs.setdefault(key, hmac.new(key, None, layout.algorithm))).copy()
            mac.update(before + body + after)
            expected = layout.encode(mac.digest()).encode()
            for signature in signatures:
                good |= hmac.compare_digest(signature, expected)
        if not good:
            raise RefusedError(BAD_SIGNATURE)
        if layout.timestamp_header and abs(now_s - _seconds(timestamp)) > self._window_s:
            raise RefusedError(STALE)
        return identity

    def _signatures(self, found: list[str]) -> list[bytes]:
        """The signatures of a header as bytes, without their prefix; hex in lower case."""
        prefix, in_hex = self._layout.prefix, self._layout.encode is bytes.hex
        bare = []
        for text in found[:MAX_SIGNATURES]:
            if text.startswith(prefix):
                signature = text[len(prefix) :]
                bare.append((signature.lower() if in_hex else signature).encode())
        return bare


class Token:
    """A secret sent as it is: `bearer` and `basic`. Compared by digest, so that its length does not show."""

    def __init__(self, kind: str, tokens: Secrets, id_header: str | None) -> None:
        self._kind, self._tokens, self._id_header = kind, tokens, id_header

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """The delivery id of a request that carries a live secret. The body is not looked at."""
        kind, _, value = single(headers, "authorization").partition(" ")
        if kind.lower() != self._kind:
            raise RefusedError(BAD_SIGNATURE)
        presented = secrets.digest(self._plain(value.strip()))
        good = False
        for token in self._tokens.live:
            good |= hmac.compare_digest(presented, token)
        if not good:
            raise RefusedError(BAD_SIGNATURE)
        return delivery_id(headers, self._id_header)

    def _plain(self, value: str) -> bytes:
        if self._kind == "bearer":
            return value.encode()
        try:
            plain = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError(BAD_SIGNATURE) from None
        if in_base64(plain) != value:
            # Bits that no text stands for: another spelling of the same bytes, which no honest client sends.
            raise RefusedError(BAD_SIGNATURE)
        return plain


class Anyone:
    """No check at all; `make` allows it on loopback only."""

    def __init__(self, id_header: str | None) -> None:
        self._id_header = id_header

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """The delivery id, where a header for it is set."""
        return delivery_id(headers, self._id_header)


def _filled(pieces: list[str], identity: str | None, timestamp: str) -> bytes:
    """A part of what the sender signed, before or behind the body."""
    text = ""
    for piece in pieces:
        if piece == "{id}":
            text += identity or ""
        else:
            text += timestamp if piece == "{timestamp}" else piece
    return text.encode()


def _taken_apart(value: str) -> tuple[str, list[str]]:
    """The timestamp of a header that holds signatures too, and all its parts. Refused where it is not there once."""
    parts = [part.strip() for part in value.split(",")]
    times = [part.removeprefix(TIME_PREFIX) for part in parts if part.startswith(TIME_PREFIX)]
    if len(times) != 1:
        raise RefusedError(BAD_SIGNATURE)
    return times[0], [part for part in parts if not part.startswith(TIME_PREFIX)]


def _seconds(timestamp: str) -> float:
    """A Unix time in seconds or milliseconds; refused where it is neither."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 16:
        raise RefusedError(BAD_SIGNATURE)
    value = int(timestamp)
    return value / 1000 if value >= MILLISECONDS_FROM else float(value)


def make(settings: Receiver) -> tuple[Scheme, Secrets | None]:
    """The scheme that the settings ask for, and its secrets (to follow them). Raises SettingsError."""
    name = settings.webhook_scheme or ""
    if name not in SCHEMES:
        raise SettingsError(f"STREAM_ROUTER_WEBHOOK_SCHEME: is not set; choose one of {', '.join(SCHEMES)}")
    if name in LAYOUTS:
        layout, decode = LAYOUTS[name]
        live = secrets.of(settings, decode)
        return Signed(layout(settings), live, settings.replay_window_s), live
    if name in TOKENS:
        live = secrets.of(settings, TOKENS[name])
        return Token(name, live, _id_header(settings)), live
    if not is_loopback(settings.listen):
        raise SettingsError(
            "STREAM_ROUTER_WEBHOOK_SCHEME: none is for loopback only; choose a scheme, or listen on 127.0.0.1"
        )
    return Anyone(_id_header(settings)), None
