"""Backoff of an item that failed: the number of its attempts, and the time of the next one.

`blame.py` decides whether an item is retried at all, `gate.py` when calls start again after an outage of the whole
destination.
"""

from collections.abc import Callable

from stream_router.process import backoff_s

SPREAD_S = 30.0
"""Minimum time over which an item's retries are spread, in seconds (docs/contract.md, "What an error means")."""

OWN_BACKOFF_FIRST_S, OWN_BACKOFF_FACTOR, OWN_BACKOFF_MAX_S = 0.25, 4.0, 10.0
"""Backoff of an item that failed by itself: first wait, factor and longest wait (exponential with full jitter).

Most errors pass within a quarter of a second; the others have the whole SPREAD_S.
"""

CALL_BACKOFF_FIRST_S, CALL_BACKOFF_MAX_S = 0.1, 2.0
"""First and longest wait after a whole call failed. The wait doubles with each failure."""


class Tries:
    """Failures of one item: `own` counts its failures by itself, `all` every failed attempt.

    `first_sent` and `last_sent` are the times at which its first and last failed call were sent. `unanswered` is true
    if one of these calls timed out, so that the item may have been accepted.
    """

    __slots__ = ("all", "budget_from", "first_own_at", "first_sent", "last_sent", "own", "unanswered")

    def __init__(self, sent_at: float, budget_from: float) -> None:
        self.all = self.own = 0
        self.first_sent = self.last_sent = sent_at
        self.unanswered = False
        self.first_own_at = 0.0
        """Time of its first failure by itself; 0.0 if there was none."""
        self.budget_from = budget_from
        """Time at which its budget of retries began; for a conversation, with the first of its items that failed.

        It is 0.0 until an item failed by itself.
        """

    def retry_after_own_failure_at(self, now: float, max_retries: int, random: Callable[[], float]) -> float:
        """Return the time of the next try of an item that failed by itself.

        The last retry waits until SPREAD_S are over, so that a short failure of the destination does not use up all
        retries. If `max_retries` is 0, there is no last retry, and only the backoff counts.
        """
        at = now + backoff_s(self.own - 1, OWN_BACKOFF_FIRST_S, OWN_BACKOFF_MAX_S, random(), OWN_BACKOFF_FACTOR)
        return max(at, self.budget_from + SPREAD_S) if self.own >= max_retries > 0 else at

    def retry_after_call_failure_at(self, now: float, random: Callable[[], float]) -> float:
        """Return the time of the next try of an item whose whole call failed."""
        return now + backoff_s(self.all - 1, CALL_BACKOFF_FIRST_S, CALL_BACKOFF_MAX_S, random())
