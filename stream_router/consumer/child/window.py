"""Limits of what a child may have pending: records are opened in slices, and only while the window has room.

The window is limited in bytes, and in events that a crash would bring back (docs/delivery.md). A full window in which
records are still settled is ordinary back-pressure. A full window in which nothing moves is a hold, which is reported.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pybase64

from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.target_check import UNANSWERED_LIMIT_S, TargetView
from stream_router.log import LogLimiter
from stream_router.model import Batch, Record
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

MAX_SLICE_RECORDS = 500
MAX_SLICE_BYTES = 96 * 1024
"""Size of a slice: about 150 events, whose parsed forms stay in the CPU's caches until sent (benchmarks/child.py)."""

MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Bytes of records that one child may have pending: what a full shard (1 MB/s) brings in a minute.

This is much more than 128 calls of ordinary events carry, and more than the largest Kinesis record (10 MiB). A small
host can still run ten such children.
"""

MAX_SPAN_S = 120.0
"""Maximum age of the work above the checkpoint, in seconds. All this work is done again after a crash.

This is well above the checkpoint's interval. Otherwise the window would wait for each checkpoint.
"""

MIN_EVENTS_FOR_SPAN_LIMIT = 2_000
"""Number of events above the checkpoint up to which MAX_SPAN_S does not apply: sending so few again costs nothing."""

MAX_RECORDS_ABOVE_CHECKPOINT = 1_000_000
"""Maximum number of records above the checkpoint, for a shard that is read so fast that MAX_SPAN_S allows more."""

SPARE_BYTES = 2 * 1024 * 1024
"""Minimum room for small batches beyond the limit of pending bytes: more than a record of the usual limit (1 MiB).

With MAX_PENDING_BYTES the room is larger, a quarter of that limit.
"""

MAX_READY_EVENTS = 1_000
"""Number of events ready for a call above which no further record is opened: it would only leave the CPU's caches."""

MAX_READY_LETTERS = 10_000
"""The same limit for dead letters. It is higher, so that good events do not wait behind other senders' bad ones.

It equals two webhooks of the receiver's largest array, and some 30 MB of small letters.
"""

MAX_SMALL_BATCH_RECORDS = 100
SMALL_BATCH_INTERVAL_S = 5.0
"""Size of, and seconds between, the small batches that are opened although the window is full.

They are opened if the window is full only of entries that fail by themselves, and events behind them. Without other
entries as a comparison nobody could tell whether the bus itself fails, and the shard would hold for ever.
"""

HOLD_THRESHOLD_S = 5.0
"""Seconds without anything settled or accepted after which a full window is a hold, and no longer back-pressure."""

RECENT_WAIT_S = 2.0
"""Seconds for which a record counts as waiting for room after the last check that found the window full.

While a record waits, the window is checked several times a second.
"""

HOLD_REASONS = {
    "bytes": "the pending events fill the child's memory limit, and none is settled; see the log on bus and queue",
    "calls": "calls are not answered, or not accepted; see the log on the destination",
    "span": "the checkpoint does not move, and two minutes of work are above it; see the log on bus and checkpoint",
    "records": "the checkpoint does not move, and a million records are above it; see the log on bus and checkpoint",
    "target": "event bus or rule do not take our events, so nothing is published; see the supervisor's log",
}
"""Codes of the reasons for which no further record is opened, each with its text."""


def slice_records(
    records: Iterable[dict[str, Any]], batch: Batch, max_records: Callable[[], int] = lambda: MAX_SLICE_RECORDS
) -> Iterator[list[Record]]:
    """Yield the daemon's records, decoded and in order, in slices of up to `max_records()` records or about 96 KiB.

    User records that a KPL producer aggregated into one Kinesis record stay in one slice, since no checkpoint may lie
    between them. A slice ends with the record that reaches a limit.
    """
    current_slice: list[Record] = []
    size_bytes, limit, last_sequence_number = 0, max_records(), ""
    for record in records:
        is_full = len(current_slice) >= limit or size_bytes >= MAX_SLICE_BYTES
        if is_full and record["sequenceNumber"] != last_sequence_number:
            yield current_slice
            current_slice, size_bytes, limit = [], 0, max_records()
        last_sequence_number = record["sequenceNumber"]
        data = pybase64.b64decode(record["data"], validate=True)
        current_slice.append(
            Record(
                data,
                int(record["sequenceNumber"]),
                int(record["subSequenceNumber"] or 0),
                int(record["approximateArrivalTimestamp"] or 0),
                batch,
            )
        )
        size_bytes += len(data)
    if current_slice:
        yield current_slice


