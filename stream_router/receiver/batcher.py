"""Group commit: many requests into few PutRecords calls, each request told in time what became of its events.

What arrives waits in its bucket: a few milliseconds for company when calls are in flight, not at all when few are. A
request is decided at its time: its events go to the spill from 0.6 s on, and it is answered 503 at 0.85 s. A call may
land later than that. What it stored is remembered, so that the sender's next try is 202 and stores only what is
missing; a copy that comes while the call is open waits for it, and is not sent beside it.

Where order is asked for, one conversation has at most one record in flight; what comes meanwhile waits for that one.
"""

import asyncio
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from stream_router.envelope import group_of
from stream_router.limits import KINESIS_RECORD_BYTES
from stream_router.process import backoff_s
from stream_router.receiver.backlog import Backlog
from stream_router.receiver.events import (
    FLYING,
    LANDED,
    NO_ROW,
    NOT_STORED,
    NOWHERE,
    PENDING,
    QUEUED,
    SEEN_BEFORE,
    SPILLED,
    STORED,
    Bucket,
    Deliveries,
    Delivery,
    Event,
    Request,
)
from stream_router.receiver.intake import Sealed
from stream_router.receiver.putrecords import LINGER_S, MAX_CALL_BYTES, MAX_RECORDS, WELL_FILLED, Calls, Send
from stream_router.receiver.spill import Spill
from stream_router.receiver.states import StreamState
from stream_router.receiver.stats import Stats

DECIDE_AFTER_S = 0.6
"""Age at which a request's events that are not stored go to the spill."""
GIVE_UP_AFTER_S = 0.85
"""Age at which a request is answered 503 whatever is still going on: the answer must come within 0.9 s."""
SWEEP_EVERY_S = 0.02
LATE_FADES_TO = 0.9
"""Share of the sweeps' worst lateness that the next one still expects: a loop that was late will be late again."""
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.025, 0.4

Records = list[tuple[Bucket, list[Event]]]
"""Those of one call: each bucket, and its events."""


