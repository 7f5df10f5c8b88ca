"""Whether the destination is well, told by what became of the others: each item once, by its latest answer."""

import enum
import math
from collections.abc import Callable

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


def nobody_else(moment: float) -> tuple[int, int]:  # noqa: ARG001 - the form of a neighbours' answer
    """The neighbours of a shard that has none."""
    return 0, 0


class Health:
    """Counts answers as they come. `neighbours` tells the same counts of the worker's other shards, since a moment.

    Times are monotonic seconds, one clock for all processes of a host.
    """

    def __init__(self, neighbours: Callable[[float], tuple[int, int]] = nobody_else) -> None:
        self.tally = Tally()
        self._at_first = Tally()
        self._neighbours = neighbours
        self.accepted_at = self._accepted_sent_at = -math.inf
        """When something was last accepted, and when the call of the latest such was sent."""
        self._presumed = 0

    def accepted(self, sent_at: float, now: float, items: int, retried: int = 0) -> None:
        """So many items of a call that was sent then are accepted; so many of them had failed before."""
        second, accepted, at_first = int(sent_at), self.tally.accepted, self._at_first.accepted
        if second not in accepted:
            self.tally.forget(now)
            self._at_first.forget(now)
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
        for tally in (self.tally, self._at_first)[: 2 if before is None else 1]:
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
        where many fail at their first try a destination is unwell though it accepts nearly all of them in the end; so
        it is where all that it accepted had failed before. First tries that were sent after the item's last one say
        nothing of what that met: it may come back slowly from a trouble that is over by now.
        """
        since = max(first, int(now - LATELY_S) + 1.0)
        accepted, failing = self.tally.since(since)
        failing -= int(last) > since - 1  # the item itself
        of_neighbours = self._neighbours(since)
        accepted, failing = accepted + of_neighbours[0], failing + of_neighbours[1]
        if not accepted + failing:
            return Others.UNKNOWN
        at_first = self._at_first.since(math.ceil(since), until=int(last))
        well = all(ok >= WELL_SHARE * (ok + bad) for ok, bad in ((accepted, failing), at_first))
        return Others.WELL if well and at_first[0] + of_neighbours[0] else Others.UNWELL

    def of_refusal(self, first: float, now: float, *, alone: bool) -> Others:
        """The same of an item that is refused for its content, with its call, since `first`.

        One other that was accepted since is proof. Where no other is left that could be (`alone`), a success of the
        minute before is taken for it, at most FEW times in a row.
        """
        if self._accepted_sent_at > first or self._neighbours(math.ceil(first))[0]:
            return Others.WELL
        if alone and self._presumed < FEW and self.accepted_at >= now - LATELY_S:
            self._presumed += 1
            return Others.LATELY
        return Others.UNKNOWN
