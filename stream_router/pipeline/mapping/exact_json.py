"""JSON read and written so that nothing changes on its way: no integer, no key, no number that no double holds.

orjson makes a float of an integer outside 64 bits, keeps the last of two equal keys, and rounds numbers to doubles.
Where the parsed value, written out again, is byte for byte what was sent, none of it happened. Nor did it where both
are equal once every blank is left out, those inside strings too: without blanks JSON still falls into the same tokens,
so both have the same members and the same numbers, and what is inside strings no parser changes. Only otherwise the
text is read again, slowly. A number whose decimal value would change then keeps its text, and leaves with it.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from stream_router import limits
from stream_router.envelope import is_envelope
from stream_router.model import Event
from stream_router.pipeline.rejection import mismatch

_BODY = b',"body":'
_BLANKS = b" \t\r\n"
_SLASH = b"\\/"
_SURE_CHARS = 15
"""A number of so many characters and no exponent has at most so many digits, which every double holds."""


class ExactNumber:
    """The text of a JSON number that a parser would change."""

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
    """The JSON text of what orjson does not know. Raises TypeError for all else."""
    if type(value) is ExactNumber:
        return orjson.Fragment(value.text)
    raise TypeError


def write(value: Any) -> bytes:
    """Compact UTF-8 JSON of what was read here. Raises Rejected for what nests too deep.

    Masking asks for the very type of a value: one of a derived type was not masked, so it is not written (TypeError).
    """
    try:
        return orjson.dumps(value, _default, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError as error:
        if "Recursion" in str(error):
            raise mismatch("TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels") from None
        raise


def for_queues(text: bytes) -> bytes:
    """The same JSON, U+FFFE and U+FFFF as escapes: they stand nowhere but in strings.

    SQS takes no message with one as it is (docs/facts.md, "Kinesis and SQS"): a queue that is the rule's target would
    refuse the event, and so would the dead-letter queue behind it.
    """
    if 0xEF not in text:  # a number is looked for in an eighth of the time that a text of one byte takes
        return text
    return text.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")


def read(event: Event) -> Any:
    """The event's body, numbers as they were written.

    Raises Rejected where the text says something else that the parsed body does not, or that EventBridge refuses.
    """
    try:
        # Integers beyond 53 bits are refused here, so what is near the edge of 64 bits takes the careful way.
        written = orjson.dumps(event.body, None, orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return _read_carefully(event)
    # `,"body":` cannot stand inside a JSON string, and only the last of equal keys counts: so this is the body.
    raw = event.raw
    if raw.endswith(b"".join((_BODY, written, b"}"))) or raw == written:
        return event.body
    # PHP escapes every slash, and so do NICE's examples; a slash stands nowhere but in strings.
    if _SLASH in raw:
        written = written.replace(b"/", _SLASH)
    return event.body if _same_tokens(raw, written) else _read_carefully(event)


def _same_tokens(raw: bytes, written: bytes) -> bool:
    """Whether the body differs from what was written of it by blanks alone, as Python, Java and C# write them.

    This costs by the byte, the careful reader by the token: 58 KB of many values take 41 µs so, and 640 the other way,
    64 KB that are one long text 49 and 30.
    """
    tokens = written.translate(None, _BLANKS)
    # Behind the first `,"body":` of an envelope stands the body with one brace, or this is not equal.
    _, _, body = raw.partition(_BODY)
    return body.translate(None, _BLANKS) == tokens + b"}" or raw.translate(None, _BLANKS) == tokens


def parse(detail: bytes) -> Any:
    """A Detail that the transform wrote, numbers as they stand in it. Raises Rejected for what nests too deep."""
    value = orjson.loads(detail)
    return value if write(value) == detail else _EXACT.decode(detail.decode())


def _read_carefully(event: Event) -> Any:
    text = event.raw.decode()
    try:
        _CHECK.decode(text)
    except RecursionError:
        raise mismatch("TooDeep", "the event nests deeper than can be read") from None
    except _Changed:
        whole = _EXACT.decode(text)
        return whole["body"] if is_envelope(whole) else whole
    return event.body


class _Changed(Exception):  # noqa: N818 - it is no error
    """A number would not come back as it was written."""


def _keeps_value(text: str) -> bool:
    """Whether the double that a parser makes of a number has the number's decimal value."""
    if len(text) <= _SURE_CHARS and "e" not in text and "E" not in text:
        return True
    try:
        return Decimal(text) == Decimal(repr(float(text)))
    except InvalidOperation:
        return False


def _check_float(text: str) -> int:
    if not _keeps_value(text):
        raise _Changed
    return 0


def _exact_float(text: str) -> float | ExactNumber:
    return float(text) if _keeps_value(text) else ExactNumber(text)


def _check_integer(text: str) -> int:
    if len(text) < 19:
        if text == "-0":
            raise _Changed
        return 0
    if len(text) > 20 or not limits.INT64_MIN <= int(text) <= limits.INT64_MAX:
        raise mismatch("IntegerOutOfRange", "an integer is outside 64 bits")
    return 0


def _exact_integer(text: str) -> int | ExactNumber:
    if text == "-0":
        return ExactNumber(text)
    _check_integer(text)
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise mismatch("DuplicateKey", "an object has the same key twice")
    return made


_CHECK = json.JSONDecoder(object_pairs_hook=_object, parse_int=_check_integer, parse_float=_check_float)
_EXACT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_exact_integer, parse_float=_exact_float)
