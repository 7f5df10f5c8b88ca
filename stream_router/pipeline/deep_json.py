"""Writes JSON that nests deeper than orjson can (254 levels); slow, and rarely needed."""

import json
from typing import Any

import orjson

from stream_router.core import json_depth, limits
from stream_router.pipeline.exact_number import written
from stream_router.pipeline.rejection import mismatch

MAX_LEVELS = limits.EVENT_MAX_DEPTH + 8
"""A Detail stands a level or two above the event that it holds."""


def write(value: Any) -> bytes:
    """Compact UTF-8 JSON of what orjson has read, fast where it is not deep. Raises Rejected as `dumps` does."""
    try:
        return orjson.dumps(value, written)
    except TypeError:  # the only thing that orjson cannot write of what it has read is deep nesting
        return dumps(value)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises Rejected above MAX_LEVELS."""
    if json_depth.levels(value) > MAX_LEVELS:
        raise mismatch("TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_refused).encode()


def _refused(_: Any) -> Any:
    """Python's writer has no way to write a number's own text."""
    raise mismatch("NumberOutOfRange", "a number that no double holds, in an event too deep to keep it")