class Batcher:
    """Stores events in the stream. Belongs to one event loop; `jitter` gives a number from 0 to 1."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        stream: str,
        buckets: int,
        stats: Stats,
        *,
        ordered: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`ordered`: no event of a conversation is stored before an earlier one that was accepted."""
        self.loop = loop
        self.now_s = loop.time
        self._jitter = jitter
        self.stats = stats
        self.calls = Calls(send, stream, loop.time, stats, self.wake_up)
        self.buckets = [Bucket(index, buckets) for index in range(buckets)]
        self.stream = StreamState(loop.time, stats, self.buckets)
        self.backlog: Backlog | None = None
        self.conversations: dict[int, deque[Event]] | None = {} if ordered else None
        """With order: each conversation of which a record is in flight, and what waits behind that."""
        self._flying: dict[int, Records] = {}
        self._ready: dict[Bucket, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._company = 0
        """Events that came since the timer was set."""
        self._deliveries = Deliveries()
        self._waiting: deque[Request] = deque()
        """Those that have no answer, in the order in which they were there; some that have one stand between."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due_s = self._late_s = 0.0
        self._at_rest: asyncio.Event | None = None

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Let events wait on disk while the stream is down, and send what waits there already."""
        self.backlog = Backlog(spill, max_bytes, self)
        self.backlog.read_on()

    @property
    def ready(self) -> bool:
        """Whether events can be stored, as far as is known: in the stream, or on disk."""
        return not self.stream.down or (self.backlog is not None and self.backlog.takes)

    # --- requests

    def submit(
        self, events: Sequence[Sealed], arrived_s: float, told: Callable[[str], None], *, has_delivery_id: bool
    ) -> None:
        """Store a request's events. `told` gets STORED, SPILLED, SEEN_BEFORE or NOT_STORED, once.

        Now or later, but within 0.85 s of `arrived_s`, when the request was there.
        """
        if not events:
            told(STORED)
            return
        key = int(events[0].identity, 16) if has_delivery_id else None
        known = self._deliveries.get(key, self.now_s()) if key is not None else None
        if known is not None:
            self.stats.duplicates += 1
        if isinstance(known, float):
            told(SEEN_BEFORE)
            return
        if known is None:
            delivery = Delivery(key, arrived_s)
            buckets, count = self.buckets, len(self.buckets)
            fresh = [
                Event(buckets[group_of(event.conversation, count)], event.conversation, event.line, delivery)
                for event in events
            ]
            delivery.events, delivery.missing = fresh, len(fresh)
        else:
            delivery = known
            fresh = _what_is_nowhere(delivery, events, arrived_s)
        self._deliveries.begin(delivery)
        request = Request(arrived_s, delivery, told, STORED if known is None else SEEN_BEFORE)
        delivery.waiting.append(request)
        self._watch(request)
        self.stats.events_in_flight += len(fresh)
        for event in fresh:
            self.stats.bytes_in_flight += len(event.line)
        if self.backlog is not None and self.conversations is None and self.backlog.wants_new:
            self._spill(fresh)
            return
        for event in fresh:
            self._queue(event)

    def stored(self, event: Event, *, spilled: bool = False) -> None:
        """One more event of a delivery is in the stream, or on disk: told to all who wait, once it is the last."""
        delivery = event.delivery
        assert delivery is not None
        delivery.missing -= 1
        delivery.spilled |= spilled
        if delivery.missing:
            self._leave(delivery)
            return
        self._deliveries.end(delivery, self.now_s())
        waiting, delivery.waiting = delivery.waiting, []
        for request in waiting:
            request.finish(SPILLED if delivery.spilled and request.well == STORED else request.well)

    def _leave(self, delivery: Delivery) -> None:
        """Where nobody waits for it and nothing of it is on its way, it has ended."""
        if delivery.waiting or any(one.place in (QUEUED, FLYING) or one.row == PENDING for one in delivery.events):
            return
        self._deliveries.end(delivery, self.now_s())

    def _refuse(self, request: Request) -> None:
        """Its time is over. What nobody waits for any more, and was not sent, never will be."""
        delivery = request.delivery
        delivery.waiting.remove(request)
        self.stats.events_refused += len(delivery.events)
        if not delivery.waiting:
            for event in delivery.events:
                if event.place == QUEUED and event.row == NO_ROW:
                    self.drop(event)
            self._leave(delivery)
        request.finish(NOT_STORED)

    def drop(self, event: Event) -> None:
        """It is nowhere in memory any more. In its queue what is left of it is passed over."""
        if event.delivery is not None and event.place in (QUEUED, FLYING):
            self.stats.events_in_flight -= 1
            self.stats.bytes_in_flight -= len(event.line)
        event.place = NOWHERE
        event.line = b""

    # --- deadlines

    def _watch(self, request: Request) -> None:
        """Keep its deadlines. One that waited before it came (its body was long to seal) goes before fresher ones."""
        waiting, at = self._waiting, len(self._waiting)
        while at and waiting[at - 1].arrived_s > request.arrived_s:
            at -= 1
        waiting.insert(at, request)
        if self._sweeper is None:
            self._arm_sweep()

    def _arm_sweep(self) -> None:
        self._sweep_due_s = self.now_s() + SWEEP_EVERY_S
        self._sweeper = self.loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _sweep(self) -> None:
        now_s = self.now_s()
        self._late_s = max(now_s - self._sweep_due_s, self._late_s * LATE_FADES_TO)
        # Before the next sweep would be too late; where sweeps come late so much earlier, but not before `decide`.
        give_up_s = now_s - max(DECIDE_AFTER_S, GIVE_UP_AFTER_S - SWEEP_EVERY_S - self._late_s)
        waiting = self._waiting
        try:
            while waiting and (waiting[0].done or waiting[0].arrived_s <= give_up_s):
                request = waiting.popleft()
                if not request.done:
                    self._refuse(request)
            self._decide(itertools.takewhile(lambda one: one.arrived_s <= now_s - DECIDE_AFTER_S, waiting))
        finally:
            # Whatever failed, now or in each sweep: who waits is answered, by this one or the next.
            self._sweeper = None
            if waiting:
                self._arm_sweep()

    def _decide(self, overdue: Iterable[Request]) -> None:
        """Those that have waited enough go to the disk; with order, then, all that is in memory, for it would pass."""
        backlog = self.backlog
        if backlog is None or not backlog.takes:
            return
        events = [event for request in overdue for event in request.delivery.events if event.unsaved]
        if self.conversations is not None and (events or backlog.wants_new):
            # Each conversation's in their order: what is in calls, what waits behind those, what is in the queues.
            flying = (events for records in self._flying.values() for _, events in records)
            every = itertools.chain(*flying, *self.conversations.values(), *(bucket.queue for bucket in self.buckets))
            events = list(dict.fromkeys(event for event in every if event.unsaved))
        self._spill(events)

    def _spill(self, events: Sequence[Event]) -> None:
        assert self.backlog is not None
        if events:
            for event in events:
                event.row = PENDING
            self.backlog.append(events)

    def not_spilled(self, events: Sequence[Event]) -> None:
        """The disk took none of these: they go on in memory. With order they are refused.

        Something newer of their conversations may be on its way there.
        """
        for event in events:
            event.row = NO_ROW
            delivery = event.delivery
            assert delivery is not None
            if event.place == QUEUED and self.conversations is None and delivery.waiting:
                self._queue(event)
            elif event.place == QUEUED:
                for request in list(delivery.waiting):
                    self._refuse(request)
                self.drop(event)
            self._leave(delivery)

    # --- calls

    def _queue(self, event: Event) -> None:
        event.bucket.queue.append(event)
        self.wait_for_turn(event.bucket)
        self._company += 1
        if self._timer is None:
            if not self.calls.full:
                self._company = 0
                wait_s = 0.0 if self.calls.idle else self.calls.linger_s
                self._timer = self.loop.call_later(wait_s, self.dispatch)
        elif self._company == WELL_FILLED and self.calls.linger_s > LINGER_S:
            self.dispatch()

    def wait_for_turn(self, bucket: Bucket) -> None:
        """Something waits in this bucket."""
        if not bucket.resting and bucket not in self._ready:
            self._ready[bucket] = None

    def wake_up(self) -> None:
        """A call is through: what waited for a place goes at once, and so does all where the stream is idle again."""
        if self.backlog is not None:
            self.backlog.settle()
        if self._ready and (self._timer is None or self.calls.idle):
            self.dispatch()
        self.look_whether_at_rest()

    def dispatch(self) -> None:
        """Send what is ready, in as few calls as possible."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ready and not self.calls.full and (records := self._next_records()):
            self._start(records)

    def _next_records(self) -> Records:
        """The next record of as many ready buckets as a call may hold. One that has more goes behind the others."""
        records: Records = []
        room = MAX_CALL_BYTES
        for bucket in list(self._ready):
            if (bucket.alone and records) or room < KINESIS_RECORD_BYTES:
                continue
            events, size_bytes = self._next_events(bucket)
            del self._ready[bucket]
            if bucket.rows or bucket.queue:
                self._ready[bucket] = None
            if events:
                records.append((bucket, events))
                room -= size_bytes + len(bucket.partition_key)
                if bucket.alone or len(records) == MAX_RECORDS:
                    break
        return records

    def _next_events(self, bucket: Bucket) -> tuple[list[Event], int]:
        """As many events as fit a record, and their bytes: rows of the disk, then what requests brought.

        With order what waits for its conversation is put behind that, and nothing new passes rows that were not read.
        """
        conversations = self.conversations
        rows_alone = conversations is not None and self.backlog is not None and bool(self.backlog.unread)
        room = bucket.max_data_bytes + 1
        size_bytes = 0
        events: list[Event] = []
        taken: set[int] = set()
        while queue := bucket.rows or (None if rows_alone else bucket.queue):
            event = queue[0]
            if event.place != QUEUED or (event.row != NO_ROW and event.delivery is not None):
                queue.popleft()
                continue
            if conversations is not None and event.conversation not in taken and event.conversation in conversations:
                conversations[event.conversation].append(queue.popleft())
                continue
            if size_bytes + len(event.line) + 1 > room or (bucket.alone and events):
                break
            size_bytes += len(event.line) + 1
            if conversations is not None and event.conversation not in taken:
                taken.add(event.conversation)
                conversations[event.conversation] = deque()
            event.place = FLYING
            events.append(queue.popleft())
        return events, size_bytes

    def _start(self, records: Records) -> None:
        self._flying[id(records)] = records
        now_s = self.now_s()
        oldest_s = min(
            next((event.delivery.arrived_s for event in events if event.delivery), now_s) for _, events in records
        )
        data = [(bucket, b"\n".join([event.line for event in events])) for bucket, events in records]

        def settled(codes: list[str], for_content: bool) -> None:
            del self._flying[id(records)]
            for (bucket, events), code in zip(records, codes, strict=True):
                bucket.alone = for_content
                if not code:
                    self.stream.took(bucket)
                    bucket.attempts = 0
                    self._landed(events)
                    continue
                self.stream.refused(bucket, code)
                if not bucket.resting:
                    self._rest(bucket)
                if for_content and len(records) == len(events) == 1:
                    self._suspect(events[0])
                self._failed(events)

        self.calls.start(data, oldest_s, settled)

    def _rest(self, bucket: Bucket) -> None:
        """After a failure: exponential backoff with full jitter, each bucket's own."""
        wait_s = backoff_s(bucket.attempts, BACKOFF_FIRST_S, BACKOFF_MOST_S, self._jitter())
        bucket.attempts += 1
        bucket.resting = True
        self._ready.pop(bucket, None)

        def rested() -> None:
            bucket.resting = False
            if bucket.rows or bucket.queue:
                self._ready[bucket] = None
                self.wake_up()

        self.loop.call_later(wait_s, rested)

    def _suspect(self, event: Event) -> None:
        """It was refused alone, for what it holds: for good, where the stream took others since that was so first."""
        bucket = event.bucket
        if bucket.suspect is None or bucket.suspect[0] is not event:
            bucket.suspect = event, self.stream.taken
        elif self.stream.taken > bucket.suspect[1] and event.row >= 0 and self.backlog is not None:
            bucket.suspect = event, math.inf  # asked for once
            self.backlog.refused_for_good(event)

    def _landed(self, events: list[Event]) -> None:
        self.stats.events_stored += len(events)
        for event in events:
            size_bytes = len(event.line)
            self.drop(event)
            event.place = LANDED
            if event.row < 0:
                self.stored(event)
            elif self.backlog is not None:
                self.backlog.landed(event.row, size_bytes)
        self._free(events, [])

    def _failed(self, events: list[Event]) -> None:
        """What somebody waits for, and rows that were read, go again before anything newer."""
        again: list[Event] = []
        for event in events:
            delivery, event.place = event.delivery, QUEUED
            if event.row >= 0:
                assert self.backlog is not None
                line = event.line
                if delivery is not None:
                    self.drop(event)
                    event.delivery = None  # from here on it is one of the disk
                if self.backlog.failed(event.row):
                    event.line, event.place = line, QUEUED
                    again.append(event)
            elif event.row == NO_ROW and delivery is not None and delivery.waiting:
                again.append(event)
            elif event.row == NO_ROW:
                self.drop(event)
            if delivery is not None:
                self._leave(delivery)
        self._free(events, again)

    def _free(self, events: list[Event], again: list[Event]) -> None:
        """A record is through: `again` goes in front, and behind it what waited for its conversations."""
        if self.conversations is not None:
            for key in dict.fromkeys(event.conversation for event in events):
                again.extend(self.conversations.pop(key))
        for event in reversed(again):
            bucket = event.bucket
            queue = bucket.queue if event.delivery is not None else bucket.rows
            if self.conversations is None and bucket.suspect is not None and bucket.suspect[0] is event:
                queue.append(event)  # others of its bucket may show that it is the only one that is refused
            else:
                queue.appendleft(event)
        if again:
            self.wait_for_turn(again[0].bucket)

    # --- the end

    async def close(self, timeout_s: float) -> int:
        """Send what is in memory and on disk, at most so long; how many events are left on disk."""
        self._at_rest = asyncio.Event()
        self.look_whether_at_rest()
        try:
            async with asyncio.timeout(timeout_s):
                await self._at_rest.wait()
        except TimeoutError:
            pass
        return self.backlog.close() if self.backlog is not None else 0

    def look_whether_at_rest(self) -> None:
        """Whoever waits for the end is told once nothing is in a call, in a queue or on disk."""
        in_memory = self.calls.in_flight or self.stats.events_in_flight
        if self._at_rest is not None and not in_memory and (self.backlog is None or not self.backlog.on_disk):
            self._at_rest.set()


def _what_is_nowhere(delivery: Delivery, sealed: Sequence[Sealed], arrived_s: float) -> list[Event]:
    """Of a delivery that came before: its events that are neither stored nor on their way, from this copy."""
    events = list(delivery.events)
    fresh: list[Event] = []
    for at, (before, again) in enumerate(zip(events, sealed, strict=True)):
        if before.place == NOWHERE and before.row == NO_ROW:
            events[at] = Event(before.bucket, before.conversation, again.line, delivery)
            fresh.append(events[at])
    if fresh:
        delivery.events, delivery.arrived_s = events, arrived_s
    return fresh
