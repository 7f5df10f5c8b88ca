"""Transformation of an event of the stream into an EventBridge entry, or into a dead letter with the reason.

`Transform.__call__` handles every event; `_build_entry` writes the Detail. Test events of `doctor --end-to-end`, and
events that EventBridge had accepted before, skip most of the steps.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from stream_router import limits
from stream_router.dead_letter_reasons import Reason, Rejected, mismatch
from stream_router.envelope import members, open_record, read_added_fields, read_resubmitted, seal, valid_traceparent
from stream_router.event_id import correlation_id
from stream_router.log import is_name
from stream_router.model import (
    PIPELINE_ID,
    PROBE_TYPE,
    SOURCE,
    Accepted,
    DeadLetter,
    Dropped,
    Entry,
    Event,
    Record,
    Transformed,
    new_entry,
    new_event,
)
from stream_router.pipeline.mapping import config_file, exact_json, timestamps
from stream_router.pipeline.mapping.mapper import EventMapper, Mapped

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy

EVENT_SOURCE = "cxone.webhook"
"""The `eventSource` of every Detail, which the rule matches."""

UNMASKED = "unmasked"
"""The `complianceTag` if no masking policy is set. A policy has its own tag (`masking/policy.py`)."""

RESUBMITTED = "resubmitted"
"""The `complianceTag` of a resubmitted event that EventBridge had accepted: it was masked earlier, if at all."""

_MARK = re.compile(r"[0-9a-f]{32}")
"""Form of a probe's mark, by which `doctor` recognizes its own test event."""


class TransformConfig(NamedTuple):
    """Settings of the transform.

    `event_types` are the types that the rule matches, and `unroutable` is what happens to events of any other type.
    Events whose type is in `drop_types`, by the sender's name or by ours, are settled and not sent. So are events that
    an operator resubmitted for another `application`. `masking` is "off", "default" or a file's path. `config_file` is
    the path of a TOML file.
    """

    region: str
    event_types: tuple[str, ...]
    unroutable: Literal["dead-letter", "publish", "drop"] = "dead-letter"
    drop_types: frozenset[str] = frozenset()
    masking: str = "off"
    masking_key: bytes | None = None
    config_file: Path | None = None
    application: str = ""