class OpenedSlice(NamedTuple):
    """A slice above the checkpoint, with the numbers of all events and records that the child opened up to its end."""

    opened_at: float
    end: RecordPosition
    event_count: int
    record_count: int


class Window:
    """Counts of what is pending, and the decision whether the next slice of records may be opened.

    While the shard holds, a log line says so once a minute. `on_batch_closed` gets each batch once all its records are
    settled. Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        target: TargetView,
        on_batch_closed: Callable[[Batch], None],
        clock: Callable[[], float],
        max_bytes: int = MAX_PENDING_BYTES,
        max_span_s: float = MAX_SPAN_S,
    ) -> None:
        self._router, self._target = router, target
        self._on_batch_closed, self._clock = on_batch_closed, clock
        self._max_bytes, self._max_span_s = max_bytes, max_span_s
        self.pending_bytes = 0
        """Bytes of the records that are not settled."""
        self._settled_at = clock()
        """Time at which a record was last settled; at first the time at which the child took over the shard."""
        self._opened_slices: deque[OpenedSlice] = deque()
        """Slices above the checkpoint."""
        self._event_count = self._record_count = 0
        """Numbers of all events and records that the child has opened."""
        self._checkpointed_events = self._checkpointed_records = 0
        """The same numbers up to the checkpoint."""
        self._is_small_batch_admitted = False
        self._small_batch_at = clock() + SMALL_BATCH_INTERVAL_S
        self._waited_at = -RECENT_WAIT_S
        """Time of the last check at which a record had to wait for room."""
        self._latest_hold_reason = ""
        """Reason for the hold at that check, a key of HOLD_REASONS; "" if the wait was no hold."""
        self.hold_began_at = 0.0
        """Time since which the shard has held, if it holds."""
        self._warning_is_due = LogLimiter(clock)

    # --- what is pending

    def add_records(self, records: Sequence[Record]) -> None:
        """Count these records as pending."""
        for record in records:
            record.on_settled = self._record_settled
            record.batch.unsettled += 1
            self.pending_bytes += record.size_bytes

    def record_opened(self, records: Sequence[Record]) -> None:
        """Count the events of these records. Their number is known only once the records are opened."""
        self._is_small_batch_admitted = False
        self._record_count += len(records)
        for record in records:
            self._event_count += record.events
            record.batch.events += record.events
            record.batch.records += 1
        end = RecordPosition(records[-1].sequence_number, records[-1].sub_sequence_number)
        self._opened_slices.append(OpenedSlice(self._clock(), end, self._event_count, self._record_count))

    def record_batch_opened(self, batch: Batch) -> None:
        """Record that all records of this batch are opened. The batch closes once they are settled."""
        batch.is_open = False
        if not batch.unsettled:
            self._on_batch_closed(batch)

    def _record_settled(self, record: Record) -> None:
        self.pending_bytes -= record.size_bytes
        self._settled_at = self._clock()
        batch = record.batch
        batch.unsettled -= 1
        if not batch.unsettled and not batch.is_open:
            self._on_batch_closed(batch)

    def record_checkpoint(self, position: RecordPosition) -> None:
        """Record a checkpoint: a crash brings back nothing up to `position`."""
        while self._opened_slices and self._opened_slices[0].end <= position:
            passed = self._opened_slices.popleft()
            self._checkpointed_events, self._checkpointed_records = passed.event_count, passed.record_count

    @property
    def events_above_checkpoint(self) -> int:
        """Number of events that a crash would bring back, exact to one slice."""
        return self._event_count - self._checkpointed_events

    @property
    def span_s(self) -> float:
        """Seconds since the oldest slice above the checkpoint was opened; 0.0 if there is none."""
        return self._clock() - self._opened_slices[0].opened_at if self._opened_slices else 0.0

    # --- whether the next slice may be opened

    @property
    def is_full(self) -> bool:
        """Whether the next slice has to wait. Reading this property records the wait, and may admit a small batch.

        A small batch is admitted although the window is full (MAX_SMALL_BATCH_RECORDS). It stays admitted until it is
        opened.
        """
        if self._is_small_batch_admitted:
            return False
        full_by = self._find_exceeded_limit()
        if not full_by:
            return False
        now = self._clock()
        has_spare = self.pending_bytes < self._max_bytes + max(SPARE_BYTES, self._max_bytes // 4)
        may_help = full_by in ("span", "bytes") and has_spare and self._router.has_only_failing_items
        if may_help and now >= self._small_batch_at:
            self._is_small_batch_admitted, self._small_batch_at = True, now + SMALL_BATCH_INTERVAL_S
            return False
        self.record_wait(full_by)
        return True

    @property
    def is_crowded(self) -> bool:
        """Whether so many events wait for a call that further events of opened records must wait.

        Reading this property records the wait.
        """
        if not self._are_calls_behind:
            return False
        self.record_wait("calls")
        return True

    @property
    def _are_calls_behind(self) -> bool:
        """Whether so many events wait for a call that more of them would only fill the memory."""
        letters = self._router.ready_letters
        return self._router.ready - letters > MAX_READY_EVENTS or letters > MAX_READY_LETTERS

    def _find_exceeded_limit(self) -> str:
        """Return why the next record may not be opened, a key of HOLD_REASONS; "" if there is room."""
        if self._target.problem:
            return "target"
        if self._are_calls_behind:
            return "calls"
        if self.pending_bytes >= self._max_bytes:
            return "bytes"
        if self._record_count - self._checkpointed_records >= MAX_RECORDS_ABOVE_CHECKPOINT:
            return "records"
        # Without answers to target checks no checkpoint is possible, but publishing goes on for UNANSWERED_LIMIT_S.
        max_span_s = max(self._max_span_s, UNANSWERED_LIMIT_S) if self._target.unanswered else self._max_span_s
        is_span_limited = self.events_above_checkpoint > MIN_EVENTS_FOR_SPAN_LIMIT
        return "span" if is_span_limited and self.span_s >= max_span_s else ""

    @property
    def max_slice_records(self) -> int:
        """Maximum number of records of the next slice."""
        return MAX_SMALL_BATCH_RECORDS if self._is_small_batch_admitted else MAX_SLICE_RECORDS

    @property
    def is_record_waiting(self) -> bool:
        """Whether a record waits, or waited a moment ago, for room."""
        return self._clock() - self._waited_at < RECENT_WAIT_S

    @property
    def hold_reason(self) -> str:
        """Reason for the present hold, a key of HOLD_REASONS; "" if the shard does not hold, or no record waits."""
        return self._latest_hold_reason if self.is_record_waiting else ""

    def record_wait(self, full_by: str) -> None:
        """Record that the next record has to wait because of `full_by`, a key of HOLD_REASONS. Log a hold."""
        self._waited_at = now = self._clock()
        # A record of very many events is settled only with its last event, so accepted entries count as progress too.
        moved_at = max(self._settled_at, self._router.accepted_at)
        if now - moved_at < HOLD_THRESHOLD_S:
            self._latest_hold_reason = ""
            return
        self._latest_hold_reason, self.hold_began_at = full_by, moved_at
        if self._warning_is_due():
            log.warning(
                "The shard holds. Events wait in the stream, and none is lost. Reason: %s.",
                HOLD_REASONS[full_by],
                extra={
                    "event": "shard-holds",
                    "held_s": round(now - moved_at, 1),
                    "under_way": self._router.backlog,
                    "reason": full_by,
                },
            )
