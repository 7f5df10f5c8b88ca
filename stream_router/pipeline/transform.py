"""One event of the stream to one EventBridge entry, or to the reason why it cannot be one."""

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from stream_router import limits
from stream_router.envelope import added_text, open_record, read_resubmitted, seal
from stream_router.log import is_name
from stream_router.model import (
    PROBE_TYPE,
    SOURCE,
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
from stream_router.pipeline import accepted, deep_json, probe
from stream_router.pipeline.exact_number import written
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Valid, Validator
from stream_router.pipeline.mapping.timestamps import IsoMs
from stream_router.pipeline.metadata import metadata_of, told_more
from stream_router.pipeline.rejection import Rejected, mismatch

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy, Parts


def _fixed_bytes(event_type: str) -> int:
    """What an entry counts besides its Detail."""
    return limits.ENTRY_TIME_BYTES + len(SOURCE.encode()) + len(event_type.encode())


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
        self._fixed_bytes = {name: _fixed_bytes(name) for name in config.event_types}
        self._unroutable = config.unroutable
        self._drop_types = config.drop_types
        self._application = config.application
        self._received_iso, self._processed_iso = IsoMs().text, IsoMs().text
        given = dict(mapping.metadata)
        self.take_metadata(metadata_of(config.region, self.policy, given), metadata_of(config.region, None, given))

    def take_metadata(self, metadata: dict[str, Any], of_probes: dict[str, Any]) -> None:
        """What each event says from now on, and what a probe does, which is never masked."""
        self._metadata, self._of_probes = metadata, of_probes
        self._fragment = orjson.Fragment(orjson.dumps(metadata))

    def marked(self, replayed: str) -> "Transform":
        """The same for what is published again: each event says so (docs/contract.md, "The EventBridge entry")."""
        made = copy.copy(self)
        made.take_metadata({**self._metadata, "replayed": replayed}, {**self._of_probes, "replayed": replayed})
        return made

    def __call__(self, found: Event | DeadLetter) -> Made:
        event = found.event if type(found) is DeadLetter else found
        assert type(event) is Event
        if event.resubmitted and self._is_anothers(event.resubmitted):
            return Dropped(event, "")
        if type(found) is DeadLetter:
            return found
        try:
            body = event.body
            if type(body) is Accepted:
                return accepted.entry(event, body.text)
            if type(body) is dict and body.get("eventType") == PROBE_TYPE:  # by its own shape, whatever is mapped
                return self._probe(event)
            valid = self._read(event)
            if self._drop_types and not self._drop_types.isdisjoint((valid[2], valid[7])):
                return Dropped(event, valid[7])  # the type by the sender's name; 2 is that by ours
            if valid[2] in self._fixed_bytes:
                return self._entry(event, valid)
            return self._unrouted(event, valid)
        except Rejected as rejected:
            return DeadLetter(event, rejected.reason, rejected.code, rejected.message, event_type=rejected.event_type)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's trouble, not the batch's
            return DeadLetter(event, Reason.INTERNAL_ERROR, type(error).__name__, "the transform failed unforeseen")

    def _is_anothers(self, resubmitted: str) -> bool:
        """Whether an operator put it back for another application, which reads the same stream."""
        told = read_resubmitted(resubmitted)
        return told is not None and told.application != self._application

    def _probe(self, event: Event) -> Entry:
        """Neither mapped nor masked, neither unroutable nor dropped: it proves the way, not the mapping."""
        received, processed = self._received_iso(event.received_at_ms), self._processed_iso(int(self._now_ms()))
        return probe.entry(event, received, processed, self._of_probes)

    def _unrouted(self, event: Event, valid: Valid) -> Made:
        """An event whose type does not match the rule. The type goes into attributes, so it must be printable."""
        event_type = valid[2]
        if not event_type.isprintable():
            raise mismatch("BadEventType", "the event type holds a control character")
        if event_type == PROBE_TYPE:  # said in another place than a probe says it: by a header, or below another key
            raise mismatch("BadEventType", "the event type is that of doctor's probes, and the event is none")
        if self._unroutable == "publish":
            return self._entry(event, valid)
        if self._unroutable == "drop":
            return Dropped(event, event_type)
        message = "the event type does not match the rule; see STREAM_ROUTER_EVENT_TYPES and STREAM_ROUTER_UNROUTABLE"
        return DeadLetter(event, Reason.UNROUTABLE, "UnroutableEventType", message, event_type=self._told(event_type))

    def _told(self, event_type: str) -> str:
        """The event type as a dead letter's attribute names it: not at all where it might be a text, not a name.

        Attributes are masked nowhere else, so a policy that masks dead letters lets only names of types into them.
        """
        return "" if self.policy and self.policy.mask_dead_letters and not is_name(event_type) else event_type

    def _entry(self, event: Event, valid: Valid) -> Entry:
        interaction_id, conversation_id, event_type, timestamp, time_s, payload, extensions, _ = valid
        lane = ""
        if self.policy is not None:
            lane = conversation_id or ""
            try:
                masked = self.policy.mask(_parts(valid), self._masked_counts)
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
            "eventSource": "cxone.webhook",
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
        metadata = self._metadata
        # Added fields are texts behind the body, so an envelope with one ends in this; few do.
        if resubmitted or (raw[-2:] == b'"}' and b'"traceparent"' in raw):
            detail["metadata"] = metadata = told_more(metadata, raw, resubmitted)
        if extensions:
            detail["extensions"] = extensions
        text = deep_json.for_queues(self._written(detail, metadata))
        size_bytes = (self._fixed_bytes.get(event_type) or _fixed_bytes(event_type)) + len(text)
        # The parsed body is let go here: freeing it costs less while it is in the caches (benchmarks/child.py).
        unparsed = new_event((record, line, raw, event_id, id_from, received_at_ms, None, resubmitted))
        return new_entry((unparsed, event_type, text, time_s, size_bytes, conversation_id or "", lane))

    def _written(self, detail: dict[str, Any], metadata: dict[str, Any]) -> bytes:
        try:
            return orjson.dumps(detail, written, orjson.OPT_PASSTHROUGH_SUBCLASS)
        except TypeError:  # the only thing that orjson cannot write of what it has read is deep nesting
            return deep_json.dumps({**detail, "metadata": metadata})

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
            valid = self._read(whole)
            unmapped, said = self._validator.unmapped(whole, valid, self.policy.mask(_parts(valid), Counter()))
            body = deep_json.write(unmapped)
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


def _parts(valid: Valid) -> "Parts":
    """What of an event's Detail comes from the sender and may be private."""
    parts = {"payload": valid[5], "conversationId": valid[1], "originalEventId": valid[0]}
    if valid[6]:
        parts["extensions"] = valid[6]
    return parts


def _masking_failed(event_type: str, error: Exception) -> Rejected:
    message = "masking failed, so the event is not sent"
    return Rejected(Reason.MASKING_FAILED, type(error).__name__, message, event_type)
