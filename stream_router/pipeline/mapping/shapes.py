"""Shapes of events: how an event of a shape is recognized, and where our five fields are in it.

The shapes that ship are in `presets.toml`, written as anybody writes one of his own (docs/events.md). Two are no such
file's: the contract's own, whose fields are ours already, and CXone Expert's, whose event type is in a header.
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
"""Steps from the event's root: keys, and places in arrays. Empty: the whole event."""

MISSING: Any = object()
RECEIVED: Any = object()
"""The default of a timestamp that an event may lack: when it was received."""

EVENT_ID = "\0 the event's own id"
"""The default of an interaction that an event may lack. No event says it: a path leads to no such text."""

_PLACE = re.compile(r"0|[1-9][0-9]{0,8}")


@with_config(strict=True, extra="ignore", hide_input_in_errors=True)
class Fields(TypedDict):
    """The contract's default shape, and what every other shape is mapped to."""

    interactionId: Id
    conversationId: NotRequired[Id | None]
    eventType: EventType
    timestamp: Any  # read, and so checked, by `timestamps.to_utc`
    payload: InstanceOf[dict[str, Any]]  # not `dict`, which would be copied


check_fields: Callable[[Any], dict[str, Any]] = TypeAdapter(Fields).validator.validate_python
"""Gives a value's known fields, or raises ValidationError: the adapter's own at half its cost."""

OUR_FIELDS = frozenset(Fields.__annotations__)


@dataclass(frozen=True, slots=True)
class FieldOrigin:
    """Origin of one of our fields: the first of `paths` that leads to a value, otherwise `default`."""

    paths: tuple[Path, ...] = ()
    default: Any = MISSING


@dataclass(frozen=True, slots=True)
class Shape:
    """One form of event. It fits an event in which every one of `when` leads to something.

    `fields` is None where the event has our fields already. `event_types` renames types; `zone` holds for timestamps
    without an offset (None: the file's, else UTC). A `lenient` one passes over what is no id, and over a time that
    cannot be read.
    """

    name: str
    when: tuple[Path, ...]
    fields: Mapping[str, FieldOrigin] | None = None
    event_types: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo | None = None
    is_preset: bool = False
    lenient: bool = False
    keys: frozenset[str] = field(init=False)  # of `when`, what is looked for in the event itself; `deeper` is the rest
    deeper: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(str(path[0]) for path in self.when if len(path) == 1))
        object.__setattr__(self, "deeper", tuple(path for path in self.when if len(path) != 1))


@dataclass(frozen=True, slots=True)
class Configured:
    """Content of the config file, ready for use: the shapes in the order in which they are tried, and more metadata.

    `sources` says by which shape a named source's events are mapped (None: by the first that fits); `expert` is what
    holds for CXone Expert's events.
    """

    shapes: tuple[Shape, ...]
    metadata: Mapping[str, Any]
    sources: Mapping[str, str | None]
    expert: Shape


def source(*paths: str, default: Any = MISSING) -> FieldOrigin:
    """Return a `FieldOrigin` of dotted paths."""
    return FieldOrigin(tuple(parse_path(p) for p in paths), default)


def parse_path(text: str) -> Path:
    """`data.case.id` or `messages.0.text` as steps; `$` is the whole event. Raises ValueError for an empty step.

    A step is a number where it is written as one, so not `007`, which can only be a key.
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
"""CXone Expert's webhooks, JSON and XML alike. The event type comes from the header, where there is one."""
