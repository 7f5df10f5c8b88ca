"""Sends items in calls and sees each to its end: accepted or given up. The one engine for PutEvents, SQS and S3.

Many calls are in flight at once. What fails with its whole call is sent again without end (the destination is down);
what fails by itself has a budget; a call refused for its content is halved until the culprit stands alone. An item is
in exactly one place: ready, in flight, waiting for its retry, or suspected.
"""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from stream_router.core.aws_answers import ACCEPTED, Answer, Outcome, Refusal
from stream_router.core.dispositions import CODES, Disposition, Reason
from stream_router.pipeline.delivery.bisection import Suspects
from stream_router.pipeline.delivery.blame import FEW, Evidence
from stream_router.pipeline.delivery.circuit_breaker import Gate
from stream_router.pipeline.delivery.delay_queue import Flight, Later
from stream_router.pipeline.delivery.destination import Destination, GivenUp, Policy, why_given_up
from stream_router.pipeline.delivery.retry_budget import SPREAD_S, Tries

__all__ = ["Destination", "Dispatcher", "GivenUp", "Policy"]

log = logging.getLogger(__name__)

T = TypeVar("T")
REMIND_EVERY_S = 60.0


class Dispatcher(Generic[T]):
    """Owns every item handed to it until the destination has accepted it or it is given up. Single-threaded."""

    def __init__(
        self, to: Destination[T], policy: Policy, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._to = to
        self._policy = policy
        self._clock = clock
        self._random = random
        self.gate = Gate(policy.max_in_flight, random)
        self._ready: deque[T] = deque()
        self._later: Later[T] = Later()
        self._flight = Flight()
        self._suspects: Suspects[T] = Suspects(to.key)
        self._suspects_turn = True
        self._evidence = Evidence()
        self._tries: dict[Hashable, Tries] = {}
        self._reminded_at = -REMIND_EVERY_S
        self._failing = ""

    @property
    def backlog(self) -> int:
        """Items not yet accepted or given up."""
        return len(self._ready) + len(self._later) + len(self._suspects) + self._flight.items

    def submit(self, items: Iterable[T]) -> None:
        """Take charge of `items`; full calls start at once where the gate allows."""
        self.enqueue(items)
        self.advance(flush=False)

    def enqueue(self, items: Iterable[T]) -> None:
        """Take charge of `items`; they wait for the next `advance`."""
        self._ready.extend(items)

    def advance(self, *, flush: bool) -> None:
        """Start what may be started now; with `flush` also calls that are not full."""
        now = self._clock()
        self._ready.extendleft(reversed([*self._later.due(now)]))
        # A probe need not be full: on a quiet stream nothing else would ever tell that the destination is back.
        while self._may_start(now) and (items := self._next_call(flush=flush or self.gate.holding)):
            self._start(items)
        if self.gate.holding:
            self._hold(now)

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        now = self._clock()
        wait = longest
        if self._ready or self._suspects:
            wait = min(wait, self.gate.wait_s(now) or longest)
        if self._later:
            wait = min(wait, max(self._later.wait_s(now), self.gate.wait_s(now)))
        return wait

    def _may_start(self, now: float) -> bool:
        roomy = self._flight.bytes < self._policy.max_in_flight_bytes
        return roomy and self.gate.may_start(self._flight.calls, now)

    def _next_call(self, *, flush: bool) -> list[T]:
        # While nothing is accepted, one success tells who is to blame: a suspect alone has the best chance of it, and
        # where all of them are culprits only what nobody suspects has any. So these take turns.
        holding = self.gate.holding
        self._suspects_turn = not (self._suspects_turn and self._ready and holding)
        if self._suspects_turn and (group := self._suspects.next_group(alone=holding)):
            return group
        if not self._ready:
            return []
        items = self._to.take(self._ready)
        if flush or self._ready or self._to.is_full(items):
            return items
        self._ready.extendleft(reversed(items))
        return []

    def _start(self, items: list[T]) -> None:
        size = self._to.size_bytes(items)
        self._flight.starts(len(items), size)
        sent_at = self._clock()
        self._to.send(items, lambda answer: self._answered(items, size, sent_at, answer))

    def _answered(self, items: list[T], size: int, sent_at: float, answer: Answer) -> None:
        self._flight.ends(len(items), size)
        result, now = self._to.read(answer, items), self._clock()
        if isinstance(result, Refusal):
            self._call_refused(items, result, now)
        elif result.count(ACCEPTED) == len(result):
            self._accept(items, sent_at, now)
        else:
            self._partly(items, result, sent_at, now)

    def _accept(self, items: Sequence[T], sent_at: float, now: float) -> None:
        self._evidence.accepted(sent_at, now)
        if self.gate.holding:
            log.info("%s is back", self._to.name, extra={"held_s": round(now - self.gate.held_since, 1)})
        self.gate.succeeded()
        self._suspects.cleared(items)
        if self._tries:
            for item in items:
                self._tries.pop(self._to.key(item), None)
        self._to.accepted(items)

    def _partly(self, items: Sequence[T], outcomes: Sequence[Outcome], sent_at: float, now: float) -> None:
        """Some failed: each by what its own code says."""
        pairs = list(zip(items, outcomes, strict=True))
        if through := [item for item, outcome in pairs if outcome.disposition is None]:
            self._accept(through, sent_at, now)
        failed = [(item, outcome) for item, outcome in pairs if outcome.disposition is not None]
        systemic = [outcome for _, outcome in failed if outcome.disposition is Disposition.HOLD]
        if not through and not any(outcome.disposition is Disposition.DEAD_LETTER for _, outcome in failed):
            self._failing = failed[0][1].code
            self._doubt(items, now)
            self.gate.failed(now)
        elif systemic:
            self.gate.throttled()
        for item, outcome in failed:
            self._item_failed(item, outcome, now)

    def _item_failed(self, item: T, outcome: Outcome, now: float) -> None:
        tries = self._tried(item)
        if outcome.disposition is Disposition.DEAD_LETTER:
            tries.failed_itself(now)
            self._give_up(item, Reason.REFUSED, outcome.code)
        elif outcome.disposition is Disposition.HOLD:
            tries.failed_with_all()
            self._again(item, tries.next_systemic_at(now, self._random))
        else:
            tries.failed_itself(now)
            if tries.exhausted(now, self._policy.max_retries) and self._is_in_trouble(tries, outcome.code):
                self._give_up(item, Reason.RETRIES_EXHAUSTED, outcome.code)
            else:
                self._again(item, tries.next_own_at(now, self._policy.max_retries, self._random))

    def _is_in_trouble(self, tries: Tries, code: str) -> bool:
        """Whether an item that failed again and again is to blame, and not the destination."""
        if self._evidence.proves(tries.first_own_at, tries.own_before_at, more=bool(self._ready)):
            return True
        # A code that nobody knows may be about the data, and where nothing else is left nothing can prove it.
        presuming = code not in CODES and self.backlog == len(self._later) < FEW
        return presuming and self._evidence.presumes(tries.first_own_at)

    def _doubt(self, items: Sequence[T], now: float) -> None:
        if any(self._to.key(item) not in self._tries for item in items):
            self._evidence.doubt(now)

    def _call_refused(self, items: list[T], refusal: Refusal, now: float) -> None:
        self._failing = refusal.code
        self._doubt(items, now)
        for item in items:
            self._tried(item).failed_with_all()
        if refusal.disposition is Disposition.BISECT:
            self._halve(items, refusal, now)
            return
        self.gate.failed(now, refusal.retry_after_s)
        if self._suspects.returned(items):
            return
        at = self._tried(items[0]).next_systemic_at(now, self._random)
        for item in items:
            self._again(item, at)

    def _halve(self, items: list[T], refusal: Refusal, now: float) -> None:
        """A call refused for its content: halved; the one that stands alone is the culprit if others succeed."""
        alone = len(items) == 1
        first, before = self._suspects.refused_at(items[0], now)
        proven = self._evidence.proves(first, before, more=bool(self._ready))
        if self._to.too_large(items, refusal):
            if alone:
                self._give_up(items[0], Reason.OVERSIZE, refusal.code)
            else:
                self._ready.extendleft(reversed(items))
        elif alone and (proven or self._is_presumed(first)):
            self._give_up(items[0], Reason.REFUSED, refusal.code)
        else:
            if not proven:
                self.gate.failed(now)
            self._suspects.split(items, now)

    def _is_presumed(self, first: float) -> bool:
        """Whether a suspect is blamed without proof, for what was accepted in the minute before it was first refused.

        It is where only a few suspects are left: nothing else can be accepted any more.
        """
        only_suspects_left = self.backlog == len(self._suspects) < FEW
        return only_suspects_left and self._evidence.presumes(first)

    def _hold(self, now: float) -> None:
        """While the breaker is open: one line a minute, and, where a setting says so, give up after the budget."""
        if now - self._reminded_at >= REMIND_EVERY_S:
            self._reminded_at = now
            log.warning(
                "%s does not accept anything: holding",
                self._to.name,
                extra={"code": self._failing, "waiting": self.backlog, "held_s": round(now - self.gate.held_since, 1)},
            )
        spent = now - self.gate.held_since >= SPREAD_S and self.gate.failures > self._policy.max_retries
        if self._policy.outage_gives_up and spent:
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """All that waits, but, where no probe is under way, what the next one will carry."""
        probe = [] if self._flight.calls else self._to.take(self._ready)
        while waiting := [*self._suspects.drain(), *self._later.drain(), *self._ready]:
            self._ready.clear()
            for item in waiting:
                self._give_up(item, Reason.OUTAGE, self._failing)
        self._ready.extend(probe)

    def _tried(self, item: T) -> Tries:
        return self._tries.setdefault(self._to.key(item), Tries())

    def _again(self, item: T, at: float) -> None:
        self._to.retried(1)
        self._later.put(at, item)

    def _give_up(self, item: T, reason: Reason, code: str) -> None:
        tries = self._tries.pop(self._to.key(item), None)
        self._suspects.cleared([item])
        self._to.given_up(item, why_given_up(self._to.name, reason, code, tries.all if tries else 0))
