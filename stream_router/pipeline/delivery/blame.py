"""Decision whether a failure is the item's or the destination's: `Blame.decide` is the table of docs/delivery.md.

If an item fails with its whole call, or with a code about the destination, the destination is to blame, and the item
waits. An item that fails by itself has a budget of retries. Once the budget is spent, the first tries of the shard's
other items in the last minute decide whether the item is to blame. Their latest tries would not do: a bus that fails
60 % at random accepts nearly every item in the end, and items that were only unlucky would be given up. Times are
monotonic seconds.
"""

import enum
import math
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from stream_router.aws_error_codes import Disposition
from stream_router.pipeline.delivery.backoff import SPREAD_S, Tries

T = TypeVar("T")

MINUTE_S = 60.0
"""Age in seconds up to which an answer counts as evidence about the present."""

BLAME_SHARE = 0.9
"""Minimum share of the other items' first tries that must have been accepted before an item itself is to blame."""

PROMPT_BLAME_SHARE = 0.97
"""Share of accepted first tries from which an item is given up as soon as its budget is spent.

Between BLAME_SHARE and PROMPT_BLAME_SHARE an item is given up only a minute after its first failure. At one event per
second, half a minute of a bus that fails a fifth at random looks healthy in one case of ten.
"""

BUDGET_REMEMBERED_S = 600.0
"""Seconds for which the spent budget of a conversation is remembered after one of its items was given up."""

AT_THE_END_S = 900.0
"""Seconds for which an item that fails by itself is retried at a shard's end, if no other item can be compared with it.

The time that it waited in earlier processes counts, but each process retries for at least SPREAD_S: leases may move
more often than every 15 minutes, and the KCL reads the child shards only once this shard has ended.
"""

MAX_GIVEN_UP_AT_THE_END = 10
"""Maximum number of unfinished items at the shard's end. While there are more, none is given up after AT_THE_END_S.

A call to a classic bus holds as many. More unfinished items look like a destination that accepts nothing.
"""


class RetryPolicy(NamedTuple):
    """Limits of a dispatcher: calls and bytes in flight, retries of an item that fails by itself, maximum rate.

    `outage_gives_up` is true if an outage gives items up instead of holding them. `max_rate` is in items per second,
    0.0 for no limit.
    """

    max_in_flight: int
    max_in_flight_bytes: int
    max_retries: int
    outage_gives_up: bool = False
    max_rate: float = 0.0


NEVER_GIVEN_UP = 1_000_000_000
"""Number of retries of an item that has no other destination: the shard holds until the item is stored."""


class Decision(enum.Enum):
    """Decision about an item that failed."""

    GIVE_UP = "the item is given up"
    RETRY = "the item is retried after a pause of its own"
    WAIT = "the item is retried with the others, without end"


