"""A dispatcher sends items in calls until each item is accepted or given up. PutEvents, SQS and S3 have one each.

Many calls are in flight at once. Items that fail with their whole call are resent without end, since the destination is
down. Items that fail by themselves have a budget of retries (`blame.py`). A call that is refused for its content is
halved, and its halves are sent, until the item at fault is alone in its call.

An item is always in exactly one of these states: ready, in flight, waiting for its retry, suspected (its call was
refused for its content), or accepted or given up and not yet collected.
"""

import heapq
import itertools
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from stream_router.aws_answers import ACCEPTED, TIMED_OUT, Answer, Outcome, Refusal
from stream_router.aws_error_codes import THROTTLING, Disposition, find_cure
from stream_router.dead_letter_reasons import Reason
from stream_router.log import LogLimiter
from stream_router.pipeline.delivery.backoff import SPREAD_S, Tries
from stream_router.pipeline.delivery.blame import Blame, Decision, RetryPolicy
from stream_router.pipeline.delivery.gate import SLOW_S, Gate

log = logging.getLogger(__name__)

T = TypeVar("T")


HOLD_LOGGED_AFTER_S = 1.0
"""Seconds for which a breaker must be open before it is logged. A few failures at once open it only for a moment."""


class Destination(Protocol[T]):
    """Calls to one destination: chooses a call's items, sends the call, reads its answer. It keeps no items."""

    name: str
    """Name in logs and dead letters, with the resource's own name."""

    def take(self, ready: deque[T]) -> list[T]:
        """Remove the next call's items from the front of `ready`."""

    def is_full(self, items: Sequence[T]) -> bool:
        """Return whether a call of `items` is full, so that waiting for more items would be useless."""

    def size_bytes(self, items: Sequence[T]) -> int:
        """Return the size of a call of `items`, as it counts against the limit of bytes in flight."""

    def key(self, item: T) -> Hashable:
        """Return the item's identity. If it is a text, it is a conversation, of which one item is sent at a time."""

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


_DESCRIPTIONS = {
    Reason.REFUSED: "refuses it for its content",
    Reason.RETRIES_EXHAUSTED: "failed on it through every retry while it accepted others",
    Reason.OVERSIZE: "refuses it for its size",
    Reason.OUTAGE: "accepted nothing for too long",
}
"""Descriptions of the reasons. AWS's message is not used, since it may quote the payload."""


class Ended(NamedTuple, Generic[T]):
    """Outcomes since the last `collect`, in the order of the answers.

    `accepted` holds lists of accepted items. For each list, `took_s` holds the seconds from the sending of its items'
    first call until they were accepted. An item that was retried has a list of its own, since its first call was an
    earlier one. `given_up` holds items that are not sent any more. `retried` holds items that will be sent again, each
    with AWS's error code.
    """

    accepted: list[list[T]]
    given_up: list[tuple[T, GivenUp]]
    retried: list[tuple[T, str]]
    took_s: list[float]


class HeldDestination(NamedTuple):
    """A destination that accepts nothing, since a time in monotonic seconds, with the code of the latest failure."""

    name: str
    since: float
    code: str


