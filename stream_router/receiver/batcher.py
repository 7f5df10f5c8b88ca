"""Group commit: many requests into few PutRecords calls, each request answered in time.

An event waits in the queue of its partition group: a few milliseconds for company if calls are in flight, not at all if
few are. From an age of 0.6 s on a request's events go to the spill, and at 0.85 s the request is answered 503.

A call may end later than that. The receiver remembers which events the call stored. The sender's next attempt is then
answered 202, and stores only the missing events. A copy that comes while the call is in flight waits for the call, and
is not sent beside it.

If order is asked for, a conversation has at most one record in flight. Its later events wait for that record.

The batcher moves every event through the table of `events.py`. Spill and calls report to the batcher by callbacks
alone.
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
    DONE,
    GIVEN_UP,
    IN_FLIGHT,
    NO_ROW,
    NOT_STORED,
    QUEUED,
    SEEN_BEFORE,
    SPILLED,
    SPILLING,
    TO_SPILL,
    TO_STREAM,
    WRITING,
    Bucket,
    Deliveries,
    Delivery,
    PendingEvent,
    Waiter,
)
from stream_router.receiver.intake import Sealed
from stream_router.receiver.putrecords import LINGER_S, MAX_CALL_BYTES, MAX_RECORDS, WELL_FILLED, Calls, Send
from stream_router.receiver.spill import Spill
from stream_router.receiver.spill_store import SpillStore
from stream_router.receiver.states import StreamState
from stream_router.receiver.stats import Stats

DECIDE_AFTER_S = 0.6
"""Age, in seconds, at which a request's events that are not stored go to the spill."""
AWAIT_SLOW_CALL_S = 0.75
"""Age, in seconds, up to which an event in flight is kept out of the spill if calls usually end before that age.

A call of 0.7 s would store nearly every event beside its row in the spill. Another receiver that drains a spill queue
does not know of that call, and would store the event again.
"""
SLOW_CALLS_S = (0.3, AWAIT_SLOW_CALL_S)
"""Bounds, in seconds, of the typical durations of calls to which AWAIT_SLOW_CALL_S applies.

If calls are usually quicker, a call that is in flight after 0.6 s hangs.
"""
GIVE_UP_AFTER_S = 0.85
"""Age, in seconds, at which a request is answered 503 whatever is in progress: the answer is due within 0.9 s."""
SWEEP_EVERY_S = 0.02
LATE_FADES_TO = 0.9
"""Share of the sweeps' worst lateness that the next sweep still expects: a loop that was late will be late again."""
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.025, 0.4
ONE_CALL_ROWS = 500
"""Number of unread rows up to which, with order, arrivals wait in memory for the call that takes those rows."""

Records = list[tuple[Bucket, list[PendingEvent]]]
"""The records of a call: pairs of a partition group and its events."""


