"""Limits of what a child may have pending: records are opened in slices, and only while the window has room.

The window is limited in bytes, and in events that a crash would bring back (docs/delivery.md). A full window in which
something was settled lately is ordinary back-pressure. A full window in which nothing moves is a hold, and reported.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pybase64

from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.target_check import UNANSWERED_LIMIT_S, TargetView
from stream_router.log import LogLimiter
from stream_router.model import Batch, Record
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

SLICE_RECORDS = 500
SLICE_BYTES = 96 * 1024
"""About 150 events. Their parsed forms then stay in the CPU's caches until they are sent (benchmarks/child.py)."""

WINDOW_BYTES = 64 * 1024 * 1024
"""Bytes that one child may have pending: a minute of a full shard (1 MB/s).

This is much more than 128 calls of ordinary events carry and more than the largest Kinesis record (10 MiB), and a small
host can still run ten such children.
"""

WINDOW_SPAN_S = 120.0
"""Seconds of work above the checkpoint, which is read again after a crash. Well above the checkpoint's interval, or the
window would wait for each checkpoint."""

SPAN_FREE_EVENTS = 2_000
"""Number of events above the checkpoint that may be of any age: reading so few again costs nothing."""

RECORDS_MAX = 1_000_000
"""Maximum number of records above the checkpoint, whatever their age, for a shard that is read extremely fast."""

SPARE_BYTES = 2 * 1024 * 1024
"""More than a record of the usual limit (1 MiB), so that a small batch fits beside one large record."""

READY_MAX = 1_000
"""Number of events ready for a call above which no further record is opened: it would only leave the CPU's caches."""

LETTERS_READY_MAX = 10_000
"""Number of dead letters that may also wait for a call, so that good events do not wait behind others' bad ones.

It equals two requests with a receiver's largest array, and some 30 MB of small letters.
"""

SMALL_BATCH_RECORDS = 100
SMALL_BATCH_EVERY_S = 5.0
"""Size of, and interval between, the small batches that are opened although the window is full.

That happens if only entries that fail by themselves, and events behind them, fill the window. Without other entries as
a comparison nobody could tell whether the bus is well, and the shard would hold for ever.
"""

HOLDING_AFTER_S = 5.0
"""Seconds without anything settled or accepted after which a full window is a hold, and no longer back-pressure."""

LOOKED_LATELY_S = 2.0
"""Seconds since the last check of a full window within which a record counts as waiting for room. While one waits, the
window is checked several times a second."""

MEANS = {
    "bytes": "the pending events fill the child's memory limit, and none is settled; see the log on bus and queue",
    "calls": "calls are not answered, or not accepted; see the log on the destination",
    "span": "the checkpoint does not move, and two minutes of work are above it; see the log on bus and checkpoint",
    "records": "the checkpoint does not move, and a million records are above it; see the log on bus and checkpoint",
    "target": "event bus or rule do not take our events, so nothing is published; see the supervisor's log",
}
"""Reasons for which no further record is opened, in words."""


def slices(
    records: Iterable[dict[str, Any]], batch: Batch, most: Callable[[], int] = lambda: SLICE_RECORDS
) -> Iterator[list[Record]]:
    """Yield the daemon's records, decoded and in order, in slices of at most `most()` records and about 96 KiB.

    Records that a KPL producer aggregated into one record of the stream stay together, since no checkpoint may lie
    between them. A single larger record is a slice of its own.
    """
    taken: list[Record] = []
    size, limit, last = 0, most(), ""
    for record in records:
        if (len(taken) >= limit or size >= SLICE_BYTES) and record["sequenceNumber"] != last:
            yield taken
            taken, size, limit = [], 0, most()
        last = record["sequenceNumber"]
        data = pybase64.b64decode(record["data"], validate=True)
        taken.append(
            Record(
                data,
                int(record["sequenceNumber"]),
                int(record["subSequenceNumber"] or 0),
                int(record["approximateArrivalTimestamp"] or 0),
                batch,
            )
        )
        size += len(data)
    if taken:
        yield taken


