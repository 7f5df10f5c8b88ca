"""Delivery of items in calls, until each is accepted or given up. PutEvents, SQS and S3 have a dispatcher each.

Many calls are in flight at once. Items that fail with their whole call are resent without end (the destination is
down). Items that fail by themselves have a budget (`blame.py`). A call that is refused for its content is halved until
the culprit is alone.
An item is in exactly one place: ready, in flight, waiting for its retry, suspected, or ended and not yet collected.
"""

import heapq
import itertools
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from stream_router.aws_answers import ACCEPTED, TIMED_OUT, Answer, Outcome, Refusal
from stream_router.aws_error_codes import THROTTLING, Disposition, cure
from stream_router.dead_letter_reasons import Reason
from stream_router.log import LogLimiter
from stream_router.pipeline.delivery.backoff import SPREAD_S, Tries
from stream_router.pipeline.delivery.blame import Blame, Decision, RetryPolicy
from stream_router.pipeline.delivery.gate import SLOW_S, Gate

log = logging.getLogger(__name__)

T = TypeVar("T")


LOGGED_AFTER_S = 1.0
"""Seconds for which a breaker must be open before it is logged. A few failures at once open it only for a moment."""


class Destination(Protocol[T]):
    """Calls to one destination: the choice of items for a call, sending, reading the answer. It keeps no items."""

    name: str
    """Name in logs and dead letters, with the resource's own name."""

    def take(self, ready: deque[T]) -> list[T]:
        """Remove the next call's items from the front of `ready`."""

    def is_full(self, items: Sequence[T]) -> bool:
        """Return whether to send a call of `items` now, although more items may come."""

    def size_bytes(self, items: Sequence[T]) -> int:
        """Return the bytes by which a call of `items` counts against the bytes in flight."""

    def key(self, item: T) -> Hashable:
        """Return the item's identity. A text is the item's conversation, of which one item is sent at a time."""

    def send(self, items: Sequence[T], done: Callable[[Answer], None]) -> None:
        """Start one call; `done` gets its answer exactly once, later."""

    def read(self, answer: Answer, items: Sequence[T]) -> list[Outcome] | Refusal:
        """Return the outcome of each item, or the refusal of the whole call."""

    def too_large(self, items: Sequence[T], refusal: Refusal) -> bool:
        """Return whether the call was refused for its size. If so, the destination remembers a smaller limit."""


class GivenUp(NamedTuple):
    """Reason for which an item is not retried any more. `message` never quotes a payload."""

    reason: Reason
    code: str
    message: str
    attempts: int


_WHY = {
    Reason.REFUSED: "refuses it for its content",
    Reason.RETRIES_EXHAUSTED: "failed on it through every retry while it accepted others",
    Reason.OVERSIZE: "refuses it for its size",
    Reason.OUTAGE: "accepted nothing for too long",
}
"""Reasons in our own words, since AWS's message may quote the payload."""


class Ended(NamedTuple, Generic[T]):
    """Ended items: lists of accepted items, and items that were given up, in the order of the answers.

    `retried` are items that will be resent, each with AWS's code. `took_s` has, for each list of accepted items, the
    seconds since the first call that carried them began; an item that was retried has a list of its own.
    """

    accepted: list[list[T]]
    given_up: list[tuple[T, GivenUp]]
    retried: list[tuple[T, str]]
    took_s: list[float]


class HeldDestination(NamedTuple):
    """A destination that accepts nothing: name, beginning (monotonic seconds), and code of the latest failure."""

    name: str
    since: float
    code: str


class Flight:
    """Number of calls, items and bytes in flight. `accepted` counts calls by the number of their accepted items."""

    def __init__(self) -> None:
        self.calls = self.items = self.bytes = 0
        self.accepted: Counter[int] = Counter()

    def add(self, calls: int, items: int, size_bytes: int) -> None:
        """Add a call, its items and its bytes. Negative numbers take a call away."""
        self.calls += calls
        self.items += items
        self.bytes += size_bytes


