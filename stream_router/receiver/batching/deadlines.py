"""When a request has waited too long: one timer looks over all of them, in order of arrival."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from stream_router.receiver.batching.lanes import Request

DECIDE_AFTER_S = 0.6
"""Age at which an event that is not stored goes to the spill, or its request is answered 503."""
GIVE_UP_AFTER_S = 0.85
"""Age at which a request is answered 503 whatever is still going on: the answer must come within 0.9 s."""
SWEEP_EVERY_S = 0.02
OUT_OF_ORDER_S = 0.01
"""A request that is older than one before it, by no more than this, waits for that one: it costs the sender as much."""
LATE_FADES_TO = 0.9
"""Share of the sweeps' worst lateness that the next one still expects: a loop that was late will be late again."""


class _ByArrival:
    """Requests that are not done, the oldest first.

    Nearly all come in order, and a queue is cheap. A request that waited before it came (it lay in a socket's buffer,
    or its body was long to seal) would stand in the queue behind fresher ones: it goes into a heap.
    """

    def __init__(self) -> None:
        self._in_order: deque[Request] = deque()
        self._late: list[tuple[float, int, Request]] = []
        self._newest_s = float("-inf")
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._in_order or self._late)

    def add(self, request: Request) -> None:
        arrived_s = request.arrived_s
        if arrived_s >= self._newest_s:
            self._newest_s = arrived_s
        elif arrived_s < self._newest_s - OUT_OF_ORDER_S:
            heapq.heappush(self._late, (arrived_s, next(self._numbers), request))
            return
        self._in_order.append(request)

    def oldest(self) -> Request | None:
        """The one that arrived first; None where there is none. Those that are done go as they come to the front."""
        in_order, late = self._in_order, self._late
        while in_order and in_order[0].done:
            in_order.popleft()
        while late and late[0][2].done:
            heapq.heappop(late)
        if late and not (in_order and in_order[0].arrived_s <= late[0][0]):
            return late[0][2]
        return in_order[0] if in_order else None

    def older(self, than_s: float) -> Iterator[Request]:
        """Take those that arrived before `than_s`."""
        while (request := self.oldest()) is not None and request.arrived_s <= than_s:
            if self._late and self._late[0][2] is request:
                heapq.heappop(self._late)
            else:
                self._in_order.popleft()
            yield request


class Deadlines:
    """Watches requests: `decide` gets those that are not answered at 0.6 s; at 0.85 s they go to `refuse`.

    Where sweeps come late, that is so much earlier, but never before 0.6 s.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        decide: Callable[[Sequence[Request]], None],
        refuse: Callable[[Iterable[Request]], None],
    ) -> None:
        self._loop = loop
        self._decide = decide
        self._refuse = refuse
        self._undecided = _ByArrival()
        self._overdue = _ByArrival()
        self._sweeper: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._late_s = 0.0

    @property
    def oldest_s(self) -> float:
        """How long the oldest request has waited that is not decided; 0.0 where there is none."""
        oldest = self._undecided.oldest()
        return self._loop.time() - oldest.arrived_s if oldest is not None else 0.0

    def watch(self, request: Request) -> None:
        """Keep this request's deadlines."""
        self._undecided.add(request)
        if self._sweeper is None:
            self._arm()

    def _arm(self) -> None:
        self._due_s = self._loop.time() + SWEEP_EVERY_S
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _sweep(self) -> None:
        now_s = self._loop.time()
        self._late_s = max(now_s - self._due_s, self._late_s * LATE_FADES_TO)
        give_up_after_s = max(DECIDE_AFTER_S, GIVE_UP_AFTER_S - self._late_s)
        overdue = list(self._undecided.older(now_s - DECIDE_AFTER_S))
        for request in overdue:
            self._overdue.add(request)
        try:
            self._decide(overdue)
        finally:
            # Whatever failed, now or in each sweep: who waits is answered, by this one or the next.
            self._sweeper = None
            if self._undecided or self._overdue:
                self._arm()
            self._refuse(self._overdue.older(now_s - give_up_after_s))
