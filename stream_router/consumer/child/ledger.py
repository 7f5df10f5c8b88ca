"""Ledger of one shard: counts and latencies of its events since its child began, and the audit log of its batches.

The pipeline reports a call at a time, never a single event, since that would cost more CPU. Counters are defined in
`telemetry/metrics_catalogue.py`, the audit fields in `telemetry/audit.py`.
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

TIMES_MAX = 20_000
"""Maximum number of latencies that are kept for the next snapshot.

They are summed up together, which costs next to nothing. A shard with few events a batch would otherwise spend more CPU
on its latencies than on its events.
"""

LETTERS_A_SECOND = 10
"""Maximum number of dead letters per second with a log line of their own. One line reports the number of the others."""

_EVENT, _RECEIVED_AT, _RECORD = (
    operator.itemgetter(kind._fields.index(name))
    for kind, name in ((Entry, "event"), (Event, "received_at_ms"), (Event, "record"))
)
"""Getters by index: they are a third faster than attributes, and run for every event."""


class ShardLedger:
    """Counts and latencies of one shard since its child began, and the shard's audit log.

    No method raises an error of a file, or waits. `now_s` is the wall clock (epoch seconds), `clock` monotonic.
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
            self._audit = audit.AuditLog(path, settings.key("audit_key").encode() or None)
            self._retention = state_dir.read_retention(settings.state_dir)
        self._counted: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self._reasons: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._latencies = {stage: Histogram() for stage in STAGES}
        self._received_ms = array("q")
        self._records_of_accepted: list[tuple[Record, int]] = []
        """Records of the accepted events, in the same order, each with the number of its events."""
        self._accepted: list[tuple[float, int, float]] = []
        """For each call: time of acceptance (epoch ms), number of entries, seconds since they were first sent."""
        self._dead_lettered_ms: list[float] = []
        self._letters = self._letters_unsaid = 0
        self._alarm = DeadLetterAlarm(shard_id, clock, now_s)

    def opened(self, records: Sequence[Record]) -> None:
        """Record the present time as the time at which these records reached the child."""
        now_ms = self._now_s() * 1000
        for record in records:
            record.opened_at_ms = now_ms
        self._counted["records"] += len(records)

    def routed(self, batch: Batch) -> None:
        """Add the masking counts since the last call to this batch, some of whose records were just transformed."""
        if self._transform.policy:
            batch.masked += self._transform.take_masked_counts()

    def accepted(self, entries: Sequence[Entry], took_s: float = 0.0) -> None:
        """Count one call's entries as accepted now, `took_s` seconds after the first call that carried them began."""
        self._accepted.append((self._now_s() * 1000, len(entries), took_s))
        self._alarm.count_accepted(len(entries))
        events = [*map(_EVENT, entries)]
        self._received_ms.extend(map(_RECEIVED_AT, events))
        records = [*map(_RECORD, events)]
        if records.count(records[0]) == len(records):  # the usual case, since the events of a record fill whole calls
            self._records_of_accepted.append((records[0], len(records)))
        else:
            self._records_of_accepted += [(record, 1) for record in records]
        if len(self._received_ms) >= TIMES_MAX:
            self._count_finished()

    def accepted_again(self, count: int) -> None:
        """Count resubmitted events as accepted. They have no latency, since days may lie in between."""
        self._counted["delivered"] += count

    def _count_finished(self) -> None:
        """Add the events accepted or dead-lettered since the last call to counters and histograms, all at once."""
        if self._dead_lettered_ms:
            self._latencies["received_to_dead_lettered"].record(self._dead_lettered_ms)
            self._dead_lettered_ms = []
        if not self._accepted:
            return
        received = np.array(self._received_ms, dtype=np.float64)
        events = [count for _, count in self._records_of_accepted]
        arrived = np.repeat(
            np.array([record.arrived_at_ms for record, _ in self._records_of_accepted], dtype=np.float64), events
        )
        opened = np.repeat(
            np.array([record.opened_at_ms for record, _ in self._records_of_accepted], dtype=np.float64), events
        )
        counts = [count for _, count, _ in self._accepted]
        self._counted["delivered"] += sum(counts)
        accepted = np.repeat([at for at, _, _ in self._accepted], counts)
        took = np.repeat([took_s * 1000 for _, _, took_s in self._accepted], counts)
        self._received_ms, self._records_of_accepted, self._accepted = array("q"), [], []
        self._latencies["received_to_stored"].record(arrived - received)
        self._latencies["stored_to_read"].record(opened - arrived)
        self._latencies["read_to_sent"].record(accepted - took - opened)
        self._latencies["sent_to_accepted"].record(took)
        self._latencies["received_to_accepted"].record(accepted - received)

    def retried(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Count entries that will be resent, each with the error code of AWS."""
        self._counted["retried"] += len(entries)
        for entry, code in entries:
            self._retries[code] += 1
            entry.event.record.batch.retried += 1

    def buried(self, letter: DeadLetter) -> None:
        """Count a dead letter once it is stored, and log it unless this second has had many."""
        self._counted["dead_lettered"] += 1
        self._reasons[letter.reason.value] += 1
        if not letter.event.resubmitted:
            self._dead_lettered_ms.append(self._now_s() * 1000 - letter.event.received_at_ms)
            self._alarm.count_letter(letter)
        self._letters += 1
        if self._letters > LETTERS_A_SECOND:
            self._letters_unsaid += 1
            return
        identity, reason = letter.event.event_id, letter.reason.value
        log.warning(
            "An event became a dead letter: %s (%s). See `stream-router dlq %s`.",
            reason,
            letter.code,
            f"show {identity}" if identity else "list",
            extra={
                "event": "dead-letter",
                "eventId": identity,
                "reason": reason,
                "code": letter.code,
                "shard": self._shard_id,
            },
        )

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Count events that a setting drops."""
        self._counted["dropped"] += len(dropped)

    def batch_closed(self, batch: Batch) -> None:
        """Write the audit record of a batch whose events are all settled."""
        if self._audit is None:
            return
        record = audit.of_batch(batch, self._shard_id, self._transform.masking, self._retention, self._now_s())
        if not self._audit.append(record):
            self._counted["audit_failed"] += 1

    def check_alarm(self) -> None:
        """Raise or clear the alarm of many dead letters."""
        self._alarm.check()

    def count_into(self, snapshot: Snapshot) -> None:
        """Write all counts and latencies since the child began into a snapshot."""
        self._count_finished()
        by_label = {"dead_lettered": self._reasons, "retried": self._retries}
        for name, metric in COUNTERS.items():
            if name in by_label:
                snapshot.counts[metric.name] = {(label,): count for label, count in by_label[name].items()}
            else:
                snapshot.counts[metric.name] = {(): self._counted[name]}
        snapshot.histograms[STAGE_LATENCY.name] = {(stage,): histogram for stage, histogram in self._latencies.items()}
        snapshot.states["manyDeadLetters"] = self._alarm.raised

    def flush(self) -> None:
        """Write the audit records, and log how many dead letters got no line of their own. Call it once a second."""
        if self._audit and not self._audit.flush():
            self._counted["audit_failed"] += 1  # at each call, since a quiet shard's alarm would end otherwise
        if self._letters_unsaid:
            log.warning(
                "%d more events became dead letters in this second. See `stream-router dlq list`.",
                self._letters_unsaid,
                extra={"event": "dead-letters-more", "letters": self._letters_unsaid, "shard": self._shard_id},
            )
        self._letters = self._letters_unsaid = 0

    def close(self) -> None:
        """Write the remaining audit records when the shard ends. An unsettled batch gets none."""
        if self._audit and (missing := self._audit.close()):
            log.error(
                "%d audit records were not written before the process ended. Their events are settled. "
                "Check the disk of STREAM_ROUTER_AUDIT_DIR.",
                missing,
                extra={"event": "audit-unwritten"},
            )
