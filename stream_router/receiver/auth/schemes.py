"""Who may send: every scheme over the raw bytes, in constant time, and closed where anything is odd.

A verifier gives the delivery id (None where the sender gave none) or raises RefusedError. It raises nothing else,
whatever the headers hold.
"""

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from stream_router.core.settings_error import SettingsError
from stream_router.receiver.auth import secrets
from stream_router.receiver.auth.secrets import Secrets
from stream_router.receiver.http.headers import BAD_SIGNATURE, STALE, Headers, RefusedError, delivery_id, single
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import split_host_port

MAX_SIGNATURES = 16
"""Signatures of one Standard Webhooks header that are looked at; a sender that rotates its keys sends two."""
MILLISECONDS_FROM = 10**11
"""A timestamp from here up is in milliseconds (as seconds it would be the year 5138)."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"(\{id\}|\{timestamp\}|\{body\})")


class Verifier(Protocol):
    """One way to know a sender."""

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None: ...


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


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


EXPERT = Layout("x-nexus-signature-256", "sha256=", "{timestamp}.{body}", "x-nexus-timestamp", "x-nexus-delivery-id")
STANDARD_WEBHOOKS = Layout(
    "webhook-signature", "v1,", "{id}.{timestamp}.{body}", "webhook-timestamp", "webhook-id", encode=_base64, many=True
)


class Signed:
    """A body signed with a shared secret: `expert`, `standard-webhooks`, and `hmac` as the settings describe it."""

    def __init__(self, layout: Layout, keys: Secrets, window_s: int) -> None:
        self._layout = layout
        self._keys = keys
        self._window_s = window_s
        self._pieces = [piece.encode() for piece in _FIELD.split(layout.template) if piece]
        self._prepared: dict[bytes, hmac.HMAC] = {}
        self._signs_id = b"{id}" in self._pieces

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """The delivery id of a body whose signature is good and fresh."""
        layout = self._layout
        identity = delivery_id(headers, layout.id_header)
        if self._signs_id and identity is None:
            raise RefusedError(BAD_SIGNATURE)
        timestamp = single(headers, layout.timestamp_header) if layout.timestamp_header else ""
        signatures = self._signatures(single(headers, layout.header))
        message = self._message(identity or "", timestamp, body)
        good = False
        for key in self._keys.live:
            expected = layout.encode(self._mac(key, message)).encode()
            for signature in signatures:
                good |= hmac.compare_digest(signature, expected)
        if not good:
            raise RefusedError(BAD_SIGNATURE)
        if layout.timestamp_header and abs(now_s - _seconds(timestamp)) > self._window_s:
            raise RefusedError(STALE)
        return identity

    def _mac(self, key: bytes, message: bytes) -> bytes:
        """HMAC from a state prepared once a key: half the time of `hmac.digest`, and short bodies keep the GIL."""
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepared[key] = hmac.new(key, digestmod=self._layout.algorithm)
        mac = prepared.copy()
        mac.update(message)
        return mac.digest()

    def _signatures(self, value: str) -> list[bytes]:
        """The signatures of a header as bytes, without their prefix; hex in lower case."""
        prefix = self._layout.prefix
        found = value.split(" ")[:MAX_SIGNATURES] if self._layout.many else [value]
        bare = [text[len(prefix) :] for text in found if text.startswith(prefix)]
        if self._layout.encode is bytes.hex:
            bare = [text.lower() for text in bare]
        return [text.encode() for text in bare]

    def _message(self, identity: str, timestamp: str, body: bytes) -> bytes:
        """What the sender signed."""
        pieces = self._pieces
        if pieces == [b"{body}"]:
            return body
        values = {b"{id}": identity.encode(), b"{timestamp}": timestamp.encode(), b"{body}": body}
        return b"".join([values.get(piece, piece) for piece in pieces])


class StaticToken:
    """A secret sent as it is: `bearer` and `basic`. Compared by digest, so that its length does not show."""

    def __init__(self, kind: str, tokens: Secrets, id_header: str | None) -> None:
        self._kind = kind
        self._tokens = tokens
        self._id_header = id_header

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
        if _base64(plain) != value:
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


def _seconds(timestamp: str) -> float:
    """A Unix time in seconds or milliseconds; refused where it is neither."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 16:
        raise RefusedError(BAD_SIGNATURE)
    value = int(timestamp)
    return value / 1000 if value >= MILLISECONDS_FROM else float(value)


def make(settings: Receiver) -> tuple[Verifier, Secrets | None]:
    """The verifier that the settings ask for, and its secrets (to follow their file). Raises SettingsError."""
    scheme = settings.webhook_scheme
    id_header = _header_name("STREAM_ROUTER_HMAC_ID_HEADER", settings.hmac_id_header)
    if scheme == "none":
        _require_loopback(settings.listen)
        return Anyone(id_header), None
    live = secrets.of(settings)
    if scheme in ("bearer", "basic"):
        return StaticToken(scheme, live, id_header), live
    layouts = {"expert": EXPERT, "standard-webhooks": STANDARD_WEBHOOKS}
    layout = layouts.get(scheme) or _own_layout(settings, id_header)
    return Signed(layout, live, settings.replay_window_s), live


def _own_layout(settings: Receiver, id_header: str | None) -> Layout:
    """Scheme `hmac`: everything from the settings, refused where it would sign less than it seems to."""
    timestamp_header = _header_name("STREAM_ROUTER_HMAC_TIMESTAMP_HEADER", settings.hmac_timestamp_header)
    template = settings.hmac_template
    if template.count("{body}") != 1:
        raise SettingsError("STREAM_ROUTER_HMAC_TEMPLATE: does not sign the body; write {body} in it, once")
    if ("{timestamp}" in template) != (timestamp_header is not None):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER: needs {timestamp} in STREAM_ROUTER_HMAC_TEMPLATE; set both or none"
        )
    if "{id}" in template and id_header is None:
        raise SettingsError("STREAM_ROUTER_HMAC_ID_HEADER: is not set, but the template signs {id}; set it")
    header = _header_name("STREAM_ROUTER_HMAC_HEADER", settings.hmac_header)
    assert header is not None
    encode = bytes.hex if settings.hmac_encoding == "hex" else _base64
    return Layout(
        header, settings.hmac_prefix, template, timestamp_header, id_header, settings.hmac_algorithm, encode=encode
    )


def _header_name(variable: str, name: str | None) -> str | None:
    if name is not None and not _TOKEN.fullmatch(name):
        raise SettingsError(f"{variable}: is no HTTP header's name; use letters, digits and hyphens")
    return name.lower() if name else None


def _require_loopback(listen: str) -> None:
    host, _ = split_host_port(listen)
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            "STREAM_ROUTER_WEBHOOK_SCHEME: none is for loopback only; choose a scheme, or listen on 127.0.0.1"
        )
