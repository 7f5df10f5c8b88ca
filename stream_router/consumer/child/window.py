"""What a child has under way: the daemon's records in slices, and how much of them there may be.

Bounded in bytes, and in what would come again after a crash (docs/delivery.md).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pybase64

from stream_router.consumer.child.watermark import Position
from stream_router.consumer.target_proof import UNASKED_S
from stream_router.model import Batch, Record

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


def slices(
    records: Iterable[dict[str, Any]], batch: Batch, most: Callable[[], int] = lambda: SLICE_RECORDS
) -> Iterator[list[Record]]:
    """The daemon's records, decoded, in order: at most `most()` at a time or, but for a larger one, about 96 KiB.

    What a KPL producer aggregated into one record of the stream stays together: no checkpoint stands within it.
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
    """Counts what is under way. `closed` is told of each batch whose last record is settled. Monotonic seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        closed: Callable[[Batch], None],
        max_bytes: int = WINDOW_BYTES,
        max_span_s: float = WINDOW_SPAN_S,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_span_s = max_span_s
        self._clock = clock
        self._closed = closed
        self.held_bytes = 0
        """Bytes of the records that are not settled."""
        self.settled_at = clock()
        """When a record was last settled."""
        self._opened: deque[tuple[float, Position, int, int]] = deque()
        self._events = self._records = 0
        self._taken = (0, 0)

    def take_charge(self, records: Sequence[Record]) -> None:
        """These records are the child's from now on."""
        for record in records:
            record.on_settled = self._settled
            record.batch.unsettled += 1
            self.held_bytes += record.size_bytes

    def opened(self, records: Sequence[Record]) -> None:
        """They are opened: their events are known."""
        self._records += len(records)
        for record in records:
            self._events += record.events
            record.batch.events += record.events
            record.batch.records += 1
        last = Position(records[-1].sequence_number, records[-1].sub_sequence_number)
        self._opened.append((self._clock(), last, self._events, self._records))

    def all_opened(self, batch: Batch) -> None:
        """No more records of this batch will come."""
        batch.is_open = False
        if not batch.unsettled:
            self._closed(batch)

    def _settled(self, record: Record) -> None:
        self.held_bytes -= record.size_bytes
        self.settled_at = self._clock()
        batch = record.batch
        batch.unsettled -= 1
        if not batch.unsettled and not batch.is_open:
            self._closed(batch)

    def checkpoint_taken(self, position: Position) -> None:
        """Everything up to here will not come again."""
        while self._opened and self._opened[0][1] <= position:
            _, _, events, records = self._opened.popleft()
            self._taken = (events, records)

    @property
    def events_above(self) -> int:
        """Events that would come again after a crash, to within one micro-batch."""
        return self._events - self._taken[0]

    @property
    def span_s(self) -> float:
        """Seconds since the oldest of them was opened."""
        return self._clock() - self._opened[0][0] if self._opened else 0.0

    @property
    def has_spare(self) -> bool:
        """Whether a small batch may come though the window is full: SPARE_BYTES, or a quarter, are there for that."""
        return self.held_bytes < self._max_bytes + max(SPARE_BYTES, self._max_bytes // 4)

    def full_by(self, *, unasked: bool = False) -> str:
        """What keeps the next record out: `bytes`, `span` or `records`; "" where there is room."""
        if self.held_bytes >= self._max_bytes:
            return "bytes"
        if self._records - self._taken[1] >= RECORDS_MAX:
            return "records"
        span_s = max(self._max_span_s, UNASKED_S) if unasked else self._max_span_s
        if self.events_above > SPAN_FREE_EVENTS and self.span_s >= span_s:
            return "span"
        return ""
