"""Who is to blame for a failure, the item or its destination: told by what else was accepted, and when."""

import math

LATELY_S = 60.0
"""How long a success lets the destination be presumed well (CONTRACT, "What an error means")."""

FEW = 10
"""So many items, a classic call's worth, may be blamed though nothing was accepted since they failed: more of them look
like a destination that refuses everything."""


class Evidence:
    """Remembers successes. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._last_accepted_at = -math.inf
        self._presumed = 0

    def accepted(self, now: float) -> None:
        """Something was accepted."""
        self._last_accepted_at = now
        self._presumed = 0

    def proves(self, since: float) -> bool:
        """Whether something was accepted since then: the destination works, so what fails meanwhile is to blame."""
        return self._last_accepted_at >= since

    def blames(self, since: float, *, presuming: bool) -> bool:
        """Whether an item that fails since then is to blame: that is proven, or, where asked for, presumed.

        It is presumed where something was accepted in the minute before; at most FEW times in a row.
        """
        if self.proves(since):
            return True
        if not presuming or self._presumed >= FEW or not self.proves(since - LATELY_S):
            return False
        self._presumed += 1
        return True
