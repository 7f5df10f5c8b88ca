"""When a child has to answer at the latest: told to stop by its supervisor, or asked to hand its lease off."""

from collections.abc import Callable
from math import inf

LEAVE_WITHIN_S = 4.0
"""After a SIGTERM a child that cannot settle everything answers within this; what is unsettled comes again."""

STAY_S = 30.0
"""Longer than a stop lasts: a daemon that still brings something then was not stopped, and needs a child that reads."""

HAND_OFF_WITHIN_S = 25.0
"""Of the KCL's 30 s (gracefulLeaseHandoffTimeoutMillis); the callback before it, and the last checkpoint, need five."""

SUPERVISOR_WITHIN_S = 1.5
"""In a stop the supervisor asks for the bus every second, for all of its children: hundreds that ask are throttled."""

ASK_S = 1.0
"""What is kept of a stop's time for a question of the child's own, where that proof does not come."""


class Deadlines:
    """Times are monotonic seconds. `leave_by` is 0.0 until the child is told to leave.

    A signal's handler writes that one, and the main line none that would undo it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.leave_by = 0.0
        self._hand_off_by = clock() + HAND_OFF_WITHIN_S

    def called(self) -> None:
        """A batch came: what a hand-off waits for begins with it at the earliest."""
        self._hand_off_by = self._clock() + HAND_OFF_WITHIN_S

    def told_to_leave(self) -> None:
        """A SIGTERM, or the lease is given back."""
        self.leave_by = self.leave_by or self._clock() + LEAVE_WITHIN_S

    @property
    def has_time(self) -> bool:
        """Whether whoever stops the child, or wants its lease, still waits for its answer."""
        return self._clock() < min(self._hand_off_by, self.leave_by or inf)

    @property
    def ask_from(self) -> float:
        """From when on a child that gives its lease back asks for the bus itself; at once where it is no stop."""
        return min(self._clock() + SUPERVISOR_WITHIN_S, self.leave_by - ASK_S) if self.leave_by else 0.0

    @property
    def is_forgotten(self) -> bool:
        """Whether the daemon goes on long after the child was told to leave."""
        return bool(self.leave_by) and self._clock() >= self.leave_by + STAY_S
