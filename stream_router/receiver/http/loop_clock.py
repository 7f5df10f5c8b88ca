"""How long ago what arrives now may have arrived: the event loop's lag, measured."""

import asyncio
import time

TICK_S = 0.02
SHED_ABOVE_S = 0.5
"""With more lag a request is answered 503 at once: until its events are stored, the loop comes round twice more."""
SUSTAINED_ABOVE_S = 0.2
"""The same where the round before was as late: one hiccup of the machine is no overload, two are."""


class LoopClock:
    """A timer that notices how late it is. A request's bytes may have waited as long before Python saw them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late_s = 0.0
        self._before_s = 0.0
        self._due_s = time.monotonic() + TICK_S
        self._timer = loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """No more ticks."""
        self._timer.cancel()

    @property
    def lag_s(self) -> float:
        """The longest that bytes which are seen now can have waited: the round before this one, and this one so far."""
        return self._late_s + max(0.0, time.monotonic() - self._due_s)

    @property
    def overloaded(self) -> bool:
        """Whether what arrives now can no longer be answered in time for certain."""
        lag_s = self.lag_s
        return lag_s > SUSTAINED_ABOVE_S and (lag_s > SHED_ABOVE_S or self._before_s > SUSTAINED_ABOVE_S)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._before_s, self._late_s = self._late_s, max(0.0, now_s - self._due_s)
        self._due_s = now_s + TICK_S
        self._timer = self._loop.call_later(TICK_S, self._tick)
