"""Authentication of senders. Every scheme works on the raw bytes, compares in constant time, and refuses if in doubt.

A scheme that signs is a row of a table, a `Layout`: the places of its parts in the headers, and the signed text. The
other parts of a scheme lie elsewhere: its name (`settings/types.py`), the minimum strength of its secret
(`settings/secrets.py`), the signing of `send` (`send/signing.py`), and the list of schemes that the CloudFormation
template accepts (`deploy/cloudformation`).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from stream_router.errors import SettingsError
from stream_router.receiver.request import Headers
from stream_router.receiver.secrets import VARIABLE, Decode, Secrets
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import is_loopback

BAD_SIGNATURE, BAD_TOKEN, STALE = "bad_signature", "bad_token", "stale"
MAX_ID_CHARS = 256
MAX_SIGNATURES = 16
"""Maximum number of signatures checked in one Standard Webhooks header. A sender that rotates its keys sends two."""
TIME_PREFIX = "t="
"""Prefix of the timestamp in a header that also holds the signatures."""
MAX_SIGNATURES_REMEMBERED = 100_000
"""Maximum number of signatures that one source remembers, about 30 MB.

It equals the number of remembered deliveries (docs/contract.md, "Receiver").
"""
SIGNATURE_BYTES = 16
"""Number of bytes of each signature that are remembered.

They suffice: only an owner of the secret could produce two signatures that begin with the same bytes.
"""
REMEMBERED_WINDOWS = 2
"""Number of replay windows for which a signature is remembered: a signed time is valid one window before and after."""
MILLISECONDS_FROM = 10**11
"""Smallest timestamp that is read as milliseconds. As seconds it would lie in the year 5138."""

_FIELD = re.compile(r"(\{id\}|\{timestamp\})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Verify = Callable[[Headers, bytes, float], str | None]
"""Check of a sender by headers, body and time (epoch seconds). It returns the delivery id; None if there is none.

If a scheme signs the time but not the id, the id that came first with this signature is returned. The check raises
RefusedError and nothing else, whatever the headers hold.
"""


class RefusedError(Exception):
    """Refusal of an unknown sender. `code` is `bad_signature`, `bad_token` (bearer, basic) or `stale`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def get_single(headers: Headers, name: str, code: str = BAD_SIGNATURE) -> str:
    """Return the value of a header that must occur exactly once.

    With two values, a proxy could check one and this receiver the other. Raises RefusedError.
    """
    values = headers.get_all(name)
    if len(values) != 1:
        raise RefusedError(code)
    return values[0]


def get_delivery_id(headers: Headers, name: str | None, code: str = BAD_SIGNATURE) -> str | None:
    """Return the delivery id in the header `name`; None if the header is absent or empty.

    Raises RefusedError if the header is repeated, or the id is longer than MAX_ID_CHARS.
    """
    if name is None or name not in headers:
        return None
    value = get_single(headers, name, code)
    if len(value) > MAX_ID_CHARS:
        raise RefusedError(code)
    return value or None


# --- schemes that sign


