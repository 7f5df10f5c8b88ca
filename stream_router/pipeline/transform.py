"""One event of the stream to one EventBridge entry, or to the reason why it cannot be one."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from stream_router import limits
from stream_router.envelope import correlation_id
from stream_router.errors import Reason
from stream_router.pipeline.rejection import Rejected, mismatch
from stream_router.pipeline.schemas import PRESETS
from stream_router.pipeline.timestamps import IsoMs
from stream_router.pipeline.validate import Valid, Validator
from stream_router.records import DeadLetter, Dropped, Entry, Event
from stream_router.settings import Consumer

SOURCE = "nice.cxone.webhook"
"""The entry's `Source`; the rule matches it."""

PIPELINE_ID = "cxone-event-router-v1"
"""Who made the event, in its metadata and in the audit log."""

_FIXED_BYTES = limits.ENTRY_TIME_BYTES + len(SOURCE.encode())


class Transform:
    """Callable: an `Event` to an `Entry`, a `DeadLetter` or a `Dropped`; it never raises.

    Raises SettingsError at construction where the mapping or the masking policy is wrong. `now_ms` is the wall clock.
    """

    def __init__(self, settings: Consumer, now_ms: Callable[[], float]) -> None:
        self.policy: Any = None
        self.masked_counts: Counter[str] = Counter()
        self._now_ms = now_ms
        self._validate = Validator(PRESETS)
        self._routed = frozenset(settings.event_type_list)
        self._unroutable = settings.unroutable
        self._received_iso, self._processed_iso = IsoMs(), IsoMs()
        self._metadata = orjson.Fragment(
            orjson.dumps(
                {"enrichmentPipeline": PIPELINE_ID, "complianceTag": "unmasked", "region": settings.aws_region}
            )
        )

    def __call__(self, event: Event) -> Entry | DeadLetter | Dropped:
        try:
            valid = self._validate(event)
            if valid[2] in self._routed or self._unroutable == "publish":
                return self._entry(event, valid)
            return self._unroutable_event(event, valid[2])
        except Rejected as rejected:
            return DeadLetter(event, rejected.reason, rejected.code, rejected.message, event_type=rejected.event_type)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's trouble, not the batch's
            return DeadLetter(event, Reason.INTERNAL_ERROR, type(error).__name__, "the transform failed unforeseen")

    def _unroutable_event(self, event: Event, event_type: str) -> DeadLetter | Dropped:
        if self._unroutable == "drop":
            return Dropped(event, event_type)
        message = (
            "the rule lets this event type not through; see STREAM_ROUTER_EVENT_TYPES and STREAM_ROUTER_UNROUTABLE"
        )
        return DeadLetter(event, Reason.UNROUTABLE, "UnroutableEventType", message, event_type=event_type)

    def _entry(self, event: Event, valid: Valid) -> Entry:
        interaction_id, conversation_id, event_type, timestamp, time_s, payload, extensions = valid
        event_id = event.event_id
        detail = {
            "correlationId": correlation_id(event_id),
            "eventId": event_id,
            "eventSource": "cxone.webhook",
            "eventType": event_type,
            "originalEventId": interaction_id,
            "conversationId": conversation_id,
            "eventTimestamp": timestamp,
            "receivedAt": self._received_iso(event.received_at_ms),
            "processedAt": self._processed_iso(int(self._now_ms())),
            "sourceSystem": "nice.cxone",
            "routingVersion": "1.0",
            "payload": payload,
            "metadata": self._metadata,
        }
        if extensions:
            detail["extensions"] = extensions
        try:
            text = orjson.dumps(detail)
        except TypeError:
            raise mismatch("TooDeep", "the event nests too deep") from None
        size_bytes = _FIXED_BYTES + len(event_type.encode()) + len(text)
        return Entry(event, event_type, text, time_s, size_bytes, conversation_id or "")

    def take_masked_counts(self) -> Counter[str]:
        """How often each masking action ran since the last call."""
        counts, self.masked_counts = self.masked_counts, Counter()
        return counts

    def dead_letter_raw(self, event: Event) -> bytes:
        """The bytes for a dead letter's `record.data`: the event's own line, masked only if the policy says so."""
        return event.raw