class DelayedItems(Generic[T]):
    """Items that wait until a time (monotonic seconds). Items of the same time keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, at: float, item: T) -> None:
        """Keep `item` until the time `at`."""
        heapq.heappush(self._heap, (at, next(self._order), item))

    def due(self, now: float) -> Sequence[T]:
        """Remove and return the due items, the latest first, so that `extendleft` puts the earliest in front."""
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due[::-1] if due else ()

    def wait_s(self, now: float) -> float:
        """Return the seconds until the first item is due. There must be an item."""
        return max(0.0, self._heap[0][0] - now)

    def drain(self) -> list[T]:
        """Remove and return all items, the earliest first."""
        items = [item for _, _, item in sorted(self._heap)]
        self._heap.clear()
        return items


class Suspects(Generic[T]):
    """The items of calls that were refused whole for their content, in groups that are halved until one stands alone.

    Each group is a call of its own. `refused_at` tells when (monotonic seconds) an item was refused first.
    """

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._groups: deque[list[T]] = deque()
        self._refused: dict[Hashable, float] = {}
        self._were_asked = True

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def next_group(self, *, alone: bool, others_wait: bool = False) -> list[T]:
        """Remove and return the next group, or one item of it if `alone`. Empty if none waits, or others have the turn.

        `alone` is set while nothing is accepted, when a single success would show which item is to blame. A suspect
        alone has the best chance of success; if all suspects are culprits, only other items have one. So suspects and
        others take turns.
        """
        others_turn = alone and others_wait and self._were_asked
        self._were_asked = not others_turn
        if others_turn or not self._groups:
            return []
        group = self._groups.popleft()
        if alone and len(group) > 1:
            self._groups.appendleft(group[1:])
        return group[:1] if alone else group

    def split(self, items: list[T], now: float) -> None:
        """Suspect `items`, refused `now`, as two halves, behind the groups that wait."""
        for item in items:
            self._refused.setdefault(self._key(item), now)
        middle = len(items) // 2
        self._groups.extend(half for half in (items[:middle], items[middle:]) if half)

    def returned(self, items: list[T]) -> bool:
        """Take back a group whose call failed for another reason. Return False if these items are not suspects."""
        if self._key(items[0]) not in self._refused:
            return False
        self._groups.appendleft(items)
        return True

    def cleared(self, items: Sequence[T]) -> None:
        """Forget the suspicion against these items: they are accepted or given up."""
        if self._refused:
            for item in items:
                self._refused.pop(self._key(item), None)

    def refused_at(self, item: T, now: float) -> float:
        """Return when the item was refused for the first time, or `now` if it never was."""
        return self._refused.get(self._key(item), now)

    def drain(self) -> list[T]:
        """Remove and return all items, in order."""
        items = [item for group in self._groups for item in group]
        self._groups.clear()
        return items


class Dispatcher(Generic[T]):
    """Owner of each submitted item until `collect` returns it as accepted or given up. Single-threaded."""

    def __init__(
        self, to: Destination[T], policy: RetryPolicy, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._to = to
        self._policy = policy
        self._clock = clock
        self._random = random
        self.gate = Gate(policy.max_in_flight, random, policy.max_rate)
        self.blame: Blame[T] = Blame(to.key, policy.max_retries)
        self.flight = Flight()
        self._ready: deque[T] = deque()
        self._later: DelayedItems[T] = DelayedItems()
        self._suspects: Suspects[T] = Suspects(to.key)
        self._failure = ("", "")
        """Code of the latest failure, and AWS's message if it cannot quote a payload."""
        self._holds_to_be_said: dict[str, LogLimiter] = defaultdict(lambda: LogLimiter(clock))
        """Causes, each logged once when it appears and then once a minute: in an outage several causes take turns."""
        self._alone_to_be_said = LogLimiter(clock)
        self._ended: Ended[T] = Ended([], [], [], [])

    @property
    def backlog(self) -> int:
        """Number of items not yet accepted or given up."""
        return len(self._ready) + len(self._later) + len(self._suspects) + self.flight.items

    @property
    def ready(self) -> int:
        """Number of items that wait only for a call."""
        return len(self._ready)

    @property
    def only_sick(self) -> bool:
        """Whether every pending item fails by itself, or is suspected."""
        return 0 < self.backlog <= self.blame.sick + len(self._suspects)

    @property
    def held(self) -> HeldDestination | None:
        """The dispatcher's destination, if it accepts nothing and items wait for it."""
        if not (self.gate.holding and self.backlog):
            return None
        return HeldDestination(self._to.name, self.gate.held_since, self._failure[0])

    @property
    def accepted_at(self) -> float:
        """Time at which the destination last accepted an item (monotonic seconds)."""
        return self.blame.accepted_at

    @property
    def calls_in_flight(self) -> int:
        """Number of calls that have no answer yet."""
        return self.flight.calls

    @property
    def calls_ceiling(self) -> int:
        """Maximum number of calls in flight at present."""
        return self.gate.ceiling

    @property
    def is_failing(self) -> bool:
        """Whether the latest call failed, with nothing accepted since."""
        return self.gate.failures > 0

    @property
    def calls_by_size(self) -> Mapping[int, int]:
        """Number of answered calls by the number of their accepted items."""
        return self.flight.accepted

    def block(self, *, blocked: bool) -> None:
        """Start no call while `blocked`, for reasons that say nothing about the destination."""
        self.gate.blocked = blocked

    def stop(self) -> None:
        """Start no call any more, whatever comes back."""
        self.gate.stop()

    def submit(self, items: Iterable[T]) -> None:
        """Accept `items`. Full calls start at once if the gate allows it."""
        self._ready.extend(items)
        self.advance(flush=False)

    def enqueue(self, items: Iterable[T]) -> None:
        """Accept `items`, which wait for the next `advance`."""
        self._ready.extend(items)

    def at_the_end(self, already_s: float) -> None:
        """Record that no more items will be submitted.

        From now on an item without others as a comparison is given up after AT_THE_END_S, of which earlier processes
        have waited `already_s`.
        """
        self.blame.at_the_end(self._clock(), already_s)

    def collect(self) -> Ended[T]:
        """Return the items that ended since the last call. They belong to the caller from now on."""
        ended, self._ended = self._ended, Ended([], [], [], [])
        return ended

    @property
    def collectable(self) -> bool:
        """Whether `collect` has items to return."""
        return bool(self._ended.accepted or self._ended.given_up or self._ended.retried)

    def advance(self, *, flush: bool) -> None:
        """Start the calls that may start now; if `flush`, also calls that are not full.

        If no call is in flight, a call that is not full starts as well.
        """
        now = self._clock()
        self._ready.extendleft(self._later.due(now))
        if not (self._ready or self._suspects or self.gate.holding):
            return
        # A probe need not be full: on a quiet stream nothing else would show that the destination is back.
        while self.flight.bytes < self._policy.max_in_flight_bytes and self.gate.may_start(self.flight.calls, now):
            items = self._next_call(flush=flush or self.gate.holding or not self.flight.calls)
            if not items:
                break
            self._start(items, now)
        if self.gate.holding and self.backlog and not self.gate.blocked:
            self._hold(now)

    def wait_s(self, longest: float) -> float:
        """Return the seconds, at most `longest`, until a retry or a probe is due."""
        now, wait = self._clock(), longest
        if self._ready or self._suspects:
            wait = min(wait, self.gate.wait_s(now) or longest)
        return min(wait, max(self._later.wait_s(now), self.gate.wait_s(now))) if self._later else wait

    def _next_call(self, *, flush: bool) -> list[T]:
        if group := self._suspects.next_group(alone=self.gate.holding, others_wait=bool(self._ready)):
            return group
        if not self._ready:
            return []
        if self.gate.silent:
            return self._next_single()
        # The first items may be the culprits: sick items become due repeatedly, before others had their turn.
        anywhere = int(self._random() * len(self._ready)) if self.gate.brought_nothing else 0
        items = _take_at(anywhere, self._ready, self._to.take)
        if flush or self._ready or self._to.is_full(items):
            return items
        self._ready.extendleft(reversed(items))
        return []

    def _next_single(self) -> list[T]:
        """Remove the newest item for a call of its own.

        Retried items return to the front, so while new items come, none is sent twice before the destination is back.
        Without new items all take turns.
        """
        return self._to.take(deque([self._ready.pop()]))

    def _start(self, items: list[T], now: float) -> None:
        size = self._to.size_bytes(items)
        self.flight.add(1, len(items), size)
        self.gate.started(len(items), now)
        self._to.send(items, lambda answer: self._answered(items, size, now, answer))

    def _answered(self, items: list[T], size: int, sent_at: float, answer: Answer) -> None:
        self.flight.add(-1, -len(items), -size)
        outcome, now = self._to.read(answer, items), self._clock()
        if isinstance(outcome, Refusal):
            self._call_refused(items, outcome, sent_at, now)
        elif outcome.count(ACCEPTED) == len(outcome):
            self._accept(items, sent_at, now)
        else:
            self._partly(items, outcome, sent_at, now)

    def _accept(self, items: list[T], sent_at: float, now: float) -> None:
        if self._holds_to_be_said:
            log.info(
                "%s is back%s",
                self._to.name,
                self._may_come_twice(),
                extra={
                    "event": "back",
                    "held_s": round(now - self.gate.held_since, 1),
                    "may_be_delivered_twice": self.blame.unanswered,
                },
            )
            self._holds_to_be_said.clear()
        self.flight.accepted[len(items)] += 1
        self.gate.succeeded(now, now - sent_at, backlog=bool(self._ready))
        self._suspects.cleared(items)
        for some, took_s in self.blame.record_accepted(items, sent_at, now):
            self._ended.accepted.append(some)
            self._ended.took_s.append(took_s)

    def _may_come_twice(self) -> str:
        """Return the text that the log adds if calls timed out: their items may have been accepted and are resent."""
        unanswered = self.blame.unanswered
        return f"; {unanswered} of its events may be delivered twice (their calls timed out)" if unanswered else ""

    def _partly(self, items: Sequence[T], outcomes: Sequence[Outcome], sent_at: float, now: float) -> None:
        """Handle a call in which some items failed: each is judged by its own code."""
        pairs = list(zip(items, outcomes, strict=True))
        failed = [(item, outcome) for item, outcome in pairs if outcome.disposition is not None]
        if through := [item for item, outcome in pairs if outcome.disposition is None]:
            self._accept(through, sent_at, now)
        systemic = [outcome for _, outcome in failed if outcome.disposition is Disposition.HOLD]
        if through or any(outcome.disposition is Disposition.DEAD_LETTER for _, outcome in failed):
            if systemic:
                self.gate.throttled()
        elif systemic or not all(self.blame.is_sick(item) for item in items):
            # A call of items that failed by themselves before says nothing of the destination.
            blamed = systemic[0] if systemic else failed[0][1]._replace(message="")
            self._failure = (blamed.code, blamed.message)
            self.gate.failed(now, in_flight=self.flight.calls)
        else:
            self.gate.brought_nothing = True
        # All failures are counted before any item is judged, since items behind it in its call are a comparison too.
        tried = [
            self.blame.record_failure(item, sent_at, now, own_failure=outcome.disposition is not Disposition.HOLD)
            for item, outcome in failed
        ]
        for (item, outcome), tries in zip(failed, tried, strict=True):
            self._judge(item, outcome, tries, now)

    def _judge(self, item: T, outcome: Outcome, tries: Tries, now: float) -> None:
        is_wrong_data = outcome.disposition is Disposition.DEAD_LETTER
        # The item itself is in no queue now, so it is added to the unfinished items.
        match self.blame.decide(outcome.disposition, tries, now, self.backlog + 1):
            case Decision.GIVE_UP:
                self._give_up(item, Reason.REFUSED if is_wrong_data else Reason.RETRIES_EXHAUSTED, outcome.code)
            case Decision.WAIT:
                self._again(item, tries.retry_after_call_failure_at(now, self._random), outcome.code)
            case _:
                self._again(
                    item, tries.retry_after_own_failure_at(now, self._policy.max_retries, self._random), outcome.code
                )
                self._warn_of_waiting_alone(outcome.code)

    def _warn_of_waiting_alone(self, code: str) -> None:
        if self.blame.waits_alone and self._alone_to_be_said():
            log.warning(
                "%s fails on an event at every retry, and no other event shows whether the event or %s is at fault. "
                "The event waits for the next one%s; none is lost. Nothing has to be done.",
                self._to.name,
                self._to.name,
                ", for 15 minutes in all, since the shard is at its end" if self.blame.ends_since is not None else "",
                extra={"event": "nobody-to-compare-with", "code": code},
            )

    def _call_refused(self, items: list[T], refusal: Refusal, sent_at: float, now: float) -> None:
        is_content = refusal.disposition is Disposition.BISECT
        # AWS's words on a call's content may quote it.
        self._failure = (refusal.code, "" if is_content else refusal.message)
        timed_out = refusal.code == TIMED_OUT
        tried = [
            self.blame.record_failure(item, sent_at, now, own_failure=False, timed_out=timed_out) for item in items
        ]
        if is_content:
            self._halve(items, refusal, now)
            return
        if refusal.code in THROTTLING:
            self.gate.throttled()
        # A call that was sent just before the destination fell silent may be older than its last answer.
        if timed_out and self.blame.accepted_at < sent_at + SLOW_S:
            self.gate.timed_out(now, sent_at)
        else:
            self.gate.failed(now, refusal.retry_after_s, self.flight.calls)
        if self._suspects.returned(items):
            return
        at = tried[0].retry_after_call_failure_at(now, self._random)
        for item in items:
            self._again(item, at, refusal.code)

    def _halve(self, items: list[T], refusal: Refusal, now: float) -> None:
        """Split a call that was refused for its content.

        An item alone in its call is given up once a call sent after that refusal was accepted.
        """
        if self._to.too_large(items, refusal):
            if len(items) == 1:
                self._give_up(items[0], Reason.OVERSIZE, refusal.code)
            else:
                self._ready.extendleft(reversed(items))
            return
        refused_at = self._suspects.refused_at(items[0], now)
        if len(items) == 1 and self.blame.is_poison(refused_at, now, self.backlog + 1):
            self._give_up(items[0], Reason.REFUSED, refusal.code)
            return
        if len(items) == 1 or self.blame.accepted_sent_at <= refused_at:
            self.gate.failed(now, in_flight=self.flight.calls)
        self._suspects.split(items, now)

    def _hold(self, now: float) -> None:
        """Log that the breaker is open. If the retry policy says so, give up waiting items once the budget is spent."""
        held_s, (code, message) = now - self.gate.held_since, self._failure
        if held_s >= LOGGED_AFTER_S and self._holds_to_be_said[code]():
            log.warning(
                "%s accepts nothing, so its events wait, and nothing is lost: %s%s%s; %s",
                self._to.name,
                code,
                f" ({message})" if message else "",
                self._may_come_twice(),
                cure(code),
                extra={
                    "event": "holding",
                    "code": code,
                    "waiting": self.backlog,
                    "held_s": round(held_s, 1),
                    "may_be_delivered_twice": self.blame.unanswered,
                },
            )
        # A silent destination is probed seldom, so the number of retries would take minutes to reach.
        tried = self.gate.silent or self.gate.failures > self._policy.max_retries
        spent = tried and held_s >= SPREAD_S
        if self._policy.outage_gives_up and spent:
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """Give up all items that wait. If no probe is in flight, keep the items that the next probe will carry."""
        probe: list[T] = []
        if self._ready and not self.flight.calls:
            probe = self._next_single() if self.gate.silent else self._to.take(self._ready)
        for item in [*self._suspects.drain(), *self._later.drain(), *self._ready]:
            self._give_up(item, Reason.OUTAGE, self._failure[0])
        self._ready = deque(probe)

    def _again(self, item: T, at: float, code: str) -> None:
        self._ended.retried.append((item, code))
        self._later.put(at, item)

    def _give_up(self, item: T, reason: Reason, code: str) -> None:
        attempts = self.blame.record_given_up(item)
        self._suspects.cleared([item])
        self._ended.given_up.append((item, GivenUp(reason, code, f"{self._to.name} {_WHY[reason]}", attempts)))


def _take_at(at: int, queue: deque[T], take: Callable[[deque[T]], list[T]]) -> list[T]:
    """Return what `take` takes from item number `at` of the queue on, and then from its beginning.

    The items keep their order, in the result and in the queue.
    """
    if not at:
        return take(queue)
    behind = len(queue) - at
    queue.rotate(-at)
    items = take(queue)
    if len(items) > behind:  # some of them are of its beginning, and so go first
        return items[behind:] + items[:behind]
    queue.rotate(at)
    return items