class Transform:
    """Callable that turns an opened event into an `Entry`, a `DeadLetter` or a `Dropped`.

    It raises only MemoryError. The host is to blame for that and not the event, so the process ends, and the records
    are read again. The constructor raises SettingsError if the mapping or the masking policy is wrong. `now_ms` returns
    epoch milliseconds.
    """

    def __init__(self, config: TransformConfig, now_ms: Callable[[], float]) -> None:
        self.policy = load_masking_policy(config.masking, config.masking_key)
        self._masked_counts: Counter[str] = Counter()
        self._now_ms = now_ms
        mapping = config_file.load(config.config_file)
        self._read = EventMapper(mapping).read
        self._fixed_bytes = {name: _fixed_bytes(name) for name in config.event_types}
        """Size of an entry besides its Detail, by event type. The keys are the types that the rule matches."""
        self._unroutable = config.unroutable
        self._drop_types = config.drop_types
        self._application = config.application
        self._received_iso, self._processed_iso = timestamps.IsoMs().text, timestamps.IsoMs().text
        self._metadata = _metadata(config.region, self.policy, mapping.metadata)
        self._metadata_json = orjson.Fragment(orjson.dumps(self._metadata))
        self._metadata_of_probes = _metadata(config.region, None, mapping.metadata)

    def __call__(self, opened: Event | DeadLetter) -> Transformed:
        """Return the result for one event of a record.

        A line that could not be read is a DeadLetter already. It is returned unchanged, unless it was resubmitted for
        another application.
        """
        if isinstance(opened, DeadLetter):
            return Dropped(opened.event, "") if self._is_for_another_application(opened.event) else opened
        event = opened
        try:
            body = event.body
            if event.resubmitted:
                if self._is_for_another_application(event):
                    return Dropped(event, "")
                if type(body) is Accepted:
                    return _build_accepted_entry(event, body.text)
            if (
                type(body) is dict and body.get("eventType") == PROBE_TYPE
            ):  # a probe has its own shape, whatever mapping is set
                return self._build_probe_entry(event, body)
            mapped = self._read(event)
            event_type = mapped.event_type
            if self._drop_types and not self._drop_types.isdisjoint((event_type, mapped.sender_type)):
                return Dropped(event, mapped.sender_type)
            if event_type in self._fixed_bytes:
                return self._build_entry(event, mapped)
            return self._handle_unrouted(event, mapped)
        except Rejected as rejected:
            return DeadLetter(event, rejected.reason, rejected.code, rejected.message, event_type=rejected.event_type)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - any error concerns this event alone and must not fail the batch
            return DeadLetter(event, Reason.INTERNAL_ERROR, type(error).__name__, "the transform failed unforeseen")

    def _is_for_another_application(self, event: Event) -> bool:
        """Return whether an operator resubmitted the event for another application, which reads the same stream."""
        resubmission = read_resubmitted(event.resubmitted)
        return resubmission is not None and resubmission.application != self._application

    def _build_probe_entry(self, event: Event, body: dict[str, Any]) -> Entry:
        """Return the entry of a probe, a test event of `doctor --end-to-end`. No mapping and no policy applies to it.

        Everybody who may post events may post one of this type. So of the sender's data only the probe's mark is
        published, and only if it is 32 hex digits.
        """
        payload = body.get("payload")
        mark = payload.get("probe") if isinstance(payload, dict) else None
        is_valid_mark = isinstance(mark, str) and _MARK.fullmatch(mark)
        mark_alone = {"probe": mark} if is_valid_mark else {}
        at, at_s = self._received_iso(event.received_at_ms), event.received_at_ms / 1000
        mapped = Mapped(None, None, PROBE_TYPE, at, at_s, mark_alone, None, PROBE_TYPE)
        return self._build_entry(event, mapped, is_probe=True)

    def _handle_unrouted(self, event: Event, mapped: Mapped) -> Transformed:
        """Return the result for an event whose type the rule does not match, by STREAM_ROUTER_UNROUTABLE.

        Raises Rejected if the type cannot be printed, since a dead letter has it as an attribute.
        """
        event_type = mapped.event_type
        if not event_type.isprintable():
            raise mismatch("BadEventType", "the event type holds a control character")
        if event_type == PROBE_TYPE:  # the type was in another place than in a probe: in a header, or under another key
            raise mismatch("BadEventType", "the event type is that of doctor's probes, and the event is none")
        if self._unroutable == "publish":
            return self._build_entry(event, mapped)
        if self._unroutable == "drop":
            return Dropped(event, event_type)
        message = "the event type does not match the rule; see STREAM_ROUTER_EVENT_TYPES and STREAM_ROUTER_UNROUTABLE"
        return DeadLetter(
            event, Reason.UNROUTABLE, "UnroutableEventType", message, event_type=self._type_attribute(event_type)
        )

    def _type_attribute(self, event_type: str) -> str:
        """Return the event type for a dead letter's attribute; "" if it may be a private text and must be masked.

        No policy masks attributes. So if dead letters are masked, only a type that looks like a name gets into one.
        """
        masks_letters = self.policy is not None and self.policy.mask_dead_letters
        return "" if masks_letters and not is_name(event_type) else event_type

    def _build_entry(self, event: Event, mapped: Mapped, *, is_probe: bool = False) -> Entry:
        """Return the entry of a mapped event, masked by the policy. Raises Rejected if masking fails."""
        interaction_id, conversation_id, event_type, timestamp, time_s, payload, extensions, _ = mapped
        lane = ""  # the conversation before masking, which keeps the order; set only if masking may change its name
        if self.policy is not None and not is_probe:
            lane = conversation_id or ""
            try:
                masked = self.policy.mask(mapped.parts, self._masked_counts)
                interaction_id, conversation_id = masked.get("originalEventId"), masked.get("conversationId")
                payload, extensions = masked["payload"], masked.get("extensions")
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - after any error the value may be unmasked, so it must not leave
                raise _masking_failed(self._type_attribute(event_type), error) from None
        record, line, raw, event_id, id_from, received_at_ms, _, resubmitted = event
        detail = {
            "correlationId": correlation_id(event_id),
            "eventId": event_id,
            "eventSource": EVENT_SOURCE,
            "eventType": event_type,
            "originalEventId": interaction_id,
            "conversationId": conversation_id,
            "eventTimestamp": timestamp,
            "receivedAt": self._received_iso(received_at_ms),
            "processedAt": self._processed_iso(int(self._now_ms())),
            "sourceSystem": "nice.cxone",
            "routingVersion": "1.0",
            "payload": payload,
            "metadata": self._metadata_of_probes if is_probe else self._metadata_json,
        }
        # The receiver writes its added fields, which are texts, behind the body. So an envelope with such fields ends
        # in `"}`, and no other envelope need be searched for a trace context.
        if resubmitted or (raw[-2:] == b'"}' and b'"traceparent"' in raw):
            metadata = self._metadata_of_probes if is_probe else self._metadata
            detail["metadata"] = _add_marks(metadata, raw, resubmitted)
        if extensions:
            detail["extensions"] = extensions
        text = exact_json.write(detail)
        size_bytes = (self._fixed_bytes.get(event_type) or _fixed_bytes(event_type)) + len(text)
        # The parsed body is freed here, while it is in the CPU's caches; later costs more (benchmarks/child.py).
        unparsed = new_event((record, line, raw, event_id, id_from, received_at_ms, None, resubmitted))
        return new_entry((unparsed, event_type, text, time_s, size_bytes, conversation_id or "", lane))

    @property
    def masking(self) -> str:
        """Masking policy for logs and audit: `off`, or the policy's id and version."""
        return "off" if self.policy is None else f"{self.policy.id} {self.policy.version}"

    def take_masked_counts(self) -> Counter[str]:
        """Return how often each masking action ran since the last call, and how many finds in texts were masked."""
        counts, self._masked_counts = self._masked_counts, Counter()
        return counts

    def dead_letter_raw(self, letter: DeadLetter) -> bytes:
        """Return the bytes for a dead letter's `record.data`: the event's own line, masked if the policy says so.

        The bytes of an event that killed a process are left out if they would have to be masked: masking them might
        kill the next process. Raises only MemoryError.
        """
        if self.policy is None or not self.policy.mask_dead_letters:
            return letter.event.raw
        return _build_withheld(letter.code) if letter.reason is Reason.CRASHED else self.masked_raw(letter.event)

    def masked_raw(self, event: Event) -> bytes:
        """Return the event's line, mapped to the default shape and masked by the policy. A policy must be set.

        If the event cannot be masked, the result says so instead (`parse_withheld_code`).
        """
        assert self.policy
        try:
            # An event loses its parsed body once it has become an entry.
            whole = event if event.body is not None else _open_again(event)
            if type(whole.body) is Accepted:  # EventBridge has had this form already, so the letter reveals nothing new
                return event.raw
            mapped = self._read(whole)
            masked = self.policy.mask(mapped.parts, Counter())
            body = {
                "interactionId": masked.get("originalEventId"),
                "conversationId": masked.get("conversationId"),
                "eventType": mapped.event_type,
                "timestamp": mapped.timestamp,
                "payload": masked["payload"],
                **masked.get("extensions", {}),
            }
            return seal(event.event_id, event.id_from, event.received_at_ms, exact_json.write(body))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - see `_build_entry`
            return _build_withheld(error.code if isinstance(error, Rejected) else type(error).__name__)


