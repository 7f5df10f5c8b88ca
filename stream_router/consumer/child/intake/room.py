"""Whether one more record may be opened: window, waiting calls and dead letters allow it, or it is a small batch."""

from collections.abc import Callable

from stream_router.consumer.child.intake.micro_batches import MICRO_BATCH_RECORDS
from stream_router.consumer.child.intake.window import Window
from stream_router.consumer.child.progress.checkpoints import Checkpoints
from stream_router.consumer.child.telling.hold_watch import HoldWatch
from stream_router.pipeline.route import Router

READY_MAX = 1_000
"""Events that wait for nothing but a call; beyond it no further record is opened: it would only leave the caches."""

SMALL_BATCH_RECORDS = 100
SMALL_BATCH_EVERY_S = 5.0
"""Where only entries in trouble of their own, and what waits behind them, fill span or bytes, a small batch is opened
now and then all the same: without others nothing tells whether the bus is well, and the shard would stand for good."""


class Room:
    """Asked before each slice of records. Says once a minute that the shard holds, where it does. Monotonic seconds."""

    def __init__(self, router: Router, window: Window, checkpoints: Checkpoints, clock: Callable[[], float]) -> None:
        self._router = router
        self._window = window
        self._checkpoints = checkpoints
        self._clock = clock
        self.hold_watch = HoldWatch(router, window, clock)
        self._small_batch = False
        self._small_batch_at = clock() + SMALL_BATCH_EVERY_S

    @property
    def is_full(self) -> bool:
        """Whether the next slice has to wait. What is let in as a small batch is let in until it is `taken`."""
        if self._small_batch or not (full_by := self._full_by()):
            return False
        now = self._clock()
        if full_by in ("span", "bytes") and now >= self._small_batch_at and self._is_only_sick:
            self._small_batch, self._small_batch_at = True, now + SMALL_BATCH_EVERY_S
            return False
        self.hold_watch.look(full_by)
        return True

    @property
    def is_waited_for(self) -> bool:
        """Whether a record waits, or waited a moment ago, for room."""
        return self.hold_watch.looked_lately

    @property
    def _is_only_sick(self) -> bool:
        return self._router.only_sick and self._window.has_spare

    @property
    def is_crowded(self) -> bool:
        """Whether so many events wait for a call that the rest of a slice has to wait too."""
        if self._router.ready <= READY_MAX:
            return False
        self.hold_watch.look("calls")
        return True

    def _full_by(self) -> str:
        """What keeps the next record out; "" where there is room."""
        if self._router.limit.passed_by:
            return "dead letters"
        if self._router.ready > READY_MAX:
            return "calls"
        full_by = self._window.full_by()
        if full_by == "span" and self._checkpoints.unasked:  # asked only here: it reads a file
            return self._window.full_by(unasked=True)
        return full_by

    def slice_records(self) -> int:
        """The most records of the next slice."""
        return SMALL_BATCH_RECORDS if self._small_batch else MICRO_BATCH_RECORDS

    def taken(self) -> None:
        """A slice is opened."""
        self._small_batch = False
