"""What batcher and backlog hand each other: events on their way, their delivery, who waits, bucket, conversation."""

import logging
from collections import deque
from collections.abc import Callable

from stream_router.receiver.putrecords import Address

log = logging.getLogger(__name__)

STORED, SPILLED, SEEN_BEFORE, NOT_STORED = "stored", "spilled", "seen_before", "not_stored"
"""What a request is told."""
ACCEPTED = frozenset({STORED, SPILLED, SEEN_BEFORE})
NO_ROW, PENDING = -1, -2
NOWHERE, QUEUED, FLYING, LANDED = range(4)


class Event:
    """One event on its way. `place` is where it is in memory; `row` its row on disk, NO_ROW, or PENDING.

    `delivery` is None where it was read from the disk.
    """

    __slots__ = ("bucket", "conversation", "delivery", "line", "place", "row", "sequence_number")

    def __init__(self, bucket: "Bucket", conversation: int, line: bytes, delivery: "Delivery | None") -> None:
        self.bucket = bucket
        self.conversation = conversation
        self.line = line
        self.delivery = delivery
        self.place = NOWHERE
        self.row = NO_ROW
        self.sequence_number = ""

    @property
    def unsaved(self) -> bool:
        """Whether somebody waits for it, and the disk neither has it nor is about to."""
        return self.row == NO_ROW and self.place in (QUEUED, FLYING) and bool(self.delivery and self.delivery.waiting)


class Delivery:
    """A delivery's events, and the requests that wait for it: its first one and copies. `missing` are not stored.

    `key` is its first event's identity, which covers the delivery id and every byte of the body; "" where it has none.
    """

    __slots__ = ("arrived_s", "events", "key", "missing", "spilled", "waiting")

    def __init__(self, key: str, arrived_s: float) -> None:
        self.key = key
        self.arrived_s = arrived_s
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
    """A place in the stream and the events that wait for it. `resting` after a failure, until a timer rings.

    `alone`: its record shares no call, since one that it was in was refused for its content.
    """

    __slots__ = ("address", "alone", "attempts", "index", "queue", "resting")

    def __init__(self, index: int, buckets: int) -> None:
        self.index = index
        self.address = Address(index, buckets)
        self.queue: deque[Event] = deque()
        self.attempts = 0
        self.resting = self.alone = False


class Conversation:
    """Its events may not overtake each other: `flying` in a call, `on_disk` rows read from there, and `behind`."""

    __slots__ = ("behind", "flying", "on_disk")

    def __init__(self) -> None:
        self.flying = False
        self.on_disk = 0
        self.behind: deque[Event] = deque()


Record = tuple[Bucket, list[Event]]
"""A record of a call, or of the next one."""
