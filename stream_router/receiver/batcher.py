"""Group commit: the events of many requests are stored by few PutRecords calls, and each request is answered in time.

An event waits in the queue of its partition group. If calls are in flight, the event waits some milliseconds for other
events to join its call; otherwise it is sent at once. At an age of 0.6 s a request's events go to the spill, and at
0.85 s the request is answered 503.

A call may end later than that. The receiver remembers which events the call stored. The sender's next attempt is then
answered 202, and stores only the missing events. A copy that arrives while the call is in flight waits for that call,
and is not sent as well.

With ordering, a conversation has at most one record in flight. Its later events wait for that record.

The batcher moves every event through the table of `events.py`. Spill and calls report to it by callbacks only.
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
    Deliveries,
    Delivery,
    PartitionGroup,
    PendingEvent,
    Waiter,
)
from stream_router.receiver.intake import SealedEvent
from stream_router.receiver.putrecords import FULL_CALL_EVENTS, LINGER_S, MAX_CALL_BYTES, MAX_RECORDS, Calls, Send
from stream_router.receiver.spill import Spill
from stream_router.receiver.spill_store import SpillStore
from stream_router.receiver.states import StreamState
from stream_router.receiver.stats import Stats

DECIDE_AFTER_S = 0.6
"""Age, in seconds, at which a request's events that are not stored go to the spill."""
AWAIT_SLOW_CALL_S = 0.75
"""Age, in seconds, up to which an event in flight is kept out of the spill if calls usually end before that age.

If calls take 0.7 s, nearly every event would be stored by its call and in the spill. Another receiver that drains the
spill queue does not know of the call, and would store the event a second time.
"""
SLOW_CALLS_S = (0.3, AWAIT_SLOW_CALL_S)
"""Bounds, in seconds, of the typical durations of calls to which AWAIT_SLOW_CALL_S applies.

If calls are usually quicker, a call that is in flight after 0.6 s hangs.
"""
GIVE_UP_AFTER_S = 0.85
"""Age, in seconds, at which a request is answered 503 whatever is in progress: the answer is due within 0.9 s."""
SWEEP_INTERVAL_S = 0.02
LATE_FADES_TO = 0.9
"""Factor by which the expected lateness of a sweep shrinks with each sweep. A late loop is likely to be late again."""
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.025, 0.4
"""Backoff of a partition group after its first failure, and the longest backoff."""
ONE_CALL_ROWS = 500
"""With ordering: number of unread rows of the spill up to which arrivals wait in memory until these rows are sent.

With more unread rows arrivals go to the spill at once.
"""

Records = list[tuple[PartitionGroup, list[PendingEvent]]]
"""The records of a call: pairs of a partition group and its events."""


