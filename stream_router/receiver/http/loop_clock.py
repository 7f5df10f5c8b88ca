"""How late the receiver comes to what arrives: the event loop's lag, and the wait for a turn, measured."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

TICK_S = 0.02
SHED_ABOVE_S = 0.5
"""A request that waited longer is answered 503 at once: until its events are stored, the loop comes round again."""
SUSTAINED_ABOVE_S = 0.2
"""The same where the round before was as late: one hiccup of the machine is no overload, two are."""
BUSY_ABOVE_S = 0.05
"""A loop that comes so late twice in a row has more to do than it can."""
FULL_SHARE, FULL_FOR_S = 0.9, 0.5
"""So has one whose thread had so much of a core for so long, though it comes round in time: then what it took in waits
in the batcher, which no lag tells."""


class LoopClock:
    """A timer that notices how late it is. A request's bytes may have waited as long before Python saw them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`cpu_s` tells how much CPU the loop's thread has had, in seconds."""
        self._loop = loop
        self._now_s = now_s
        self._cpu_s = cpu_s
        self._had: deque[tuple[float, float]] = deque([(now_s(), cpu_s())])
        self._full = False
        self._late_s = 0.0
        self._before_s = 0.0
        self.behind_s = 0.0
        """How long the work that was done last had waited for its turn; 0 where none waits."""
        self._behind_before_s = 0.0
        self._due_s = now_s() + TICK_S
        self._timer = loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """No more ticks."""
        self._timer.cancel()

    @property
    def lag_s(self) -> float:
        """The longest that bytes which are seen now can have waited: the round before this one, and this one so far."""
        return max(self.behind_s, self._late_s + max(0.0, self._now_s() - self._due_s))

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
        return self._full or (self._before_s > BUSY_ABOVE_S and self.lag_s > BUSY_ABOVE_S)

    def _tick(self) -> None:
        now_s = self._now_s()
        self._before_s, self._late_s = max(self._late_s, self._behind_before_s), max(0.0, now_s - self._due_s)
        self._behind_before_s = self.behind_s
        self._full = self._has_a_core(now_s)
        self._due_s = now_s + TICK_S
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _has_a_core(self, now_s: float) -> bool:
        """Whether its thread was hardly ever idle for so long."""
        had, cpu_s = self._had, self._cpu_s()
        had.append((now_s, cpu_s))
        while now_s - had[1][0] >= FULL_FOR_S:
            had.popleft()
        since_s, before_s = had[0]
        return now_s - since_s >= FULL_FOR_S and cpu_s - before_s > FULL_SHARE * (now_s - since_s)