class Batcher:
    """The way of events into the stream, on a single event loop. `jitter` returns a number from 0 to 1."""

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
        """Create a batcher. If `ordered`, no event of a conversation is stored before an earlier accepted event."""
        self.loop = loop
        self.now_s = loop.time
        self._jitter = jitter
        self.stats = stats
        self.calls = Calls(send, stream, loop, stats, self.wake_up)
        self.buckets = [Bucket(index, buckets) for index in range(buckets)]
        self.stream = StreamState(loop.time, stats, self.buckets)
        self.backlog: SpillStore | None = None
        self.conversations: dict[int, deque[PendingEvent]] | None = {} if ordered else None
        """Conversations of which a record is in flight, with the events that wait for it; None without order."""
        self._in_flight: dict[int, Records] = {}
        self._ready: dict[Bucket, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._company = 0
        """Number of events that came since the timer was set."""
        self._deliveries = Deliveries()
        self._waiting: deque[Waiter] = deque()
        """Requests without an answer, in the order of their arrival. Some answered requests stand between them."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due_s = self._late_s = 0.0
        self._at_rest: asyncio.Event | None = None

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Let events wait on disk while the stream is down, and send the events that wait there already."""
        self.use_store(Backlog(spill, max_bytes, self.loop, self.buckets, self.stats, self.drained))

    def use_store(self, store: SpillStore) -> None:
        """Let events wait in this store, and send the events that wait there already."""
        self.backlog = store
        store.drain()

    @property
    def ready(self) -> bool:
        """Whether events can be stored, as far as is known: in the stream, or on disk."""
        is_down = self.stream.down or (self.calls.is_silent and self.calls.full)
        return not is_down or (self.backlog is not None and self.backlog.takes)

    # --- requests

    def submit(
        self, events: Sequence[Sealed], arrived_s: float, answer: Callable[[str], None], *, has_delivery_id: bool
    ) -> None:
        """Store a request's events. `answer` gets TO_STREAM, TO_SPILL, SEEN_BEFORE or NOT_STORED, once.

        It is called now or later, but within 0.85 s of `arrived_s`, the time at which the request was complete.
        """
        if not events:
            answer(TO_STREAM)
            return
        key = int(events[0].identity, 16) if has_delivery_id else None
        known = self._deliveries.get(key, self.now_s()) if key is not None else None
        if known is not None:
            self.stats.duplicates += 1
        if isinstance(known, float):
            answer(SEEN_BEFORE)
            return
        if known is None:
            delivery = Delivery(key, arrived_s)
            buckets, count = self.buckets, len(self.buckets)
            fresh = [
                PendingEvent(buckets[group_of(event.conversation, count)], event.conversation, event.line, delivery)
                for event in events
            ]
            delivery.events, delivery.missing = fresh, len(fresh)
        else:
            delivery = known
            fresh = _renew_given_up(delivery, events, arrived_s)
        self._deliveries.begin(delivery)
        request = Waiter(arrived_s, delivery, answer, TO_STREAM if known is None else SEEN_BEFORE)
        delivery.waiting.append(request)
        self._watch(request)
        self.stats.events_in_flight += len(fresh)
        for event in fresh:
            self.stats.bytes_in_flight += len(event.line)
        if self.conversations is None and self._spills_arrivals:
            self._spill(fresh)
            return
        for event in fresh:
            self._queue(event)

    def _count_stored(self, event: PendingEvent, *, in_spill: bool = False) -> None:
        """Record that an event is in the stream or the spill. If its delivery is complete, answer its requests."""
        delivery = event.delivery
        assert delivery is not None
        delivery.missing -= 1
        delivery.spilled |= in_spill
        if delivery.missing:
            self._end_if_idle(delivery)
            return
        self._deliveries.end(delivery, self.now_s())
        waiting, delivery.waiting = delivery.waiting, []
        for request in waiting:
            request.finish(TO_SPILL if delivery.spilled and request.outcome == TO_STREAM else request.outcome)

    def _end_if_idle(self, delivery: Delivery) -> None:
        """End a delivery if no request waits for it and none of its events is on its way."""
        if delivery.waiting or any(event.is_on_its_way for event in delivery.events):
            return
        self._deliveries.end(delivery, self.now_s())

    def _refuse(self, request: Waiter) -> None:
        """Answer 503, since the request's time is over. Give up queued events for which no request waits."""
        delivery = request.delivery
        delivery.waiting.remove(request)
        self.stats.events_refused += len(delivery.events)
        if not delivery.waiting:
            for event in delivery.events:
                if event.place == QUEUED:
                    self._leave_memory(event, GIVEN_UP)
            self._end_if_idle(delivery)
        request.finish(NOT_STORED)

    def _leave_memory(self, event: PendingEvent, place: int) -> None:
        """Move an event to a place outside memory. If it remains in a queue, the queue's reader skips it."""
        event.move(place)
        if event.delivery is not None:
            self.stats.events_in_flight -= 1
            self.stats.bytes_in_flight -= len(event.line)
        event.line = b""

    # --- deadlines

    def _watch(self, request: Waiter) -> None:
        """Watch a request's deadlines. A request whose body took long to seal goes before fresher requests."""
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
        # Give up before the next sweep would be too late: earlier by the sweeps' lateness, but never before `_decide`.
        give_up_s = now_s - max(DECIDE_AFTER_S, GIVE_UP_AFTER_S - SWEEP_EVERY_S - self._late_s)
        waiting = self._waiting
        try:
            while waiting and (waiting[0].is_answered or waiting[0].arrived_s <= give_up_s):
                request = waiting.popleft()
                if not request.is_answered:
                    self._refuse(request)
            self._decide(itertools.takewhile(lambda request: request.arrived_s <= now_s - DECIDE_AFTER_S, waiting))
        finally:
            # Whatever failed in this sweep, the next sweep answers the requests that still wait.
            self._sweeper = None
            if waiting:
                self._arm_sweep()

    @property
    def _spills_arrivals(self) -> bool:
        """Whether arrivals go to the spill at once: the stream is down, or many rows in the spill must precede them."""
        backlog = self.backlog
        if backlog is None:
            return False
        is_down = (self.stream.down or self.calls.is_silent) and backlog.has_drained
        is_behind = self.conversations is not None and backlog.unread > ONE_CALL_ROWS
        return (is_down or is_behind) and backlog.takes

    def _decide(self, overdue: Iterable[Waiter]) -> None:
        """Spill the events of requests that waited long enough. With order spill all events, so that none overtakes."""
        if self.backlog is None or not self.backlog.takes:
            return
        fastest_s, slowest_s = SLOW_CALLS_S
        awaits_call = self.conversations is None and fastest_s <= self.calls.typical_s < slowest_s
        awaited_from_s = self.now_s() - AWAIT_SLOW_CALL_S if awaits_call else math.inf
        events = (
            event
            for request in overdue
            for event in request.delivery.events
            if event.is_unsaved and not (event.place == IN_FLIGHT and request.arrived_s > awaited_from_s)
        )
        if self.conversations is not None:
            first = next(events, None)
            if first is None and not self._spills_arrivals:
                return
            # This keeps a conversation's order: events in calls, then events that wait for those, then queued events.
            in_calls = (some for records in self._in_flight.values() for _, some in records)
            every = itertools.chain(*in_calls, *self.conversations.values(), *(bucket.queue for bucket in self.buckets))
            events = (event for event in every if event.is_unsaved)
        self._spill(events)

    def _spill(self, events: Iterable[PendingEvent]) -> None:
        """Hand events to the spill.

        `events` may yield an event twice if it checks `is_unsaved`, which is false once the event was handed over.
        """
        assert self.backlog is not None
        handed: list[PendingEvent] = []
        for event in events:
            if event.place == QUEUED:
                event.move(SPILLING)
            event.row = WRITING
            handed.append(event)
        if handed:
            self.backlog.store(handed, self._spill_answered)

    def _spill_answered(self, events: Sequence[PendingEvent], first: int | None) -> None:
        if first is None:
            self._not_spilled(events)
        else:
            self._spilled(events, first)
        self._send_ready()

    def _spilled(self, events: Sequence[PendingEvent], first: int) -> None:
        assert self.backlog is not None
        for row, event in enumerate(events, first):
            event.row = row
            if event.place == DONE:  # its call stored it while the spill was writing
                self.backlog.settle(row)
                continue
            if event.place == IN_FLIGHT:
                self.backlog.hold(row)
            self._leave_memory(event, SPILLED)
            self._count_stored(event, in_spill=True)

    def _not_spilled(self, events: Sequence[PendingEvent]) -> None:
        """Continue in memory with events that the spill did not store. With order refuse their requests.

        With order newer events of their conversations may be on their way to the spill.
        """
        for event in events:
            event.row = NO_ROW
            delivery = event.delivery
            assert delivery is not None
            if event.place == SPILLING and self.conversations is None and delivery.waiting:
                event.move(QUEUED)
                self._queue(event)
            elif event.place == SPILLING:
                for request in list(delivery.waiting):
                    self._refuse(request)
                self._leave_memory(event, GIVEN_UP)
            self._end_if_idle(delivery)

    def drained(self, events: Sequence[PendingEvent]) -> None:
        """Send events that the spill drained."""
        for event in events:
            event.move(QUEUED)
            event.bucket.rows.append(event)
            self._await_turn(event.bucket)
        self._send_ready()

    # --- calls

    def _queue(self, event: PendingEvent) -> None:
        event.bucket.queue.append(event)
        self._await_turn(event.bucket)
        self._company += 1
        if self._timer is None:
            if not self.calls.full:
                self._company = 0
                wait_s = 0.0 if self.calls.idle else self.calls.linger_s
                self._timer = self.loop.call_later(wait_s, self.dispatch)
        elif self._company == WELL_FILLED and self.calls.linger_s > LINGER_S:
            self.dispatch()

    def _await_turn(self, bucket: Bucket) -> None:
        """Let a partition group that has events to send take part in the next calls."""
        if not bucket.resting and bucket not in self._ready:
            self._ready[bucket] = None

    def wake_up(self) -> None:
        """Send the events that waited for a call to end."""
        if self.backlog is not None:
            self.backlog.settle_files()
        self._send_ready()

    def _send_ready(self) -> None:
        """Send ready events, unless they wait for company. With few calls in flight they wait for none."""
        if self._ready and (self._timer is None or self.calls.idle):
            self.dispatch()
        self._check_at_rest()

    def dispatch(self) -> None:
        """Send ready events in as few calls as possible."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ready and not self.calls.full and (records := self._next_records()):
            self._start(records)

    def _next_records(self) -> Records:
        """Return the next record of each ready partition group, as many as a call may hold.

        A group that still has events goes behind the others. A call holds a single event if it probes a silent stream,
        or searches for the event for whose content a call was refused.
        """
        records: Records = []
        room = MAX_CALL_BYTES
        is_probe = self.calls.is_silent
        for bucket in list(self._ready):
            is_alone = bucket.alone or is_probe or bool(bucket.suspects)
            if (is_alone and records) or room < KINESIS_RECORD_BYTES:
                continue
            events, size_bytes = self._next_events(bucket, is_alone=is_alone)
            del self._ready[bucket]
            if bucket.rows or bucket.queue:
                self._ready[bucket] = None
            if events:
                records.append((bucket, events))
                room -= size_bytes + len(bucket.partition_key)
                if is_alone or len(records) == MAX_RECORDS:
                    break
        return records

    def _next_events(self, bucket: Bucket, *, is_alone: bool) -> tuple[list[PendingEvent], int]:
        """Return the events of the next record, and their bytes: as many as fit, or a single event if `is_alone`.

        Drained events precede arrivals. With order an event whose conversation is in flight is queued behind that
        conversation, and no arrival overtakes unread rows.
        """
        conversations = self.conversations
        is_behind = conversations is not None and self.backlog is not None and bool(self.backlog.unread)
        room = bucket.max_data_bytes + 1
        size_bytes = 0
        events: list[PendingEvent] = []
        taken: set[int] = set()
        while queue := bucket.rows or (None if is_behind else bucket.queue):
            event = queue[0]
            if event.place != QUEUED:
                queue.popleft()
                continue
            is_holder = event.conversation in taken or event in bucket.suspects
            if conversations is not None and event.conversation in conversations and not is_holder:
                conversations[event.conversation].append(queue.popleft())
                continue
            if size_bytes + len(event.line) + 1 > room or (is_alone and events):
                break
            size_bytes += len(event.line) + 1
            if conversations is not None and event.conversation not in taken:
                taken.add(event.conversation)
                conversations.setdefault(event.conversation, deque())
            event.move(IN_FLIGHT)
            events.append(queue.popleft())
        return events, size_bytes

    def _start(self, records: Records) -> None:
        self._in_flight[id(records)] = records
        now_s = self.now_s()
        oldest_s = min(
            next((event.delivery.arrived_s for event in events if event.delivery), now_s) for _, events in records
        )
        data = [(bucket, b"\n".join([event.line for event in events])) for bucket, events in records]

        def settled(codes: list[str], for_content: bool) -> None:
            del self._in_flight[id(records)]
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
                event = events[0]
                if for_content and len(records) == len(events) == 1 and event.place == IN_FLIGHT and not event.delivery:
                    self._suspect(event)
                else:
                    self._failed(events)

        self.calls.start(data, oldest_s, settled)

    def _rest(self, bucket: Bucket) -> None:
        """Let a partition group rest after a failure: exponential backoff with full jitter, separate for each group."""
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

    def _suspect(self, event: PendingEvent) -> None:
        """Try a drained event again that was refused alone for its content, behind the other drained events.

        Set the event aside if the stream took records since its first such refusal. Its conversation waits for that
        outcome.
        """
        bucket, backlog = event.bucket, self.backlog
        assert backlog is not None
        if self.stream.taken <= bucket.suspects.setdefault(event, self.stream.taken):
            event.move(QUEUED)
            bucket.rows.append(event)
            return
        event.move(SPILLED)

        def set_aside(is_kept: bool) -> None:
            if is_kept:
                del bucket.suspects[event]
                event.move(DONE)
                backlog.settle(event.row)
                self._free([event], [])
            else:
                event.move(QUEUED)
                self._free([event], [event])
            self.wake_up()

        backlog.set_aside(event, set_aside)

    def _landed(self, events: list[PendingEvent]) -> None:
        self.stats.events_stored += len(events)
        for event in events:
            if event.place == SPILLED:  # the spill stored it while the call was in flight
                event.move(DONE)
                self._settle_row(event)
            elif event.delivery is None:
                event.move(DONE)
                event.bucket.suspects.pop(event, None)
                self._settle_row(event)
            else:
                self._leave_memory(event, DONE)
                self._count_stored(event)
        self._free(events, [])

    def _settle_row(self, event: PendingEvent) -> None:
        assert self.backlog is not None
        self.backlog.settle(event.row)

    def _failed(self, events: list[PendingEvent]) -> None:
        """Resend, before anything newer, the events that the spill holds or a request waits for."""
        again: list[PendingEvent] = []
        for event in events:
            delivery = event.delivery
            if event.place == SPILLED:
                assert self.backlog is not None
                drained = self.backlog.release(event.row)
                if drained is not None:
                    drained.move(QUEUED)
                    again.append(drained)
            elif event.row == WRITING:
                event.move(SPILLING)
            elif delivery is None or delivery.waiting:
                event.move(QUEUED)
                again.append(event)
            else:
                self._leave_memory(event, GIVEN_UP)
            if delivery is not None:
                self._end_if_idle(delivery)
        self._free(events, again)

    def _free(self, events: list[PendingEvent], again: list[PendingEvent]) -> None:
        """End a record: put the events of `again` in front, and after them those that waited for its conversations."""
        if self.conversations is not None:
            for key in dict.fromkeys(event.conversation for event in events):
                again.extend(event for event in self.conversations.pop(key) if event.place == QUEUED)
        for event in reversed(again):
            queue = event.bucket.queue if event.delivery is not None else event.bucket.rows
            queue.appendleft(event)
        if again:
            self._await_turn(again[0].bucket)

    # --- the end

    async def close(self, timeout_s: float) -> int:
        """Send the events in memory and in the spill, for at most `timeout_s`. Return how many stay in the spill."""
        self._at_rest = asyncio.Event()
        if self.backlog is not None:
            self.backlog.begin_close()
        self._check_at_rest()
        self.calls.probe_soon()
        try:
            async with asyncio.timeout(timeout_s):
                await self._at_rest.wait()
        except TimeoutError:
            pass
        return await self.backlog.close() if self.backlog is not None else 0

    def _check_at_rest(self) -> None:
        """Let `close` end once no event is in a call, in a queue or in the spill."""
        in_memory = self.calls.in_flight or self.stats.events_in_flight
        if self._at_rest is not None and not in_memory and (self.backlog is None or not self.backlog.size):
            self._at_rest.set()


def _renew_given_up(delivery: Delivery, sealed: Sequence[Sealed], arrived_s: float) -> list[PendingEvent]:
    """Replace a known delivery's given-up events by those of this copy. Return the replacements."""
    events = list(delivery.events)
    fresh: list[PendingEvent] = []
    for at, (before, again) in enumerate(zip(events, sealed, strict=True)):
        if before.place == GIVEN_UP:
            events[at] = PendingEvent(before.bucket, before.conversation, again.line, delivery)
            fresh.append(events[at])
    if fresh:
        delivery.events, delivery.arrived_s = events, arrived_s
    return fresh
