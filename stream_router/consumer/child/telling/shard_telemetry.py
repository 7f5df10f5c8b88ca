"""What one shard tells of its events: metrics, and the audit of each batch. Told a call at a time, never an event.

The fields of a batch's audit line are in `telemetry/audit/batch_audit_record.py`.
"""

import collections
import logging
import operator
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_router.aws.endpoints import Target
from stream_router.aws.signed_calls import Transport
from stream_router.consumer.child.progress.crash_guard import CrashGuard
from stream_router.consumer.child.telling.dead_letter_log import DeadLetterLog
from stream_router.errors import Answer
from stream_router.model import Batch, DeadLetter, Dropped, Entry, Event, Record
from stream_router.pipeline.delivery.dispatcher_contract import Took
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.audit import batch_audit_record
from stream_router.telemetry.audit.audit_chain import AuditLog
from stream_router.telemetry.cloudwatch import REFUSED
from stream_router.telemetry.shards.shard_metrics import ChildMetrics

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 10.0
SENT_AT_ONCE = 8
"""CloudWatch requests under way at once, so that a long backlog of them does not crowd out the events' own calls."""

FAILED_IS_ENOUGH = 8
"""Of one publication; the rest waits for the next. A day of requests would else be tried each minute, by each shard."""

TIMES_MAX = 20_000
"""Latencies wait for the next snapshot, but no more than so many: reckoned together they cost next to nothing, and a
shard with a few events a batch would else spend more on reckoning than on them."""

_EVENT, _RECEIVED_AT, _RECORD = (
    operator.itemgetter(kind._fields.index(name))
    for kind, name in ((Entry, "event"), (Event, "received_at_ms"), (Event, "record"))
)
"""A third faster than the attributes, and it is done for every event."""

CLOSE_WITHIN_S = 1.0
"""What a closing shard gives its last metrics and audit records."""


