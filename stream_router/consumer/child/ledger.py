"""Ledger of one shard: counts and latencies of its events since its child began, and the audit log of its batches.

The pipeline reports the entries of a whole call at once, since a report for each event would cost more CPU. Counters
are defined in `telemetry/metrics_catalogue.py`, the audit fields in `telemetry/audit.py`.
"""

import logging
import operator
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from stream_router.consumer import state_dir
from stream_router.consumer.child.dead_letter_alarm import DeadLetterAlarm
from stream_router.model import Batch, DeadLetter, Dropped, Entry, Event, Record
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import audit
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import COUNTERS, STAGE_LATENCY, STAGES
from stream_router.telemetry.snapshot import Snapshot

log = logging.getLogger(__name__)

MAX_UNCOUNTED_EVENTS = 20_000
"""Maximum number of accepted events whose latencies wait to be added to the histograms.

Added all at once, they cost next to nothing. A shard with few events in a batch would otherwise spend more CPU on
latencies than on events.
"""

MAX_LETTER_LOGS_PER_S = 10
"""Maximum number of dead letters per second with a log line of their own. One more line counts those without a line."""

# Getters by index are a third faster than attributes, and run for every event.
_EVENT = operator.itemgetter(Entry._fields.index("event"))
_RECEIVED_AT = operator.itemgetter(Event._fields.index("received_at_ms"))
_RECORD = operator.itemgetter(Event._fields.index("record"))