class Window:
    """Counts of what is pending, and the decision whether the next slice of records may be opened.

    While the shard holds, a log line says so once a minute. `closed` gets each batch whose last record is settled.
    Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        proof: TargetView,
        closed: Callable[[Batch], None],
        clock: Callable[[], float],
        max_bytes: int = WINDOW_BYTES,
        max_span_s: float = WINDOW_SPAN_S,
    ) -> None:
        self._router, self._proof = router, proof
        self._closed, self._clock = closed, clock
        self._max_bytes, self._max_span_s = max_bytes, max_span_s
        self.held_bytes = 0
        """Bytes of the records that are not settled."""
        self._settled_at = clock()
        self._opened: deque[tuple[float, RecordPosition, int, int]] = deque()
        """Slices above the checkpoint: time of opening, last position, numbers of events and of records up to there."""
        self._events = self._records = 0
        self._taken = (0, 0)
        self._small_batch = False
        self._small_batch_at = clock() + SMALL_BATCH_EVERY_S
        self._waited_at = -LOOKED_LATELY_S
        self._holds = ""
        self.held_since = 0.0
        """Beginning of the hold, if the shard holds."""
        self._to_be_said = LogLimiter(clock)

    # --- what is pending

    def take_charge(self, records: Sequence[Record]) -> None:
        """Count these records as pending."""
        for record in records:
            record.on_settled = self._settled
            record.batch.unsettled += 1
            self.held_bytes += record.size_bytes

    def opened(self, records: Sequence[Record]) -> None:
        """Count the events of these records, which are known now."""
        self._small_batch = False
        self._records += len(records)
        for record in records:
            self._events += record.events
            record.batch.events += record.events
            record.batch.records += 1
        last = RecordPosition(records[-1].sequence_number, records[-1].sub_sequence_number)
        self._opened.append((self._clock(), last, self._events, self._records))

    def all_opened(self, batch: Batch) -> None:
        """Record that all records of this batch are opened."""
        batch.is_open = False
        if not batch.unsettled:
            self._closed(batch)

    def _settled(self, record: Record) -> None:
        self.held_bytes -= record.size_bytes
        self._settled_at = self._clock()
        batch = record.batch
        batch.unsettled -= 1
        if not batch.unsettled and not batch.is_open:
            self._closed(batch)

    def checkpoint_taken(self, position: RecordPosition) -> None:
        """Record a checkpoint: a crash brings back nothing up to here."""
        while self._opened and self._opened[0][1] <= position:
            self._taken = self._opened.popleft()[2:]

    @property
    def events_above(self) -> int:
        """Number of events that a crash would bring back, to within one slice."""
        return self._events - self._taken[0]

    @property
    def span_s(self) -> float:
        """Seconds since the oldest slice above the checkpoint was opened."""
        return self._clock() - self._opened[0][0] if self._opened else 0.0

    # --- whether the next slice may be opened

    @property
    def is_full(self) -> bool:
        """Whether the next slice has to wait. A small batch that was admitted stays admitted until it is opened."""
        if self._small_batch or not (full_by := self._full_by()):
            return False
        now = self._clock()
        has_spare = self.held_bytes < self._max_bytes + max(SPARE_BYTES, self._max_bytes // 4)
        may_help = full_by in ("span", "bytes") and has_spare and self._router.only_sick
        if may_help and now >= self._small_batch_at:
            self._small_batch, self._small_batch_at = True, now + SMALL_BATCH_EVERY_S
            return False
        self.waits(full_by)
        return True

    @property
    def is_crowded(self) -> bool:
        """Whether so many events wait for a call that the rest of a slice has to wait too."""
        if not self._calls_are_behind:
            return False
        self.waits("calls")
        return True

    @property
    def _calls_are_behind(self) -> bool:
        """Whether so many events wait for a call that more of them would only fill the memory."""
        letters = self._router.ready_letters
        return self._router.ready - letters > READY_MAX or letters > LETTERS_READY_MAX

    def _full_by(self) -> str:
        """Return why the next record may not be opened, a key of MEANS; "" if there is room."""
        if self._proof.problem:
            return "target"
        if self._calls_are_behind:
            return "calls"
        if self.held_bytes >= self._max_bytes:
            return "bytes"
        if self._records - self._taken[1] >= RECORDS_MAX:
            return "records"
        span_s = max(self._max_span_s, UNANSWERED_LIMIT_S) if self._proof.unanswered else self._max_span_s
        return "span" if self.events_above > SPAN_FREE_EVENTS and self.span_s >= span_s else ""

    @property
    def slice_records(self) -> int:
        """Maximum number of records of the next slice."""
        return SMALL_BATCH_RECORDS if self._small_batch else SLICE_RECORDS

    @property
    def is_waited_for(self) -> bool:
        """Whether a record waits, or waited a moment ago, for room."""
        return self._clock() - self._waited_at < LOOKED_LATELY_S

    @property
    def holds_for(self) -> str:
        """Reason for the present hold, a key of MEANS; "" if the shard does not hold, or no record waits any more."""
        return self._holds if self._holds and self.is_waited_for else ""

    def waits(self, full_by: str) -> None:
        """Record why the next record, or the shard's end, has to wait."""
        self._waited_at = now = self._clock()
        # A record of very many events is settled only with its last event, so accepted entries count as progress too.
        moved_at = max(self._settled_at, self._router.accepted_at)
        if now - moved_at < HOLDING_AFTER_S:
            self._holds = ""
            return
        self._holds, self.held_since = full_by, moved_at
        if self._to_be_said():
            log.warning(
                "The shard holds. Events wait in the stream, and none is lost. Reason: %s.",
                MEANS[full_by],
                extra={
                    "event": "shard-holds",
                    "held_s": round(now - moved_at, 1),
                    "under_way": self._router.backlog,
                    "reason": full_by,
                },
            )
