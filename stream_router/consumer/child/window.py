"""What a child has under way: the daemon's records in slices, how many there may be, and where none may come, why.

Bounded in bytes, and in what would come again after a crash (docs/delivery.md). A full window in which something was
settled lately is back-pressure, which is ordinary; holding is what an operator must hear of.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pybase64

from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.target_check import UNASKED_S, KnownTarget
from stream_router.log import Seldom
from stream_router.model import Batch, Record
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

SLICE_RECORDS = 500
SLICE_BYTES = 96 * 1024
"""About 150 events: their parsed forms then stay in the caches until they are sent (benchmarks/child.py)."""

WINDOW_BYTES = 64 * 1024 * 1024
"""What one child may have under way: a minute of a full shard (1 MB/s goes into it), much more than 128 calls of
ordinary events carry, and yet a small host holds ten such children. Above a Kinesis record's own ceiling, 10 MiB."""

WINDOW_SPAN_S = 120.0
"""Seconds of work above the checkpoint, which come again after a crash. Well above the checkpoint's own interval, or
the window would wait for each of them."""

SPAN_FREE_EVENTS = 2_000
"""So few events above the checkpoint may be as old as they like: that they come again costs nothing."""

RECORDS_MAX = 1_000_000
"""Records above the checkpoint, whatever the span: a ceiling for a shard that is read faster than anybody thought."""

SPARE_BYTES = 2 * 1024 * 1024
"""More than a record of the usual limit, so that a small batch fits beside a window that one large record filled."""

READY_MAX = 1_000
"""Events that wait for nothing but a call; beyond it no further record is opened: it would only leave the caches."""

LETTERS_READY_MAX = 10_000
"""Dead letters that may wait for a call beside them: good events must not wait behind the bad ones of others. Two
requests of a receiver's largest array, and some 30 MB of small letters."""

SMALL_BATCH_RECORDS = 100
SMALL_BATCH_EVERY_S = 5.0
"""Where only entries in trouble of their own, and what waits behind them, fill span or bytes, a small batch is opened
now and then all the same: without others nothing tells whether the bus is well, and the shard would stand for good."""

HOLDING_AFTER_S = 5.0
"""A full window in which something was settled, or accepted, so lately is back-pressure."""

LOOKED_LATELY_S = 2.0
"""While a record waits for room this is looked at several times a second."""

MEANS = {
    "bytes": "as many bytes are under way as one child may hold, and none of them is settled",
    "calls": "calls are not answered, or not accepted; see the line on the destination",
    "span": "the checkpoint stands still, and as much work is above it as may be; see the lines on bus and checkpoint",
    "records": "a million records wait above the checkpoint, which stands still; see the lines on bus and checkpoint",
    "target": "event bus or rule do not take our events: nothing is published until they do; see the supervisor's line",
}
"""What keeps the next record out, in words."""


def slices(
    records: Iterable[dict[str, Any]], batch: Batch, most: Callable[[], int] = lambda: SLICE_RECORDS
) -> Iterator[list[Record]]:
    """Yield the daemon's records, decoded, in order: at most `most()` at a time or, but for a larger one, about 96 KiB.

    What a KPL producer aggregated into one record of the stream stays together: no checkpoint is within it.
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
    """Counts what is under way, and is asked before each slice of records whether it may be opened.

    It says once a minute that the shard holds, where it does. `closed` gets each batch whose last record is
    settled. Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        proof: KnownTarget,
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
        """Slices above the checkpoint: when each was opened, its last position, all events and records up to there."""
        self._events = self._records = 0
        self._taken = (0, 0)
        self._small_batch = False
        self._small_batch_at = clock() + SMALL_BATCH_EVERY_S
        self._waited_at = -LOOKED_LATELY_S
        self._holds = ""
        self.held_since = 0.0
        """Since when the shard holds, where it does."""
        self._to_be_said = Seldom(clock)

    # What is under way.

    def take_charge(self, records: Sequence[Record]) -> None:
        """Take charge of these records."""
        for record in records:
            record.on_settled = self._settled
            record.batch.unsettled += 1
            self.held_bytes += record.size_bytes

    def opened(self, records: Sequence[Record]) -> None:
        """They are opened: their events are known."""
        self._small_batch = False
        self._records += len(records)
        for record in records:
            self._events += record.events
            record.batch.events += record.events
            record.batch.records += 1
        last = RecordPosition(records[-1].sequence_number, records[-1].sub_sequence_number)
        self._opened.append((self._clock(), last, self._events, self._records))

    def all_opened(self, batch: Batch) -> None:
        """Note that no more records of this batch will come."""
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
        """Note that everything up to here will not come again."""
        while self._opened and self._opened[0][1] <= position:
            self._taken = self._opened.popleft()[2:]

    @property
    def events_above(self) -> int:
        """Events that would come again after a crash, to within one slice."""
        return self._events - self._taken[0]

    @property
    def span_s(self) -> float:
        """Seconds since the oldest of them was opened."""
        return self._clock() - self._opened[0][0] if self._opened else 0.0

    # Whether one more may be opened.

    @property
    def is_full(self) -> bool:
        """Whether the next slice has to wait. What is let in as a small batch is let in until it is opened."""
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
        """Tell whether so much waits for a call that more of it would only fill the memory."""
        letters = self._router.ready_letters
        return self._router.ready - letters > READY_MAX or letters > LETTERS_READY_MAX

    def _full_by(self) -> str:
        """Return what keeps the next record out, a key of MEANS; "" if there is room."""
        if self._proof.problem:
            return "target"
        if self._calls_are_behind:
            return "calls"
        if self.held_bytes >= self._max_bytes:
            return "bytes"
        if self._records - self._taken[1] >= RECORDS_MAX:
            return "records"
        span_s = max(self._max_span_s, UNASKED_S) if self._proof.unasked else self._max_span_s
        return "span" if self.events_above > SPAN_FREE_EVENTS and self.span_s >= span_s else ""

    @property
    def slice_records(self) -> int:
        """The most records of the next slice."""
        return SMALL_BATCH_RECORDS if self._small_batch else SLICE_RECORDS

    @property
    def is_waited_for(self) -> bool:
        """Whether a record waits, or waited a moment ago, for room."""
        return self._clock() - self._waited_at < LOOKED_LATELY_S

    @property
    def holds_for(self) -> str:
        """What the shard holds for now, a key of MEANS; "" where it does not, or no record waits any more."""
        return self._holds if self._holds and self.is_waited_for else ""

    def waits(self, full_by: str) -> None:
        """Note what keeps the next record, or the shard's end, out."""
        self._waited_at = now = self._clock()
        # A record of very many events is settled with the last of them.
        moved_at = max(self._settled_at, self._router.accepted_at)
        if now - moved_at < HOLDING_AFTER_S:
            self._holds = ""
            return
        self._holds, self.held_since = full_by, moved_at
        if self._to_be_said():
            log.warning(
                "the shard holds: %s",
                MEANS[full_by],
                extra={
                    "event": "shard-holds",
                    "held_s": round(now - moved_at, 1),
                    "under_way": self._router.backlog,
                    "reason": full_by,
                },
            )
