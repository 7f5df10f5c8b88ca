"""Chooses an event's shape, checks the event against it, and finds our five fields in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from stream_router.errors import first_error
from stream_router.model import Event
from stream_router.pipeline.mapping import added, lossless, timestamps
from stream_router.pipeline.mapping.added import AddedReader
from stream_router.pipeline.mapping.shapes import (
    MISSING,
    OUR_FIELDS,
    PRESETS,
    RECEIVED,
    Path,
    Shape,
    Source,
    check_fields,
    find,
    put,
    put_shown,
)
from stream_router.pipeline.rejection import Rejected, mismatch
from stream_router.process import iso

Valid = tuple[str | None, str | None, str, str, float, dict[str, Any], dict[str, Any] | None, str]
"""What an event says, checked: interaction id (None only once masked), conversation id, event type, timestamp (UTC with
milliseconds), the same as epoch seconds, payload, what stood beside the default shape's five fields, the event type by
the sender's own name. A plain tuple: one is made per event."""


_NAMES_OF_PRESETS = frozenset(shape.name for shape in PRESETS)


class Validator:
    """Finds out what an event says. `shapes` are tried in order."""

    def __init__(
        self,
        shapes: Sequence[Shape],
        presets: Mapping[str, str | None] | None = None,
        expert: Shape = added.EXPERT_SHAPE,
    ) -> None:
        """`presets` says by which shape a named source's events are mapped, `expert` what the file says of Expert's."""
        self._shapes = tuple(shapes)
        self._own = tuple(shape for shape in shapes if shape.name not in _NAMES_OF_PRESETS)
        self._added = None if presets is None else AddedReader(self, _one_by_one(shapes), presets, expert)
        first = self._shapes[0]
        # A body that passes for the default shape's fields has every key that the shape is known by.
        self._quick = first if first.fields is None and not first.deeper and first.keys <= OUR_FIELDS else None

    def read(self, event: Event) -> Valid:
        """What `event` says. Raises Rejected with a reason that quotes nothing of the event."""
        if self._added is not None and event.raw[-2:] == added.ENDS and (fields := added.fields_of(event)):
            return self._added.read(event, fields)
        if type(event.body) is not dict:
            raise mismatch("NotAnObject", "the event is not a JSON object")
        return self.read_body(event, lossless.read(event))

    def read_body(self, event: Event, body: dict[str, Any]) -> Valid:
        """What an event says whose body, an object, is read already."""
        shape = self._quick if "interactionId" in body else None  # to be refused costs more than this question
        if shape is not None:
            try:
                fields = check_fields(body)
            except ValidationError:
                shape = None
        if shape is None:
            shape = self.shape_of(body)
            fields = _fields(shape, body)
        try:
            timestamp, time_s = timestamps.to_utc(fields["timestamp"], shape.zone)
        except (ValueError, OverflowError) as error:
            if fields["timestamp"] is not RECEIVED:
                raise mismatch("BadTimestamp", f"{shape.name}: timestamp {_why(error)}") from None
            timestamp, time_s = iso(event.received_at_ms), event.received_at_ms / 1000
        interaction_id, conversation_id, event_type = (
            fields["interactionId"],
            fields.get("conversationId"),
            fields["eventType"],
        )
        return (
            interaction_id if type(interaction_id) is str else str(interaction_id),
            str(conversation_id) if type(conversation_id) is int else conversation_id,
            shape.event_types.get(event_type, event_type),
            timestamp,
            time_s,
            fields["payload"],
            _extensions(body, fields) if len(body) > len(fields) and shape.fields is None else None,
            event_type,
        )

    def unmapped(self, event: Event, valid: Valid, parts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The body of an event, its values as `parts` have them, and what is to be said beside it.

        `valid` is what `read` gave of it. Read again it gives the same but for what `parts` changed, type and time too,
        which every entry shows. What no part came from is left out.
        """
        _, _, event_type, timestamp, _, _, _, _ = valid
        parts = {**parts, "eventType": event_type, "timestamp": timestamp}
        if self._added is not None and event.raw[-2:] == added.ENDS and (fields := added.fields_of(event)):
            return self._added.unmapped(event, fields, parts)
        return self.unmapped_body(lossless.read(event), parts), {}

    def unmapped_body(self, body: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
        """`body` (valid) in its own form, its values as `parts` have them; fields that no part came from are left out.

        An id that is not in `parts` is null, and so is what the shape is only known by. The payload is that of `parts`,
        whole.
        """
        shape = self.shape_of(body)
        masked = {
            "interactionId": parts.get("originalEventId"),
            "conversationId": parts.get("conversationId"),
            "payload": parts["payload"],
        }
        if shape.fields is None:
            fields = {key: masked.get(key, value) for key, value in body.items() if key in OUR_FIELDS}
            return {**fields, **parts.get("extensions", {})}
        payload_at, _ = _lead(shape.fields["payload"], body)
        made: dict[str, Any] = dict(parts["payload"]) if payload_at == () else {}
        if payload_at:
            put(made, payload_at, parts["payload"])
        for name, source in shape.fields.items():
            path, value = _lead(source, body)
            if not path or name == "payload":
                continue
            if payload_at is None or path[: len(payload_at)] != payload_at:
                put(made, path, masked.get(name, value))
            else:
                put_shown(made, path, value, masked.get(name, parts.get(name)))
        for path in shape.when if payload_at != () else ():
            if find(made, path) is MISSING:
                put(made, path, None)
        return made

    def is_of_an_own_shape(self, body: dict[str, Any]) -> bool:
        """Whether it fits a shape that is none of the presets."""
        return any(_fits(shape, body) for shape in self._own)

    def shape_of(self, body: dict[str, Any]) -> Shape:
        """The first shape that fits. Raises Rejected, naming what the nearest shape misses, where none does."""
        for shape in self._shapes:
            if _fits(shape, body):
                return shape
        nearest = min(self._shapes, key=lambda shape: len(_missing(shape, body)) / len(shape.when))
        missing = ", ".join(_missing(nearest, body))
        raise mismatch("UnknownShape", f"the event fits no shape; nearest is {nearest.name}, without {missing}")


def _fits(shape: Shape, body: dict[str, Any]) -> bool:
    return shape.keys <= body.keys() and (not shape.deeper or _leads_all(body, shape.deeper))


def _one_by_one(shapes: Sequence[Shape]) -> dict[str, "Validator"]:
    return {shape.name: Validator([shape]) for shape in shapes}


def _leads_all(body: dict[str, Any], paths: tuple[Path, ...]) -> bool:
    return all(find(body, path) is not MISSING for path in paths)


def _missing(shape: Shape, body: dict[str, Any]) -> list[str]:
    return [".".join(map(str, path)) for path in shape.when if find(body, path) is MISSING]


def _why(error: Exception) -> str:
    return str(error) if type(error) is ValueError and str(error).startswith("is ") else "is unreadable"


def _wrong(shape: Shape, error: ValidationError) -> Rejected:
    first = first_error(error)
    name = first["loc"][0]  # one of the schema's own names, never the event's
    if first["type"] == "missing":
        return mismatch("MissingField", f"{shape.name}: {name} is missing")
    return mismatch("WrongType", f"{shape.name}: {name}: {first['msg']}")


def _fields(shape: Shape, body: dict[str, Any]) -> dict[str, Any]:
    """Our fields of an event of `shape`. Raises Rejected where one is missing or of a wrong type."""
    if body.get("conversationId") == "" and shape.fields is None:
        body = {**body, "conversationId": None}
    try:
        return check_fields(body if shape.fields is None else _mapped(shape, shape.fields, body))
    except ValidationError as error:
        raise _wrong(shape, error) from None


def _mapped(shape: Shape, sources: Mapping[str, Source], body: dict[str, Any]) -> dict[str, Any]:
    """What `body`, in another shape, has for our fields, unchecked. Raises ValidationError."""
    if shape.schema is not None:
        shape.schema(body)
    mapped: dict[str, Any] = {}
    for name, source in sources.items():
        _, value = _lead(source, body)
        if value is not MISSING:
            mapped[name] = value
    return mapped


def _lead(source: Source, body: dict[str, Any]) -> tuple[Path | None, Any]:
    """Which of the source's paths leads to something in `body`, and to what; else None and the default.

    Null is nothing, and so is an empty text: scripts write it for a variable that is not set.
    """
    for path in source.paths:
        value = find(body, path)
        if value is not MISSING and value is not None and value != "":
            return path, value
    return None, source.default


def _extensions(body: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the default shape's five fields, so that nothing of an event is dropped unseen."""
    return {key: value for key, value in body.items() if key not in fields}
