"""An event in the receiver: its state, its delivery, and the requests that wait for the delivery.

An event is always in exactly one state. `TRANSITIONS` lists every allowed step and its
cause. Every step goes through `PendingEvent.move`, which asserts that it is in the table.

Deliveries are remembered for ten minutes. If a sender posts a stored delivery again in that time, it is answered 202.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from stream_router.envelope import group_place
from stream_router.limits import KINESIS_RECORD_BYTES

log = logging.getLogger(__name__)

QUEUED, IN_FLIGHT, SPILLING, SPILLED, DONE, GIVEN_UP = range(6)
"""The states of an event. Their order matters: `is_unsaved` and `is_on_its_way` compare states by number.

* QUEUED: in memory, in its partition group's queue or behind its conversation.
* IN_FLIGHT: in a call that has no answer.
* SPILLING: handed to the spill, which has not answered.
* SPILLED: in the spill and not in memory, except that a call in flight may carry a copy.
* DONE: in the stream, or set aside.
* GIVEN_UP: not stored and dropped; its sender was answered 503.
"""
TRANSITIONS = {
    (QUEUED, IN_FLIGHT): "the batcher starts a call with it",
    (QUEUED, SPILLING): "the batcher hands it to the spill: it waited 0.6 s, or the stream is down",
    (QUEUED, GIVEN_UP): "the batcher answered 503 to the last request that waited for it",
    (QUEUED, SPILLED): "the spill queue shows its message to all receivers again",
    (IN_FLIGHT, DONE): "its call stored it",
    (IN_FLIGHT, QUEUED): "its call failed, and a request waits for it or the spill holds it",
    (IN_FLIGHT, SPILLING): "its call failed while the spill is storing it",
    (IN_FLIGHT, SPILLED): "the spill stored it while its call was in flight, or is asked to set it aside",
    (IN_FLIGHT, GIVEN_UP): "its call failed, and no request waits for it",
    (SPILLING, SPILLED): "the spill stored it",
    (SPILLING, QUEUED): "the spill failed, and a request waits for it",
    (SPILLING, GIVEN_UP): "the spill failed, and no request waits for it or its order would break",
    (SPILLED, QUEUED): "the spill drained it, and no call in flight carries it",
    (SPILLED, DONE): "the call that carried it stored it after all, or it was set aside",
}
"""Every step that an event can take, with its cause."""
NO_ROW, WRITING = -1, -2
"""Values of `PendingEvent.row` for an event without a row.

With NO_ROW the spill does not have the event. With WRITING it is storing the event.
"""

TO_STREAM, TO_SPILL, SEEN_BEFORE, NOT_STORED = "stored", "spilled", "seen_before", "not_stored"
"""Outcomes of a request."""
ACCEPTED = frozenset({TO_STREAM, TO_SPILL, SEEN_BEFORE})
"""Outcomes that are answered 202."""
REQUEST_FAILED = (
    "A request failed unexpectedly. Its sender gets 503 or no answer, and has to send it again. Report this error."
)
"""Log line for a defect in the handling of a request."""
REMEMBERED, REMEMBERED_S = 100_000, 600.0
"""Maximum number of remembered deliveries, and seconds for which they are remembered (docs/contract.md, "Receiver")."""


class PartitionGroup:
    """A partition group, and the events that wait to be sent to it.

    `rows` are events drained from the spill; `queue` holds the events of requests, which are sent after them. Partition
    key and hash key never change, so no reshard splits the group. `resting` is true from a failure until a timer ends.
    If `alone` is true, a record was refused for its content, and the next record is a single event in its own call.
    `suspects` are drained events that were refused for their content in such a call. Each event is mapped to the number
    of records that the stream had taken at that event's first refusal.
    """

    __slots__ = (
        *("alone", "attempts", "max_data_bytes", "partition_key", "queue", "refused_s", "refused_since_s"),
        *("resting", "rows", "suspects", "tail"),
    )

    def __init__(self, index: int, groups: int) -> None:
        self.partition_key, hash_key = group_place(index, groups)
        self.tail = f'","PartitionKey":"{self.partition_key}","ExplicitHashKey":"{hash_key}"}}'.encode()
        """JSON that follows the data of each of the group's records in a call."""
        self.max_data_bytes = KINESIS_RECORD_BYTES - len(self.partition_key)
        self.rows: deque[PendingEvent] = deque()
        self.queue: deque[PendingEvent] = deque()
        self.attempts = 0
        """Number of failures since the last success; the backoff grows with it."""
        self.resting = self.alone = False
        self.suspects: dict[PendingEvent, int] = {}
        self.refused_since_s: float | None = None
        self.refused_s = 0.0
        """Time of the last refusal in the current run of refusals."""


