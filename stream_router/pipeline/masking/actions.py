"""What masking does to one value. Every action done twice is the action done once; null stays null."""

import hmac
import re
from collections.abc import Callable
from typing import Any

import orjson

from stream_router.pipeline.exact_number import ExactNumber, written

Action = Callable[[Any], Any]

GONE: Any = object()
"""What `remove` leaves: the key, or the array's element, is not written."""

REDACTED = "[REDACTED]"
STARS = "****"
HMAC_HEX_DIGITS = 32
"""128 bits: two values that collide by chance are not to be met."""


def remove(_: Any) -> Any:
    """Nothing of it stays."""
    return GONE


def redact(value: Any) -> Any:
    """A fixed text instead of it, whatever it was."""
    return None if value is None else REDACTED


def keep_last(count: int) -> Action:
    """Four stars and the last `count` characters, but never more than half of them; not even the length shows."""
    masked_length = len(STARS) + count

    def action(value: Any) -> Any:
        text = value if type(value) is str else _text(value)
        if text is None:
            return redact(value)
        length = len(text)
        if text == REDACTED:
            return text
        if length >= count * 2 and length > masked_length:
            return STARS + text[length - count :]
        if length <= masked_length and text[: len(STARS)] == STARS:
            return text
        return STARS + text[length - min(count, length // 2) :]

    return action


_OF_NUMBERS = "0123456789 +-()/."
_LETTER = re.compile(r"[^\W\d_]")


def keep_last_of_numbers(count: int) -> Action:
    """The same, but nothing stays of a text with a letter in it: where a phone is expected, a name may stand."""
    keep = keep_last(count)

    def action(value: Any) -> Any:
        if type(value) is str:
            if not value.strip(_OF_NUMBERS):  # nearly all are so, and what follows costs more
                length = len(value)
                return STARS + value[length - (count if length >= count * 2 else length // 2) :]
            if value != REDACTED and _LETTER.search(value):
                return REDACTED
        return keep(value)

    return action


def truncate(count: int) -> Action:
    """The first `count` characters."""

    def action(value: Any) -> Any:
        text = _text(value)
        return redact(value) if text is None or text == REDACTED else text[:count]

    return action


def but_for_booleans(action: Action) -> Action:
    """The same action, but true and false stay: under a name such as `hasVisibleTitle` they are no title."""

    def but(value: Any) -> Any:
        return value if value is True or value is False else action(value)

    return but


redact_texts = but_for_booleans(redact)


def keyed_hash(key: bytes, key_id: str) -> Action:
    """`hmac:<key id>:<32 hex digits>` of HMAC-SHA256: equal values stay equal, so joins still work."""
    prefix = f"hmac:{key_id}:"
    done = re.compile(rf"{re.escape(prefix)}[0-9a-f]{{{HMAC_HEX_DIGITS}}}")

    def action(value: Any) -> Any:
        if value is None:
            return None
        text = _text(value)
        if text is not None and done.fullmatch(text):
            return text
        data = orjson.dumps(value, written, orjson.OPT_SORT_KEYS) if text is None else text.encode()
        return prefix + hmac.digest(key, data, "sha256").hex()[:HMAC_HEX_DIGITS]

    return action


_MASK = re.compile(rf"{re.escape(REDACTED)}|hmac:[A-Za-z0-9_.-]{{1,32}}:[0-9a-f]{{{HMAC_HEX_DIGITS}}}")


def is_mask(value: Any) -> bool:
    """Whether a value is what an action may leave of anything: also of an object or an array."""
    return type(value) is str and value[:1] in "[h" and _MASK.fullmatch(value) is not None


def _text(value: Any) -> str | None:
    """A text or a number as text; None for anything else."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    return str(value) if kind is int or kind is float or kind is ExactNumber else None
