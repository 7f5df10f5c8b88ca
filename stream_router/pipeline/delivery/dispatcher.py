"""Sends items in calls and sees each to its end: accepted or given up. One dispatcher each for PutEvents, SQS and S3.

Many calls are in flight at once. What fails with its whole call is sent again without end (the destination is down);
what fails by itself has a budget; a call refused for its content is halved until the culprit stands alone. An item is
in exactly one place: ready, in flight, waiting for its retry, suspected, or ended and not yet collected.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from stream_router.errors import ACCEPTED, THROTTLING, Answer, Disposition, Outcome, Refusal
from stream_router.model import Reason
from stream_router.pipeline.delivery import blame
from stream_router.pipeline.delivery.bisection import Suspects
from stream_router.pipeline.delivery.blame import Failure, Row, Then
from stream_router.pipeline.delivery.circuit_breaker import Gate
from stream_router.pipeline.delivery.delay_queue import Flight, Later, take_at
from stream_router.pipeline.delivery.dispatcher_contract import Destination, Ended, Policy, why_given_up
from stream_router.pipeline.delivery.health import FEW, Health, Others
from stream_router.pipeline.delivery.hold_report import HoldReport
from stream_router.pipeline.delivery.retry_budget import SPREAD_S, Budgets, Memory, Tries

T = TypeVar("T")


class Dispatcher(Generic[T]):
    """Owns every item handed to it until `collect` hands it back, accepted or given up. Single-threaded."""

    def __init__(
        self,
        to: Destination[T],
        policy: Policy,
        clock: Callable[[], float],
        random: Callable[[], float],
        health: Health | None = None,
        memory: Memory[T] | None = None,
    ) -> None:
        self._to = to
        self._policy = policy
        self._clock = clock
        self._random = random
        self.health = health or Health()
        self.gate = Gate(policy.max_in_flight, random, policy.max_rate)
        self._ready: deque[T] = deque()
        self._later: Later[T] = Later()
        self.flight = Flight()
        self.suspects: Suspects[T] = Suspects(to.key)
        self.budgets: Budgets[T] = Budgets(to.key, self.health, memory)
        self.report = HoldReport(to.name)
        self._ended: Ended[T] = Ended([], [], [], [])

    @property
    def backlog(self) -> int:
        """Items not yet accepted or given up."""
        return len(self._ready) + len(self._later) + len(self.suspects) + self.flight.items

    @property
    def ready(self) -> int:
        """Items that wait for nothing but a call."""
        return len(self._ready)

    def submit(self, items: Iterable[T]) -> None:
        """Take charge of `items`; full calls start at once where the gate allows."""
        self._ready.extend(items)
        self.advance(flush=False)

    def enqueue(self, items: Iterable[T]) -> None:
        """Take charge of `items`; they wait for the next `advance`."""
        self._ready.extend(items)

    def collect(self) -> Ended[T]:
        """What ended since the last time, handed back to the caller."""
        ended, self._ended = self._ended, Ended([], [], [], [])
        return ended

    @property
    def collectable(self) -> bool:
        """Whether `collect` has anything to hand back."""
        return bool(self._ended.accepted or self._ended.given_up or self._ended.retried)

    def advance(self, *, flush: bool) -> None:
        """Start what may be started now; with `flush` also calls that are not full.

        What finds nothing in flight leaves at once.
        """
        now = self._clock()
        self._ready.extendleft(self._later.due(now))
        if not (self._ready or self.suspects or self.gate.holding):
            return
        # A probe need not be full: on a quiet stream nothing else would ever tell that the destination is back.
        while self.flight.bytes < self._policy.max_in_flight_bytes and self.gate.may_start(self.flight.calls, now):
            items = self._next_call(flush=flush or self.gate.holding or not self.flight.calls)
            if not items:
                break
            self._start(items, now)
        if self.gate.holding and self.backlog and not self.gate.shut:
            self._hold(now)

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        now, wait = self._clock(), longest
        if self._ready or self.suspects:
            wait = min(wait, self.gate.wait_s(now) or longest)
        return min(wait, max(self._later.wait_s(now), self.gate.wait_s(now))) if self._later else wait

    def _next_call(self, *, flush: bool) -> list[T]:
        if group := self.suspects.next_group(alone=self.gate.holding, others_wait=bool(self._ready)):
            return group
        if not self._ready:
            return []
        # What is first may be the trouble: sick items are due again and again, before all behind them had their turn.
        anywhere = int(self._random() * len(self._ready)) if self.gate.brought_nothing else 0
        items = take_at(anywhere, self._ready, self._to.take)
        if flush or self._ready or self._to.is_full(items):
            return items
        self._ready.extendleft(reversed(items))
        return []

    def _start(self, items: list[T], now: float) -> None:
        size = self._to.size_bytes(items)
        self.flight.starts(len(items), size)
        self.gate.started(len(items), now)
        self._to.send(items, lambda answer: self._answered(items, size, now, answer))

    def _answered(self, items: list[T], size: int, sent_at: float, answer: Answer) -> None:
        self.flight.ends(len(items), size)
        outcome, now = self._to.read(answer, items), self._clock()
        if isinstance(outcome, Refusal):
            self._call_refused(items, outcome, sent_at, now)
        elif outcome.count(ACCEPTED) == len(outcome):
            self._accept(items, sent_at, now)
        else:
            self._partly(items, outcome, sent_at, now)

    def _accept(self, items: list[T], sent_at: float, now: float) -> None:
        self.health.accepted(sent_at, now, len(items), sum(map(self.budgets.has_failed, items)) if self.budgets else 0)
        if self.gate.holding:
            self.report.over(now, self.gate.held_since)
        self.gate.succeeded(backlog=bool(self._ready))
        self.suspects.cleared(items)
        self._ended.accepted.append(items)
        self._ended.took_s.append(self.budgets.through(items, sent_at, now))

    def _partly(self, items: Sequence[T], outcomes: Sequence[Outcome], sent_at: float, now: float) -> None:
        """Some failed: each by what its own code says."""
        pairs = list(zip(items, outcomes, strict=True))
        failed = [(item, outcome) for item, outcome in pairs if outcome.disposition is not None]
        if through := [item for item, outcome in pairs if outcome.disposition is None]:
            self._accept(through, sent_at, now)
        systemic = [outcome for _, outcome in failed if outcome.disposition is Disposition.HOLD]
        if through or any(outcome.disposition is Disposition.DEAD_LETTER for _, outcome in failed):
            if systemic:
                self.gate.throttled()
        elif systemic or not all(self.budgets.is_sick(item) for item in items):
            # A call of items that failed by themselves before says nothing of the destination.
            blamed = systemic[0] if systemic else failed[0][1]._replace(message="")
            self.report.failing(blamed.code, blamed.message)
            self.gate.failed(now, in_flight=self.flight.calls)
        else:
            self.gate.brought_nothing = True
        # All are counted before any is judged: those behind an item in its call are others to it as well.
        counted: list[tuple[T, Failure, Tries, str]] = []
        for item, outcome in failed:
            cause = blame.failure_of(outcome.disposition)
            tries = self.budgets.failed(item, sent_at, now, itself=cause is not Failure.WITH_ALL)
            counted.append((item, cause, tries, outcome.code))
        for item, cause, tries, code in counted:
            own = cause is not Failure.WITH_ALL
            others = self.health.of_others(tries.first_own_at, sent_at, now) if own else Others.UNKNOWN
            spent = tries.exhausted(now, self._policy.max_retries)
            self._follow(blame.decide(cause, others, budget_spent=spent), item, tries, code, now)

    def _follow(self, row: Row, item: T, tries: Tries, code: str, now: float) -> None:
        """Do with an item that failed what the table says."""
        match row.then:
            case Then.BURY:
                self._give_up(item, row.reason or Reason.REFUSED, code)
            case Then.WAIT:
                self._again(item, tries.next_systemic_at(now, self._policy, self._random), code)
            case Then.RETRY | Then.RETRY_ANEW:
                if row.then is Then.RETRY_ANEW:
                    self.budgets.begin_anew(item, now)
                self._again(item, tries.next_own_at(now, self._policy, self._random), code)
            case Then.SUSPECT:
                self.gate.failed(now, in_flight=self.flight.calls)
                self.suspects.split([item], now)

    def _call_refused(self, items: list[T], refusal: Refusal, sent_at: float, now: float) -> None:
        is_content = refusal.disposition is Disposition.BISECT
        # AWS's words on a call's content may quote it.
        self.report.failing(refusal.code, "" if is_content else refusal.message)
        tried = [self.budgets.failed(item, sent_at, now, itself=False) for item in items]
        if is_content:
            self._halve(items, refusal, now)
            return
        if refusal.code in THROTTLING:
            self.gate.throttled()
        self.gate.failed(now, refusal.retry_after_s, self.flight.calls)
        if self.suspects.returned(items):
            return
        at = tried[0].next_systemic_at(now, self._policy, self._random)
        for item in items:
            self._again(item, at, refusal.code)

    def _halve(self, items: list[T], refusal: Refusal, now: float) -> None:
        """A call refused for its content: halved; the one that stands alone is the culprit if others succeed."""
        if self._to.too_large(items, refusal):
            if len(items) == 1:
                self._give_up(items[0], Reason.OVERSIZE, refusal.code)
            else:
                self._ready.extendleft(reversed(items))
            return
        is_alone = len(items) == 1
        nobody_else = is_alone and self.backlog == len(self.suspects) < FEW
        others = self.health.of_refusal(self.suspects.refused_at(items[0], now), now, alone=nobody_else)
        if is_alone:
            row = blame.decide(Failure.REFUSED_ALONE, others)
            self._follow(row, items[0], self.budgets.of(items[0]), refusal.code, now)
            return
        if others is not Others.WELL:
            self.gate.failed(now, in_flight=self.flight.calls)
        self.suspects.split(items, now)

    def _hold(self, now: float) -> None:
        """While the breaker is open: say so, and, where a setting says so, give up after the budget."""
        self.report.holds(now, self.gate.held_since, self.backlog)
        spent = now - self.gate.held_since >= SPREAD_S and self.gate.failures > self._policy.max_retries
        if self._policy.outage_gives_up and spent:
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """All that waits, but, where no probe is under way, what the next one will carry."""
        probe = [] if self.flight.calls or not self._ready else self._to.take(self._ready)
        for item in [*self.suspects.drain(), *self._later.drain(), *self._ready]:
            self._give_up(item, Reason.OUTAGE, self.report.code)
        self._ready = deque(probe)

    def _again(self, item: T, at: float, code: str) -> None:
        self._ended.retried.append((item, code))
        self._later.put(at, item)

    def _give_up(self, item: T, reason: Reason, code: str) -> None:
        attempts = self.budgets.forget(item)
        self.suspects.cleared([item])
        self._ended.given_up.append((item, why_given_up(self._to.name, reason, code, attempts)))