class FirstIds:
    """The delivery id with which each signature came first, for schemes that sign the time and not the id.

    An attacker may send a captured request again with another id. The request is still the same delivery, so the first
    id counts. Signatures are forgotten after `keep_s`. If there are more than MAX_SIGNATURES_REMEMBERED, the oldest is
    forgotten earlier.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._ids: dict[bytes, str | None] = {}
        self._order: deque[tuple[float, bytes]] = deque()
        """Signatures, the oldest first, each with the time at which it first came (epoch seconds).

        The dict has the same order, but its first key would be slow to find.
        """

    def first(self, signature: bytes, identity: str | None, now_s: float) -> str | None:
        """Return the id that came first with this signature, and remember `identity` if the signature is new."""
        ids, order = self._ids, self._order
        while order and order[0][0] < now_s - self._keep_s:
            del ids[order.popleft()[1]]
        if signature in ids:
            return ids[signature]
        if len(order) == MAX_SIGNATURES_REMEMBERED:
            del ids[order.popleft()[1]]
        ids[signature] = identity
        order.append((now_s, signature))
        return identity


class Layout(NamedTuple):
    """Description of a signing scheme: its headers and the text that it signs. Header names are in lower case.

    `header` holds the signature, behind `prefix` and written by `encode`. `template` is the signed text, with {id},
    {timestamp} and {body} in the places of these values.
    """

    header: str
    prefix: str
    template: str
    timestamp_header: str | None
    id_header: str | None
    algorithm: str = "sha256"
    encode: Callable[[bytes], str] = bytes.hex
    takes_several: bool = False
    """Whether the header may hold several signatures, separated by spaces."""
    fallback: "Layout | None" = None
    """The same scheme under other header names, used if `header` is absent."""


def encode_base64(raw: bytes) -> str:
    """Return the bytes in base64, without line breaks."""
    return binascii.b2a_base64(raw, newline=False).decode()


EXPERT = Layout("x-nexus-signature-256", "sha256=", "{timestamp}.{body}", "x-nexus-timestamp", "x-nexus-delivery-id")
SVIX = Layout(
    "svix-signature", "v1,", "{id}.{timestamp}.{body}", "svix-timestamp", "svix-id", "sha256", encode_base64, True
)
STANDARD_WEBHOOKS = SVIX._replace(
    header="webhook-signature", timestamp_header="webhook-timestamp", id_header="webhook-id", fallback=SVIX
)


def build_own_layout(settings: Receiver) -> Layout:
    """Return the layout of the scheme `hmac` from the settings.

    Timestamp and signature may be in the same header, as Stripe's: `t=1795512600,v1=5257a8…`. Raises SettingsError if
    the body or another required part would not be signed.
    """
    identity = _parse_header_name("STREAM_ROUTER_HMAC_ID_HEADER", settings.hmac_id_header)
    timestamp = _parse_header_name("STREAM_ROUTER_HMAC_TIMESTAMP_HEADER", settings.hmac_timestamp_header)
    header = _parse_header_name("STREAM_ROUTER_HMAC_HEADER", settings.hmac_header) or ""
    template = settings.hmac_template
    if template.count("{body}") != 1:
        raise SettingsError("STREAM_ROUTER_HMAC_TEMPLATE", "does not sign the body", "write {body} in it, once")
    if "{timestamp}" in template and timestamp is None:
        raise SettingsError(
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER",
            "is not set, but the template signs {timestamp}",
            "set it",
            related=("STREAM_ROUTER_HMAC_TEMPLATE",),
        )
    if timestamp is not None and "{timestamp}" not in template:
        raise SettingsError(
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER",
            "is set, but the template does not sign {timestamp}, so anyone could change the time",
            "write {timestamp} in the template, or unset the header",
            related=("STREAM_ROUTER_HMAC_TEMPLATE",),
        )
    if "{id}" in template and identity is None:
        raise SettingsError(
            "STREAM_ROUTER_HMAC_ID_HEADER",
            "is not set, but the template signs {id}",
            "set it",
            related=("STREAM_ROUTER_HMAC_TEMPLATE",),
        )
    if identity and identity in (header, timestamp):
        raise SettingsError(
            "STREAM_ROUTER_HMAC_ID_HEADER",
            "is the header of the signature or of the time",
            "name that of the delivery id",
        )
    encode = bytes.hex if settings.hmac_encoding == "hex" else encode_base64
    return Layout(header, settings.hmac_prefix, template, timestamp, identity, settings.hmac_algorithm, encode)


def _parse_header_name(variable: str, name: str | None) -> str | None:
    """Return a header's name in lower case; None if none is set. Raises SettingsError if no header can have it."""
    if name is not None and not _TOKEN.fullmatch(name):
        raise SettingsError(variable, "is not the name of an HTTP header", "use letters, digits and hyphens")
    return name.lower() if name else None


