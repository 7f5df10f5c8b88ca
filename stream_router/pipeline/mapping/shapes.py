"""Shapes of events: the paths by which an event of a shape is recognized, and those of our five fields in it.

The built-in shapes are in `presets.toml`, in the form of a user's own shapes (docs/events.md). Two shapes are not in
that file: the contract's own, which has our fields already, and that of CXone Expert, with its event type in a header.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Annotated, Any, NotRequired

from pydantic import InstanceOf, StringConstraints, TypeAdapter, with_config
from typing_extensions import TypedDict  # the one that pydantic takes on Python 3.11

from stream_router import limits
from stream_router.pipeline.mapping.exact_json import ExactNumber

ID_MAX_CHARS = 512
Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_MAX_CHARS)] | int
EventType = Annotated[str, StringConstraints(min_length=1, max_length=limits.DETAIL_TYPE_MAX_CHARS)]
Path = tuple[str | int, ...]
"""Steps from the event's root: keys, and indexes of arrays. An empty path is the whole event."""

MISSING: Any = object()
"""Result of a path that leads to no value, and default of a field that an event must have."""

RECEIVED: Any = object()
"""Default of a timestamp that an event may lack: the time of its receipt."""

EVENT_ID = "\0 the event's own id"
"""Default of an interaction that an event may lack, replaced by the event's id. No path leads to such a text."""

_PLACE = re.compile(r"0|[1-9][0-9]{0,8}")
"""Form of a path's step that may be an index of an array."""


@with_config(strict=True, extra="ignore", hide_input_in_errors=True)
class Fields(TypedDict):
    """The contract's default shape, to which every other shape is mapped."""

    interactionId: Id
    conversationId: NotRequired[Id | None]
    eventType: EventType
    timestamp: Any  # parsed, and so checked, by `timestamps.to_utc`
    payload: InstanceOf[dict[str, Any]]  # not `dict`, which would be copied


check_fields: Callable[[Any], dict[str, Any]] = TypeAdapter(Fields).validator.validate_python
"""Function that returns a value's known fields or raises ValidationError, at half the cost of the adapter's method."""

OUR_FIELDS = frozenset(Fields.__annotations__)


@dataclass(frozen=True, slots=True)
class FieldOrigin:
    """Origin of one of our fields: the first of `paths` that leads to a value, otherwise `default`."""

    paths: tuple[Path, ...] = ()
    default: Any = MISSING


@dataclass(frozen=True, slots=True)
class Shape:
    """Form of events. A shape fits an event in which every path of `when` leads to a value.

    `fields` is None if the event has our fields already. `event_types` renames types. `zone` applies to timestamps
    without an offset; if it is None, the file's zone or UTC does. A `lenient` shape ignores values that are no id, and
    a time that cannot be read.
    """

    name: str
    when: tuple[Path, ...]
    fields: Mapping[str, FieldOrigin] | None = None
    event_types: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo | None = None
    is_preset: bool = False
    lenient: bool = False
    keys: frozenset[str] = field(init=False)  # the paths of `when` with one step; `deeper` has the others
    deeper: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(str(path[0]) for path in self.when if len(path) == 1))
        object.__setattr__(self, "deeper", tuple(path for path in self.when if len(path) != 1))


@dataclass(frozen=True, slots=True)
class Configured:
    """Content of the config file, ready for use: the shapes in the order in which they are tried, and more metadata.

    `sources` has the shape of each named source's events, None for the first shape that fits. `expert` is the shape of
    CXone Expert's events.
    """

    shapes: tuple[Shape, ...]
    metadata: Mapping[str, Any]
    sources: Mapping[str, str | None]
    expert: Shape


def source(*paths: str, default: Any = MISSING) -> FieldOrigin:
    """Return a `FieldOrigin` of dotted paths."""
    return FieldOrigin(tuple(parse_path(p) for p in paths), default)


def parse_path(text: str) -> Path:
    """Return a path such as `data.case.id` or `messages.0.text` as steps; `$` is the whole event.

    A step becomes a number only in the normal form of a number: `007` can only be a key. Raises ValueError for an empty
    step.
    """
    if text == "$":
        return ()
    steps = text.split(".")
    if not all(steps):
        raise ValueError("a path has an empty step")
    return tuple(int(step) if _PLACE.fullmatch(step) else step for step in steps)


def find(value: Any, path: Path) -> Any:
    """Return the value at `path` in `value`, or MISSING. A number is an index in an array, and a key in an object."""
    for step in path:
        if type(value) is dict:
            value = value.get(str(step), MISSING)
        elif type(value) is list and type(step) is int and step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def is_short(value: object, *, is_time: bool) -> bool:
    """Return whether a value may be an id or, if `is_time`, a time.

    A whole number and a text of at most ID_MAX_CHARS characters may be either; any number may be a time.
    """
    if type(value) is str:
        return 0 < len(value) <= ID_MAX_CHARS
    return type(value) is int or (is_time and (type(value) is float or type(value) is ExactNumber))


DEFAULT = Shape("default", tuple((name,) for name in ("interactionId", "eventType", "timestamp")), is_preset=True)

EXPERT_SHAPE = Shape(
    "expert",
    (),
    {
        "interactionId": source("event.@id", "@id", "id", "eventId", "interactionId", default=EVENT_ID),
        "conversationId": source("conversationId", "event.page.@id", "page.@id", "page.id", default=None),
        "eventType": source("eventType", "event.@type", "@type", "type"),
        "timestamp": source(
            "event.@datetime", "@datetime", "datetime", "timestamp", "createdAt", "date", default=RECEIVED
        ),
        "payload": source("$"),
    },
    is_preset=True,
    lenient=True,
)
"""Shape of CXone Expert's webhooks, in JSON and in XML. The event type comes from the header if there is one."""