class Batcher:
    """Sender of events to the stream, or to the spill, on a single event loop.

    `jitter` returns a number from 0 to 1.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        stream: str,
        groups: int,
        stats: Stats,
        *,
        ordered: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Create a batcher. If `ordered`, the events of a conversation are stored in the order of their acceptance."""
        self.loop = loop
        self.now_s = loop.time
        self._jitter = jitter
        self.stats = stats
        self.calls = Calls(send, stream, loop, stats, self.wake_up)
        self.groups = [PartitionGroup(index, groups) for index in range(groups)]
        self.stream = StreamState(loop.time, stats, self.groups)
        self.backlog: SpillStore | None = None
        self.conversations: dict[int, deque[PendingEvent]] | None = {} if ordered else None
        """With ordering: events that wait, by conversation, for the conversation's record in flight. Otherwise None."""
        self._in_flight: dict[int, Records] = {}
        """Records of each call in flight, by the `id` of their list, since a list cannot be a key."""
        self._ready: dict[PartitionGroup, None] = {}
        """Partition groups whose next record may be sent now. A dict serves as a set that keeps their order."""
        self._timer: asyncio.TimerHandle | None = None
        """Timer that starts the next call, while events wait for others to join it."""
        self._arrivals = 0
        """Number of events that arrived since the timer was set."""
        self._deliveries = Deliveries()
        self._waiting: deque[Waiter] = deque()
        """Requests without an answer, in the order of their arrival. Answered requests are removed with a delay."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due_s = self._late_s = 0.0
        """Time at which the next sweep is due, and the seconds by which it is expected to be late."""
        self._at_rest: asyncio.Event | None = None
        """Event that is set once no event is in memory or in the spill; None until `close` waits for that."""

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Use a spill on disk of at most `max_bytes`, and send the events that it holds."""
        self.use_store(Backlog(spill, max_bytes, self.loop, self.groups, self.stats, self.drained))

    def use_store(self, store: SpillStore) -> None:
        """Use a spill, and send the events that it holds."""
        self.backlog = store
        store.drain()

    @property
    def ready(self) -> bool:
        """Whether events can be stored, as far as is known: in the stream or in the spill."""
        is_down = self.stream.down or (self.calls.is_silent and self.calls.full)
        return not is_down or (self.backlog is not None and self.backlog.takes)

    # --- requests

    def submit(
        self, events: Sequence[SealedEvent], arrived_s: float, answer: Callable[[str], None], *, has_delivery_id: bool
    ) -> None:
        """Store a request's events. `answer` is called once, with TO_STREAM, TO_SPILL, SEEN_BEFORE or NOT_STORED.

        That happens now or later, but within 0.85 s of `arrived_s`, the time at which the request was complete.
        """
        if not events:  # the body was an empty array
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
            groups, count = self.groups, len(self.groups)
            fresh = [
                PendingEvent(groups[group_of(event.conversation, count)], event.conversation, event.line, delivery)
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
        # With ordering the next sweep spills these events, in order behind the events that are in memory.
        if self.conversations is None and self._spills_arrivals:
            self._spill(fresh)
            return
        for event in fresh:
            self._enqueue(event)

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
        """Answer a request 503. Give up its queued events if no other request waits for the delivery."""
        delivery = request.delivery
        delivery.waiting.remove(request)
        self.stats.events_refused += len(delivery.events)
        if not delivery.waiting:
            for event in delivery.events:
                if event.state == QUEUED:
                    self._leave_memory(event, GIVEN_UP)
            self._end_if_idle(delivery)
        request.finish(NOT_STORED)

    def _leave_memory(self, event: PendingEvent, state: int) -> None:
        """Move an event to a state outside memory. Its entry in a queue may remain; the queue's reader skips it."""
        event.move(state)
        if event.delivery is not None:
            self.stats.events_in_flight -= 1
            self.stats.bytes_in_flight -= len(event.line)
        event.line = b""

    # --- deadlines

    def _watch(self, request: Waiter) -> None:
        """Watch a request's deadlines. Insert it by its time of arrival, since its body may have taken long to seal."""
        waiting, index = self._waiting, len(self._waiting)
        while index and waiting[index - 1].arrived_s > request.arrived_s:
            index -= 1
        waiting.insert(index, request)
        if self._sweeper is None:
            self._arm_sweep()

    def _arm_sweep(self) -> None:
        self._sweep_due_s = self.now_s() + SWEEP_INTERVAL_S
        self._sweeper = self.loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        """Refuse requests whose time is over, and spill the events of those that have waited for DECIDE_AFTER_S."""
        now_s = self.now_s()
        self._late_s = max(now_s - self._sweep_due_s, self._late_s * LATE_FADES_TO)
        # The next sweep may be late, so requests that it would refuse too late are refused now. No request is refused
        # before its events could go to the spill.
        give_up_s = now_s - max(DECIDE_AFTER_S, GIVE_UP_AFTER_S - SWEEP_INTERVAL_S - self._late_s)
        waiting = self._waiting
        try:
            while waiting and (waiting[0].is_answered or waiting[0].arrived_s <= give_up_s):
                request = waiting.popleft()
                if not request.is_answered:
                    self._refuse(request)
            overdue = itertools.takewhile(lambda request: request.arrived_s <= now_s - DECIDE_AFTER_S, waiting)
            self._spill_overdue(overdue)
        finally:
            # The next sweep has to come even if this one failed, so that the remaining requests are answered.
            self._sweeper = None
            if waiting:
                self._arm_sweep()

    @property
    def _spills_arrivals(self) -> bool:
        """Whether arrivals go to the spill at once: the stream is down, or spilled events must be sent before them."""
        backlog = self.backlog
        if backlog is None:
            return False
        # Without a drained event in memory arrivals go to the stream: only they can show that the stream is back.
        is_down = (self.stream.down or self.calls.is_silent) and backlog.has_drained
        is_behind = self.conversations is not None and backlog.unread > ONE_CALL_ROWS
        return (is_down or is_behind) and backlog.takes

    def _spill_overdue(self, overdue: Iterable[Waiter]) -> None:
        """Spill the events of these requests. With ordering spill all events, so that none overtakes another."""
        if self.backlog is None or not self.backlog.takes:
            return
        if self.conversations is not None:
            is_overdue = any(event.is_unsaved for request in overdue for event in request.delivery.events)
            if is_overdue or self._spills_arrivals:
                self._spill(self._events_in_order())
            return
        fastest_s, slowest_s = SLOW_CALLS_S
        # Events in flight are left to their call if their request arrived later than this; inf leaves none.
        awaited_from_s = math.inf
        if fastest_s <= self.calls.typical_s < slowest_s:
            awaited_from_s = self.now_s() - AWAIT_SLOW_CALL_S
        events: list[PendingEvent] = []
        for request in overdue:
            awaits_call = request.arrived_s > awaited_from_s
            events += [event for event in request.delivery.events if not (awaits_call and event.state == IN_FLIGHT)]
        self._spill(events)

    def _events_in_order(self) -> list[PendingEvent]:
        """Return all events in memory, each conversation's in order: in calls, behind those calls, in queues."""
        in_calls = (events for records in self._in_flight.values() for _, events in records)
        behind_calls = (self.conversations or {}).values()
        in_queues = (group.queue for group in self.groups)
        return list(itertools.chain(*in_calls, *behind_calls, *in_queues))

    def _spill(self, events: Iterable[PendingEvent]) -> None:
        """Store events in the spill, except those that are saved already. `events` may hold an event twice."""
        assert self.backlog is not None
        to_store: list[PendingEvent] = []
        for event in events:
            if not event.is_unsaved:
                continue
            if event.state == QUEUED:
                event.move(SPILLING)
            event.row = WRITING
            to_store.append(event)
        if to_store:
            self.backlog.store(to_store, self._spill_answered)

    def _spill_answered(self, events: Sequence[PendingEvent], first_row: int | None) -> None:
        if first_row is None:
            self._resume_in_memory(events)
        else:
            self._record_spilled(events, first_row)
        self._send_ready()

    def _record_spilled(self, events: Sequence[PendingEvent], first_row: int) -> None:
        """Record that the spill stored events, in rows from `first_row` on."""
        assert self.backlog is not None
        for row, event in enumerate(events, first_row):
            event.row = row
            if event.state == DONE:  # its call stored it while the spill was writing
                self.backlog.settle(row)
                continue
            if event.state == IN_FLIGHT:
                self.backlog.hold(row)
            self._leave_memory(event, SPILLED)
            self._count_stored(event, in_spill=True)

    def _resume_in_memory(self, events: Sequence[PendingEvent]) -> None:
        """Put events that the spill failed to store back into their queues. With ordering refuse their requests.

        With ordering a newer event of the same conversation may be stored in the spill already. An event that is in
        flight stays with its call.
        """
        for event in events:
            event.row = NO_ROW
            delivery = event.delivery
            assert delivery is not None
            if event.state == SPILLING and self.conversations is None and delivery.waiting:
                event.move(QUEUED)
                self._enqueue(event)
            elif event.state == SPILLING:
                for request in list(delivery.waiting):
                    self._refuse(request)
                self._leave_memory(event, GIVEN_UP)
            self._end_if_idle(delivery)

    def drained(self, events: Sequence[PendingEvent]) -> None:
        """Send events that the spill drained."""
        for event in events:
            event.move(QUEUED)
            event.group.rows.append(event)
            self._mark_ready(event.group)
        self._send_ready()

    # --- calls

    def _enqueue(self, event: PendingEvent) -> None:
        """Put an event into its group's queue, and start a call now or after a short wait for further events."""
        event.group.queue.append(event)
        self._mark_ready(event.group)
        self._arrivals += 1
        if self._timer is None:
            if not self.calls.full:
                self._arrivals = 0
                wait_s = 0.0 if self.calls.idle else self.calls.linger_s
                self._timer = self.loop.call_later(wait_s, self.dispatch)
        # If no timer runs, the event is sent by `wake_up` once a call has ended.
        elif self._arrivals == FULL_CALL_EVENTS and self.calls.linger_s > LINGER_S:
            self.dispatch()

    def _mark_ready(self, group: PartitionGroup) -> None:
        """Mark a partition group as ready for the next call, unless it is resting after a failure."""
        if not group.resting and group not in self._ready:
            self._ready[group] = None

    def wake_up(self) -> None:
        """Send the events that waited for a call to end or a probe to be due."""
        if self.backlog is not None:
            self.backlog.delete_settled()
        self._send_ready()

    def _send_ready(self) -> None:
        """Send ready events, unless they wait for further events to join their call."""
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

        A group with more events goes behind the other groups. A call holds a single event if it probes a silent stream,
        or if an earlier call was refused for its content and it is not known yet which event is at fault.
        """
        records: Records = []
        room = MAX_CALL_BYTES
        is_probe = self.calls.is_silent
        for group in list(self._ready):
            is_alone = group.alone or is_probe or bool(group.suspects)
            if (is_alone and records) or room < KINESIS_RECORD_BYTES:
                continue
            events, size_bytes = self._next_events(group, is_alone=is_alone)
            del self._ready[group]
            if group.rows or group.queue:
                self._ready[group] = None
            if events:
                records.append((group, events))
                room -= size_bytes + len(group.partition_key)
                if is_alone or len(records) == MAX_RECORDS:
                    break
        return records

    def _next_events(self, group: PartitionGroup, *, is_alone: bool) -> tuple[list[PendingEvent], int]:
        """Return the events of the group's next record, and their bytes. If `is_alone`, the record is a single event.

        Drained events precede arrivals. With ordering an event whose conversation is in flight is queued behind that
        conversation, and no arrival is sent before the unread rows of the spill.
        """
        conversations = self.conversations
        is_behind = conversations is not None and self.backlog is not None and bool(self.backlog.unread)
        # Each line is counted with a line feed, but the last line of a record has none.
        room = group.max_data_bytes + 1
        size_bytes = 0
        events: list[PendingEvent] = []
        taken: set[int] = set()
        while queue := group.rows or (None if is_behind else group.queue):
            event = queue[0]
            if event.state != QUEUED:
                queue.popleft()
                continue
            # Suspects, and events of this record, belong to a conversation that is in flight because of them.
            may_join = event.conversation in taken or event in group.suspects
            if conversations is not None and event.conversation in conversations and not may_join:
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
        """Start a call with these records, and handle its outcome when it has ended."""
        self._in_flight[id(records)] = records
        oldest_s = self.now_s()
        for _, events in records:
            # A group's events are in order, so the first event of a request is the oldest of the record.
            first = next((event.delivery for event in events if event.delivery), None)
            oldest_s = min(oldest_s, first.arrived_s) if first is not None else oldest_s
        data = [(group, b"\n".join([event.line for event in events])) for group, events in records]

        def settled(codes: list[str], for_content: bool) -> None:
            del self._in_flight[id(records)]
            for (group, events), code in zip(records, codes, strict=True):
                group.alone = for_content
                if not code:
                    self.stream.record_success(group)
                    group.attempts = 0
                    self._record_stored(events)
                    continue
                self.stream.record_refusal(group, code)
                if not group.resting:
                    self._back_off(group)
                event = events[0]
                was_alone = len(records) == len(events) == 1
                was_drained = event.state == IN_FLIGHT and not event.delivery
                if for_content and was_alone and was_drained:
                    self._suspect(event)
                else:
                    self._resend_or_give_up(events)

        self.calls.start(data, oldest_s, settled)

    def _back_off(self, group: PartitionGroup) -> None:
        """Send nothing to a partition group for a while after a failure (exponential backoff with full jitter)."""
        wait_s = backoff_s(group.attempts, BACKOFF_FIRST_S, BACKOFF_MAX_S, self._jitter())
        group.attempts += 1
        group.resting = True
        self._ready.pop(group, None)

        def rested() -> None:
            group.resting = False
            if group.rows or group.queue:
                self._ready[group] = None
                self.wake_up()

        self.loop.call_later(wait_s, rested)

    def _suspect(self, event: PendingEvent) -> None:
        """Handle a drained event whose call held no other event and was refused for its content.

        Try the event again behind the other drained events. If the stream took other records since the event's first
        such refusal, the event is at fault, and is set aside. Until it is set aside, its conversation waits.
        """
        group, backlog = event.group, self.backlog
        assert backlog is not None
        if self.stream.records_taken <= group.suspects.setdefault(event, self.stream.records_taken):
            event.move(QUEUED)
            group.rows.append(event)
            return
        event.move(SPILLED)

        def finish_set_aside(is_kept: bool) -> None:
            if is_kept:
                del group.suspects[event]
                event.move(DONE)
                backlog.settle(event.row)
                self._end_record([event], [])
            else:
                event.move(QUEUED)
                self._end_record([event], [event])
            self.wake_up()

        backlog.set_aside(event, finish_set_aside)

    def _record_stored(self, events: list[PendingEvent]) -> None:
        """Record that a record's events are in the stream."""
        self.stats.events_stored += len(events)
        for event in events:
            if event.state == SPILLED:  # the spill stored it while the call was in flight
                event.move(DONE)
                self._settle_row(event)
            elif event.delivery is None:
                event.move(DONE)
                event.group.suspects.pop(event, None)
                self._settle_row(event)
            else:
                self._leave_memory(event, DONE)
                self._count_stored(event)
        self._end_record(events, [])

    def _settle_row(self, event: PendingEvent) -> None:
        assert self.backlog is not None
        self.backlog.settle(event.row)

    def _resend_or_give_up(self, events: list[PendingEvent]) -> None:
        """Queue the events of a failed record again, ahead of newer events.

        Give up events for which no request waits, unless the spill has them or is storing them.
        """
        again: list[PendingEvent] = []
        for event in events:
            delivery = event.delivery
            if event.state == SPILLED:
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
        self._end_record(events, again)

    def _end_record(self, events: list[PendingEvent], again: list[PendingEvent]) -> None:
        """End a record. Put the events of `again` at the front of their queue.

        With ordering the events that waited for the record's conversations follow behind them.
        """
        if self.conversations is not None:
            for key in dict.fromkeys(event.conversation for event in events):
                again.extend(event for event in self.conversations.pop(key) if event.state == QUEUED)
        for event in reversed(again):
            queue = event.group.queue if event.delivery is not None else event.group.rows
            queue.appendleft(event)
        if again:  # all of one record, so all of the same partition group
            self._mark_ready(again[0].group)

    # --- the end

    async def close(self, timeout_s: float) -> int:
        """Send the events in memory and in the spill, for at most `timeout_s` seconds.

        Return the number of events that are left in the spill and that no other receiver can drain.
        """
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
        """Wake `close` up if no event is in a call, in a queue or in the spill."""
        in_memory = self.calls.in_flight or self.stats.events_in_flight
        if self._at_rest is not None and not in_memory and (self.backlog is None or not self.backlog.size):
            self._at_rest.set()


def _renew_given_up(delivery: Delivery, sealed: Sequence[SealedEvent], arrived_s: float) -> list[PendingEvent]:
    """Replace the given-up events of a known delivery by the events of its new copy. Return the new events."""
    events = list(delivery.events)
    fresh: list[PendingEvent] = []
    for index, (before, copy) in enumerate(zip(events, sealed, strict=True)):
        if before.state == GIVEN_UP:
            events[index] = PendingEvent(before.group, before.conversation, copy.line, delivery)
            fresh.append(events[index])
    if fresh:
        delivery.events, delivery.arrived_s = events, arrived_s
    return fresh
