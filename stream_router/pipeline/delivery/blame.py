"""Who is to blame for a failure, and how often an item is tried again: one table over one minute of counts.

What fails with its whole call, or by a code that speaks of the destination, is the destination's trouble and waits.
What fails by itself has a budget of retries; once that is spent, the first tries of the shard's other items say whose
fault it is. Their latest answers would not do: a bus that fails 60 % at random accepts nearly all in the end, and would
bury those that were only unlucky. `docs/delivery.md` says the same in plain words. Times are monotonic seconds.
"""

import enum
import math
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from stream_router.aws_error_codes import Disposition
from stream_router.pipeline.delivery.backoff import SPREAD_S, Tries

T = TypeVar("T")

MINUTE_S = 60.0
"""An answer older than this says nothing of today."""

WELL_SHARE = 0.9
"""So many of the others' first tries must have been accepted for an item's trouble to be its own."""

SURE_SHARE = 0.97
"""Between WELL_SHARE and this an item is given up only once a minute has passed since its first failure: with an event
a second, half a minute of a bus that fails a fifth at random looks well in one case of ten."""

LATELY_S = 600.0
"""So long a conversation is remembered whose item was given up."""

AT_THE_END_S = 900.0
"""At a shard's end no other item will ever come to compare with: so long one that fails alone is tried there. What it
waited in processes before counts, but each tries for SPREAD_S: leases may move more often than every 15 minutes, and
the KCL reads the shards after this one only once it is over."""

MOST_AT_THE_END = 10
"""So many items, a classic call's worth, may be given up so: more look like a destination that takes nothing."""


class RetryPolicy(NamedTuple):
    """How far the dispatcher goes: calls and bytes in flight, retries of an item's own trouble, what an outage means.

    `max_rate` is the most items a second, 0.0 where there is no such bound.
    """

    max_in_flight: int
    max_in_flight_bytes: int
    max_retries: int
    outage_gives_up: bool = False
    max_rate: float = 0.0


NEVER_GIVEN_UP = 1_000_000_000
"""Retries of what has nowhere else to go: the shard holds until it is stored."""


class Decision(enum.Enum):
    """What becomes of an item that failed."""

    BURY = "it is given up"
    RETRY = "it is tried again after its own pause"
    WAIT = "it is tried again with the others, without end"


