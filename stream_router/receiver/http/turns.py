"""Bounds what one round of the loop spends on requests: what comes beyond it waits its turn, in order of arrival.

Without it thousands of connections that are readable at once are one round of the loop, and for as long as that lasts
no timer rings and no answer of the stream is read: what could have been answered in time is not.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from stream_router.receiver.http.loop_clock import LoopClock

WORK_S = 0.01
"""Most that one round works on requests; the answers of the stream and the deadlines come round as often."""
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Bytes that were read and wait; beyond it they are worked on at once, and their connection waits without any."""

Work = Callable[[], None]


class Turns:
    """The requests of one loop that wait for their turn. `clock` is told for how long they do."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: LoopClock, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`now_s` is any steady clock."""
        self.now_s = now_s
        self._loop = loop
        self._clock = clock
        self._waiting: deque[tuple[Work, int, float]] = deque()
        self._bytes = 0
        self._in_round = False
        self._round_s = self._before_s = -math.inf
        """When this round of the loop began, and the one before it, of those in which bytes came."""

    def have_time(self) -> bool:
        """Whether there is time in this round."""
        now_s = self.now_s()
        if not self._in_round:
            # The loop's clock goes on within a round, so no look at it tells two of them apart; this callback does.
            self._in_round = True
            self._before_s, self._round_s = self._round_s, now_s
            self._loop.call_soon(self._round_ends)
        return not self._waiting and now_s - self._round_s < WORK_S

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more may."""
        return self._bytes > MAX_WAITING_BYTES

    def _round_ends(self) -> None:
        self._in_round = False

    def since_last_look_s(self) -> float:
        """Since the round before this one: bytes that are seen now came later, where they were waited for then."""
        return self.now_s() - self._before_s

    def later(self, work: Work, size_bytes: int) -> None:
        """Do this when its turn comes."""
        if not self._waiting:
            self._loop.call_soon(self._go_on)
        self._waiting.append((work, size_bytes, self.now_s()))
        self._bytes += size_bytes

    def _go_on(self) -> None:
        now_s = self.now_s()
        until_s = now_s + WORK_S
        try:
            while self._waiting and now_s < until_s:
                work, size_bytes, since_s = self._waiting.popleft()
                self._bytes -= size_bytes
                self._clock.behind_s = now_s - since_s
                work()
                now_s = self.now_s()
        finally:
            if self._waiting:
                self._loop.call_soon(self._go_on)
            else:
                self._clock.behind_s = 0.0


def _nothing() -> None:
    """The work of a closed connection."""


class Turn:
    """One connection's place among them. `work` parses what it has read; `kernel_s` is Flow.waited_s."""

    __slots__ = ("_kernel_s", "_queued", "_since_s", "_turns", "_work")

    def __init__(self, turns: Turns, work: Work, kernel_s: Callable[[float], float | None]) -> None:
        self._kernel_s = kernel_s
        self._turns = turns
        self._work = work
        self._queued = False
        self._since_s: float | None = None

    def came(self, size_bytes: int) -> bool:
        """So many more bytes are there: they are worked on now, or when their turn comes.

        Whether more may be read before that: a client that sends and sends would fill the memory, and the round.
        """
        if self._queued:
            return False
        if self._turns.have_time():
            self._work()
            return True
        if self._turns.full:
            self._work()
            size_bytes = 0
        self.again(size_bytes)
        return False

    def again(self, size_bytes: int = 0) -> None:
        """Work, or go on with it, when its turn comes: behind all who wait now."""
        if not self._queued:
            self._queued = True
            if self._since_s is None:
                self._since_s = self._turns.now_s()
            self._turns.later(self.hurry, size_bytes)

    def hurry(self) -> None:
        """Wait no longer."""
        if self._queued:
            self._queued = False
            try:
                self._work()
            finally:
                if not self._queued:
                    self._since_s = None

    def end(self) -> None:
        """The connection is closed: nothing of it is held here any more."""
        self._work = _nothing

    def waited_s(self) -> float | None:
        """How long its last bytes have been here; what was sent since then does not make them younger.

        None where the kernel does not tell.
        """
        if self._since_s is None:
            return self._kernel_s(self._turns.since_last_look_s())
        return max(self._kernel_s(math.inf) or 0.0, self._turns.now_s() - self._since_s)
