"""How late the receiver comes to what arrives: the event loop's lag, and the wait for a turn, measured."""

import asyncio
import time

TICK_S = 0.02
SHED_ABOVE_S = 0.5
"""A request that waited longer is answered 503 at once: until its events are stored, the loop comes round again."""
SUSTAINED_ABOVE_S = 0.2
"""The same where the round before was as late: one hiccup of the machine is no overload, two are."""
BUSY_ABOVE_S = 0.05
"""A loop that comes so late twice in a row has more to do than it can."""


class LoopClock:
    """A timer that notices how late it is. A request's bytes may have waited as long before Python saw them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late_s = 0.0
        self._before_s = 0.0
        self.behind_s = 0.0
        """How long the work that was done last had waited for its turn; 0 where none waits."""
        self._behind_before_s = 0.0
        self._due_s = time.monotonic() + TICK_S
        self._timer = loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """No more ticks."""
        self._timer.cancel()

    @property
    def lag_s(self) -> float:
        """The longest that bytes which are seen now can have waited: the round before this one, and this one so far."""
        return max(self.behind_s, self._late_s + max(0.0, time.monotonic() - self._due_s))

    @property
    def overloaded(self) -> bool:
        """Whether it is late, and was so before: what waits by now is more than it can do."""
        lag_s = self.lag_s
        return lag_s > SUSTAINED_ABOVE_S and (lag_s > SHED_ABOVE_S or self._before_s > SUSTAINED_ABOVE_S)

    @property
    def late_lately(self) -> bool:
        """Whether this round or the one before it was long."""
        return max(self._before_s, self.lag_s) > BUSY_ABOVE_S

    @property
    def busy(self) -> bool:
        """Whether it has had no rest lately: what waits in it waits for the loop, and not for the stream."""
        return self._before_s > BUSY_ABOVE_S and self.lag_s > BUSY_ABOVE_S

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._before_s, self._late_s = max(self._late_s, self._behind_before_s), max(0.0, now_s - self._due_s)
        self._behind_before_s = self.behind_s
        self._due_s = now_s + TICK_S
        self._timer = self._loop.call_later(TICK_S, self._tick)
