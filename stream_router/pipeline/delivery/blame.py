"""Who is to blame for a failure, the item or its destination: told by what else was accepted, and when."""

import math

LATELY_S = 60.0
"""How long a success lets the destination be presumed well (CONTRACT, "What an error means")."""

FEW = 10
"""So many items, a classic call's worth, may be blamed on a presumption: more of them look like a destination that
refuses everything."""


class Evidence:
    """Remembers successes, and when something failed that never failed before. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._accepted_at = self._sent_at = self._doubted_at = -math.inf
        self._presumed = 0

    def accepted(self, sent_at: float, now: float) -> None:
        """Something was accepted that was sent then."""
        self._accepted_at = now
        self._sent_at = max(self._sent_at, sent_at)
        self._presumed = 0

    def doubt(self, now: float) -> None:
        """What never failed before failed, and nothing beside it was accepted: perhaps the destination has changed."""
        self._doubted_at = now

    def proves(self, first: float, before: float, *, more: bool) -> bool:
        """Whether an item that failed now, the time before this at `before`, and at `first` first, is to blame.

        It is where others were accepted since. But when a destination begins to refuse everything, what was on the wire
        is accepted late: so what was sent since counts for sure, and the rest only until something fails that never
        failed before, once no `more` of that can be sent.
        """
        if self._sent_at >= before:
            return True
        if self._doubted_at > self._accepted_at or (more and self._doubted_at > self._sent_at):
            return False
        return self._accepted_at >= first

    def presumes(self, first: float) -> bool:
        """Blame an item that first failed then for a success in the minute before. At most FEW in a row."""
        if self._presumed >= FEW or self._accepted_at < first - LATELY_S:
            return False
        self._presumed += 1
        return True
