"""When a request has waited too long: one timer looks over all of them, in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from stream_router.receiver.batching.lanes import Request

DECIDE_AFTER_S = 0.6
"""Age at which an event that is not stored goes to the spill, or its request is answered 503."""
GIVE_UP_AFTER_S = 0.85
"""Age at which a request is answered 503 whatever is still going on: the answer must come within 0.9 s."""
SWEEP_EVERY_S = 0.02
LATE_FADES_TO = 0.9
"""Share of the sweeps' worst lateness that the next one still expects: a loop that was late will be late again."""


class Deadlines:
    """Watches requests: `decide` is called with each that is not answered at 0.6 s; at 0.85 s it is answered False.

    Where sweeps come late, that is so much earlier, but never before 0.6 s.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, decide: Callable[[Request], None]) -> None:
        self._loop = loop
        self._decide = decide
        self._undecided: deque[Request] = deque()
        self._overdue: deque[Request] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._late_s = 0.0

    @property
    def oldest_s(self) -> float:
        """How long the oldest request has waited that is not decided; 0.0 where there is none."""
        undecided = self._undecided
        while undecided and undecided[0].done:
            undecided.popleft()
        return self._loop.time() - undecided[0].arrived_s if undecided else 0.0

    def watch(self, request: Request) -> None:
        """Keep this request's deadlines."""
        self._undecided.append(request)
        if self._sweeper is None:
            self._arm()

    def _arm(self) -> None:
        self._due_s = self._loop.time() + SWEEP_EVERY_S
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _sweep(self) -> None:
        now_s = self._loop.time()
        self._late_s = max(now_s - self._due_s, self._late_s * LATE_FADES_TO)
        give_up_after_s = max(DECIDE_AFTER_S, GIVE_UP_AFTER_S - self._late_s)
        for request in _older(self._undecided, now_s - DECIDE_AFTER_S):
            self._decide(request)
            self._overdue.append(request)
        for request in _older(self._overdue, now_s - give_up_after_s):
            request.finish(stored=False)
        self._sweeper = None
        if self._undecided or self._overdue:
            self._arm()


def _older(requests: deque[Request], than_s: float) -> Iterable[Request]:
    """Take the requests that arrived before `than_s` and are not done; done ones at the front go as well."""
    while requests and (requests[0].done or requests[0].arrived_s <= than_s):
        request = requests.popleft()
        if not request.done:
            yield request
