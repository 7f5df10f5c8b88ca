"""Mapping of an event: choose its shape, check the event against it, and extract our five fields."""

import base64
import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationError

from stream_router.dead_letter_reasons import Rejected, mismatch
from stream_router.envelope import encode_added_fields, read_added_fields
from stream_router.errors import first_validation_error
from stream_router.log import NameLogLimiter
from stream_router.model import Event
from stream_router.pipeline.mapping import exact_json, timestamps, xml_body
from stream_router.pipeline.mapping.shapes import (
    EVENT_ID,
    MISSING,
    OUR_FIELDS,
    RECEIVED,
    Configured,
    Shape,
    check_fields,
    find,
    is_short,
)
from stream_router.process import iso

log = logging.getLogger(__name__)

_ENDS = b'"}'
"""End of every envelope with fields besides its body. Hardly any envelope has such fields."""

_BY_THE_BODY = frozenset({"interactionId", "eventType", "timestamp"})
"""Keys of a body that can be mapped by the default shape, without an event type from a header."""


class Mapped(NamedTuple):
    """Checked fields of an event. `timestamp` is UTC with milliseconds, `time_s` the same as epoch seconds.

    `interaction_id` is None only after masking. `extensions` has the fields beside the default shape's five fields.
    `sender_type` is the sender's own name of the event type.
    """

    interaction_id: str | None
    conversation_id: str | None
    event_type: str
    timestamp: str
    time_s: float
    payload: dict[str, Any]
    extensions: dict[str, Any] | None
    sender_type: str

    @property
    def parts(self) -> dict[str, Any]:
        """Parts of an event's Detail that come from the sender and may be private, by their names there."""
        ids = {"conversationId": self.conversation_id, "originalEventId": self.interaction_id}
        return {"payload": self.payload, **ids, **({"extensions": self.extensions} if self.extensions else {})}


_new_mapped: Callable[[tuple[Any, ...]], Mapped] = functools.partial(tuple.__new__, Mapped)
"""Constructor of Mapped. It costs a third of the class's own call, and is called for each event."""


class EventMapper:
    """Mapper of events: it checks an event against the shapes of a config file, and maps its fields."""

    def __init__(self, mapping: Configured) -> None:
        self._shapes, self._sources, self._expert = mapping.shapes, mapping.sources, mapping.expert
        self._by_name = {shape.name: shape for shape in (*mapping.shapes, mapping.expert)}
        self._source_to_be_said = NameLogLimiter()
        first = self._shapes[0]
        # If the first shape is the default shape, `read` may check a body's fields at once: a body with valid fields
        # has every key by which that shape is recognized.
        self._quick = first if first.fields is None and not first.deeper and first.keys <= OUR_FIELDS else None

    def read(self, event: Event) -> Mapped:
        """Return the fields of `event`. Raise Rejected with a reason that quotes nothing of the event."""
        shape, header_type = None, ""
        if event.raw[-2:] == _ENDS and (added := read_added_fields(event.raw)):
            body, shape = self._body_and_shape(event, added)
            header_type = str(added.get("eventTypeHeader") or "")
        elif type(event.body) is dict:
            body = exact_json.read(event)
        else:
            raise mismatch("NotAnObject", "the event is not a JSON object")
        fields: dict[str, Any] | None = None
        if shape is None and self._quick and "interactionId" in body:  # this test costs less than a refusal
            try:
                fields, shape = check_fields(body), self._quick
            except ValidationError:
                shape = None
        if fields is None or shape is None:
            shape = self._shape_of(body, shape)
            fields = _fields(shape, body, header_type)
        interaction_id, timestamp = fields["interactionId"], fields["timestamp"]
        try:
            time, time_s = timestamps.to_utc(timestamp, shape.zone)
        except (ValueError, OverflowError) as error:
            if timestamp is not RECEIVED and not shape.lenient:
                raise mismatch("BadTimestamp", f"{shape.name}: timestamp {_why(error)}") from None
            time, time_s = iso(event.received_at_ms), event.received_at_ms / 1000
        if shape.lenient and interaction_id == EVENT_ID:
            interaction_id = event.event_id
        conversation_id, sender_type = fields.get("conversationId"), fields["eventType"]
        return _new_mapped(
            (
                interaction_id if type(interaction_id) is str else str(interaction_id),
                str(conversation_id) if type(conversation_id) is int else conversation_id,
                shape.event_types.get(sender_type, sender_type),
                time,
                time_s,
                fields["payload"],
                _extensions(body, fields) if len(body) > len(fields) and shape.fields is None else None,
                sender_type,
            )
        )

    def _body_and_shape(self, event: Event, added: dict[str, Any]) -> tuple[dict[str, Any], Shape | None]:
        """Return the body of an event with added fields in its envelope, and the shape by which it is mapped.

        The shape is None if the first fitting shape applies: the event names no source with a preset, and has its type
        in its body.
        """
        is_text = "bodyEncoding" in added
        body = _xml(event.body, added) if is_text else exact_json.read(event._replace(raw=_without(event.raw, added)))
        if type(body) is not dict:
            raise mismatch("NotAnObject", "the event is not a JSON object")
        source = str(added.get("source") or "")
        if source and source not in self._sources and (unknown_source := self._source_to_be_said(source)):
            log.warning(
                "a source of the receiver's is not in this program's STREAM_ROUTER_CONFIG: %s",
                unknown_source,
                extra={"event": "source-unknown"},
            )
        preset = self._sources.get(source)
        if preset is None and (is_text or "eventTypeHeader" in added) and not self._says_all(body):
            return body, self._expert
        return body, self._by_name[preset] if preset else None

    def _says_all(self, body: dict[str, Any]) -> bool:
        """Return whether a body can be mapped without CXone Expert's shape.

        It can if it has the keys of the default shape, or fits a shape of the user's own. The question arises only for
        an XML event, and for an event with its type in a header.
        """
        return body.keys() >= _BY_THE_BODY or any(_fits(shape, body) for shape in self._shapes if not shape.is_preset)

    def _shape_of(self, body: dict[str, Any], only: Shape | None) -> Shape:
        """Return the first shape that fits. If none does, raise Rejected with the missing keys of the nearest shape."""
        shapes = self._shapes if only is None else (only,)
        for shape in shapes:
            if _fits(shape, body):
                return shape
        nearest = min(shapes, key=lambda shape: len(_missing(shape, body)) / len(shape.when))
        missing = ", ".join(_missing(nearest, body))
        raise mismatch("UnknownShape", f"the event fits no shape; nearest is {nearest.name}, without {missing}")