class FirstTries:
    """What became of items at their first try: counted by the second in which their calls were sent, for a minute."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self.accepted_at = -math.inf
        """When something was last accepted."""
        self.accepted_sent_at = -math.inf
        """When the latest call was sent of which something was accepted."""

    def accepted(self, sent_at: float, now: float, first_tries: int) -> None:
        """Items of a call that was sent then are accepted, so many of them at their first try."""
        self.accepted_at = now
        self.accepted_sent_at = max(self.accepted_sent_at, sent_at)
        self._of(sent_at, now)[0] += first_tries

    def failed(self, sent_at: float, now: float) -> None:
        """An item failed for the first time, in a call that was sent then."""
        self._of(sent_at, now)[1] += 1

    def _of(self, sent_at: float, now: float) -> list[int]:
        counts, second = self._counts, int(sent_at)
        if second not in counts:
            counts[second] = [0, 0]
            for old in [counted_second for counted_second in counts if counted_second < now - MINUTE_S - 1]:
                del counts[old]
        return counts[second]

    def between(self, moment: float, until: float, now: float) -> tuple[int, int]:
        """Accepted and failed ones of the last minute whose calls were sent since a moment, `until` a second."""
        begin = math.ceil(max(moment, now - MINUTE_S))
        counted = [counts for second, counts in self._counts.items() if begin <= second <= until]
        return sum([accepted for accepted, _ in counted]), sum([failed for _, failed in counted])


class Blame(Generic[T]):
    """The failures of the items under way, and the judge of each.

    `key` tells an item; a text is its conversation, of which one item is under way at a time. A conversation's budget
    goes on where an item of it was given up: the next one that fails has its retries, but no half minute of its own.
    """

    def __init__(self, key: Callable[[T], Hashable], max_retries: int) -> None:
        self._key = key
        self._max_retries = max_retries
        self._tries: dict[Hashable, Tries] = {}
        self._given_up: dict[Hashable, float] = {}
        """When the budget of a conversation began whose last item was given up."""
        self.first_tries = FirstTries()
        self.ends_since: float | None = None
        """Since when the shard is at its end: nothing more will come."""
        self._end_s = AT_THE_END_S
        """So long what is alone there is tried in this process."""
        self.waits_alone = False
        """Whether the item that was judged last had its retries, and waits for another to be compared with."""
        self.sick = 0
        """Items under way that failed by themselves."""
        self.unanswered = 0
        """Items under way that were sent in a call which timed out: the destination may have accepted them."""

    def __bool__(self) -> bool:
        return bool(self._tries)

    def at_the_end(self, now: float, already_s: float) -> None:
        """The shard is at its end: nothing more will come. In processes before what is sick there waited so long."""
        self.ends_since = now
        self._end_s = max(SPREAD_S, AT_THE_END_S - already_s)

    def failed(self, item: T, sent_at: float, now: float, *, itself: bool, timed_out: bool = False) -> Tries:
        """Record one more failure of this item, in a call that was sent at `sent_at`."""
        key = self._key(item)
        tries = self._tries.get(key)
        if tries is None:
            tries = self._tries[key] = Tries(sent_at, self._given_up.get(key, 0.0))
            self.first_tries.failed(sent_at, now)
        tries.last_sent = sent_at
        tries.all += 1
        if timed_out and not tries.unanswered:
            tries.unanswered = True
            self.unanswered += 1
        if itself:
            self.sick += not tries.own
            tries.own += 1
            tries.first_own_at = tries.first_own_at or now
            tries.budget_from = tries.budget_from or now
        return tries

    def of(self, disposition: Disposition | None, tries: Tries, now: float, under_way: int) -> Decision:
        """The table: what becomes of an item whose own code says this. `under_way` counts all that is."""
        self.waits_alone = False
        match disposition:
            case Disposition.DEAD_LETTER:
                return Decision.BURY
            case Disposition.HOLD:
                return Decision.WAIT
        if tries.own <= self._max_retries or (self._max_retries and now - tries.budget_from < SPREAD_S):
            return Decision.RETRY
        # What was sent after its own last try says nothing of what that met: the answer may come slowly from a trouble
        # that is over by now.
        accepted, failed = self.first_tries.between(tries.first_own_at, tries.last_sent, now)
        if not accepted + failed:
            self.waits_alone = True
            return Decision.BURY if self._is_over(tries.budget_from, now, under_way) else Decision.RETRY
        if accepted < WELL_SHARE * (accepted + failed):
            # Everybody's trouble: what came so far was no word about the item, and its budget begins anew. The minute
            # that is looked at does not: of a few others some are accepted by chance just after it.
            tries.own, tries.budget_from = 1, now
            return Decision.RETRY
        if accepted < SURE_SHARE * (accepted + failed) and now - tries.first_own_at < MINUTE_S:
            return Decision.RETRY
        return Decision.BURY

    def is_poison(self, refused_at: float, now: float, under_way: int) -> bool:
        """Whether an item that stood alone in a call refused for its content, first at `refused_at`, is to blame.

        One other that was accepted by a call sent since is proof.
        """
        return self.first_tries.accepted_sent_at > refused_at or self._is_over(refused_at, now, under_way)

    def _is_over(self, first_at: float, now: float, under_way: int) -> bool:
        """Whether an item that has nobody to be compared with has waited long enough: at a shard's end alone."""
        ended = self.ends_since is not None and now - max(first_at, self.ends_since) >= self._end_s
        return ended and under_way <= MOST_AT_THE_END

    def is_sick(self, item: T) -> bool:
        """Whether the item failed by itself before."""
        tries = self._tries.get(self._key(item))
        return tries is not None and tries.own > 0

    def through(self, items: list[T], sent_at: float, now: float) -> list[tuple[list[T], float]]:
        """These items are accepted, in a call that was sent then. With how long ago their first calls were sent."""
        if not self._tries:
            self._given_up = {key: at for key, at in self._given_up.items() if at > now - LATELY_S}
        new, again = items, list[tuple[list[T], float]]()
        if self._tries or self._given_up:
            new = []
            for item in items:
                self._given_up.pop(self._key(item), None)
                if tries := self._forget(item):
                    again.append(([item], now - tries.first_sent))
                else:
                    new.append(item)
        self.first_tries.accepted(sent_at, now, len(new))
        return [(new, now - sent_at), *again] if new else again

    def given_up(self, item: T) -> int:
        """The item ends. How many attempts had failed."""
        tries = self._forget(item)
        if tries is None:
            return 0
        if tries.own and isinstance(key := self._key(item), str):
            self._given_up[key] = tries.budget_from
        return tries.all

    def _forget(self, item: T) -> Tries | None:
        tries = self._tries.pop(self._key(item), None)
        if tries:
            self.sick -= tries.own > 0
            self.unanswered -= tries.unanswered
        return tries
