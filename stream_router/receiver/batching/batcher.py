"""Group commit: many requests into few PutRecords calls, one record of a bucket in flight, order kept through retries.

What arrives for a bucket while its record is in flight forms its next one, so groups grow with the load by themselves.
A request's future is set exactly once: True when all its events are stored, False when they are not, in time.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from stream_router.receiver.batching import putrecords
from stream_router.receiver.batching.bucket import Bucket, Part, Request
from stream_router.receiver.batching.deadlines import Deadlines
from stream_router.receiver.batching.putrecords_calls import PutRecordsCalls, Send
from stream_router.receiver.intake import Sealed
from stream_router.receiver.spill.backlog import Backlog
from stream_router.receiver.spill.spill import Spill
from stream_router.telemetry.receiver_stats import Stats

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.025, 0.4


class Batcher:
    """Stores events in the stream. Belongs to one event loop; `jitter` gives a number from 0 to 1."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        stream: str,
        buckets: int,
        linger_s: float,
        stats: Stats,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.now_s = loop.time
        self._loop = loop
        self._linger_s = linger_s
        self._stats = stats
        self._jitter = jitter
        self._buckets = [Bucket(index, buckets) for index in range(buckets)]
        self._ready: dict[Bucket, None] = {}
        self._calls = PutRecordsCalls(send, stream, stats, self._settled, self._rearm)
        self._timer: asyncio.TimerHandle | None = None
        self._deadlines = Deadlines(loop, self._decide)
        self._backlog: Backlog | None = None
        self._closing = False
        self.failing_since_s: float | None = None
        """When the stream began to refuse, on the loop's clock; None while it takes events."""
        self.last_failure_s = 0.0

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Let events wait on disk while the stream is down, and send what waits there already."""
        self._backlog = Backlog(spill, max_bytes, self._stats, self)
        self._backlog.load(self._buckets)

    def submit(self, events: Sequence[Sealed], arrived_s: float) -> "asyncio.Future[bool]":
        """Begin to store a request's events; the future says whether all are stored, within 0.85 s of `arrived_s`."""
        buckets = [self._buckets[event.bucket] for event in events]
        request = Request(arrived_s, self._loop.create_future(), buckets)
        self._deadlines.watch(request)
        for event, bucket in zip(events, buckets, strict=True):
            self._stats.events_in_flight += 1
            self._stats.bytes_in_flight += len(event.line)
            self._add(bucket, Part(event.line, request))
        return request.stored

    @property
    def spill_takes(self) -> bool:
        """Whether there is a spill that can take events."""
        return self._backlog is not None and self._backlog.takes

    async def close(self, timeout_s: float) -> None:
        """Send nothing more; wait for the calls in flight, at most so long. Every request is answered by now."""
        self._closing = True
        await self._calls.finish(timeout_s)

    def _add(self, bucket: Bucket, part: Part) -> None:
        if bucket.on_disk and not bucket.catching_up:
            assert self._backlog is not None
            self._backlog.append(bucket, [part])
            return
        if not bucket.queue:
            bucket.since_s = part.request.arrived_s
        bucket.queue.append(part)
        if bucket not in self._ready and bucket.sendable:
            self._ready[bucket] = None
            if self._timer is None and not self._calls.full:
                self._timer = self._loop.call_later(self._linger_s, self._dispatch)

    def _dispatch(self) -> None:
        """Send what is ready, in as few calls as possible."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ready and not self._closing and not self._calls.full:
            buckets, data = self._take()
            if buckets:
                self._calls.start(buckets, data)

    def _take(self) -> tuple[list[Bucket], list[bytes]]:
        """The next record of as many ready buckets as one call may hold."""
        buckets: list[Bucket] = []
        data: list[bytes] = []
        room = putrecords.MAX_CALL_BYTES
        for bucket in list(self._ready):
            if (bucket.alone and buckets) or room < putrecords.MAX_RECORD_BYTES:
                continue
            del self._ready[bucket]
            lines = bucket.next_lines(self._release)
            if not lines:
                self._skip(bucket)
                continue
            bucket.sending = True
            buckets.append(bucket)
            data.append(b"\n".join(lines))
            room -= len(data[-1]) + len(bucket.address.partition_key)
            if bucket.alone or len(buckets) == putrecords.MAX_RECORDS:
                break
        return buckets, data

    def _skip(self, bucket: Bucket) -> None:
        """Nothing of what was taken is worth sending: all was answered 503 or, from the disk, damaged."""
        if bucket.rows:
            assert self._backlog is not None
            self._backlog.stored(bucket)

    def _settled(self, bucket: Bucket, accepted: bool) -> None:
        if accepted:
            self._stored(bucket)
        else:
            self._failed(bucket)

    def _stored(self, bucket: Bucket) -> None:
        self.failing_since_s = None
        bucket.attempts, bucket.alone = 0, False
        if bucket.rows:
            self._stats.events_stored += len(bucket.rows)
            assert self._backlog is not None
            self._backlog.stored(bucket)
            return
        parts, bucket.flying = bucket.flying, []
        self._stats.events_stored += len(parts)
        for part in parts:
            self._release(part)
            part.request.part_stored()
        self.go_on(bucket)

    def _failed(self, bucket: Bucket) -> None:
        """Put the record's events back in front, and let the bucket rest."""
        self.last_failure_s = self.now_s()
        if self.failing_since_s is None:
            self.failing_since_s = self.last_failure_s
        if bucket.rows:
            assert self._backlog is not None
            self._backlog.failed(bucket)
        bucket.queue.extendleft(reversed(bucket.flying))
        bucket.flying = []
        self.rest(bucket)

    def rest(self, bucket: Bucket) -> None:
        """Leave a bucket alone for a while: exponential backoff with full jitter, its own, so that they spread."""
        most_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**bucket.attempts)
        bucket.attempts = min(bucket.attempts + 1, 10)
        bucket.resting = True
        self._loop.call_later(most_s * self._jitter(), self._wake, bucket)

    def _wake(self, bucket: Bucket) -> None:
        bucket.resting = False
        self.go_on(bucket)
        self._rearm()

    def go_on(self, bucket: Bucket) -> None:
        """A bucket may have something to send again: what is on disk first."""
        if bucket.on_disk:
            assert self._backlog is not None
            self._backlog.fetch(bucket)
        elif bucket.sendable:
            bucket.since_s = bucket.queue[0].request.arrived_s
            self._ready[bucket] = None
            self._rearm()

    def rows_ready(self, bucket: Bucket) -> None:
        """A bucket's rows are back from the disk: they have waited long enough."""
        bucket.since_s = float("-inf")
        self._ready[bucket] = None
        self._rearm()

    def _rearm(self) -> None:
        """Send at once what has waited its linger; else when it has."""
        if self._timer is not None or not self._ready or self._calls.full:
            return
        oldest_s = min(bucket.since_s for bucket in self._ready)
        wait_s = max(0.0, oldest_s + self._linger_s - self.now_s())
        self._timer = self._loop.call_later(wait_s, self._dispatch)

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something after a delay."""
        self._loop.call_later(delay_s, what)

    def _release(self, part: Part) -> None:
        self._stats.events_in_flight -= 1
        self._stats.bytes_in_flight -= len(part.line)

    def part_spilled(self, part: Part, synced: bool) -> None:
        """An event is on disk, or could not be put there."""
        self._release(part)
        if synced:
            part.request.part_stored()
        else:
            part.request.finish(stored=False)

    def _decide(self, request: Request) -> None:
        """A request waits too long: its buckets go to the spill as they stand, or it is answered 503."""
        if not self.spill_takes:
            request.finish(stored=False)
            return
        for bucket in request.buckets:
            if any(part.request is request for part in (*bucket.flying, *bucket.queue)):
                self._spill(bucket)

    def _spill(self, bucket: Bucket) -> None:
        """Put all that a bucket has in memory on disk. A record in flight may so be stored twice, with one id."""
        parts = []
        for part in (*bucket.flying, *bucket.queue):
            if part.request.done:
                self._release(part)
            else:
                parts.append(part)
        bucket.flying = []
        bucket.queue.clear()
        if not bucket.rows:
            self._ready.pop(bucket, None)
        assert self._backlog is not None
        self._backlog.append(bucket, parts)
