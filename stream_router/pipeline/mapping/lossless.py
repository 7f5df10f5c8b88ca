"""Proof that parsing changed nothing: integers outside 64 bits and keys that come twice are seen, not altered.

orjson turns an integer outside 64 bits into a float and keeps the last of two equal keys. Where the parsed value,
written out again, is byte for byte what was sent, neither happened; only otherwise the text is read again, slowly.
"""

import json
from typing import Any

import orjson

from stream_router.core import limits
from stream_router.core.model import Event
from stream_router.pipeline.rejection import mismatch

_BODY = b',"body":'


def check(event: Event) -> None:
    """Raises Rejected where the event's text says something that its parsed body does not, or EventBridge refuses."""
    try:
        # Integers beyond 53 bits are refused here, so what is near the edge of 64 bits takes the careful way.
        written = orjson.dumps(event.body, None, orjson.OPT_STRICT_INTEGER)
    except TypeError:
        _check_carefully(event)
        return
    # `,"body":` cannot stand inside a JSON string, and only the last of equal keys counts: so this is the body.
    if event.raw.endswith(b"".join((_BODY, written, b"}"))) or event.raw == written:
        return
    _check_carefully(event)


def _check_carefully(event: Event) -> None:
    try:
        _READER.decode(event.raw.decode())
    except RecursionError:
        raise mismatch("TooDeep", "the event nests deeper than can be read") from None


def _integer(text: str) -> int:
    if len(text) < 19:
        return 0
    if len(text) > 20 or not limits.INT64_MIN <= int(text) <= limits.INT64_MAX:
        raise mismatch("IntegerOutOfRange", "an integer is outside 64 bits")
    return 0


def _object(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise mismatch("DuplicateKey", "an object has the same key twice")


_READER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=len)
