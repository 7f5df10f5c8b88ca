"""Whether the destination is well, told by what became of the others: each item once, by its latest answer."""

import enum
import math
from typing import Protocol

LATELY_S = 60.0
"""An answer older than this says nothing of today (docs/contract.md, "What an error means")."""

WELL_SHARE = 0.9
"""So many of the others must have been accepted for an item's trouble to be its own."""

FEW = 10
"""So many items, a classic call's worth, may be blamed on a success of before: more of them look like a destination
that refuses everything."""


class Others(enum.Enum):
    """What the answers to the other items say of a destination."""

    WELL = "others are accepted"
    UNWELL = "others fail too"
    LATELY = "another was accepted a moment before, and no other is left to ask"
    UNKNOWN = "there is nobody to compare with"


class Tally:
    """Accepted and failing items by the second (monotonic) in which their calls were sent, of the last minute."""

    def __init__(self) -> None:
        self.accepted: dict[int, int] = {}
        self.failing: dict[int, int] = {}

    def forget(self, now: float) -> None:
        """Drop what is older than a minute."""
        oldest = int(now - LATELY_S)
        for counts in (self.accepted, self.failing):
            while counts and (second := next(iter(counts))) < oldest:
                del counts[second]

    def since(self, moment: float, until: float = math.inf) -> tuple[int, int]:
        """Accepted and failing items of calls that were sent since a moment, `until` a second.

        Of the moment's own second nobody knows what was sent before it: all that fails counts, nothing accepted does.
        """
        accepted = sum([count for second, count in self.accepted.items() if moment <= second <= until])
        return accepted, sum([count for second, count in self.failing.items() if moment - 1 < second <= until])


class Elsewhere(Protocol):
    """What the worker's other shards count: accepted and failing items of calls that were sent since a moment."""

    def latest(self, since: float) -> tuple[int, int]:
        """Each item once, by its latest answer."""

    def at_first(self, since: float, until: float) -> tuple[int, int]:
        """Their first tries, sent `until` a second at the latest."""


class NobodyElse:
    """The neighbours of a shard that has none."""

    def latest(self, since: float) -> tuple[int, int]:
        return 0, 0

    def at_first(self, since: float, until: float) -> tuple[int, int]:
        return 0, 0


class Health:
    """Counts answers as they come. `neighbours` tells the same counts of the worker's other shards.

    `tally` has each item once, by its latest answer, `at_first` what became of first tries. Times are monotonic
    seconds, one clock for all processes of a host.
    """

    def __init__(self, neighbours: Elsewhere | None = None) -> None:
        self.tally = Tally()
        self.at_first = Tally()
        self._neighbours = neighbours or NobodyElse()
        self.accepted_at = self._accepted_sent_at = -math.inf
        """When something was last accepted, and when the call of the latest such was sent."""
        self._presumed = 0

    def accepted(self, sent_at: float, now: float, items: int, retried: int = 0) -> None:
        """So many items of a call that was sent then are accepted; so many of them had failed before."""
        second, accepted, at_first = int(sent_at), self.tally.accepted, self.at_first.accepted
        if second not in accepted:
            self.tally.forget(now)
            self.at_first.forget(now)
        accepted[second] = accepted.get(second, 0) + items
        at_first[second] = at_first.get(second, 0) + items - retried
        self.accepted_at = now
        self._accepted_sent_at = max(self._accepted_sent_at, sent_at)
        self._presumed = 0

    def failed(self, sent_at: float, now: float, before: float | None) -> None:
        """An item failed in a call that was sent then; `before` is when its call was sent that failed the last time."""
        if before is not None:
            self.left(before)
        second = int(sent_at)
        for tally in (self.tally, self.at_first)[: 2 if before is None else 1]:
            if second not in tally.failing:
                tally.forget(now)
            tally.failing[second] = tally.failing.get(second, 0) + 1

    def left(self, sent_at: float) -> None:
        """An item whose latest answer was the failure of a call sent then is accepted, or given up."""
        failing = self.tally.failing
        if (second := int(sent_at)) in failing:
            failing[second] -= 1

    def of_others(self, first: float, last: float, now: float) -> Others:
        """How the others fared since an item failed first, in a call sent at `first`. Its last was sent at `last`.

        Only answers to calls that were sent after its first failure count: a success of before proves nothing. And
        where many fail at their first try, here or on all shards together, a destination is unwell though it accepts
        nearly all of them in the end; so it is where all that it accepted had failed before. First tries that were
        sent after the item's last one say nothing of what that met: it may come back slowly from a trouble that is
        over by now.
        """
        since = max(first, int(now - LATELY_S) + 1.0)
        accepted, failing = self.tally.since(since)
        failing -= int(last) > since - 1  # the item itself
        latest = _sum((accepted, failing), self._neighbours.latest(since))
        if not any(latest):
            return Others.UNKNOWN
        began = math.ceil(since)
        here = self.at_first.since(began, until=int(last))
        at_first = _sum(here, self._neighbours.at_first(began, until=int(last)))
        well = all(ok >= WELL_SHARE * (ok + bad) for ok, bad in (latest, here, at_first))
        return Others.WELL if well and at_first[0] else Others.UNWELL

    def of_refusal(self, first: float, now: float, *, alone: bool) -> Others:
        """The same of an item that is refused for its content, with its call, since `first`.

        One other that was accepted since is proof. Where no other is left that could be (`alone`), a success of the
        minute before is taken for it, at most FEW times in a row.
        """
        if self._accepted_sent_at > first or self._neighbours.latest(math.ceil(first))[0]:
            return Others.WELL
        if alone and self._presumed < FEW and self.accepted_at >= now - LATELY_S:
            self._presumed += 1
            return Others.LATELY
        return Others.UNKNOWN


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
