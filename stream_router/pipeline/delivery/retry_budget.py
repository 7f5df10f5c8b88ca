"""How often, and how far apart, an entry that fails is tried again; when it has had its chance."""

from collections.abc import Callable

SPREAD_S = 30.0
"""An entry's retries span at least this long before it is given up (CONTRACT, "What an error means")."""

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 10.0
SYSTEMIC_FIRST_DELAY_S = 0.1
SYSTEMIC_LONGEST_DELAY_S = 2.0


class Tries:
    """One entry's failures. `own` counts those that are the entry's trouble, `all` every attempt that failed.

    `own_before_at` is when it failed by itself the time before the last (the last itself where that is the first).
    """

    __slots__ = ("all", "first_own_at", "last_own_at", "own", "own_before_at")

    def __init__(self) -> None:
        self.all = 0
        self.own = 0
        self.first_own_at = self.last_own_at = self.own_before_at = 0.0

    def failed_itself(self, now: float) -> None:
        """The entry failed while others may succeed."""
        self.all += 1
        self.own += 1
        self.first_own_at = self.first_own_at or now
        self.own_before_at, self.last_own_at = self.last_own_at or now, now

    def failed_with_all(self) -> None:
        """The entry failed with its whole call: no word about the entry."""
        self.all += 1

    def exhausted(self, now: float, max_retries: int) -> bool:
        """Whether the entry had its retries, spread over at least 30 s (at once where none are allowed)."""
        return self.own > max_retries and (max_retries == 0 or now - self.first_own_at >= SPREAD_S)

    def next_own_at(self, now: float, max_retries: int, random: Callable[[], float]) -> float:
        """When to try again after the entry's own failure: exponential with full jitter, the last after the spread."""
        delay = random() * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.own - 1, 10))
        if self.own >= max_retries:
            return max(now + delay, self.first_own_at + SPREAD_S)
        return now + delay

    def next_systemic_at(self, now: float, random: Callable[[], float]) -> float:
        """When to try again after a failure of the whole call: exponential with full jitter."""
        return now + random() * min(SYSTEMIC_LONGEST_DELAY_S, SYSTEMIC_FIRST_DELAY_S * 2.0 ** min(self.all - 1, 10))