class ShardLedger:
    """Counts and latencies of one shard since its child began, and the shard's audit log.

    No method blocks, or raises an error because a file cannot be written. `now_s` is the wall clock (epoch seconds),
    `clock` is monotonic.
    """

    def __init__(
        self,
        shard_id: str,
        settings: Consumer,
        transform: Transform,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard_id = shard_id
        self._transform = transform
        self._now_s = now_s
        self._audit: audit.AuditLog | None = None
        if folder := settings.audit_dir:
            path = None if folder == audit.TO_STDERR else folder / f"{settings.application}.{shard_id}.jsonl"
            self._audit = audit.AuditLog(path, settings.strong_secret("audit_key").encode() or None)
            self._retention = state_dir.read_retention(settings.state_dir)
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self._dead_lettered_by_reason: Counter[str] = Counter()
        self._retried_by_code: Counter[str] = Counter()
        self._latencies = {stage: Histogram() for stage in STAGES}
        self._received_ms = array("q")
        """Time of receipt of each accepted event that is not in the histograms yet (epoch ms)."""
        self._accepted_records: list[tuple[Record, int]] = []
        """Records of these events, in the same order, each with its number of consecutive events."""
        self._accepted_calls: list[tuple[float, int, float]] = []
        """For each call: time of acceptance (epoch ms), number of entries, seconds since they were first sent."""
        self._dead_letter_latencies_ms: list[float] = []
        self._letters_this_second = self._unlogged_letters = 0
        self._alarm = DeadLetterAlarm(shard_id, clock, now_s)

    def record_opened(self, records: Sequence[Record]) -> None:
        """Count these records, and set the present time as the time at which they reached the child."""
        now_ms = self._now_s() * 1000
        for record in records:
            record.opened_at_ms = now_ms
        self._counts["records"] += len(records)

    def add_masked_counts(self, batch: Batch) -> None:
        """Add the numbers of fields masked since the last call to `batch`, whose records were just transformed."""
        if self._transform.policy:
            batch.masked += self._transform.take_masked_counts()

    def record_accepted(self, entries: Sequence[Entry], took_s: float = 0.0) -> None:
        """Count one call's entries as accepted now. `took_s` are the seconds since the first call that carried them."""
        self._accepted_calls.append((self._now_s() * 1000, len(entries), took_s))
        self._alarm.count_accepted(len(entries))
        events = [*map(_EVENT, entries)]
        self._received_ms.extend(map(_RECEIVED_AT, events))
        records = [*map(_RECORD, events)]
        if records.count(records[0]) == len(records):  # the usual case, since the events of a record fill whole calls
            self._accepted_records.append((records[0], len(records)))
        else:
            self._accepted_records += [(record, 1) for record in records]
        if len(self._received_ms) >= MAX_UNCOUNTED_EVENTS:
            self._add_latencies()

    def record_resubmitted(self, count: int) -> None:
        """Count resubmitted events as accepted. Their latency is not counted, since it may be days."""
        self._counts["delivered"] += count

    def _add_latencies(self) -> None:
        """Add the events accepted or dead-lettered since the last call to counters and histograms, all at once.

        The arrays have an element for each accepted event.
        """
        if self._dead_letter_latencies_ms:
            self._latencies["received_to_dead_lettered"].record(self._dead_letter_latencies_ms)
            self._dead_letter_latencies_ms = []
        if not self._accepted_calls:
            return
        received_ms = np.array(self._received_ms, dtype=np.float64)
        events_per_record = [count for _, count in self._accepted_records]
        record_arrived_ms = np.array([record.arrived_at_ms for record, _ in self._accepted_records], dtype=np.float64)
        record_opened_ms = np.array([record.opened_at_ms for record, _ in self._accepted_records], dtype=np.float64)
        arrived_ms = np.repeat(record_arrived_ms, events_per_record)
        opened_ms = np.repeat(record_opened_ms, events_per_record)
        entries_per_call = [count for _, count, _ in self._accepted_calls]
        self._counts["delivered"] += sum(entries_per_call)
        accepted_ms = np.repeat([call_accepted_ms for call_accepted_ms, _, _ in self._accepted_calls], entries_per_call)
        took_ms = np.repeat([took_s * 1000 for _, _, took_s in self._accepted_calls], entries_per_call)
        self._received_ms, self._accepted_records, self._accepted_calls = array("q"), [], []
        self._latencies["received_to_stored"].record(arrived_ms - received_ms)
        self._latencies["stored_to_read"].record(opened_ms - arrived_ms)
        self._latencies["read_to_sent"].record(accepted_ms - took_ms - opened_ms)
        self._latencies["sent_to_accepted"].record(took_ms)
        self._latencies["received_to_accepted"].record(accepted_ms - received_ms)

    def record_retries(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Count entries that will be sent again, each with the error code of AWS."""
        self._counts["retried"] += len(entries)
        for entry, code in entries:
            self._retried_by_code[code] += 1
            entry.event.record.batch.retried += 1

    def record_dead_letter(self, letter: DeadLetter) -> None:
        """Count a dead letter that was stored. Log it, unless MAX_LETTER_LOGS_PER_S were logged in this second.

        A resubmitted event adds neither to the latencies nor to the alarm: it is old, and was counted before.
        """
        self._counts["dead_lettered"] += 1
        self._dead_lettered_by_reason[letter.reason.value] += 1
        if not letter.event.resubmitted:
            self._dead_letter_latencies_ms.append(self._now_s() * 1000 - letter.event.received_at_ms)
            self._alarm.count_letter(letter)
        self._letters_this_second += 1
        if self._letters_this_second > MAX_LETTER_LOGS_PER_S:
            self._unlogged_letters += 1
            return
        event_id, reason = letter.event.event_id, letter.reason.value
        log.warning(
            "An event became a dead letter: %s (%s). See `stream-router dlq %s`.",
            reason,
            letter.code,
            f"show {event_id}" if event_id else "list",
            extra={
                "event": "dead-letter",
                "eventId": event_id,
                "reason": reason,
                "code": letter.code,
                "shard": self._shard_id,
            },
        )

    def record_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Count events that a setting drops."""
        self._counts["dropped"] += len(dropped)

    def append_audit_record(self, batch: Batch) -> None:
        """Append the audit record of a batch whose records are all settled. `flush` writes it."""
        if self._audit is None:
            return
        record = audit.build_record(batch, self._shard_id, self._transform.masking, self._retention, self._now_s())
        if not self._audit.append(record):
            self._counts["audit_failed"] += 1

    def check_alarm(self) -> None:
        """Raise or clear the alarm of many dead letters."""
        self._alarm.check()

    def write_counts_into(self, snapshot: Snapshot) -> None:
        """Write all counts and latencies since the child began into a snapshot."""
        self._add_latencies()
        by_label = {"dead_lettered": self._dead_lettered_by_reason, "retried": self._retried_by_code}
        for name, metric in COUNTERS.items():
            if name in by_label:
                snapshot.counts[metric.name] = {(label,): count for label, count in by_label[name].items()}
            else:
                snapshot.counts[metric.name] = {(): self._counts[name]}
        snapshot.histograms[STAGE_LATENCY.name] = {(stage,): histogram for stage, histogram in self._latencies.items()}
        snapshot.states["manyDeadLetters"] = self._alarm.raised

    def flush(self) -> None:
        """Write the audit records, and log how many dead letters got no line of their own. Call this once a second."""
        if self._audit and not self._audit.flush():
            # Count each failure, not only the first: the alarm for audit records ends once the counter stops.
            self._counts["audit_failed"] += 1
        if self._unlogged_letters:
            log.warning(
                "%d more events became dead letters in this second. See `stream-router dlq list`.",
                self._unlogged_letters,
                extra={"event": "dead-letters-more", "letters": self._unlogged_letters, "shard": self._shard_id},
            )
        self._letters_this_second = self._unlogged_letters = 0

    def close(self) -> None:
        """Write the remaining audit records when the child gives up the shard. An unsettled batch has no record."""
        if self._audit and (missing := self._audit.close()):
            log.error(
                "%d audit records were not written before the process ended. Their events are settled. "
                "Check the disk of STREAM_ROUTER_AUDIT_DIR.",
                missing,
                extra={"event": "audit-unwritten"},
            )
