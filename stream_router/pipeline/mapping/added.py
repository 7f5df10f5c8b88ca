"""Events whose envelope says more than their body: a named source, an event type in a header, a body that is XML."""

import base64
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stream_router import limits
from stream_router.envelope import added_fields, added_text, valid_traceparent
from stream_router.log import SaidOnce
from stream_router.model import Event
from stream_router.pipeline.exact_number import ExactNumber
from stream_router.pipeline.mapping import lossless, timestamps, xml_body
from stream_router.pipeline.mapping.shapes import ID_MAX_CHARS, Path, Shape, find, parse_path, put_shown
from stream_router.pipeline.rejection import mismatch
from stream_router.process import iso

if TYPE_CHECKING:
    from stream_router.pipeline.mapping.mapper import Valid, Validator

log = logging.getLogger(__name__)

EXPERT = "expert"
"""The preset of CXone Expert's webhooks, JSON and XML alike. Its event type comes from the header; the paths below are
tried in order, and where none leads anywhere the event's own id and time of receipt stand in."""
EXPERT_SHAPE = Shape(EXPERT, ())
"""What the config file says for every shape holds for this preset too: renamed types, the zone."""

_IDS = [parse_path(path) for path in ("event.@id", "@id", "id", "eventId", "interactionId")]
_CONVERSATIONS = [parse_path(path) for path in ("conversationId", "event.page.@id", "page.@id", "page.id")]
_TIMES = [parse_path(path) for path in ("event.@datetime", "@datetime", "datetime", "timestamp", "createdAt", "date")]
_TYPES = [parse_path(path) for path in ("eventType", "event.@type", "@type", "type")]
_OF_IDS: frozenset[type] = frozenset({int})
_OF_TIMES = _OF_IDS | {float, ExactNumber}
"""Which numbers may be an id, and which a time."""


_BY_THE_BODY = frozenset({"interactionId", "eventType", "timestamp"})

ENDS = b'"}'
"""How every envelope ends that says something beside its body: nearly none does."""


def fields_of(event: Event) -> dict[str, Any]:
    """What the envelope says beside the body."""
    return added_fields(event.raw)