class Flight:
    """Number of calls, items and bytes in flight. `accepted` counts calls by the number of their accepted items."""

    def __init__(self) -> None:
        self.calls = self.items = self.bytes = 0
        self.accepted: Counter[int] = Counter()

    def add(self, calls: int, items: int, size_bytes: int) -> None:
        """Add a call, its items and its bytes; negative numbers remove them."""
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
        """Remove and return the due items, the latest first: `deque.extendleft` then puts the earliest in front."""
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
    """Items of calls that were refused whole for their content. At least one item of each such call is at fault.

    They are kept in groups. Each group is sent as one call, and is split into halves if that call is refused too.
    """

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._groups: deque[list[T]] = deque()
        self._refused: dict[Hashable, float] = {}
        """Time at which each suspect's call was refused for the first time, by the item's identity."""
        self._had_last_turn = True
        """Whether the latest call was left to the suspects, not to the other items."""

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def next_group(self, *, alone: bool, others_wait: bool = False) -> list[T]:
        """Remove and return the next group; [] if there is none, or if an item that is not suspected is to be sent now.

        The caller sets `alone` while the destination accepts nothing. Then only one item of the group is returned. If
        it is accepted, the destination works, so the suspects that it refuses are at fault. But if all suspects are at
        fault, only an item that is not suspected can show that. So both kinds take turns, if `others_wait` says that
        such items are ready.
        """
        others_turn = alone and others_wait and self._had_last_turn
        self._had_last_turn = not others_turn
        if others_turn or not self._groups:
            return []
        group = self._groups.popleft()
        if alone and len(group) > 1:
            self._groups.appendleft(group[1:])
        return group[:1] if alone else group

    def split(self, items: list[T], now: float) -> None:
        """Split `items`, whose call was refused at `now`, into two groups behind the groups that wait."""
        for item in items:
            self._refused.setdefault(self._key(item), now)
        middle = len(items) // 2
        self._groups.extend(half for half in (items[:middle], items[middle:]) if half)

    def take_back(self, items: list[T]) -> bool:
        """Put a group whose call failed for another reason back in front; return False if `items` are no suspects."""
        if self._key(items[0]) not in self._refused:
            return False
        self._groups.appendleft(items)
        return True

    def acquit(self, items: Sequence[T]) -> None:
        """Remove the suspicion against these items, since they were accepted or given up."""
        if self._refused:
            for item in items:
                self._refused.pop(self._key(item), None)

    def refused_at(self, item: T, now: float) -> float:
        """Return the time at which the item's call was refused for the first time; `now` if it never was."""
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
        self._hold_log_limiters: dict[str, LogLimiter] = defaultdict(lambda: LogLimiter(clock))
        """Limiters of the log line about a hold, by AWS's code: in an outage several codes alternate.

        It is empty unless a hold was logged and the destination has accepted nothing since.
        """
        self._alone_log_limiter = LogLimiter(clock)
        """Limiter of the log line about an item that no other item can be compared with."""
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
    def has_only_failing_items(self) -> bool:
        """Whether each pending item has failed by itself, or is suspected. False if no item is pending."""
        return 0 < self.backlog <= self.blame.sick + len(self._suspects)

    @property
    def held(self) -> HeldDestination | None:
        """The dispatcher's destination if it accepts nothing and items wait for it; None otherwise."""
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
        """Start no call while `blocked` is true, for a reason that has nothing to do with the destination."""
        self.gate.blocked = blocked

    def stop(self) -> None:
        """Start no further call."""
        self.gate.stop()

    def submit(self, items: Iterable[T]) -> None:
        """Take charge of `items`. Full calls start at once if the gate allows it."""
        self._ready.extend(items)
        self.advance(flush=False)

    def enqueue(self, items: Iterable[T]) -> None:
        """Take charge of `items`. They wait for the next `advance`."""
        self._ready.extend(items)

    def mark_input_ended(self, already_s: float) -> None:
        """Record that no more items will be submitted.

        From now on an item that fails by itself, while no other item can be compared with it, is given up after
        AT_THE_END_S. `already_s` are the seconds of these for which earlier processes have retried it.
        """
        self.blame.mark_input_ended(self._clock(), already_s)

    def collect(self) -> Ended[T]:
        """Return the outcomes since the last `collect`.

        Accepted and given-up items belong to the caller from now on. Retried items stay with the dispatcher.
        """
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
            self._log_hold(now)
            # A silent destination is probed seldom, so it would take minutes to reach the number of retries.
            has_tried = self.gate.silent or self.gate.failures > self._policy.max_retries
            if self._policy.outage_gives_up and has_tried and now - self.gate.held_since >= SPREAD_S:
                self._give_up_waiting()

    def wait_s(self, longest: float) -> float:
        """Return the seconds until a retry or a probe is due, at most `longest`.

        Items for which the gate is open wait for an answer or for more items. Neither comes at a known time, so they do
        not shorten the wait.
        """
        now, wait_s = self._clock(), longest
        gate_wait_s = self.gate.wait_s(now)
        if gate_wait_s and (self._ready or self._suspects):
            wait_s = min(wait_s, gate_wait_s)
        if self._later:
            wait_s = min(wait_s, max(self._later.wait_s(now), gate_wait_s))
        return wait_s

    def _next_call(self, *, flush: bool) -> list[T]:
        """Remove and return the items of the next call; [] if none should start, such as one that is not full."""
        if group := self._suspects.next_group(alone=self.gate.holding, others_wait=bool(self._ready)):
            return group
        if not self._ready:
            return []
        if self.gate.silent:
            return self._next_single()
        start = 0
        if self.gate.last_call_brought_nothing:
            # The first items may be those at fault: their retries are due again and again, before others had a turn.
            start = int(self._random() * len(self._ready))
        items = _take_at(start, self._ready, self._to.take)
        if flush or self._ready or self._to.is_full(items):
            return items
        self._ready.extendleft(reversed(items))
        return []

    def _next_single(self) -> list[T]:
        """Remove and return the newest ready item, for a call of its own.

        Retried items return to the front, so while new items come, none is sent twice before the destination is back.
        Without new items all take turns.
        """
        return self._to.take(deque([self._ready.pop()]))

    def _start(self, items: list[T], now: float) -> None:
        """Start a call of `items`."""
        size = self._to.size_bytes(items)
        self.flight.add(1, len(items), size)
        self.gate.record_start(len(items), now)
        self._to.send(items, lambda answer: self._handle_answer(items, size, now, answer))

    def _handle_answer(self, items: list[T], size: int, sent_at: float, answer: Answer) -> None:
        """Handle the answer to a call of `items` that was sent at `sent_at`."""
        self.flight.add(-1, -len(items), -size)
        outcome, now = self._to.read(answer, items), self._clock()
        if isinstance(outcome, Refusal):
            self._handle_refusal(items, outcome, sent_at, now)
        elif outcome.count(ACCEPTED) == len(outcome):
            self._record_accepted(items, sent_at, now)
        else:
            self._handle_failed_items(items, outcome, sent_at, now)

    def _record_accepted(self, items: list[T], sent_at: float, now: float) -> None:
        """Report `items` as accepted in the next `collect`.

        Log that the destination accepts again, if it was logged that it accepts nothing.
        """
        if self._hold_log_limiters:
            log.info(
                "%s is back%s",
                self._to.name,
                self._describe_possible_copies(),
                extra={
                    "event": "back",
                    "held_s": round(now - self.gate.held_since, 1),
                    "may_be_delivered_twice": self.blame.unanswered,
                },
            )
            self._hold_log_limiters.clear()
        self.flight.accepted[len(items)] += 1
        self.gate.record_success(now, now - sent_at, backlog=bool(self._ready))
        self._suspects.acquit(items)
        for some, took_s in self.blame.record_accepted(items, sent_at, now):
            self._ended.accepted.append(some)
            self._ended.took_s.append(took_s)

    def _describe_possible_copies(self) -> str:
        """Return what the log adds about calls that timed out: AWS may have accepted them, and they are sent again."""
        unanswered = self.blame.unanswered
        return f"; {unanswered} of its events may be delivered twice (their calls timed out)" if unanswered else ""

    def _handle_failed_items(self, items: Sequence[T], outcomes: Sequence[Outcome], sent_at: float, now: float) -> None:
        """Handle a call in which items failed one by one. Each is retried or given up by its own code."""
        pairs = list(zip(items, outcomes, strict=True))
        failed = [(item, outcome) for item, outcome in pairs if outcome.disposition is not None]
        if accepted := [item for item, outcome in pairs if outcome.disposition is None]:
            self._record_accepted(accepted, sent_at, now)
        systemic = [outcome for _, outcome in failed if outcome.disposition is Disposition.HOLD]
        # An item that is accepted, or refused for its own data, shows that the destination works.
        if accepted or any(outcome.disposition is Disposition.DEAD_LETTER for _, outcome in failed):
            if systemic:
                self.gate.record_throttling()
        elif systemic or not all(self.blame.is_sick(item) for item in items):
            # A call whose items had all failed by themselves before would say nothing about the destination. A message
            # about a single item may quote it, so only a message about the destination is kept.
            cause = systemic[0] if systemic else failed[0][1]._replace(message="")
            self._failure = (cause.code, cause.message)
            self.gate.record_failure(now, in_flight=self.flight.calls)
        else:
            self.gate.last_call_brought_nothing = True
        # All failures are counted before any item is judged, since items behind it in its call are a comparison too.
        tries_of_failed = [
            self.blame.record_failure(item, sent_at, now, own_failure=outcome.disposition is not Disposition.HOLD)
            for item, outcome in failed
        ]
        for (item, outcome), tries in zip(failed, tries_of_failed, strict=True):
            self._retry_or_give_up(item, outcome, tries, now)

    def _retry_or_give_up(self, item: T, outcome: Outcome, tries: Tries, now: float) -> None:
        """Retry an item that failed by itself, or give it up, as `Blame` decides."""
        is_wrong_data = outcome.disposition is Disposition.DEAD_LETTER
        # The item itself is in no queue now, so it is added to the unfinished items.
        match self.blame.decide(outcome.disposition, tries, now, self.backlog + 1):
            case Decision.GIVE_UP:
                self._give_up(item, Reason.REFUSED if is_wrong_data else Reason.RETRIES_EXHAUSTED, outcome.code)
            case Decision.WAIT:
                self._schedule_retry(item, tries.retry_after_call_failure_at(now, self._random), outcome.code)
            case Decision.RETRY:
                at = tries.retry_after_own_failure_at(now, self._policy.max_retries, self._random)
                self._schedule_retry(item, at, outcome.code)
                self._warn_of_waiting_alone(outcome.code)

    def _warn_of_waiting_alone(self, code: str) -> None:
        """Log, once a minute at most, that an item has no other item to be compared with."""
        if self.blame.waits_alone and self._alone_log_limiter():
            log.warning(
                "%s fails on an event at every retry, and no other event shows whether the event or %s is at fault. "
                "The event waits for the next one%s; none is lost. Nothing has to be done.",
                self._to.name,
                self._to.name,
                ", for 15 minutes in all, since the shard is at its end" if self.blame.ends_since is not None else "",
                extra={"event": "nobody-to-compare-with", "code": code},
            )

    def _handle_refusal(self, items: list[T], refusal: Refusal, sent_at: float, now: float) -> None:
        """Handle a call that was refused whole, timed out, or never reached the destination."""
        is_content = refusal.disposition is Disposition.BISECT
        # AWS's message about a call's content may quote the content.
        self._failure = (refusal.code, "" if is_content else refusal.message)
        timed_out = refusal.code == TIMED_OUT
        tries = [
            self.blame.record_failure(item, sent_at, now, own_failure=False, timed_out=timed_out) for item in items
        ]
        if is_content:
            self._split_refused_call(items, refusal, now)
            return
        if refusal.code in THROTTLING:
            self.gate.record_throttling()
        # An item accepted later shows that the destination answers, and then the lost call is a common failure. But an
        # item accepted within SLOW_S after this call was sent may be the last one before the destination fell silent.
        if timed_out and self.blame.accepted_at < sent_at + SLOW_S:
            self.gate.record_timeout(now, sent_at)
        else:
            self.gate.record_failure(now, refusal.retry_after_s, self.flight.calls)
        if self._suspects.take_back(items):
            return
        at = tries[0].retry_after_call_failure_at(now, self._random)
        for item in items:
            self._schedule_retry(item, at, refusal.code)

    def _split_refused_call(self, items: list[T], refusal: Refusal, now: float) -> None:
        """Split a call that was refused for its content into halves, which are sent as calls of their own.

        An item that was alone in its call is given up once a later call is accepted. If the call was refused for its
        size, its items become ready again, since the destination packs smaller calls from now on. A single item that is
        too large is given up.
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
        # Until a call sent after the first refusal is accepted, the destination may be the one that refuses everything.
        if len(items) == 1 or self.blame.latest_accepted_call_at <= refused_at:
            self.gate.record_failure(now, in_flight=self.flight.calls)
        self._suspects.split(items, now)

    def _log_hold(self, now: float) -> None:
        """Log that the breaker is open, once for each code of AWS and then once a minute."""
        held_s, (code, message) = now - self.gate.held_since, self._failure
        if held_s >= HOLD_LOGGED_AFTER_S and self._hold_log_limiters[code]():
            log.warning(
                "%s accepts nothing, so its events wait, and nothing is lost: %s%s%s; %s",
                self._to.name,
                code,
                f" ({message})" if message else "",
                self._describe_possible_copies(),
                find_cure(code),
                extra={
                    "event": "holding",
                    "code": code,
                    "waiting": self.backlog,
                    "held_s": round(held_s, 1),
                    "may_be_delivered_twice": self.blame.unanswered,
                },
            )

    def _give_up_waiting(self) -> None:
        """Give up all items that wait. If no probe is in flight, keep the items that the next probe will carry."""
        probe: list[T] = []
        if self._ready and not self.flight.calls:
            probe = self._next_single() if self.gate.silent else self._to.take(self._ready)
        for item in [*self._suspects.drain(), *self._later.drain(), *self._ready]:
            self._give_up(item, Reason.OUTAGE, self._failure[0])
        self._ready = deque(probe)

    def _schedule_retry(self, item: T, at: float, code: str) -> None:
        """Send the item again at the time `at`. `code` is AWS's code of the failure."""
        self._ended.retried.append((item, code))
        self._later.put(at, item)

    def _give_up(self, item: T, reason: Reason, code: str) -> None:
        """Report an item as given up for `reason` in the next `collect`. `code` is AWS's code of the last failure."""
        attempts = self.blame.record_given_up(item)
        self._suspects.acquit([item])
        self._ended.given_up.append((item, GivenUp(reason, code, f"{self._to.name} {_DESCRIPTIONS[reason]}", attempts)))


def _take_at(at: int, queue: deque[T], take: Callable[[deque[T]], list[T]]) -> list[T]:
    """Return the items that `take` takes if it begins at item number `at` and goes on at the queue's beginning.

    The items keep their order, in the result and in the queue.
    """
    if not at:
        return take(queue)
    behind = len(queue) - at
    queue.rotate(-at)
    items = take(queue)
    # If some items are from the queue's beginning, they go first. All items from `at` on are taken then, so what is
    # left of the queue is in order already.
    if len(items) > behind:
        return items[behind:] + items[:behind]
    queue.rotate(at)
    return items
