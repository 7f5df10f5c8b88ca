"""Whether one more record may be opened, and where it may not for long, that the shard holds.

A full window in which something was settled lately is back-pressure, which is ordinary; holding is what an operator
must hear of.
"""

import logging
from collections.abc import Callable

from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.window import SLICE_RECORDS, Window
from stream_router.log import Seldom
from stream_router.model import Reason
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

READY_MAX = 1_000
"""Events that wait for nothing but a call; beyond it no further record is opened: it would only leave the caches."""

SMALL_BATCH_RECORDS = 100
SMALL_BATCH_EVERY_S = 5.0
"""Where only entries in trouble of their own, and what waits behind them, fill span or bytes, a small batch is opened
now and then all the same: without others nothing tells whether the bus is well, and the shard would stand for good."""

HOLDING_AFTER_S = 5.0
"""A full window in which something was settled, or accepted, so lately is back-pressure."""

LOOKED_LATELY_S = 2.0
"""While a record waits for room this is looked at several times a second."""

MEANS = {
    "bytes": "as many bytes are under way as one child may hold, and none of them is settled",
    "calls": "calls are not answered, or not accepted; see the line on the destination",
    "span": "the checkpoint stands still, and as much work is above it as may be; see the lines on bus and checkpoint",
    "records": "a million records wait above the checkpoint, which stands still; see the lines on bus and checkpoint",
    "target": "event bus or rule do not take our events: nothing is published until they do; see the supervisor's line",
    "dead letters": "nearly every event would be a dead letter: a setting is wrong, or a sender or our version is new",
}
"""What keeps the next record out, in words."""

_CURES: dict[Reason | None, str] = {
    Reason.OVERSIZE: "set STREAM_ROUTER_OFFLOAD_BUCKET,",
    Reason.INTERNAL_ERROR: "go back to the version before, report it",
}
"""Where the limit on dead letters is passed by these; by any other it is the data."""


class Room:
    """Asked before each slice of records. Says once a minute that the shard holds, where it does. Monotonic seconds."""

    def __init__(self, router: Router, window: Window, checkpoints: Checkpoints, clock: Callable[[], float]) -> None:
        self._router = router
        self._window = window
        self._checkpoints = checkpoints
        self._clock = clock
        self._small_batch = False
        self._small_batch_at = clock() + SMALL_BATCH_EVERY_S
        self._to_be_said = Seldom(clock)
        self._waited_at = -LOOKED_LATELY_S
        self._holds = ""
        self.held_since = 0.0
        """Since when the shard holds, where it does."""

    @property
    def is_full(self) -> bool:
        """Whether the next slice has to wait. What is let in as a small batch is let in until it is `taken`."""
        if self._small_batch or not (full_by := self._full_by()):
            return False
        now = self._clock()
        if full_by in ("span", "bytes") and now >= self._small_batch_at and self._is_only_sick:
            self._small_batch, self._small_batch_at = True, now + SMALL_BATCH_EVERY_S
            return False
        self.waits(full_by)
        return True

    @property
    def is_crowded(self) -> bool:
        """Whether so many events wait for a call that the rest of a slice has to wait too."""
        if self._router.ready <= READY_MAX:
            return False
        self.waits("calls")
        return True

    @property
    def _is_only_sick(self) -> bool:
        return self._router.only_sick and self._window.has_spare

    def _full_by(self) -> str:
        """What keeps the next record out; "" where there is room."""
        if self._checkpoints.proof.problem:
            return "target"
        if self._router.limit.passed_by:
            return "dead letters"
        if self._router.ready > READY_MAX:
            return "calls"
        return self._window.full_by(unasked=self._checkpoints.proof.unasked)

    @property
    def slice_records(self) -> int:
        """The most records of the next slice."""
        return SMALL_BATCH_RECORDS if self._small_batch else SLICE_RECORDS

    def taken(self) -> None:
        """A slice is opened."""
        self._small_batch = False

    @property
    def is_waited_for(self) -> bool:
        """Whether a record waits, or waited a moment ago, for room."""
        return self._clock() - self._waited_at < LOOKED_LATELY_S

    @property
    def holds_for(self) -> str:
        """What the shard holds for now, a key of MEANS; "" where it does not, or no record waits any more."""
        return self._holds if self._holds and self.is_waited_for else ""

    def waits(self, full_by: str) -> None:
        """The next record, or the shard's end, is kept out by this."""
        self._waited_at = now = self._clock()
        # A record of very many events is settled with the last of them.
        moved_at = max(self._window.settled_at, self._router.accepted_at)
        if now - moved_at < HOLDING_AFTER_S:
            self._holds = ""
            return
        self._holds, self.held_since = full_by, moved_at
        if self._to_be_said():
            passed_by = self._router.limit.passed_by
            log.warning(
                "the shard holds: %s%s",
                MEANS[full_by],
                _cure(passed_by) if full_by == "dead letters" else "",
                extra={
                    "event": "shard-holds",
                    "held_s": round(now - moved_at, 1),
                    "under_way": self._router.backlog,
                    "reason": passed_by.value if passed_by else full_by,
                },
            )


def _cure(passed_by: Reason | None) -> str:
    cure = _CURES.get(passed_by, "correct mapping, masking or sender")
    return f"; {cure} and restart; or set STREAM_ROUTER_DEAD_LETTER_LIMIT=off"