class AddedReader:
    """Reads such events. `presets` says by which shape a named source is mapped (None: by the first that fits)."""

    def __init__(
        self,
        mapper: "Validator",
        by_shape: Mapping[str, "Validator"],
        presets: Mapping[str, str | None],
        expert: Shape,
    ) -> None:
        """`mapper` maps any other event, `by_shape` one that is of a given shape."""
        self._mapper = mapper
        self._by_shape = by_shape
        self._presets = presets
        self._expert = expert
        self._to_be_said = SaidOnce()

    def read(self, event: Event, fields: dict[str, Any]) -> "Valid":
        """What the event says, as the mapper's `read` gives it. Raises Rejected."""
        body, preset = self._body_and_preset(event, fields)
        if preset == EXPERT:
            return _expert(event, body, fields, self._expert)
        if type(body) is not dict:
            raise mismatch("NotAnObject", "the event is not a JSON object")
        return (self._by_shape[preset] if preset else self._mapper).read_body(event, body)

    def unmapped(
        self, event: Event, fields: dict[str, Any], parts: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The mapper's `unmapped` of such an event. What was XML is JSON then, and is known by a header's type.

        Nothing is said beside it that no entry would say: senders choose what is in their headers.
        """
        body, preset = self._body_and_preset(event, fields)
        said = {"source": str(fields.get("source") or ""), "traceparent": valid_traceparent(fields.get("traceparent"))}
        if preset == EXPERT:
            made, said["eventTypeHeader"] = _masked_expert(body, parts), _type_of(body, fields)
        else:
            made = (self._by_shape[preset] if preset else self._mapper).unmapped_body(body, parts)
        return made, {name: value for name, value in said.items() if value}

    def _body_and_preset(self, event: Event, fields: dict[str, Any]) -> tuple[Any, str | None]:
        """The event's body, and by which preset it is mapped: None where by the first shape that fits."""
        is_text = "bodyEncoding" in fields
        body = _xml(event.body, fields) if is_text else lossless.read(event._replace(raw=_without(event.raw, fields)))
        preset = self._preset(str(fields.get("source") or ""))
        if preset is None and (is_text or "eventTypeHeader" in fields) and not self._has_a_shape(body):
            preset = EXPERT
        return body, preset

    def _has_a_shape(self, body: Any) -> bool:
        """Whether an event with an event type in its header, or one that is XML, says all that we need in its body."""
        if type(body) is not dict:
            return False
        return body.keys() >= _BY_THE_BODY or self._mapper.is_of_an_own_shape(body)

    def _preset(self, source: str) -> str | None:
        if source and source not in self._presets and (said := self._to_be_said(source)):
            log.warning(
                "a source of the receiver's is not in this program's STREAM_ROUTER_CONFIG: %s",
                said,
                extra={"event": "source-unknown"},
            )
        return self._presets.get(source)


def _without(raw: bytes, fields: dict[str, Any]) -> bytes:
    """The envelope without what was added to it."""
    added = added_text(fields) + b"}"
    return raw[: -len(added)] + b"}" if raw.endswith(added) else raw


def _xml(body: object, fields: dict[str, Any]) -> dict[str, Any]:
    if type(body) is not str:
        raise mismatch("NotAText", "the envelope says that its body is a text, and it is none")
    try:
        text = base64.b64decode(body, validate=True) if fields["bodyEncoding"] == "base64" else body.encode()
    except ValueError:
        raise mismatch("NotAText", "the envelope's body is not in its encoding") from None
    content_type = str(fields.get("contentType"))
    if "xml" not in content_type:
        raise mismatch("UnknownContentType", "the body is neither JSON nor XML")
    return xml_body.parse(text, content_type)


def _first(body: dict[str, Any], paths: list[Path], numbers: frozenset[type] = _OF_IDS) -> tuple[Path, Any]:
    """The first path that leads to a number, or to a text no longer than an id may be, and what it leads to."""
    for path in paths:
        value = find(body, path)
        if type(value) in numbers or (type(value) is str and 0 < len(value) <= ID_MAX_CHARS):
            return path, value
    return (), None


def _time(body: dict[str, Any]) -> tuple[Path, Any]:
    return _first(body, _TIMES, _OF_TIMES)


def _type_of(body: dict[str, Any], fields: dict[str, Any]) -> str:
    """The type by the sender's own name: the header's, else the body's; "" where neither tells one."""
    found = str(fields.get("eventTypeHeader") or "") or _first(body, _TYPES)[1]
    return found if type(found) is str else ""


def _expert(event: Event, body: Any, fields: dict[str, Any], shape: Shape) -> "Valid":
    if type(body) is not dict:
        raise mismatch("NotAnObject", "the event is not an object")
    event_type = _type_of(body, fields)
    if not 0 < len(event_type) <= limits.DETAIL_TYPE_MAX_CHARS:
        raise mismatch("MissingField", "expert: the event type is neither in the header nor in the body")
    _, conversation = _first(body, _CONVERSATIONS)
    try:
        timestamp, time_s = timestamps.to_utc(_time(body)[1], shape.zone)
    except (ValueError, OverflowError):
        timestamp, time_s = iso(event.received_at_ms), event.received_at_ms / 1000
    _, interaction = _first(body, _IDS)
    return (
        event.event_id if interaction is None else str(interaction),
        None if conversation is None else str(conversation),
        shape.event_types.get(event_type, event_type),
        timestamp,
        time_s,
        body,
        None,
        event_type,
    )


def _masked_expert(body: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The masked payload, with the ids and the time as the entry shows them."""
    made = dict(parts["payload"])
    found = (_first(body, _IDS), _first(body, _CONVERSATIONS), _time(body))
    for (path, value), name in zip(found, ("originalEventId", "conversationId", "timestamp"), strict=True):
        if path:
            put_shown(made, path, value, parts.get(name))
    return made
