"""How far apart the tries of one item are: exponential with full jitter."""

from collections.abc import Callable
from typing import NamedTuple

from stream_router.process import backoff_s


class Backoff(NamedTuple):
    """The delays of one destination, in seconds. `random` gives a number from 0 up to 1.

    Most troubles pass within a quarter of a second; the others have the whole spread (`retry_budget.SPREAD_S`).
    """

    first_s: float = 0.25
    """The longest first delay after an item failed by itself."""
    growth: float = 4.0
    longest_s: float = 10.0
    call_first_s: float = 0.1
    """The longest first delay after a whole call failed."""
    call_growth: float = 2.0
    call_longest_s: float = 2.0

    def after_own(self, failures: int, random: Callable[[], float]) -> float:
        """The wait after an item failed by itself for the `failures`th time."""
        return backoff_s(failures - 1, self.first_s, self.longest_s, random(), self.growth)

    def after_call(self, failures: int, random: Callable[[], float]) -> float:
        """The wait after an item failed with its whole call, its `failures`th failure of any kind."""
        return backoff_s(failures - 1, self.call_first_s, self.call_longest_s, random(), self.call_growth)