class ShardTelemetry:
    """Counts and times what the pipeline reports, sends it to CloudWatch, and writes the shard's audit log.

    Neither raises into the pipeline nor waits, but for `close`, which waits a second at most.
    """

    def __init__(
        self,
        shard_id: str,
        settings: Consumer,
        transform: Transform,
        transport: Transport,
        metrics_target: Target,
        guard: CrashGuard,
        tell_others: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = ChildMetrics(shard_id, settings)
        self._transform = transform
        self._transport = transport
        self._target = metrics_target
        self._guard = guard
        self._tell_others = tell_others
        self._now_s = now_s
        self._audit: AuditLog | None = None
        if settings.audit_dir:
            key = settings.key("audit_key").encode() or None
            path = settings.audit_dir / f"{settings.application}.{shard_id}.jsonl"
            self._audit = AuditLog(path, key, self._audited)
        self._received_ms = array("q")
        self._of_records: list[tuple[Record, int]] = []
        """Whose events were accepted, in the same order: a record, and how many of its events."""
        self._accepted: list[tuple[float, int, Took]] = []
        self._buried_ms: list[float] = []
        self._letters = DeadLetterLog(shard_id, time.monotonic)
        self._to_send: collections.deque[bytes] = collections.deque()
        self._sending = self._failed = 0
        self._closed = False

    def watch(self, vitals: Callable[[], dict[str, Any]]) -> None:
        """What the shard says of itself whenever a snapshot is written."""
        self._metrics.vitals = vitals

    def opened(self, records: Sequence[Record]) -> None:
        """These records reached the child now."""
        now_ms = self._now_s() * 1000
        for record in records:
            record.opened_at_ms = now_ms
        self._metrics.count("records", len(records))

    def routed(self, batch: Batch) -> None:
        """Some records of this batch are transformed: what was masked meanwhile was masked in them."""
        if self._transform.policy:
            batch.masked += self._transform.take_masked_counts()

    def accepted(self, entries: Sequence[Entry], took_s: Took = 0.0) -> None:
        """One call's entries were accepted by the bus now, so long after their first call was started."""
        self._accepted.append((self._now_s() * 1000, len(entries), took_s))
        events = [*map(_EVENT, entries)]
        self._received_ms.extend(map(_RECEIVED_AT, events))
        records = [*map(_RECORD, events)]
        if records.count(records[0]) == len(records):  # as a rule: a record fills calls
            self._of_records.append((records[0], len(records)))
        else:
            self._of_records += [(record, 1) for record in records]
        if len(self._received_ms) >= TIMES_MAX:
            self._reckon()

    def accepted_again(self, entries: Sequence[Entry]) -> None:
        """What an operator put back was accepted: it counts, and is in no latency."""
        self._metrics.calls([len(entries)])

    def _reckon(self) -> None:
        """Counts and latencies of what was accepted, or buried, since the last time, all at once."""
        if self._buried_ms:
            buried, self._buried_ms = self._buried_ms, []
            self._metrics.latency("received_to_dead_lettered", buried)
        if not self._accepted:
            return
        received = np.array(self._received_ms, dtype=np.float64)
        events = [count for _, count in self._of_records]
        arrived = np.repeat(np.array([one.arrived_at_ms for one, _ in self._of_records], dtype=np.float64), events)
        opened = np.repeat(np.array([one.opened_at_ms for one, _ in self._of_records], dtype=np.float64), events)
        counts = [count for _, count, _ in self._accepted]
        self._metrics.calls(counts)
        accepted = np.repeat([at for at, _, _ in self._accepted], counts)
        took = _each([took_s for _, _, took_s in self._accepted], counts) * 1000
        self._received_ms, self._of_records, self._accepted = array("q"), [], []
        self._metrics.latency("received_to_stored", arrived - received)
        self._metrics.latency("stored_to_read", opened - arrived)
        self._metrics.latency("read_to_sent", accepted - took - opened)
        self._metrics.latency("sent_to_accepted", took)
        self._metrics.latency("received_to_accepted", accepted - received)

    def retried(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """These are to be sent again, each for AWS's code."""
        self._metrics.count("retried", len(entries))
        for entry, code in entries:
            self._metrics.retries[code] += 1
            entry.event.record.batch.retried += 1

    def buried(self, letter: DeadLetter) -> None:
        """A dead letter is stored, whole."""
        self._letters.buried(letter)
        self._metrics.dead_letter(letter.reason.value)
        if not letter.event.resubmitted:
            self._buried_ms.append(self._now_s() * 1000 - letter.event.received_at_ms)

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """A setting said to drop these."""
        self._metrics.count("dropped", len(dropped))

    def batch_closed(self, batch: Batch) -> None:
        """Every event of this batch is settled: close its account, from its own events alone."""
        self._metrics.count("batches")
        if self._audit is None:
            self._guard.batch_closed(batch.number)
            return
        unclosed = self._guard.unclosed if self._audit.flush() else []  # a record that waits names them
        record = batch_audit_record.of_batch(batch, self._transform.masking, unclosed, self._now_s())
        if not self._audit.append(record):
            self._metrics.count("audit_failed")

    def _audited(self, record: dict[str, Any]) -> None:
        """The file has it; or it is given up, which happens only to one that names no other batches."""
        self._guard.batch_closed(record["metrics"]["batch"])
        if "unclosed" in record["metrics"]:
            self._guard.unclosed_is_said()

    def tick(self) -> None:
        """A moment to publish what is due."""
        self._tell_others()
        self._letters.tick()
        if self._metrics.snapshot_is_due():
            self._reckon()
            self._metrics.write_snapshot()
            if self._audit and not self._audit.flush():
                self._metrics.count("audit_failed")  # again and again, or a quiet shard's alarm would end
        if self._metrics.due():
            self._publish()
        elif self._to_send:
            self._send()

    def close(self) -> None:
        """The shard ends here: publish the rest. A batch without a record is named by the next process."""
        if self._closed:
            return
        self._closed = True
        self._publish()
        until = time.monotonic() + CLOSE_WITHIN_S
        while (self._sending or not (self._audit is None or self._audit.flush())) and time.monotonic() < until:
            self._transport.pump(0.1)
            self._send()
        if self._audit and any(missing := self._audit.close()):
            log.error(
                "%d audit records were not written before the end (the next record names their batches); %d are lost",
                *missing,
                extra={"event": "audit-unwritten"},
            )

    def _publish(self) -> None:
        self._reckon()
        self._metrics.write_snapshot()
        # What was not sent yet goes back first: the cap is on all that waits, and most of it waits here in a stall.
        self._metrics.requeue(self._to_send)
        self._to_send, self._failed = collections.deque(self._metrics.bodies()), 0
        self._send()

    def _send(self) -> None:
        while self._to_send and self._sending < SENT_AT_ONCE and self._failed < FAILED_IS_ENOUGH:
            self._start(self._to_send.popleft())

    def _start(self, body: bytes) -> None:
        def done(answer: Answer) -> None:
            self._sending -= 1
            if answer.status == 200:
                return
            if _is_refused(answer):
                # The same request would be refused for ever.
                self._metrics.count("metrics_lost")
                log.error(
                    "CloudWatch refused metrics for their content",
                    extra={"event": "metrics-refused", "status": answer.status},
                )
            else:
                self._failed += 1
                self._metrics.requeue([body])

        self._sending += 1
        self._transport.start(self._target, body, SEND_TIMEOUT_S, done)


def _each(took: Sequence[Took], counts: Sequence[int]) -> npt.NDArray[np.float64]:
    """One number for each entry: most calls have one for all of theirs."""
    if not any(isinstance(one, list) for one in took):
        return np.repeat(np.array(took, dtype=np.float64), counts)
    parts = [one if isinstance(one, list) else [one] * count for one, count in zip(took, counts, strict=True)]
    return np.array([seconds for part in parts for seconds in part], dtype=np.float64)


def _is_refused(answer: Answer) -> bool:
    """Whether CloudWatch blames the request itself."""
    return answer.status in (400, 413) and any(name.encode() in answer.body for name in REFUSED)