def make_signature_check(own: Layout, keys: Secrets, window_s: int) -> Verify:
    """Return the check of a scheme that signs with a shared secret. A signed time must be within `window_s` of now."""
    # The pieces of the template before and after {body}. Each is {id}, {timestamp}, or literal text.
    before, after = ([piece for piece in _FIELD.split(part) if piece] for part in own.template.split("{body}"))
    signs_id, signs_time = "{id}" in own.template, "{timestamp}" in own.template
    # Without a signed time two deliveries with equal bodies have the same signature. Only their ids differ, so each
    # delivery keeps its own id.
    remembers = signs_time and not signs_id and own.id_header is not None
    first_ids = FirstIds(REMEMBERED_WINDOWS * window_s) if remembers else None
    macs: dict[bytes, hmac.HMAC] = {}

    def verify(headers: Headers, body: bytes, now_s: float) -> str | None:
        layout = own.fallback if own.fallback is not None and own.header not in headers else own
        identity = get_delivery_id(headers, layout.id_header)
        if signs_id and identity is None:
            raise RefusedError(BAD_SIGNATURE)
        value = get_single(headers, layout.header)
        if layout.timestamp_header == layout.header:
            timestamp, texts = _split_timestamp(value)
        else:
            timestamp = get_single(headers, layout.timestamp_header) if layout.timestamp_header else ""
            texts = value.split(" ") if layout.takes_several else [value]
        signatures = _strip_prefixes(layout, texts)
        text = _fill_template(before, identity, timestamp) + body + _fill_template(after, identity, timestamp)
        is_valid, remembered = False, b""
        for key in keys.live:
            # The part of the MAC that depends on the key alone is computed once per key.
            mac = (macs.get(key) or macs.setdefault(key, hmac.new(key, None, layout.algorithm))).copy()
            mac.update(text)
            digest = mac.digest()
            # The first key's digest identifies the text, whichever key fits. A sender that rotates keys may sign with
            # two.
            remembered = remembered or digest[:SIGNATURE_BYTES]
            expected = layout.encode(digest).encode()
            # Every key and signature is compared, so that the duration does not show which of them fits.
            for signature in signatures:
                is_valid |= hmac.compare_digest(signature, expected)
        if not is_valid:
            raise RefusedError(BAD_SIGNATURE)
        if layout.timestamp_header and abs(now_s - _parse_seconds(timestamp)) > window_s:
            raise RefusedError(STALE)
        return identity if first_ids is None else first_ids.first(remembered, identity, now_s)

    return verify


def _fill_template(pieces: list[str], identity: str | None, timestamp: str) -> bytes:
    """Return a part of the signed text, with id and timestamp in place of their names in braces."""
    values = {"{id}": identity or "", "{timestamp}": timestamp}
    return "".join(values.get(piece, piece) for piece in pieces).encode()


def _strip_prefixes(layout: Layout, texts: list[str]) -> list[bytes]:
    """Return the signatures of a header as bytes, without their prefix; hex in lower case.

    Texts without the prefix are skipped, and so are all after the first MAX_SIGNATURES texts.
    """
    prefix, in_hex = layout.prefix, layout.encode is bytes.hex
    bare = []
    for text in texts[:MAX_SIGNATURES]:
        if text.startswith(prefix):
            signature = text[len(prefix) :]
            bare.append((signature.lower() if in_hex else signature).encode())
    return bare


def _split_timestamp(value: str) -> tuple[str, list[str]]:
    """Return the timestamp of a header that also holds signatures, and the list of the header's other parts.

    Raises RefusedError unless the header has exactly one timestamp.
    """
    parts = [part.strip() for part in value.split(",")]
    times = [part.removeprefix(TIME_PREFIX) for part in parts if part.startswith(TIME_PREFIX)]
    if len(times) != 1:
        raise RefusedError(BAD_SIGNATURE)
    return times[0], [part for part in parts if not part.startswith(TIME_PREFIX)]


