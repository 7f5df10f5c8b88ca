"""The spill's side of the batcher: which buckets have events on disk, and how those come back, in order.

While a bucket has events on disk, newer ones go behind them there. Only when all that is left on disk is on its way to
the stream do newer ones wait in memory again (else a bucket that is always busy would never be done with its disk).
So a bucket's order is: the rows on their way, the rows on disk, the queue in memory; and while it has rows on disk that
are not on their way, its queue is empty.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from stream_router.receiver.batching.bucket import Bucket, Part
from stream_router.receiver.spill.spill import ROW_BYTES, Line, Spill
from stream_router.telemetry.receiver_stats import Stats

MAX_READS = 16
"""Buckets whose disk is read, or whose rows are in memory, at once."""
RECORD_BYTES = 256 * 1024
PROBE_BYTES = 16 * 1024
"""After a failure a bucket sends little until the stream takes it."""
BROKEN_FOR_S = 2.0
"""A spill that failed is believed broken for so long; deletions that failed are tried again after it."""


class Owner(Protocol):
    """What the batcher does for its backlog."""

    def now_s(self) -> float: ...
    def later(self, delay_s: float, what: Callable[[], None]) -> None: ...
    def part_spilled(self, part: Part, synced: bool) -> None: ...
    def rows_ready(self, bucket: Bucket) -> None: ...
    def go_on(self, bucket: Bucket) -> None: ...
    def rest(self, bucket: Bucket) -> None: ...


class Backlog:
    """What waits on disk, at most `max_bytes` of it."""

    def __init__(self, spill: Spill, max_bytes: int, stats: Stats, owner: Owner) -> None:
        self._spill = spill
        self._max_bytes = max_bytes
        self._stats = stats
        self._owner = owner
        self._waiting: deque[Bucket] = deque()
        self._reading = 0
        self._broken_until_s = float("-inf")

    def load(self, buckets: Sequence[Bucket]) -> None:
        """Take up what an earlier process left."""
        self._stats.spill_damaged += self._spill.damaged
        for index, events, size in self._spill.depths():
            buckets[index].on_disk = events
            self._stats.spill_events += events
            self._stats.spill_bytes += size
            self.fetch(buckets[index])

    @property
    def takes(self) -> bool:
        """Whether it can take events: it works, and it is not full."""
        return self._stats.spill_bytes < self._max_bytes and self._owner.now_s() >= self._broken_until_s

    def append(self, bucket: Bucket, parts: Sequence[Part]) -> None:
        """Put events behind those that the bucket has on disk. Its queue must be empty."""
        bucket.catching_up = False
        lines: list[Line] = [(bucket.index, part.line) for part in parts]
        size = sum(len(line) + ROW_BYTES for _, line in lines)
        if not self.takes or self._stats.spill_bytes + size > self._max_bytes:
            for part in parts:
                self._owner.part_spilled(part, synced=False)
            return
        self._count(bucket, len(lines), size)
        self._spill.append(lines, lambda synced: self._appended(bucket, parts, size, synced))

    def _appended(self, bucket: Bucket, parts: Sequence[Part], size: int, synced: bool) -> None:
        if synced:
            self._stats.events_spilled += len(parts)
        else:
            self._broken_until_s = self._owner.now_s() + BROKEN_FOR_S
            self._count(bucket, -len(parts), -size)
        for part in parts:
            self._owner.part_spilled(part, synced)
        self._owner.go_on(bucket)

    def fetch(self, bucket: Bucket) -> None:
        """Bring a bucket's oldest rows into memory, unless that is under way or the bucket cannot send now."""
        if bucket.rows or bucket.fetching or bucket.sending or bucket.resting:
            return
        bucket.fetching = True
        self._waiting.append(bucket)
        self._read_on()

    def _read_on(self) -> None:
        while self._waiting and self._reading < MAX_READS:
            bucket = self._waiting.popleft()
            self._reading += 1
            most = PROBE_BYTES if bucket.attempts else RECORD_BYTES
            self._spill.read(bucket.index, most, self._reader(bucket))

    def _reader(self, bucket: Bucket) -> Callable[[list[Line]], None]:
        return lambda rows: self._fetched(bucket, rows)

    def _fetched(self, bucket: Bucket, rows: list[Line]) -> None:
        bucket.fetching = False
        if rows:
            bucket.rows = rows
            bucket.catching_up = len(rows) == bucket.on_disk
            self._owner.rows_ready(bucket)
            return
        self._end_reading()
        if bucket.on_disk:
            self._owner.rest(bucket)

    def failed(self, bucket: Bucket) -> None:
        """The stream did not take the rows: forget them in memory, and let nothing pass them."""
        bucket.rows = []
        if bucket.queue:
            parts = list(bucket.queue)
            bucket.queue.clear()
            self.append(bucket, parts)
        bucket.catching_up = False
        self._end_reading()

    def stored(self, bucket: Bucket) -> None:
        """The stream has the rows: delete them, then go on."""
        rows, bucket.rows = bucket.rows, []
        self._stats.spill_damaged += sum(not line for _, line in rows)
        bucket.fetching = True
        self._delete(bucket, rows)
        self._end_reading()

    def _end_reading(self) -> None:
        self._reading -= 1
        self._read_on()

    def _delete(self, bucket: Bucket, rows: list[Line]) -> None:
        self._spill.delete([row for row, _ in rows], lambda gone: self._deleted(bucket, rows, gone))

    def _deleted(self, bucket: Bucket, rows: list[Line], gone: bool) -> None:
        if not gone:
            self._owner.later(BROKEN_FOR_S, lambda: self._delete(bucket, rows))
            return
        bucket.fetching = False
        self._count(bucket, -len(rows), -sum(len(line) + ROW_BYTES for _, line in rows))
        self._owner.go_on(bucket)

    def _count(self, bucket: Bucket, events: int, size: int) -> None:
        bucket.on_disk += events
        self._stats.spill_events += events
        self._stats.spill_bytes += size
        if not self._stats.spill_events:
            # A damaged row's size is not known any more: an empty spill is the moment to be exact again.
            self._stats.spill_bytes = 0
