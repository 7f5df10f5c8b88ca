"""One event of the stream to one EventBridge entry, or to the reason why it cannot be one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from stream_router.envelope import added_text, open_record, read_resubmitted, seal
from stream_router.log import is_name
from stream_router.model import (
    PROBE_TYPE,
    Accepted,
    DeadLetter,
    Dropped,
    Entry,
    Event,
    Made,
    Reason,
    Record,
    correlation_id,
    new_entry,
    new_event,
)
from stream_router.pipeline import details
from stream_router.pipeline.details import EVENT_SOURCE
from stream_router.pipeline.mapping import config_file, exact_json
from stream_router.pipeline.mapping.mapper import Mapped, Validator
from stream_router.pipeline.mapping.timestamps import IsoMs
from stream_router.pipeline.rejection import Rejected, mismatch

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy, Parts


class TransformConfig(NamedTuple):
    """What the transform is told.

    `drop_types` are settled unsent, by our name or the sender's. `masking` is off, default or a file's path;
    `config_file` a TOML file's. What was put on the stream again for another `application` is settled unsent.
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
    """Callable: what was opened to an `Entry`, a `DeadLetter` or a `Dropped`; it raises nothing but MemoryError.

    That is the machine's trouble, not the event's: the process ends, and everything comes again.
    Raises SettingsError at construction where the mapping or the masking policy is wrong. `now_ms` is the wall clock.
    """

    def __init__(self, config: TransformConfig, now_ms: Callable[[], float]) -> None:
        self.policy = policy_of(config.masking, config.masking_key)
        self._masked_counts: Counter[str] = Counter()
        self._now_ms = now_ms
        mapping = config_file.load(config.config_file)
        self._validator = Validator(mapping.shapes, mapping.sources, mapping.expert)
        self._read = self._validator.read
        self._fixed_bytes = {name: details.fixed_bytes(name) for name in config.event_types}
        self._unroutable = config.unroutable
        self._drop_types = config.drop_types
        self._application = config.application
        self._received_iso, self._processed_iso = IsoMs().text, IsoMs().text
        given = dict(mapping.metadata)
        self._take_metadata(
            details.metadata_of(config.region, self.policy, given), details.metadata_of(config.region, None, given)
        )

    def _take_metadata(self, metadata: dict[str, Any], of_probes: dict[str, Any]) -> None:
        """What each event says from now on, and what a probe does, which is never masked."""
        self._metadata, self._of_probes = metadata, of_probes
        self._fragment = orjson.Fragment(orjson.dumps(metadata))

    def __call__(self, found: Event | DeadLetter) -> Made:
        if isinstance(found, DeadLetter):
            return Dropped(found.event, "") if self._is_anothers(found.event) else found
        event = found
        if event.resubmitted and self._is_anothers(event):
            return Dropped(event, "")
        try:
            body = event.body
            if type(body) is dict and body.get("eventType") == PROBE_TYPE:  # by its own shape, whatever is mapped
                return self._probe(event)
            if type(body) is Accepted:
                return details.accepted(event, body.text)
            mapped = self._read(event)
            event_type = mapped.event_type
            if self._drop_types and not self._drop_types.isdisjoint((event_type, mapped.sender_type)):
                return Dropped(event, mapped.sender_type)
            if event_type in self._fixed_bytes:
                return self._entry(event, mapped)
            return self._unrouted(event, mapped)
        except Rejected as rejected:
            return DeadLetter(event, rejected.reason, rejected.code, rejected.message, event_type=rejected.event_type)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's trouble, not the batch's
            return DeadLetter(event, Reason.INTERNAL_ERROR, type(error).__name__, "the transform failed unforeseen")

    def _is_anothers(self, event: Event) -> bool:
        """Whether an operator put it back for another application, which reads the same stream."""
        told = read_resubmitted(event.resubmitted)
        return told is not None and told.application != self._application

    def _probe(self, event: Event) -> Entry:
        """Neither mapped nor masked, neither unroutable nor dropped: it proves the way, not the mapping."""
        received, processed = self._received_iso(event.received_at_ms), self._processed_iso(int(self._now_ms()))
        return details.probe(event, received, processed, self._of_probes)

    def _unrouted(self, event: Event, mapped: Mapped) -> Made:
        """An event whose type does not match the rule. The type goes into attributes, so it must be printable."""
        event_type = mapped.event_type
        if not event_type.isprintable():
            raise mismatch("BadEventType", "the event type holds a control character")
        if event_type == PROBE_TYPE:  # said in another place than a probe says it: by a header, or below another key
            raise mismatch("BadEventType", "the event type is that of doctor's probes, and the event is none")
        if self._unroutable == "publish":
            return self._entry(event, mapped)
        if self._unroutable == "drop":
            return Dropped(event, event_type)
        message = "the event type does not match the rule; see STREAM_ROUTER_EVENT_TYPES and STREAM_ROUTER_UNROUTABLE"
        return DeadLetter(event, Reason.UNROUTABLE, "UnroutableEventType", message, event_type=self._told(event_type))

    def _told(self, event_type: str) -> str:
        """The event type as a dead letter's attribute names it: not at all where it might be a text, not a name.

        Attributes are masked nowhere else, so a policy that masks dead letters lets only names of types into them.
        """
        return "" if self.policy and self.policy.mask_dead_letters and not is_name(event_type) else event_type

    def _entry(self, event: Event, mapped: Mapped) -> Entry:
        interaction_id, conversation_id, event_type, timestamp, time_s, payload, extensions, _ = mapped
        lane = ""
        if self.policy is not None:
            lane = conversation_id or ""
            try:
                masked = self.policy.mask(_parts(mapped), self._masked_counts)
                interaction_id, conversation_id = masked.get("originalEventId"), masked.get("conversationId")
                payload, extensions = masked["payload"], masked.get("extensions")
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - a value that was not masked must not leave, whatever the reason
                raise _masking_failed(self._told(event_type), error) from None
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
            "metadata": self._fragment,
        }
        # Added fields are texts behind the body, so an envelope with one ends in this; few do.
        if resubmitted or (raw[-2:] == b'"}' and b'"traceparent"' in raw):
            detail["metadata"] = details.told_more(self._metadata, raw, resubmitted)
        if extensions:
            detail["extensions"] = extensions
        text = exact_json.for_queues(exact_json.write(detail))
        size_bytes = (self._fixed_bytes.get(event_type) or details.fixed_bytes(event_type)) + len(text)
        # The parsed body is let go here: freeing it costs less while it is in the caches (benchmarks/child.py).
        unparsed = new_event((record, line, raw, event_id, id_from, received_at_ms, None, resubmitted))
        return new_entry((unparsed, event_type, text, time_s, size_bytes, conversation_id or "", lane))

    @property
    def masking(self) -> str:
        """What logs and audit say of masking: `off`, or the policy's id and version."""
        return "off" if self.policy is None else f"{self.policy.id} {self.policy.version}"

    def take_masked_counts(self) -> Counter[str]:
        """How often each masking action ran, and what was found in searched texts, since the last call."""
        counts, self._masked_counts = self._masked_counts, Counter()
        return counts

    def dead_letter_raw(self, letter: DeadLetter) -> bytes:
        """The bytes for a dead letter's `record.data`: the event's own line, masked only if the policy says so.

        Masked, it is an envelope again, so it can be re-driven; what cannot be masked is left out, and so is what
        killed a process, unread: to read or to mask it would kill the next one. Raises as the transform does.
        """
        event = letter.event
        if self.policy is None or not self.policy.mask_dead_letters:
            return event.raw
        if letter.reason is Reason.CRASHED:
            return _withheld(letter.code)
        return self.masked_raw(letter)

    def masked_raw(self, letter: DeadLetter) -> bytes:
        """The event's own line, masked by the policy whatever it says of dead letters; there must be one."""
        event = letter.event
        assert self.policy
        try:
            whole = event if event.body is not None else _read_again(event)
            if type(whole.body) is Accepted:  # it was published so, masked or not, and is kept as it was
                return event.raw
            mapped = self._read(whole)
            unmapped, said = self._validator.unmapped(whole, mapped, self.policy.mask(_parts(mapped), Counter()))
            body = exact_json.write(unmapped)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - see `_entry`
            return _withheld(error.code if isinstance(error, Rejected) else type(error).__name__)
        return seal(event.event_id, event.id_from, event.received_at_ms, body, added_text(said))


def policy_of(name: str, key: bytes | None) -> "MaskingPolicy | None":
    """The masking policy of this name or file; None where masking is `off`. Raises SettingsError."""
    if name == "off":
        return None
    from stream_router.pipeline.masking import policy_file  # who masks nothing loads nothing of it

    return policy_file.load(name, key)


def _withheld(code: str) -> bytes:
    return orjson.dumps({"withheld": "the policy masks dead letters, and this event could not be masked", "code": code})


def _read_again(event: Event) -> Event:
    """The event with its body, where whoever kept it let go of that."""
    (found,) = open_record(Record(event.raw, 0))
    return event._replace(body=found.body if isinstance(found, Event) else None)


def _parts(mapped: Mapped) -> "Parts":
    """What of an event's Detail comes from the sender and may be private."""
    parts: Parts = {
        "payload": mapped.payload,
        "conversationId": mapped.conversation_id,
        "originalEventId": mapped.interaction_id,
    }
    if mapped.extensions:
        parts["extensions"] = mapped.extensions
    return parts


def _masking_failed(event_type: str, error: Exception) -> Rejected:
    message = "masking failed, so the event is not sent"
    return Rejected(Reason.MASKING_FAILED, type(error).__name__, message, event_type)
