"""Who may send: every scheme over the raw bytes, in constant time, and closed where anything is odd.

A verifier gives the delivery id (None where the sender gave none) or raises RefusedError. It raises nothing else,
whatever the headers hold.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from typing import Protocol

from stream_router.errors import SettingsError
from stream_router.receiver.auth import layouts, secrets
from stream_router.receiver.auth.layouts import Layout
from stream_router.receiver.auth.mac import Mac
from stream_router.receiver.auth.secrets import Decode, Secrets
from stream_router.receiver.headers import BAD_SIGNATURE, STALE, Headers, RefusedError, delivery_id, single
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import is_loopback

MAX_SIGNATURES = 16
"""Signatures of one Standard Webhooks header that are looked at; a sender that rotates its keys sends two."""
TIME_PREFIX = "t="
"""How the timestamp begins in a header that holds the signatures too."""
MILLISECONDS_FROM = 10**11
"""A timestamp from here up is in milliseconds (as seconds it would be the year 5138)."""

_FIELD = re.compile(r"(\{id\}|\{timestamp\})")


class Verifier(Protocol):
    """One way to know a sender."""

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None: ...


class Signed:
    """A body signed with a shared secret: `expert`, `standard-webhooks`, and `hmac` as the settings describe it."""

    def __init__(self, layout: Layout, keys: Secrets, window_s: int) -> None:
        self._layout = layout
        self._keys = keys
        self._window_s = window_s
        before, after = layout.template.split("{body}")
        self._before, self._after = _FIELD.split(before), _FIELD.split(after)
        self._macs: dict[bytes, Mac] = {}
        self._signs_id = "{id}" in layout.template

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """The delivery id of a body whose signature is good and fresh."""
        layout = self._layout
        if layout.other is not None and layout.header not in headers:
            layout = layout.other
        identity = delivery_id(headers, layout.id_header)
        if self._signs_id and identity is None:
            raise RefusedError(BAD_SIGNATURE)
        value = single(headers, layout.header)
        if layout.in_one_header:
            timestamp, found = _taken_apart(value)
        else:
            timestamp = single(headers, layout.timestamp_header) if layout.timestamp_header else ""
            found = value.split(" ") if layout.many else [value]
        signatures = self._signatures(found)
        message = _filled(self._before, identity, timestamp) + body + _filled(self._after, identity, timestamp)
        good = False
        for key in self._keys.live:
            mac = self._macs.get(key) or self._macs.setdefault(key, Mac(key, layout.algorithm))
            expected = layout.encode(mac.of(message)).encode()
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
        if layouts.in_base64(plain) != value:
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


Made = tuple[Verifier, Secrets | None]


def make(settings: Receiver) -> Made:
    """The verifier that the settings ask for, and its secrets (to follow them). Raises SettingsError."""
    maker = SCHEMES.get(settings.webhook_scheme or "")
    if maker is None:
        raise SettingsError(f"STREAM_ROUTER_WEBHOOK_SCHEME: is not set; choose one of {', '.join(SCHEMES)}")
    return maker(settings)


def _signed(layout_of: Callable[[Receiver], Layout], decode: Decode) -> Callable[[Receiver], Made]:
    def maker(settings: Receiver) -> Made:
        live = secrets.of(settings, decode)
        return Signed(layout_of(settings), live, settings.replay_window_s), live

    return maker


def _token(kind: str, decode: Decode) -> Callable[[Receiver], Made]:
    def maker(settings: Receiver) -> Made:
        live = secrets.of(settings, decode)
        return StaticToken(kind, live, layouts.id_header(settings)), live

    return maker


def _anyone(settings: Receiver) -> Made:
    _require_loopback(settings.listen)
    return Anyone(layouts.id_header(settings)), None


def _require_loopback(listen: str) -> None:
    if not is_loopback(listen):
        raise SettingsError(
            "STREAM_ROUTER_WEBHOOK_SCHEME: none is for loopback only; choose a scheme, or listen on 127.0.0.1"
        )


SCHEMES: dict[str, Callable[[Receiver], Made]] = {
    "expert": _signed(lambda _: layouts.EXPERT, secrets.plain),
    "standard-webhooks": _signed(lambda _: layouts.STANDARD_WEBHOOKS, secrets.standard_webhooks),
    "hmac": _signed(layouts.own, secrets.plain),
    "bearer": _token("bearer", secrets.bearer),
    "basic": _token("basic", secrets.basic),
    "none": _anyone,
}
"""Every scheme there is. What is not here is refused. What else belongs to a scheme:

* its name, and whether it sends the secret itself: `settings/types.py`;
* where its signature stands in the headers, and its algorithm where that is an HMAC that hashlib knows: a `Layout` in
  `layouts.py`. Any other algorithm is a `Verifier` of its own, here;
* only where the secret is not its own text (base64, say): how it is read, `secrets.py`, and when it is too weak,
  `settings/secrets.py`;
* how `send` signs: `send/signing.py`; that the template offers it: `deploy/cloudformation/stream-router.yaml`;
* settings of its own, where it has some: `Signature` in `settings/receiver.py`, for environment and named sources.
"""
