"""What batcher and backlog hand each other: events on their way, their delivery, who waits for it, and its bucket.

Beside them the memory of deliveries: a sender that posts one again within ten minutes is told that it is stored.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from stream_router.envelope import group_place
from stream_router.limits import KINESIS_RECORD_BYTES

log = logging.getLogger(__name__)

STORED, SPILLED, SEEN_BEFORE, NOT_STORED = "stored", "spilled", "seen_before", "not_stored"
"""What a request is told."""
ACCEPTED = frozenset({STORED, SPILLED, SEEN_BEFORE})
NO_ROW, PENDING = -1, -2
NOWHERE, QUEUED, FLYING, LANDED = range(4)
REMEMBERED, REMEMBERED_S = 100_000, 600.0
"""Deliveries that are remembered, and for how long: docs/contract.md, "Receiver"."""


class Bucket:
    """A place in the stream and what waits for it: rows of the disk, and behind them what requests brought.

    Its partition key and hash key are fixed for good, so no reshard parts it. `resting` after a failure, until a timer
    rings. `alone`: since its record was refused for its content, its next one is a single event in a call of its own;
    `suspect` is the one that was refused so, and how many records the stream had taken by then.
    """

    __slots__ = (
        *("alone", "attempts", "max_data_bytes", "partition_key", "queue", "refused_s", "refused_since_s"),
        *("resting", "rows", "suspect", "tail"),
    )

    def __init__(self, index: int, buckets: int) -> None:
        self.partition_key, hash_key = group_place(index, buckets)
        self.tail = f'","PartitionKey":"{self.partition_key}","ExplicitHashKey":"{hash_key}"}}'.encode()
        """What stands behind the data of a record of it, in the JSON of a call."""
        self.max_data_bytes = KINESIS_RECORD_BYTES - len(self.partition_key)
        self.rows: deque[Event] = deque()
        self.queue: deque[Event] = deque()
        self.attempts = 0
        self.resting = self.alone = False
        self.suspect: tuple[Event, float] | None = None
        self.refused_since_s: float | None = None
        self.refused_s = 0.0
        """When the stream refused it last, of the time since it took nothing of it."""


class Event:
    """One event on its way. `place` is where it is in memory; `row` its row on disk, NO_ROW, or PENDING.

    `delivery` is None where nobody can ask for it any more: it comes from the disk.
    """

    __slots__ = ("bucket", "conversation", "delivery", "line", "place", "row")

    def __init__(self, bucket: Bucket, conversation: int, line: bytes, delivery: "Delivery | None") -> None:
        self.bucket = bucket
        self.conversation = conversation
        self.line = line
        self.delivery = delivery
        self.place = QUEUED
        self.row = NO_ROW

    @property
    def unsaved(self) -> bool:
        """Whether somebody waits for it, and the disk neither has it nor is about to."""
        return self.row == NO_ROW and self.place in (QUEUED, FLYING) and bool(self.delivery and self.delivery.waiting)


class Delivery:
    """A delivery's events, and the requests that wait for it: its first one and copies. `missing` are not stored.

    `key` is its first event's identity, which covers the delivery id and every byte of the body; None without an id.
    """

    __slots__ = ("arrived_s", "ended_s", "events", "key", "missing", "spilled", "waiting")

    def __init__(self, key: int | None, arrived_s: float) -> None:
        self.key = key
        self.arrived_s = arrived_s
        self.ended_s = math.inf
        """Since when nobody waits for it and nothing of it is on its way."""
        self.events: Sequence[Event] = ()
        self.missing = 0
        self.spilled = False
        self.waiting: list[Request] = []


class Request:
    """Who waits for a delivery, since when, and what it is told once all is stored."""

    __slots__ = ("arrived_s", "delivery", "done", "told", "well")

    def __init__(self, arrived_s: float, delivery: Delivery, told: Callable[[str], None], well: str) -> None:
        self.arrived_s = arrived_s
        self.delivery = delivery
        self.told = told
        self.well = well
        self.done = False

    def finish(self, outcome: str) -> None:
        """Tell it, once. Raises nothing: what one who waits does wrong must not keep others from the stream."""
        if not self.done:
            self.done = True
            try:
                self.told(outcome)
            except Exception:
                log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})


class Deliveries:
    """Deliveries by key: those under way, and those that ended lately with all of it, or a part of it, stored."""

    def __init__(self) -> None:
        self._known: dict[int, float | Delivery] = {}
        """Of one that is stored the time alone: 100,000 of them are most of what the receiver keeps in memory."""
        self._ended: deque[int] = deque()
        """In the order in which they ended. (The first key of a dict is slow to find.)"""
        self._second_s = 0.0

    def get(self, key: int, now_s: float) -> float | Delivery | None:
        """The delivery under way, or stored in part; when it was stored, in whole seconds; None where it is unknown."""
        known = self._known.get(key)
        if known is not None:
            ended_s = known if isinstance(known, float) else known.ended_s
            if now_s - ended_s >= REMEMBERED_S:
                return None
        return known

    def begin(self, delivery: Delivery) -> None:
        """It is under way, perhaps again."""
        delivery.ended_s = math.inf
        if delivery.key is not None:
            self._known[delivery.key] = delivery

    def end(self, delivery: Delivery, now_s: float) -> None:
        """Nobody waits for it, and nothing of it is on its way: it is remembered where something of it is stored."""
        if delivery.ended_s < math.inf:
            return
        delivery.ended_s = now_s
        key, partly = delivery.key, 0 < delivery.missing < len(delivery.events)
        if key is not None and (partly or not delivery.missing):
            if now_s > self._second_s:
                # One number for all of a second: each would take as much memory as its place here.
                self._second_s = float(math.ceil(now_s))
            self._known[key] = delivery if partly else self._second_s
            self._ended.append(key)
            if len(self._ended) > REMEMBERED:
                self._forget(self._ended.popleft())
        elif key is not None:
            self._known.pop(key, None)
        if key is None or not partly:
            # No circle is left of it: the collector would stop the loop for 20 ms and more, to find thousands of them.
            delivery.events = ()

    def _forget(self, key: int) -> None:
        known = self._known.get(key)
        if not isinstance(known, Delivery) or known.ended_s < math.inf:  # else it is under way again
            self._known.pop(key, None)