def load_masking_policy(name: str, key: bytes | None) -> "MaskingPolicy | None":
    """Return the masking policy of this name or file; None if `name` is "off". Raises SettingsError."""
    if name == "off":
        return None
    from stream_router.pipeline.masking import policy_file  # loaded only if masking is on, to save memory

    return policy_file.load(name, key)


def _build_withheld(code: str) -> bytes:
    """Return the JSON that stands in a dead letter for an event that could not be masked. `code` is the cause."""
    return orjson.dumps({"withheld": "the policy masks dead letters, and this event could not be masked", "code": code})


def parse_withheld_code(masked: bytes) -> str:
    """Return the code of the reason why `masked_raw` could not mask the event; "" if it did."""
    return str(orjson.loads(masked)["code"]) if masked.startswith(b'{"withheld":') else ""


def _open_again(event: Event) -> Event:
    """Return the event with its body parsed again; with None as its body if its line cannot be read."""
    (opened,) = open_record(Record(event.raw, 0))
    return event._replace(body=opened.body if isinstance(opened, Event) else None)


def _masking_failed(event_type: str, error: Exception) -> Rejected:
    """Return the rejection of an event that cannot be masked. The error's text may be private, so its type is named."""
    message = "masking failed, so the event is not sent"
    return Rejected(Reason.MASKING_FAILED, type(error).__name__, message, event_type)