def _without(raw: bytes, added: dict[str, Any]) -> bytes:
    """Return the envelope without its added fields."""
    end = encode_added_fields(added) + b"}"
    return raw[: -len(end)] + b"}" if raw.endswith(end) else raw


def _xml(body: object, added: dict[str, Any]) -> dict[str, Any]:
    """Return the object of an XML body, which the envelope holds as a text. Raise Rejected if it is no XML."""
    if type(body) is not str:
        raise mismatch("NotAText", "the envelope says that its body is a text, and it is none")
    try:
        text = base64.b64decode(body, validate=True) if added["bodyEncoding"] == "base64" else body.encode()
    except ValueError:
        raise mismatch("NotAText", "the envelope's body is not in its encoding") from None
    content_type = str(added.get("contentType"))
    if "xml" not in content_type:
        raise mismatch("UnknownContentType", "the body is neither JSON nor XML")
    return xml_body.parse(text, content_type)


def _fits(shape: Shape, body: dict[str, Any]) -> bool:
    return shape.keys <= body.keys() and all(find(body, path) is not MISSING for path in shape.deeper)


def _missing(shape: Shape, body: dict[str, Any]) -> list[str]:
    """Return the dotted paths by which a shape is recognized and which lead to nothing in `body`."""
    return [".".join(map(str, path)) for path in shape.when if find(body, path) is MISSING]


def _why(error: Exception) -> str:
    """Return what is wrong with a timestamp. Only our own errors, which begin with "is ", surely do not quote it."""
    return str(error) if type(error) is ValueError and str(error).startswith("is ") else "is unreadable"


def _fields(shape: Shape, body: dict[str, Any], header_type: str) -> dict[str, Any]:
    """Return our fields of an event of `shape`. Raises Rejected if one is missing or has a wrong type."""
    if shape.fields is None:
        # Scripts send an empty text for a variable that is not set.
        unchecked = {**body, "conversationId": None} if body.get("conversationId") == "" else body
    else:
        leads = {name: _lead(shape, name, body) for name in shape.fields}
        unchecked = {name: value for name, value in leads.items() if value is not MISSING}
        if header_type and shape.lenient:
            unchecked["eventType"] = header_type
    try:
        return check_fields(unchecked)
    except ValidationError as error:
        raise _wrong(shape, error) from None


def _wrong(shape: Shape, error: ValidationError) -> Rejected:
    """Return the rejection of an event for the first of its fields that is missing or has a wrong type."""
    first = first_validation_error(error)
    name = first["loc"][0]  # one of the schema's own names, never the event's
    if first["type"] == "missing":
        return mismatch("MissingField", f"{shape.name}: {name} is missing")
    return mismatch("WrongType", f"{shape.name}: {name}: {first['msg']}")


def _lead(shape: Shape, name: str, body: dict[str, Any]) -> Any:
    """Return the value at the first of a field's paths that leads to a value in `body`, or the field's default.

    Null counts as no value, and so does an empty text, which scripts send for a variable that is not set. If the shape
    is lenient, values that cannot be an id or a time, or are too long for it, count as no value either.
    """
    assert shape.fields
    source = shape.fields[name]
    for path in source.paths:
        value = find(body, path)
        if value is MISSING or value is None or value == "":
            continue
        if not shape.lenient or name == "payload" or is_short(value, is_time=name == "timestamp"):
            return value
    return source.default


def _extensions(body: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields beside the default shape's five fields, so that nothing of an event is lost unnoticed."""
    return {key: value for key, value in body.items() if key not in fields}