def _parse_seconds(timestamp: str) -> float:
    """Return a Unix time in seconds. The text may be in seconds or milliseconds. Raises RefusedError otherwise."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 16:
        raise RefusedError(BAD_SIGNATURE)
    value = int(timestamp)
    return value / 1000 if value >= MILLISECONDS_FROM else float(value)


# --- schemes that send the secret as it is


def make_token_check(kind: str, tokens: Secrets, id_header: str | None) -> Verify:
    """Return the check of the schemes `bearer` and `basic`. The body is not examined.

    Digests are compared, so that the duration of the comparison does not show the secret's length.
    """

    def verify(headers: Headers, *_body_and_time: object) -> str | None:
        scheme_name, _, value = get_single(headers, "authorization", BAD_TOKEN).partition(" ")
        if scheme_name.lower() != kind:
            raise RefusedError(BAD_TOKEN)
        plain = value.strip().encode()
        if kind == "basic":
            try:
                plain = base64.b64decode(value.strip(), validate=True)
            except (binascii.Error, ValueError):
                raise RefusedError(BAD_TOKEN) from None
            if encode_base64(plain) != value.strip():
                # This is another base64 spelling of the same bytes (unused bits are set), which no regular client
                # sends.
                raise RefusedError(BAD_TOKEN)
        presented, is_valid = hashlib.sha256(plain).digest(), False
        for token in tokens.live:
            is_valid |= hmac.compare_digest(presented, token)
        if not is_valid:
            raise RefusedError(BAD_TOKEN)
        return get_delivery_id(headers, id_header, BAD_TOKEN)

    return verify


# --- conversion of secrets to the compared form, and the tables


def _decode_standard_webhooks(text: str) -> bytes:
    """Return the key of a secret in the form `whsec_<base64>`. Raises SettingsError."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or not text.startswith("whsec_"):
        raise SettingsError(VARIABLE, "a secret is not whsec_<base64>", "give it as the sender shows it")
    return key


def _decode_basic(text: str) -> bytes:
    """Return the digest of a secret in the form `user:password`. Raises SettingsError."""
    if ":" not in text:
        raise SettingsError(VARIABLE, "a secret is not user:password", "give both, joined by a colon")
    return hashlib.sha256(text.encode()).digest()


def _decode_bearer(text: str) -> bytes:
    """Return the digest of a token. Raises SettingsError if no HTTP header can carry the token."""
    if not text.isascii():
        raise SettingsError(VARIABLE, "a token holds a character that no HTTP header can carry", "use ASCII")
    return hashlib.sha256(text.encode()).digest()


LAYOUTS: dict[str, tuple[Callable[[Receiver], Layout], Decode]] = {
    "expert": (lambda _: EXPERT, str.encode),
    "standard-webhooks": (lambda _: STANDARD_WEBHOOKS, _decode_standard_webhooks),
    "hmac": (build_own_layout, str.encode),
}
"""The schemes that sign: each with its layout, and the conversion of a secret to a key."""
TOKENS: dict[str, Decode] = {"bearer": _decode_bearer, "basic": _decode_basic}
"""The schemes that send the secret itself: each with the conversion of a secret to the compared digest."""
SCHEMES = (*LAYOUTS, *TOKENS, "none")
"""All schemes. Any other name is refused."""


def make_check(settings: Receiver) -> tuple[Verify, Secrets | None]:
    """Return the check of the configured scheme, and its secrets (None for the scheme `none`).

    The caller has to call `refresh` of the secrets regularly. Raises SettingsError.
    """
    name = settings.webhook_scheme or ""
    if name in LAYOUTS:
        layout, decode = LAYOUTS[name]
        live = _read_secrets(settings, decode)
        return make_signature_check(layout(settings), live, settings.replay_window_s), live
    id_header = _parse_header_name("STREAM_ROUTER_HMAC_ID_HEADER", settings.hmac_id_header)
    if name in TOKENS:
        if settings.is_unencrypted:  # for the environment's own scheme the settings check this themselves
            raise SettingsError(
                "STREAM_ROUTER_WEBHOOK_SCHEME",
                f"{name} would send the secret itself over plain HTTP, for anyone to read",
                "give the receiver a TLS certificate, or name the proxies in front of it that end TLS",
            )
        live = _read_secrets(settings, TOKENS[name])
        return make_token_check(name, live, id_header), live
    if name != "none":
        raise SettingsError("STREAM_ROUTER_WEBHOOK_SCHEME", "is not set", f"choose one of {', '.join(SCHEMES)}")
    if not is_loopback(settings.listen):
        raise SettingsError(
            "STREAM_ROUTER_WEBHOOK_SCHEME", "none is for loopback only", "choose a scheme, or listen on 127.0.0.1"
        )
    return lambda headers, *_body_and_time: get_delivery_id(headers, id_header), None


def _read_secrets(settings: Receiver, decode: Decode) -> Secrets:
    """Return the secrets of the settings, converted by `decode`. Raises SettingsError."""
    weak = settings.weak_secrets == "allow"
    text, scheme = settings.webhook_secrets.get_secret_value(), settings.webhook_scheme or ""
    return Secrets(text, decode, settings.aws_region, scheme=scheme, weak=weak)