def _fixed_bytes(event_type: str) -> int:
    """Return the bytes by which an entry counts besides its Detail, by AWS's formula."""
    return limits.ENTRY_TIME_BYTES + len(SOURCE) + len(event_type.encode())


def _metadata(region: str, masking: "MaskingPolicy | None", configured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `metadata` of every event's Detail. `masking` is None if no policy is set.

    `configured` are the fields that the config file adds.
    """
    tag = UNMASKED if masking is None else masking.tag
    metadata: dict[str, Any] = {"enrichmentPipeline": PIPELINE_ID, "complianceTag": tag, "region": region}
    if masking is not None:
        metadata["maskingPolicy"] = {"id": masking.id, "version": masking.version}
    return {**metadata, **configured}


def _add_marks(metadata: dict[str, Any], raw: bytes, resubmitted: str) -> dict[str, Any]:
    """Return the metadata with the envelope's trace context, and with the replay that resubmitted the event, if any."""
    more = dict(metadata)
    if trace := valid_traceparent(read_added_fields(raw).get("traceparent")):
        more["traceparent"] = trace
    if (resubmission := read_resubmitted(resubmitted)) and resubmission.replayed:
        more["replayed"] = resubmission.replayed
    return more


def _build_accepted_entry(event: Event, text: bytes) -> Entry:
    """Return the entry of an event (`text`, JSON) that EventBridge accepted earlier and could not deliver.

    Its detail type, time and detail are sent again, neither mapped nor masked; only `complianceTag` changes. Raises
    Rejected if the event was not published by this product: somebody else may have written it into the stream.
    """
    accepted = orjson.loads(text)
    if type(accepted) is not dict:
        raise _not_ours("it is not an object")
    detail, event_type = accepted.get("detail"), accepted.get("detail-type")
    if accepted.get("source") != SOURCE or type(detail) is not dict:
        raise _not_ours("its source is not ours, or it has no detail")
    if detail.get("eventSource") != EVENT_SOURCE or type(detail.get("eventId")) is not str or not detail["eventId"]:
        raise _not_ours("its detail has not our eventSource, or no eventId")
    if type(event_type) is not str or not 0 < len(event_type) <= limits.DETAIL_TYPE_MAX_CHARS:
        raise _not_ours("it has no detail type")
    if not event_type.isprintable():
        raise _not_ours("its detail type holds a control character")
    try:
        _, time_s = timestamps.to_utc(accepted.get("time"), None)
    except (ValueError, OverflowError):
        raise _not_ours("its time cannot be read") from None
    tagged = _tag_as_resubmitted(members(text)["detail"])
    conversation = detail.get("conversationId")
    order_key = conversation if type(conversation) is str else ""
    size_bytes = _fixed_bytes(event_type) + len(tagged)
    return Entry(event._replace(body=None), event_type, tagged, time_s, size_bytes, order_key)


def _tag_as_resubmitted(detail: bytes) -> bytes:
    """Return the Detail (JSON) with the tag RESUBMITTED and no masking policy. Other values keep their bytes.

    The tag in the Detail is not trusted: everybody who may write to the stream may claim any, and no policy masked this
    event here.
    """
    fields = members(detail)
    metadata = fields.get("metadata", b"")
    marks = members(metadata) if metadata.startswith(b"{") else {}
    marks.pop("maskingPolicy", None)
    marks["complianceTag"] = orjson.dumps(RESUBMITTED)
    fields["metadata"] = _write_object(marks)
    return _write_object(fields)


def _write_object(values: Mapping[str, bytes]) -> bytes:
    """Return the JSON object of these members, whose values are JSON already."""
    return b"{%b}" % b",".join(b"%b:%b" % (orjson.dumps(name), value) for name, value in values.items())


def _not_ours(why: str) -> Rejected:
    """Return the rejection of a resubmitted entry that this product did not publish."""
    return mismatch("NotOurEntry", f"the event is none that was published here: {why}")
