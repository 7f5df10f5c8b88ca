"""Reading and writing of JSON without any change: of integers, of keys, of numbers that no double holds.

orjson makes a float of an integer outside 64 bits, keeps the last of two equal keys, and rounds numbers to doubles.
None of this has happened if the parsed value, written again, equals the sent bytes. The same holds if both are equal
once all blanks are removed, even those inside strings: both then have the same members and the same numbers, and no
parser changes the content of strings. Otherwise the text is read again, slowly.
A number whose decimal value would change then keeps its text, and is written with it.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from stream_router import limits
from stream_router.dead_letter_reasons import mismatch
from stream_router.envelope import is_envelope
from stream_router.model import Event

_BODY = b',"body":'
_BLANKS = b" \t\r\n"
_SLASH = b"\\/"
_SURE_CHARS = 15
"""Maximum length of a number without exponent that every double holds, since it has at most as many digits."""


class ExactNumber:
    """Text of a JSON number that a parser would change."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ExactNumber({self.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactNumber) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def _default(value: Any) -> Any:
    """Return the JSON text of an ExactNumber. Raise TypeError for any other value that orjson does not know."""
    if type(value) is ExactNumber:
        return orjson.Fragment(value.text)
    raise TypeError


def write(value: Any) -> bytes:
    """Return the compact UTF-8 JSON of a value that this module read. Raises Rejected if it nests too deep.

    U+FFFE and U+FFFF are written as escapes, since SQS refuses a message that contains them raw (docs/facts.md).
    A queue as the rule's target would refuse the event, and so would the dead-letter queue behind it. Masking checks
    the exact type of a value. A value of a derived type was not masked, so it is not written but raises TypeError.
    """
    try:
        text = orjson.dumps(value, _default, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError as error:
        if "Recursion" in str(error):
            raise mismatch("TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels") from None
        raise
    if 0xEF in text:  # searching for an int takes an eighth of the time of a one-byte text
        text = text.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")
    return text


def read(event: Event) -> Any:
    """Return the event's body, with its numbers as they were written.

    Raise Rejected if the text has content that the parsed body lacks, or that EventBridge refuses.
    """
    try:
        # Integers beyond 53 bits are refused here, so numbers near the limit of 64 bits are read carefully.
        written = orjson.dumps(event.body, None, orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return _read_exactly(event)
    # `,"body":` cannot stand inside a JSON string, and only the last of equal keys counts: so this is the body.
    raw = event.raw
    # A record of another writer has no envelope: its whole line is the body.
    if raw.endswith(b"".join((_BODY, written, b"}"))) or raw == written:
        return event.body
    # PHP escapes every slash, and so do NICE's examples. Outside of strings JSON has no slash.
    if _SLASH in raw:
        written = written.replace(b"/", _SLASH)
    return event.body if _same_tokens(raw, written) else _read_exactly(event)


def _same_tokens(raw: bytes, written: bytes) -> bool:
    """Return whether the body differs from its rewritten form by blanks alone, as Python, Java and C# write them.

    This costs per byte, the careful reader per token. A body of 58 KB with many values takes 41 µs here and 640 µs
    there; a single text of 64 KB takes 49 and 30 µs.
    """
    tokens = written.translate(None, _BLANKS)
    # After the first `,"body":` of an envelope come the body and one brace, otherwise the texts differ.
    _, _, body = raw.partition(_BODY)
    return body.translate(None, _BLANKS) == tokens + b"}" or raw.translate(None, _BLANKS) == tokens


def parse(detail: bytes) -> Any:
    """Return the value of a Detail that the transform wrote, with exact numbers. Raise Rejected if it is too deep."""
    value = orjson.loads(detail)
    return value if write(value) == detail else _EXACT.decode(detail.decode())


def _read_exactly(event: Event) -> Any:
    """Return the event's body from its line, read token by token. Raise Rejected as `read` does."""
    try:
        whole = _EXACT.decode(event.raw.decode())
    except RecursionError:
        raise mismatch("TooDeep", "the event nests deeper than can be read") from None
    return whole["body"] if is_envelope(whole) else whole


def _float(text: str) -> float | ExactNumber:
    """Return the double if it has the number's decimal value, otherwise the number's text."""
    if len(text) <= _SURE_CHARS and "e" not in text and "E" not in text:
        return float(text)
    try:
        value = float(text)
        return value if Decimal(text) == Decimal(repr(value)) else ExactNumber(text)
    except InvalidOperation:
        return ExactNumber(text)


def _integer(text: str) -> int | ExactNumber:
    """Return an integer of at most 64 bits. Raise Rejected for a larger one, which EventBridge refuses."""
    if text == "-0":  # an int has no negative zero
        return ExactNumber(text)
    # No integer of 64 bits has more than 20 characters. The parsing of a very long one would be slow, or fail.
    if len(text) > 20 or not limits.INT64_MIN <= int(text) <= limits.INT64_MAX:
        raise mismatch("IntegerOutOfRange", "an integer is outside 64 bits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of these members. Raise Rejected if two have the same key, since one of them would be lost."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise mismatch("DuplicateKey", "an object has the same key twice")
    return members


_EXACT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float)
