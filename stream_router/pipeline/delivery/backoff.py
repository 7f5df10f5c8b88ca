"""The backoff of an item that failed: how often it was tried, and when it is tried again.

Whether it is tried again at all is `blame.py`'s; when calls start again after an outage of the whole destination,
`gate.py`'s.
"""

from collections.abc import Callable

from stream_router.process import backoff_s

SPREAD_S = 30.0
"""An item's retries span at least this long before it is given up (docs/contract.md, "What an error means")."""

OWN_FIRST_S, OWN_GROWTH, OWN_LONGEST_S = 0.25, 4.0, 10.0
"""How far apart the tries of an item are that failed by itself: exponential with full jitter. Most troubles pass within
a quarter of a second; the others have the whole spread."""

CALL_FIRST_S, CALL_LONGEST_S = 0.1, 2.0
"""The same after a whole call failed, doubled each time."""


class Tries:
    """One item's failures: `own` counts those that are its own trouble, `all` every attempt that failed.

    `first_sent` is when the first of its calls was sent that failed, `last_sent` the last. `unanswered`: one of these
    calls timed out, so the item may have been accepted.
    """

    __slots__ = ("all", "budget_from", "first_own_at", "first_sent", "last_sent", "own", "unanswered")

    def __init__(self, sent_at: float, budget_from: float) -> None:
        self.all = self.own = 0
        self.first_sent = self.last_sent = sent_at
        self.unanswered = False
        self.first_own_at = 0.0
        """When it failed by itself for the first time; 0.0 where it did not."""
        self.budget_from = budget_from
        """When its budget began, the last time; a conversation's begins with the first of its items that failed."""

    def next_own_at(self, now: float, max_retries: int, random: Callable[[], float]) -> float:
        """Return when to retry after a failure of the item's own. The last retry waits for the end of SPREAD_S."""
        at = now + backoff_s(self.own - 1, OWN_FIRST_S, OWN_LONGEST_S, random(), OWN_GROWTH)
        return max(at, self.budget_from + SPREAD_S) if self.own >= max_retries > 0 else at

    def next_with_all_at(self, now: float, random: Callable[[], float]) -> float:
        """Return when to retry after a failure of the whole call."""
        return now + backoff_s(self.all - 1, CALL_FIRST_S, CALL_LONGEST_S, random())
