"""Tells back-pressure, which is ordinary, from holding, which an operator must hear of."""

import logging
from collections.abc import Callable

from stream_router.consumer.child.intake.window import Window
from stream_router.log import Seldom
from stream_router.model import Reason
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

HOLDING_AFTER_S = 5.0
"""A full window in which something was settled, or accepted, so lately is back-pressure."""

LOOKED_LATELY_S = 2.0
"""While a record waits for room this is looked at several times a second."""

MEANS = {
    "bytes": "as many bytes are under way as one child may hold, and none of them is settled",
    "calls": "calls are not answered, or not accepted; see the line on the destination",
    "span": "the checkpoint stands still, and as much work is above it as may be; see the lines on bus and checkpoint",
    "records": "a million records wait above the checkpoint, which stands still; see the lines on bus and checkpoint",
    "dead letters": "nearly every event would be a dead letter: a setting is wrong, or a sender or our version is new",
}
_CURES: dict[Reason | None, str] = {
    Reason.OVERSIZE: "set STREAM_ROUTER_OFFLOAD_BUCKET,",
    Reason.INTERNAL_ERROR: "go back to the version before, report it",
}
"""Where the limit on dead letters is passed by these; by any other it is the data."""


class HoldWatch:
    """Looks whenever the window is full, and says once a minute that the shard holds."""

    def __init__(self, router: Router, window: Window, clock: Callable[[], float]) -> None:
        self._router = router
        self._window = window
        self._clock = clock
        self._to_be_said = Seldom(clock)
        self.since = 0.0
        """Since when the shard holds (monotonic); 0.0 while it does not."""
        self.reason = ""
        self._looked_at = -LOOKED_LATELY_S

    @property
    def looked_lately(self) -> bool:
        """Whether a record waited to be opened just now."""
        return self._clock() - self._looked_at < LOOKED_LATELY_S

    @property
    def holds_for(self) -> str:
        """Why the shard holds now; "" where it does not, or no record waits to be opened any more."""
        return self.reason if self.looked_lately else ""

    def look(self, full_by: str) -> None:
        """The next record is kept out by this."""
        self._looked_at = self._clock()
        # A record of very many events is settled with the last of them.
        moved_at = max(self._window.settled_at, self._router.publisher.dispatcher.health.accepted_at)
        settled_ago_s = self._clock() - moved_at
        if settled_ago_s < HOLDING_AFTER_S:
            self.since, self.reason = 0.0, ""
            return
        self.since, self.reason = moved_at, full_by
        if self._to_be_said():
            passed_by = self._router.limit.passed_by
            log.warning(
                "the shard holds: %s%s",
                MEANS[full_by],
                _cure(passed_by) if full_by == "dead letters" else "",
                extra={
                    "event": "shard-holds",
                    "held_s": round(settled_ago_s, 1),
                    "under_way": self._router.backlog,
                    "reason": passed_by.value if passed_by else full_by,
                },
            )


def _cure(passed_by: Reason | None) -> str:
    cure = _CURES.get(passed_by, "correct mapping, masking or sender")
    return f"; {cure} and restart; or set STREAM_ROUTER_DEAD_LETTER_LIMIT=off"
