"""Bounds what one round of the loop spends on requests: what comes beyond it waits its turn, in order of arrival.

Senders that are known go before strangers, whom nobody can keep from sending: those have the rest of a round's time,
and at least a little of it. Without the bound thousands of connections that are readable at once are one round of the
loop, and for as long as that lasts no timer rings and no answer of the stream is read: what could have been answered in
time is not.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from stream_router.receiver.http.flow import Flow
from stream_router.receiver.http.loop_clock import LoopClock
from stream_router.receiver.http.parse import BODY_PIECE_BYTES

WORK_S = 0.01
"""Most that one round works on requests; the answers of the stream and the deadlines come round as often."""
STRANGERS_S = 0.002
"""What strangers have of a round however much senders that are known have to do: one of them may be a new sender."""
READS_OF_STRANGERS = 16
"""Strangers that send much and are read on from in one round: the kernel's copy of a body takes the loop's time too."""
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Bytes that were read and wait; beyond it they are worked on at once, and their connection waits without any."""

Work = Callable[[], None]
Queue = deque[tuple[Work, int, float]]


class Turns:
    """The requests of one loop that wait for their turn. `clock` is told for how long they do."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: LoopClock, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`now_s` is any steady clock."""
        self.now_s = now_s
        self._loop = loop
        self._clock = clock
        self._known: Queue = deque()
        self._strangers: Queue = deque()
        self._to_read: deque[Work] = deque()
        self._due = False
        self._bytes = 0
        self._in_round = False
        self._round_s = self._before_s = -math.inf
        """When this round of the loop began, and the one before it, of those in which bytes came."""

    def have_time(self, *, known: bool = False) -> bool:
        """Whether there is time in this round for a sender that is known, or for a stranger."""
        now_s = self.now_s()
        if not self._in_round:
            # The loop's clock goes on within a round, so no look at it tells two of them apart; this callback does.
            self._in_round = True
            self._before_s, self._round_s = self._round_s, now_s
            self._loop.call_soon(self._round_ends)
        before = self._known if known else self._known or self._strangers
        return not before and now_s - self._round_s < WORK_S

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more may."""
        return self._bytes > MAX_WAITING_BYTES

    def _round_ends(self) -> None:
        self._in_round = False

    def since_last_look_s(self) -> float:
        """Since the round before this one: bytes that are seen now came later, where they were waited for then."""
        return self.now_s() - self._before_s

    def later(self, work: Work, size_bytes: int, *, known: bool) -> None:
        """Do this when its turn comes."""
        self._call_go_on()
        (self._known if known else self._strangers).append((work, size_bytes, self.now_s()))
        self._bytes += size_bytes

    def _call_go_on(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        began_s = self.now_s()
        try:
            now_s = self._work_on(self._known, began_s, began_s + WORK_S)
            self._work_on(self._strangers, now_s, max(began_s + WORK_S, now_s + STRANGERS_S))
            for _ in range(min(len(self._to_read), READS_OF_STRANGERS)):
                self._to_read.popleft()()
        finally:
            self._due = bool(self._known or self._strangers or self._to_read)
            if self._due:
                self._loop.call_soon(self._go_on)
            else:
                self._clock.behind_s = 0.0

    def read_later(self, read_on: Work) -> None:
        """Read on from a stranger that sends much when its turn comes."""
        self._to_read.append(read_on)
        self._call_go_on()

    def _work_on(self, queue: Queue, now_s: float, until_s: float) -> float:
        while queue and now_s < until_s:
            work, size_bytes, since_s = queue.popleft()
            self._bytes -= size_bytes
            self._clock.behind_s = now_s - since_s
            work()
            now_s = self.now_s()
        return now_s


def _nothing() -> None:
    """The work of a closed connection."""


class Turn:
    """One connection's place among them. `work` parses what it has read; `kernel_s` is Flow.waited_s."""

    __slots__ = ("_kernel_s", "_much", "_queued", "_since_s", "_turns", "_work", "known")

    def __init__(
        self, turns: Turns, work: Work, kernel_s: Callable[[float], float | None], *, known: bool = False
    ) -> None:
        """`known`: whether a sender that is known has it, so far as can be told."""
        self.known = known
        self._kernel_s = kernel_s
        self._turns = turns
        self._work = work
        self._much = self._queued = False
        self._since_s: float | None = None

    def came(self, size_bytes: int, *, kept: bool = True) -> bool:
        """So many more bytes are there, `kept` or not wanted: they are worked on now, or when their turn comes.

        Whether more may be read before that: a client that sends and sends would fill the memory, and the round.
        """
        self._much = size_bytes >= BODY_PIECE_BYTES
        if self._queued:
            return False
        if self._turns.have_time(known=self.known):
            self._work()
            return True
        if self._turns.full:
            self._work()
            kept = False
        self.again(size_bytes if kept else 0)
        return False

    def again(self, size_bytes: int = 0) -> None:
        """Work, or go on with it, when its turn comes: behind all who wait now."""
        if not self._queued:
            self._queued = True
            if self._since_s is None:
                self._since_s = self._turns.now_s()
            self._turns.later(self.hurry, size_bytes, known=self.known)

    def read_on(self, flow: Flow) -> None:
        """Read on; from a stranger that sends much when its turn comes."""
        if self._much and not self.known:
            flow.pause()
            self._turns.read_later(flow.read_on)
        else:
            flow.read_on()

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