class PendingEvent:
    """An event that the receiver has not stored for good. `row` is its number in the spill, NO_ROW or WRITING.

    `delivery` is None for an event drained from the spill, since no request waits for such an event.
    """

    __slots__ = ("conversation", "delivery", "group", "line", "row", "state")

    def __init__(
        self, group: PartitionGroup, conversation: int, line: bytes, delivery: "Delivery | None", state: int = QUEUED
    ) -> None:
        self.group = group
        self.conversation = conversation
        self.line = line
        self.delivery = delivery
        self.state = state
        self.row = NO_ROW

    def move(self, state: int) -> None:
        """Move the event to another state. The step must be in TRANSITIONS."""
        assert (self.state, state) in TRANSITIONS, (self.state, state)
        self.state = state

    @property
    def is_unsaved(self) -> bool:
        """Whether a request waits for the event, and the spill neither has it nor is storing it."""
        return self.row == NO_ROW and self.state <= IN_FLIGHT and bool(self.delivery and self.delivery.waiting)

    @property
    def is_on_its_way(self) -> bool:
        """Whether the event is in memory and may still be stored."""
        return self.state <= SPILLING


class Delivery:
    """A delivery's events, and the requests that wait for it: the first request and copies.

    `key` is its first event's identity, which covers the delivery id and every byte of the body; None without a
    delivery id.
    """

    __slots__ = ("arrived_s", "ended_s", "events", "key", "missing", "spilled", "waiting")

    def __init__(self, key: int | None, arrived_s: float) -> None:
        self.key = key
        self.arrived_s = arrived_s
        self.ended_s = math.inf
        """Time since which no request waits for the delivery and none of its events is on its way; inf until then."""
        self.events: Sequence[PendingEvent] = ()
        self.missing = 0
        """Number of the delivery's events that are not stored."""
        self.spilled = False
        """Whether any of the delivery's events was stored in the spill."""
        self.waiting: list[Waiter] = []


class Waiter:
    """A request that waits for a delivery to be stored. `outcome` is its outcome if that succeeds."""

    __slots__ = ("answer", "arrived_s", "delivery", "is_answered", "outcome")

    def __init__(self, arrived_s: float, delivery: Delivery, answer: Callable[[str], None], outcome: str) -> None:
        self.arrived_s = arrived_s
        self.delivery = delivery
        self.answer = answer
        self.outcome = outcome
        self.is_answered = False

    def finish(self, outcome: str) -> None:
        """Answer the request, once. Raises nothing, since a failed answer must not delay other requests."""
        if not self.is_answered:
            self.is_answered = True
            try:
                self.answer(outcome)
            except Exception:
                log.exception(REQUEST_FAILED, extra={"event": "request-failed"})


class Deliveries:
    """Known deliveries: those in progress, and those that ended in the last ten minutes fully or partly stored."""

    def __init__(self) -> None:
        self._known: dict[int, float | Delivery] = {}
        """Deliveries by key. Of a stored delivery only the time is kept, since memory holds up to 100,000 of them."""
        self._ended: deque[int] = deque()
        """Keys in the order in which the deliveries ended. Finding the first key of a large dict would be slow."""
        self._second_s = 0.0
        """Time of end, rounded up, that the deliveries stored in the present second share."""

    def get(self, key: int, now_s: float) -> float | Delivery | None:
        """Return what is known of a delivery.

        Return the delivery itself if it is in progress or partly stored, the time of its end if it is stored, and None
        if it is unknown or ended more than REMEMBERED_S ago.
        """
        known = self._known.get(key)
        if known is not None:
            ended_s = known if isinstance(known, float) else known.ended_s
            if now_s - ended_s >= REMEMBERED_S:
                return None
        return known

    def begin(self, delivery: Delivery) -> None:
        """Record that a delivery is in progress. A partly stored delivery may begin again."""
        delivery.ended_s = math.inf
        if delivery.key is not None:
            self._known[delivery.key] = delivery

    def end(self, delivery: Delivery, now_s: float) -> None:
        """End a delivery: no request waits for it, and none of its events is on its way to stream or spill.

        The delivery is remembered if any of its events is stored.
        """
        if delivery.ended_s < math.inf:
            return
        delivery.ended_s = now_s
        key, partly = delivery.key, 0 < delivery.missing < len(delivery.events)
        if key is not None and (partly or not delivery.missing):
            if now_s > self._second_s:
                # All deliveries of a second share one float object. Separate objects would double the memory.
                self._second_s = float(math.ceil(now_s))
            self._known[key] = delivery if partly else self._second_s
            self._ended.append(key)
            if len(self._ended) > REMEMBERED:
                self._forget(self._ended.popleft())
        elif key is not None:
            self._known.pop(key, None)
        if key is None or not partly:
            # This breaks a reference cycle. To find thousands of cycles the collector would stop the loop for 20 ms.
            delivery.events = ()

    def _forget(self, key: int) -> None:
        """Forget a delivery that has ended. A partly stored one that has begun again is kept, as it is in progress."""
        known = self._known.get(key)
        if not isinstance(known, Delivery) or known.ended_s < math.inf:
            self._known.pop(key, None)
