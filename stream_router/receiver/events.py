"""What batcher and backlog hand each other: events on their way, their delivery, who waits for it, and its bucket.

Beside them the memory of deliveries: a sender that posts one again within ten minutes is told that it is stored.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable

from stream_router.receiver.putrecords import Address

log = logging.getLogger(__name__)

STORED, SPILLED, SEEN_BEFORE, NOT_STORED = "stored", "spilled", "seen_before", "not_stored"
"""What a request is told."""
ACCEPTED = frozenset({STORED, SPILLED, SEEN_BEFORE})
NO_ROW, PENDING = -1, -2
NOWHERE, QUEUED, FLYING, LANDED = range(4)
REMEMBERED, REMEMBERED_S = 100_000, 600.0
"""Deliveries that are remembered, and for how long: docs/contract.md, "Receiver"."""


class Event:
    """One event on its way. `place` is where it is in memory; `row` its row on disk, NO_ROW, or PENDING.

    `delivery` is None where nobody can ask for it any more: it comes from the disk.
    """

    __slots__ = ("bucket", "conversation", "delivery", "line", "place", "row")

    def __init__(self, bucket: "Bucket", conversation: int, line: bytes, delivery: "Delivery | None") -> None:
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

    `key` is its first event's identity, which covers the delivery id and every byte of the body; "" where it has none.
    """

    __slots__ = ("arrived_s", "events", "key", "missing", "remembered_s", "spilled", "waiting")

    def __init__(self, key: str, arrived_s: float) -> None:
        self.key = key
        self.arrived_s = self.remembered_s = arrived_s
        self.events: list[Event] = []
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


class Bucket:
    """A place in the stream and what waits for it: rows of the disk, and behind them what requests brought.

    `resting` after a failure, until a timer rings. `alone`: since its record was refused for its content, its next one
    is a single event in a call of its own; `suspect` is the one that was refused so, and what the stream had taken.
    """

    __slots__ = ("address", "alone", "attempts", "index", "queue", "resting", "rows", "suspect")

    def __init__(self, index: int, buckets: int) -> None:
        self.index = index
        self.address = Address(index, buckets)
        self.rows: deque[Event] = deque()
        self.queue: deque[Event] = deque()
        self.attempts = 0
        self.resting = self.alone = False
        self.suspect: tuple[Event, float] | None = None


Record = tuple[Bucket, list[Event]]
"""A record of a call, or of the next one."""


class RecentDeliveries:
    """Deliveries that were stored lately, by key: when all of it was, or the delivery where a part of it was."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, float | Delivery] = OrderedDict()
        """In the order in which they were remembered. (The first key of a plain dict is slow to find.)"""

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: str, now_s: float, partly: Delivery | None = None) -> None:
        """Remember it; the oldest goes where the memory is full."""
        if partly is not None:
            partly.remembered_s = now_s
        self._known[key] = now_s if partly is None else partly
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def get(self, key: str, now_s: float) -> float | Delivery | None:
        """What is known of it; None where that is nothing."""
        while self._known:
            oldest = self._known[next(iter(self._known))]
            if now_s - (oldest.remembered_s if isinstance(oldest, Delivery) else oldest) < REMEMBERED_S:
                break
            self._known.popitem(last=False)
        return self._known.get(key)
