"""Writes JSON that nests deeper than orjson can (254 levels), up to what EventBridge takes; slow, and rarely needed."""

import json
from typing import Any

import orjson

from stream_router.core import limits
from stream_router.pipeline.exact_number import written
from stream_router.pipeline.rejection import mismatch


def write(value: Any) -> bytes:
    """Compact UTF-8 JSON of what orjson has read, fast where it is not deep. Raises Rejected as `dumps` does."""
    try:
        return orjson.dumps(value, written)
    except TypeError:  # the only thing that orjson cannot write of what it has read is deep nesting
        return dumps(value)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises Rejected above EventBridge's depth, or (from some 900 levels) above Python's own."""
    if depth(value) > limits.DETAIL_MAX_DEPTH:
        raise mismatch("TooDeep", f"the event nests deeper than {limits.DETAIL_MAX_DEPTH} levels")
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_refused).encode()
    except RecursionError:
        raise mismatch("TooDeep", "the event nests deeper than can be written") from None


def _refused(_: Any) -> Any:
    """Python's writer has no way to write a number's own text."""
    raise mismatch("NumberOutOfRange", "a number that no double holds, in an event too deep to keep it")


def depth(value: Any) -> int:
    """Levels of objects and arrays."""
    levels, level = 0, [value]
    while nested := [item for item in level if type(item) is dict or type(item) is list]:
        levels += 1
        level = [inner for item in nested for inner in (item.values() if type(item) is dict else item)]
    return levels
