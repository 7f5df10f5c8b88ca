"""Constants and defaults of a mapping, held at start to what values of events are held to: with another none passes."""

import math

from pydantic import ValidationError

from stream_router import limits
from stream_router.errors import first_error
from stream_router.model import PROBE_TYPE
from stream_router.pipeline.mapping import timestamps
from stream_router.pipeline.mapping.shapes import check_fields

MAX_DEPTH = 200
"""Levels of a constant: what nests deeper cannot be masked (docs/events.md)."""

_GOOD = {"interactionId": "i", "conversationId": "c", "eventType": "t", "timestamp": "", "payload": {}}


def check_field(name: str, value: object) -> None:
    """Raises ValueError, quoting nothing, where an event with `value` for our field `name` would be refused."""
    check_json(value)
    try:
        check_fields({**_GOOD, name: value})
    except ValidationError as error:
        problem = first_error(error)["msg"]
        raise ValueError(f"its value or default: {problem}") from None
    if name == "eventType":
        event_type(str(value))
    if name == "timestamp":
        try:
            timestamps.to_utc(value, None)
        except (ValueError, OverflowError):
            raise ValueError("its default is no timestamp that can be read") from None


def event_type(value: str) -> str:
    """An event type itself. Raises ValueError where it is none that may leave."""
    if not value.isprintable():
        raise ValueError("holds a control character, which no event type may")
    if value == PROBE_TYPE:
        raise ValueError("is doctor's own, which comes out at no target")
    return value


def plain(value: object) -> object:
    """A constant of the metadata itself. Raises ValueError where it is a table or a list, or none of JSON's."""
    if isinstance(value, dict | list):
        raise ValueError("is no text, number or boolean")  # noqa: TRY004 - pydantic's way
    return check_json(value)


def check_json(value: object) -> object:
    """The value itself. Raises ValueError where EventBridge would refuse it, or JSON cannot say it."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif not _is_json(item):
                raise ValueError("holds an integer beyond 64 bits, a date or time that is no text, inf or nan")
        level = inner
    if level:
        raise ValueError(f"nests deeper than {MAX_DEPTH} levels")
    return value


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return limits.INT64_MIN <= value <= limits.INT64_MAX
    return isinstance(value, str)
