"""Masking of one plain value: a text, a number, true or false. Each action is idempotent."""

import hmac
import re
from collections.abc import Callable
from typing import Any

from stream_router.pipeline.mapping.exact_json import ExactNumber

Plain = str | int | float | ExactNumber
"""True and false are ints too. Null is masked by nothing: it says only that there is no value."""

Action = Callable[[Plain], Any]

REDACTED = "[REDACTED]"
STARS = "****"
HASH_PREFIX = "hmac:"
HASH_HEX_DIGITS = 32
"""128 bits: two values that collide by chance are not to be met."""

KEEP_LAST_MAX = 16

_MASK = rf"\[REDACTED\]|{HASH_PREFIX}[0-9a-f]{{{HASH_HEX_DIGITS}}}"
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

Form = Callable[[str], Any]
"""Whether a text has a form. A number, true and false have any."""

IDS_FORM: Form = re.compile(rf"[A-Za-z0-9_.:-]{{0,128}}|{_MASK}").fullmatch
"""Letters, digits and `-_.:`, at most 128: so no address, and no phone number with a plus sign."""

MADE_OF_UUIDS: Form = re.compile(rf"(?:[a-z]{{2,20}}_)?{_UUID}(?:_{_UUID})?|{_MASK}").fullmatch
"""One UUID or two, behind the name of a channel or not. An address or a phone number in their place is none."""


def text_of(value: Plain) -> str:
    """Return a plain value as a text: `12` and `"12"` are one value to a hash."""
    if value is True or value is False:
        return "true" if value else "false"
    return value if type(value) is str else str(value)


is_mask: Form = re.compile(_MASK).fullmatch
"""Whether a text is what `redact` or `keyed_hash` leaves."""


def redact(_: Plain) -> str:
    """Return a fixed text, whatever the value was."""
    return REDACTED


def keyed_hash(key: bytes) -> Action:
    """`hmac:<32 hex digits>` of HMAC-SHA256: equal values stay equal, so joins still work."""

    keyed = hmac.new(key, digestmod="sha256")

    def action(value: Plain) -> str:
        text = text_of(value)
        if is_mask(text):
            return text
        digest = keyed.copy()  # three quarters of the time that keying it anew takes
        digest.update(text.encode())
        return HASH_PREFIX + digest.hexdigest()[:HASH_HEX_DIGITS]

    return action


def keep_last(count: int) -> Action:
    """Four stars and the last `count` characters, but never more than half of them; not even the length shows."""

    def action(value: Plain) -> str:
        text = text_of(value)
        if is_mask(text) or (text.startswith(STARS) and len(text) <= len(STARS) + count):
            return text
        return STARS + text[len(text) - min(count, len(text) // 2) :]

    return action
