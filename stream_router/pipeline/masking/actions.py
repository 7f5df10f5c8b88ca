"""Masking of one plain value: a text, a number, true or false. Masking a masked value again does not change it."""

import hmac
import re
from collections.abc import Callable
from typing import Any

from stream_router.pipeline.mapping.exact_json import ExactNumber

Plain = str | int | float | ExactNumber
"""Values that are masked. True and false are ints too. Null is never masked, since it holds no value."""

Action = Callable[[Plain], Any]

REDACTED = "[REDACTED]"
STARS = "****"
HASH_PREFIX = "hmac:"
HASH_HEX_DIGITS = 32
"""Number of digits of a hash. With 128 bits two values do not collide by chance."""

MAX_KEPT_CHARS = 16

_MASK = rf"\[REDACTED\]|{HASH_PREFIX}[0-9a-f]{{{HASH_HEX_DIGITS}}}"
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

Form = Callable[[str], Any]
"""Function that tests whether a text has a form. Numbers, true and false are not tested."""

ID_FORM: Form = re.compile(rf"[A-Za-z0-9_.:-]{{0,128}}|{_MASK}").fullmatch
"""Form of ids: at most 128 letters, digits and `-_.:`. No e-mail address or phone number with a plus sign has it."""

UUID_FORM: Form = re.compile(rf"(?:[a-z]{{2,20}}_)?{_UUID}(?:_{_UUID})?|{_MASK}").fullmatch
"""Form of one UUID or two, with or without a channel's name before it. No address and no phone number has it."""


def to_text(value: Plain) -> str:
    """Return a plain value as a text, so that `12` and `"12"` have the same hash."""
    if value is True or value is False:
        return "true" if value else "false"
    return value if type(value) is str else str(value)


is_mask: Form = re.compile(_MASK).fullmatch
"""Test whether a text is a result of `redact` or `keyed_hash`."""


def redact(_: Plain) -> str:
    """Return a fixed text for any value."""
    return REDACTED


def keyed_hash(key: bytes) -> Action:
    """Return the action that replaces a value by `hmac:` and 32 hex digits of its HMAC-SHA256.

    Equal values have equal hashes, so masked data can still be joined.
    """
    keyed_hmac = hmac.new(key, digestmod="sha256")

    def action(value: Plain) -> str:
        text = to_text(value)
        if is_mask(text):
            return text
        digest = keyed_hmac.copy()  # takes three quarters of the time of a new HMAC
        digest.update(text.encode())
        return HASH_PREFIX + digest.hexdigest()[:HASH_HEX_DIGITS]

    return action


def keep_last(count: int) -> Action:
    """Return the action that replaces a value by four stars and its last `count` characters, at most half of them.

    The number of stars is always four, so the length of the value is hidden as well.
    """

    def action(value: Plain) -> str:
        text = to_text(value)
        # A text of this form may be a result of this action, and masking it again must not change it.
        if is_mask(text) or (text.startswith(STARS) and len(text) <= len(STARS) + count):
            return text
        return STARS + text[len(text) - min(count, len(text) // 2) :]

    return action
