"""Group commit: many requests into few PutRecords calls; an event waits for nobody but its own conversation.

When calls are in flight, what arrives waits a few milliseconds for company; when the stream is idle it leaves at once.
Whether a request is stored is settled once: True when all its events are stored, False when they are not, in time.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from stream_router.process import backoff_s
from stream_router.receiver.batching.backlog import NO_SPILL, Backlog, SpillState
from stream_router.receiver.batching.deadlines import Deadlines
from stream_router.receiver.batching.lanes import NO_ROW, Bucket, Lane, Lanes, Part, RecordInFlight, Request, next_call
from stream_router.receiver.batching.putrecords_calls import TIMED_OUT, PutRecordsCalls, Send
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.batching.storing import Storing
from stream_router.receiver.batching.stream_state import StreamState
from stream_router.receiver.intake import Sealed
from stream_router.receiver.spill.spill import Spill

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.025, 0.4
IDLE_CALLS = 2
"""With fewer calls in flight an event leaves at once: at a few dozen events a second, waiting would group nothing."""


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
        self.lanes = Lanes(buckets)
        self._ready: dict[Bucket, None] = {}
        self._calls = PutRecordsCalls(send, stream, stats, self._settled, self._call_ended)
        self._timer: asyncio.TimerHandle | None = None
        self.deadlines = Deadlines(loop, self._decide, self.refuse)
        self._backlog: Backlog | None = None
        self._closing = False
        self.stream = StreamState(loop.time)

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Let events wait on disk while the stream is down, and send what waits there already."""
        self._backlog = Backlog(spill, max_bytes, self._stats, self)
        self._backlog.load()

    def submit(self, events: Sequence[Sealed], arrived_s: float) -> Storing:
        """Begin to store a request's events; whether all are stored is known within 0.85 s of `arrived_s`."""
        request = Request(arrived_s, len(events))
        self.deadlines.watch(request)
        stats = self._stats
        for event in events:
            stats.events_in_flight += 1
            stats.bytes_in_flight += len(event.line)
            lane = self.lanes.of(event.conversation)
            part = Part(lane, event.line, request)
            request.parts.append(part)
            self._add(lane, part)
        return request.storing

    @property
    def spill_takes(self) -> bool:
        """Whether there is a spill that can take events."""
        return self._backlog is not None and self._backlog.takes

    @property
    def spill_state(self) -> SpillState:
        """How the spill is."""
        return self._backlog.state if self._backlog is not None else NO_SPILL

    async def close(self, timeout_s: float) -> None:
        """Send nothing more; wait for the calls in flight, at most so long. Every request is answered by now."""
        self._closing = True
        await self._calls.finish(timeout_s)
        if self._backlog is not None:
            self._backlog.flush()

    def _add(self, lane: Lane, part: Part) -> None:
        """Behind what is on disk of its conversation; where stream and bucket refuse, onto the disk at once.

        Were the stream's word enough, one shard that refuses would send the events of all to the disk, behind its own.
        """
        backlog = self._backlog
        if backlog is not None and (lane.on_disk or (self.stream.down_for(lane.bucket.index) and backlog.probing)):
            if backlog.takes:
                lane.behind.append(part)
                self._spill(lane)
                return
            if lane.on_disk:
                lane.behind.append(part)
                return
        lane.parts.append(part)
        self.queue(lane)

    def queue(self, lane: Lane) -> None:
        """A lane may have something to send: let it stand in its bucket's list, unless it waits for itself."""
        if lane.queued or lane.flying or not lane.parts:
            return
        lane.queued = True
        bucket = lane.bucket
        bucket.ready.append(lane)
        if not bucket.resting and bucket not in self._ready:
            self._ready[bucket] = None
            self._arm()

    def _arm(self) -> None:
        """Send soon: at once where hardly a call is in flight, else after the linger; where all are, when one ends."""
        if self._timer is None and not self._calls.full:
            wait_s = 0.0 if self._calls.in_flight < IDLE_CALLS else self._linger_s
            self._timer = self._loop.call_later(wait_s, self._dispatch)

    def _call_ended(self) -> None:
        """A call is through: what waited for a place goes at once, and so does all where the stream is idle again."""
        if self._ready and (self._timer is None or self._calls.in_flight < IDLE_CALLS):
            self._dispatch()

    def _dispatch(self) -> None:
        """Send what is ready, in as few calls as possible."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ready and not self._closing and not self._calls.full:
            records, data = next_call(self._ready, self.release, self.lanes.forget)
            if records:
                self._calls.start(records, data)

    def _settled(self, record: RecordInFlight, code: str) -> None:
        if code:
            self._failed(record, code)
        else:
            self._stored(record)

    def _stored(self, record: RecordInFlight) -> None:
        bucket = record.bucket
        self.stream.took(bucket.index)
        bucket.attempts, bucket.alone = 0, False
        for lane in record.lanes:
            flying, lane.flying = lane.flying, []
            self._stats.events_stored += len(flying)
            for part in flying:
                part.gone = True
                self.release(part)
                request, part.request = part.request, None
                if request is not None:
                    request.part_stored()
                if part.row >= 0:
                    assert self._backlog is not None
                    self._backlog.landed(part.row)
            self.go_on(lane)
        if self._backlog is not None:
            self._backlog.fetch()

    def _failed(self, record: RecordInFlight, code: str) -> None:
        """Put the record's events back in front, and let the bucket rest; after a time-out they have waited enough."""
        self.stream.refused(code, record.bucket.index)
        if code == TIMED_OUT:
            self._waited_enough(record)
        else:
            self._rest(record.bucket)
        for lane in record.lanes:
            flying, lane.flying = lane.flying, []
            for part in flying:
                part.flying = False
            # What is on disk besides, or will be in a moment, comes from there.
            lane.parts.extendleft(part for part in reversed(flying) if part.row == NO_ROW or part.from_disk)
            self.go_on(lane)

    def _waited_enough(self, record: RecordInFlight) -> None:
        """A call hung: its events go to the spill, or are answered 503. Where it lands after all, it is a duplicate."""
        for lane in record.lanes:
            waiting = [part.request for part in lane.flying if part.request is not None and not part.request.done]
            if waiting and self.spill_takes:
                self._spill(lane)
                continue
            self.refuse(waiting)

    def go_on(self, lane: Lane) -> None:
        """A lane changed: send what it has, or forget it."""
        self.queue(lane)
        self.lanes.forget(lane)

    def _rest(self, bucket: Bucket) -> None:
        """Leave a bucket alone for a while: exponential backoff with full jitter, its own, so that they spread."""
        if bucket.resting:
            return
        wait_s = backoff_s(bucket.attempts, BACKOFF_FIRST_S, BACKOFF_MOST_S, self._jitter())
        bucket.attempts += 1
        bucket.resting = True
        self._ready.pop(bucket, None)
        self._loop.call_later(wait_s, self._wake, bucket)

    def _wake(self, bucket: Bucket) -> None:
        bucket.resting = False
        if bucket.ready:
            self._ready[bucket] = None
            self._arm()

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something after a delay."""
        self._loop.call_later(delay_s, what)

    def release(self, part: Part) -> None:
        """A part of a request leaves memory, or is on disk as well."""
        if part.counted:
            part.counted = False
            self._stats.events_in_flight -= 1
            self._stats.bytes_in_flight -= len(part.line)

    def refuse(self, requests: Iterable[Request]) -> None:
        """Answer requests that they are not stored."""
        self.lanes.refuse(requests, self.release)

    def _decide(self, overdue: Sequence[Request]) -> None:
        """Requests wait too long: their conversations go to the spill as they stand, or they are answered 503.

        Without a spill, what is in flight is left to its call, which ends soon. A conversation may be long, and hold
        all of these requests: it is looked through once, not for each.
        """
        if self.spill_takes:
            for lane in dict.fromkeys(part.lane for request in overdue for part in request.parts if part.unsaved):
                self._spill(lane)
        if not self.spill_takes:
            self.refuse([one for one in overdue if any(part.unsaved and not part.flying for part in one.parts)])

    def _spill(self, lane: Lane) -> None:
        """Put on disk, in order, all of a conversation that is in memory alone; what lands is sent no more."""
        waiting = [part for part in (*lane.flying, *lane.parts, *lane.behind) if part.row == NO_ROW]
        lane.parts = deque(part for part in lane.parts if part.row != NO_ROW)
        lane.behind = []
        assert self._backlog is not None
        self._backlog.append(lane, [part for part in waiting if not part.refused])
        for part in waiting:
            if part.refused and not part.flying:
                self.release(part)
        self.lanes.forget(lane)