class FirstTries:
    """Counts of accepted and failed first tries of items in the last minute, by the second at which each was sent."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}
        self.accepted_at = -math.inf
        """Time at which an item was last accepted."""
        self.latest_accepted_call_at = -math.inf
        """Latest time at which a call was sent of which an item was accepted."""

    def count_accepted(self, sent_at: float, now: float, first_tries: int) -> None:
        """Count accepted items of a call that was sent at `sent_at`, `first_tries` of them at their first try."""
        self.accepted_at = now
        self.latest_accepted_call_at = max(self.latest_accepted_call_at, sent_at)
        self._counts_of(sent_at, now)[0] += first_tries

    def count_failed(self, sent_at: float, now: float) -> None:
        """Count an item that failed for the first time, in a call that was sent at `sent_at`."""
        self._counts_of(sent_at, now)[1] += 1

    def _counts_of(self, sent_at: float, now: float) -> list[int]:
        """Return the counts of the second `sent_at`, accepted and failed, to be changed. Remove expired counts."""
        counts, second = self._counts, int(sent_at)
        if second not in counts:
            counts[second] = [0, 0]
            for expired in [counted for counted in counts if counted < now - MINUTE_S - 1]:
                del counts[expired]
        return counts[second]

    def count_between(self, begin: float, end: float, now: float) -> tuple[int, int]:
        """Return the numbers of accepted and failed first tries whose calls were sent from `begin` to `end`.

        Only those of the last minute are counted.
        """
        first_second = math.ceil(max(begin, now - MINUTE_S))
        counted = [counts for second, counts in self._counts.items() if first_second <= second <= end]
        return sum([accepted for accepted, _ in counted]), sum([failed for _, failed in counted])


class Blame(Generic[T]):
    """Record of the failures of a dispatcher's items, which decides about each failed item.

    `key` returns an item's identity. If that is a text, it is the item's conversation, of which one item is sent at a
    time. The budget of a conversation outlives an item that was given up: the next item that fails gets its retries,
    but they are not spread over another SPREAD_S.
    """

    def __init__(self, key: Callable[[T], Hashable], max_retries: int) -> None:
        self._key = key
        self._max_retries = max_retries
        self._tries: dict[Hashable, Tries] = {}
        self._spent_budgets: dict[Hashable, float] = {}
        """Beginning of the budget of the item that was given up, by conversation."""
        self._first_tries = FirstTries()
        self.ends_since: float | None = None
        """Time at which the shard's end was reached, so that no more items come; None before."""
        self._end_s = AT_THE_END_S
        """Seconds for which this process retries an item that is alone at the shard's end."""
        self.waits_alone = False
        """Whether the item of the latest decision has spent its budget and waits for another item as a comparison."""
        self.sick = 0
        """Number of items that failed by themselves and are neither accepted nor given up."""
        self.unanswered = 0
        """Number of pending items that were sent in a call that timed out: the destination may have accepted them."""

    @property
    def accepted_at(self) -> float:
        """Time at which the destination last accepted an item (monotonic seconds)."""
        return self._first_tries.accepted_at

    @property
    def latest_accepted_call_at(self) -> float:
        """Latest time at which a call was sent of which an item was accepted (monotonic seconds)."""
        return self._first_tries.latest_accepted_call_at

    def mark_input_ended(self, now: float, already_s: float) -> None:
        """Record that no more items will come. Failing items have waited `already_s` in earlier processes."""
        self.ends_since = now
        self._end_s = max(SPREAD_S, AT_THE_END_S - already_s)

    def record_failure(
        self, item: T, sent_at: float, now: float, *, own_failure: bool, timed_out: bool = False
    ) -> Tries:
        """Record one more failure of this item, in a call that was sent at `sent_at`. Return the item's `Tries`.

        `own_failure` says that the item itself failed, not its whole call.
        """
        key = self._key(item)
        tries = self._tries.get(key)
        if tries is None:
            tries = self._tries[key] = Tries(sent_at, self._spent_budgets.get(key, 0.0))
            self._first_tries.count_failed(sent_at, now)
        tries.last_sent = sent_at
        tries.all += 1
        if timed_out and not tries.unanswered:
            tries.unanswered = True
            self.unanswered += 1
        if own_failure:
            self.sick += not tries.own  # counted once, at the item's first failure by itself
            tries.own += 1
            tries.first_own_at = tries.first_own_at or now
            tries.budget_from = tries.budget_from or now
        return tries

    def decide(self, disposition: Disposition | None, tries: Tries, now: float, in_charge: int) -> Decision:
        """Return the decision about an item whose own code has this disposition; `in_charge` counts unfinished items.

        Wrong data is the disposition DEAD_LETTER, and systemic trouble is HOLD. Any other is entry trouble.

        | its own code | budget | first tries of the others | decision |
        |---|---|---|---|
        | wrong data | | | give up |
        | systemic trouble | | | wait |
        | entry trouble | left | | retry |
        | entry trouble | spent | there are none | retry; at the shard's end give up after AT_THE_END_S |
        | entry trouble | spent | under BLAME_SHARE accepted | retry: everybody's trouble, the budget begins again |
        | entry trouble | spent | under PROMPT_BLAME_SHARE accepted | retry; give up a minute after its first failure |
        | entry trouble | spent | more accepted | give up |
        """
        self.waits_alone = False
        if disposition is Disposition.DEAD_LETTER:
            return Decision.GIVE_UP
        if disposition is Disposition.HOLD:
            return Decision.WAIT
        # The budget is left while there are retries, or while the retries are not yet spread over SPREAD_S.
        if tries.own <= self._max_retries or (self._max_retries and now - tries.budget_from < SPREAD_S):
            return Decision.RETRY
        # Calls sent after the item's last try are no evidence about the failure of that try: a slow answer may come
        # from a failure of the destination that is over by now.
        accepted, failed = self._first_tries.count_between(tries.first_own_at, tries.last_sent, now)
        others = accepted + failed
        if not others:
            self.waits_alone = True
            has_waited = self._has_waited_at_the_end(tries.budget_from, now, in_charge)
            return Decision.GIVE_UP if has_waited else Decision.RETRY
        if accepted < BLAME_SHARE * others:
            # The failures so far say nothing about the item, so its budget begins again. The minute of counts does not:
            # right after a failure of the destination, some of a few other items are accepted by chance.
            tries.own, tries.budget_from = 1, now
            return Decision.RETRY
        if accepted < PROMPT_BLAME_SHARE * others and now - tries.first_own_at < MINUTE_S:
            return Decision.RETRY
        return Decision.GIVE_UP

    def is_poison(self, refused_at: float, now: float, in_charge: int) -> bool:
        """Return whether an item is to blame whose call, with no other item in it, was refused for its content.

        The item is to blame if a call that was sent after its first refusal, at `refused_at`, was accepted. At the
        shard's end there may be no such call; then the item is to blame after AT_THE_END_S. `in_charge` counts
        unfinished items.
        """
        is_proven = self._first_tries.latest_accepted_call_at > refused_at
        return is_proven or self._has_waited_at_the_end(refused_at, now, in_charge)

    def _has_waited_at_the_end(self, first_at: float, now: float, in_charge: int) -> bool:
        """Return whether an item was retried for AT_THE_END_S at the shard's end, where no more items come to compare.

        Return False if so many items are unfinished that the destination is probably to blame. `first_at` is the time
        of the item's first failure.
        """
        if self.ends_since is None or in_charge > MAX_GIVEN_UP_AT_THE_END:
            return False
        return now - max(first_at, self.ends_since) >= self._end_s

    def is_sick(self, item: T) -> bool:
        """Return whether the item has failed by itself, not only with a whole call."""
        tries = self._tries.get(self._key(item))
        return tries is not None and tries.own > 0

    def record_accepted(self, items: list[T], sent_at: float, now: float) -> list[tuple[list[T], float]]:
        """Record items that were accepted by a call sent at `sent_at`.

        Return them in groups, each with the seconds since the first call of its items was sent.
        """
        if not self._tries:  # no item is failing, so budgets that are remembered too long can be removed
            self._spent_budgets = {key: at for key, at in self._spent_budgets.items() if at > now - BUDGET_REMEMBERED_S}
        at_first_try, retried = items, list[tuple[list[T], float]]()
        if self._tries or self._spent_budgets:
            at_first_try = []
            for item in items:
                self._spent_budgets.pop(self._key(item), None)
                if tries := self._forget(item):
                    retried.append(([item], now - tries.first_sent))
                else:
                    at_first_try.append(item)
        self._first_tries.count_accepted(sent_at, now, len(at_first_try))
        return [(at_first_try, now - sent_at), *retried] if at_first_try else retried

    def record_given_up(self, item: T) -> int:
        """Record that the item is given up. Return the number of its failed attempts; 0 if none failed."""
        tries = self._forget(item)
        if tries is None:
            return 0
        if tries.own and isinstance(key := self._key(item), str):
            self._spent_budgets[key] = tries.budget_from
        return tries.all

    def _forget(self, item: T) -> Tries | None:
        """Remove and return the item's tries; None if it never failed."""
        tries = self._tries.pop(self._key(item), None)
        if tries:
            # Both are true or false, and so subtract 1 or 0: the item was counted in each at most once.
            self.sick -= tries.own > 0
            self.unanswered -= tries.unanswered
        return tries
