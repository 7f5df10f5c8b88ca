"""The shapes in which events come, as data: what an event of a shape looks like, and where our five fields are in it.

To add a shape with code, write a `Shape` here and put it into `PRESETS`; without code, see docs/events.md.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Annotated, Any, NotRequired

from pydantic import InstanceOf, StringConstraints, TypeAdapter, with_config
from typing_extensions import TypedDict  # the one that pydantic takes on Python 3.11

from stream_router import limits
from stream_router.pipeline.mapping.digital_types import DIGITAL_TYPES, UPDATED

ID_MAX_CHARS = 512
Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_MAX_CHARS)] | int
EventType = Annotated[str, StringConstraints(min_length=1, max_length=limits.DETAIL_TYPE_MAX_CHARS)]
Path = tuple[str | int, ...]
"""Steps from the event's root: keys, and places in arrays. Empty: the whole event."""

MISSING: Any = object()
_PLACE = re.compile(r"0|[1-9][0-9]{0,8}")
_strict = with_config(strict=True, extra="ignore", hide_input_in_errors=True)


@_strict
class Fields(TypedDict):
    """The contract's default shape, and what every other shape is mapped to."""

    interactionId: Id
    conversationId: NotRequired[Id | None]
    eventType: EventType
    timestamp: Any  # read, and so checked, by `timestamps.to_utc`
    payload: InstanceOf[dict[str, Any]]  # not `dict`, which would be copied


@_strict
class Digital(TypedDict):
    """A digital event, as NICE's own mobile SDK declares it."""

    eventId: Id
    eventObject: NotRequired[str | None]  # nothing is read from it
    eventType: str
    createdAt: Any
    data: InstanceOf[dict[str, Any]]


@_strict
class StreamRecord(TypedDict):
    """A record of CXone Data Streams (IVR log)."""

    eventTime: Any
    contactId: Id


def _check(kind: Any) -> Callable[[Any], dict[str, Any]]:
    """A function that gives a value's known fields, or raises ValidationError: the adapter's own at half its cost."""
    check: Callable[[Any], dict[str, Any]] = TypeAdapter(kind).validator.validate_python
    return check


check_fields = _check(Fields)
OUR_FIELDS = frozenset(Fields.__annotations__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one of our fields comes from: the first of `paths` that leads to something, else `default`."""

    paths: tuple[Path, ...] = ()
    default: Any = MISSING


@dataclass(frozen=True, slots=True)
class Shape:
    """One form of event. It fits an event in which every one of `when` leads to something.

    `schema` checks the event as it came, before mapping. `fields` is None where the event has our fields already.
    `event_types` renames types; `zone` holds for timestamps without an offset (None: the file's, else UTC).
    """

    name: str
    when: tuple[Path, ...]
    schema: Callable[[Any], Any] | None = None
    fields: Mapping[str, Source] | None = None
    event_types: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo | None = None
    keys: frozenset[str] = field(init=False)  # of `when`, what is looked for in the event itself; `deeper` is the rest
    deeper: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(str(path[0]) for path in self.when if len(path) == 1))
        object.__setattr__(self, "deeper", tuple(path for path in self.when if len(path) != 1))


def source(*paths: str, default: Any = MISSING) -> Source:
    """A `Source` of dotted paths."""
    return Source(tuple(parse_path(p) for p in paths), default)


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
    """What `path` leads to from `value`, or MISSING. A number is a place in an array, and a key in an object."""
    for step in path:
        if type(value) is dict:
            value = value.get(str(step), MISSING)
        elif type(value) is list and type(step) is int and step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def put(root: dict[str, Any], path: Path, value: Any) -> None:
    """Make `path` lead to `value`; where it led through an array, through an object with the place as key.

    A text in the way is what masking left of an object, and makes room; for any other value it raises ValueError.
    """
    at = root
    for step in path[:-1]:
        if type(at.get(str(step))) is str:
            at[str(step)] = {}
        at = at.setdefault(str(step), {})
        if type(at) is not dict:
            raise ValueError("the path leads through no object")
    at[str(path[-1])] = value


def put_shown(payload: dict[str, Any], path: Path, before: Any, shown: str | None) -> None:
    """Make `path` lead to what the entry shows of it, where masking made another value of what was there `before`.

    Read again the payload would else give another id, time or type. A place in an array stays as it is.
    """
    if shown is not None and find(payload, path) != before:
        with contextlib.suppress(ValueError):
            put(payload, path, shown)


RECEIVED: Any = object()
"""The default of a timestamp that an event may lack: when it was received."""

DEFAULT = Shape("default", tuple((name,) for name in ("interactionId", "eventType", "timestamp")))

_INTERACTION = ("data.case.interactionId", "data.contact.interactionId", "data.consumerContact.interactionId")
_CONVERSATION = ("data.case.id", "data.contact.id", "data.consumerContact.id", "data.thread.id")
_DIGITAL_FIELDS = {
    "interactionId": source(*_INTERACTION, "eventId"),
    "conversationId": source(*_CONVERSATION, default=None),
    "eventType": source("eventType"),
    "timestamp": source("createdAtWithMilliseconds", "createdAt", default=RECEIVED),
    "payload": source("$"),
}

CXONE_DIGITAL = Shape(
    "cxone-digital",
    tuple((name,) for name in ("eventId", "eventType", "createdAt", "data")),
    _check(Digital),
    _DIGITAL_FIELDS,
    DIGITAL_TYPES,
)

CXONE_DIGITAL_ANSWER = Shape(
    "cxone-digital-answer",
    (("eventId",), ("postback", "eventType")),
    None,
    {
        "interactionId": source(*(f"postback.{path}" for path in _INTERACTION), "eventId"),
        "conversationId": source(*(f"postback.{path}" for path in _CONVERSATION), default=None),
        "eventType": source("postback.eventType"),
        "timestamp": source("createdAtWithMilliseconds", "createdAt", default=RECEIVED),
        "payload": source("$"),
    },
    DIGITAL_TYPES,
)
"""What a chat is answered when a thread was recovered or archived: it says nothing of when."""

CXONE_DIGITAL_UNTIMED = Shape(
    "cxone-digital-untimed",
    (("eventId",), ("eventType",), ("data",)),
    None,
    {**_DIGITAL_FIELDS, "timestamp": source("createdAtWithMilliseconds", default=RECEIVED)},
    DIGITAL_TYPES,
)
"""A digital event without `createdAt`, as that of a place in the queue."""

CXONE_DATA_STREAM = Shape(
    "cxone-data-stream",
    (("eventTime",), ("contactId",)),
    _check(StreamRecord),
    {
        "interactionId": source("contactId"),
        "conversationId": source("masterContactId", "contactId"),
        "eventType": source(default=UPDATED),
        "timestamp": source("eventTime"),
        "payload": source("$"),
    },
)

CXONE_CONTACT = Shape(
    "cxone-contact",
    (("contactId",), ("contactStart",)),
    None,
    {
        "interactionId": source("contactId"),
        "conversationId": source("masterContactId", "contactId"),
        "eventType": source(default=UPDATED),
        "timestamp": source("lastUpdateTime", "contactStart"),
        "payload": source("$"),
    },
)
"""A contact as CXone's API names it (nice-cxone-agent-sdk, agentCompletedContactsResponse)."""

PRESETS = (DEFAULT, CXONE_DIGITAL, CXONE_DATA_STREAM, CXONE_CONTACT, CXONE_DIGITAL_ANSWER, CXONE_DIGITAL_UNTIMED)
"""In the order in which they are tried."""
