"""Writes JSON that nests deeper than orjson can (254 levels); slow, and rarely needed."""

import json
from typing import Any

import orjson

from stream_router import limits
from stream_router.envelope import json_levels
from stream_router.pipeline.exact_number import ExactNumber, written
from stream_router.pipeline.rejection import mismatch

_TYPES = frozenset({dict, list, str, int, float, bool, type(None), ExactNumber})

MAX_LEVELS = limits.EVENT_MAX_DEPTH + 8
"""A Detail stands a level or two above the event that it holds."""


def write(value: Any) -> bytes:
    """Compact UTF-8 JSON of what orjson has read, fast where it is not deep. Raises as `dumps` does."""
    try:
        return orjson.dumps(value, written, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError:  # the only thing that orjson cannot write of what it has read is deep nesting
        return dumps(value)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises Rejected above MAX_LEVELS, and TypeError for what masking would have passed by."""
    _check_types(value)
    if json_levels(value) > MAX_LEVELS:
        raise mismatch("TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_refused).encode()


def for_queues(text: bytes) -> bytes:
    """The same JSON, U+FFFE and U+FFFF as escapes: they stand nowhere but in strings.

    SQS takes no message with one as it is (docs/facts.md, "Kinesis and SQS"): a queue that is the rule's target would
    refuse the event, and so would the dead-letter queue behind it.
    """
    if 0xEF not in text:  # a number is looked for in an eighth of the time that a text of one byte takes
        return text
    return text.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")


def _check_types(value: Any) -> None:
    """Masking asks for the very type of a value: one of a derived type was not masked, so it is not written."""
    level = [value]
    while level:
        if odd := set(map(type, level)) - _TYPES:
            raise TypeError(f"values of {len(odd)} types that no JSON parser gives")
        nested = [item for item in level if type(item) is dict or type(item) is list]
        level = [inner for item in nested for inner in (item.values() if type(item) is dict else item)]


def _refused(_: Any) -> Any:
    """Python's writer has no way to write a number's own text."""
    raise mismatch("NumberOutOfRange", "a number that no double holds, in an event too deep to keep it")
