"""The children's snapshots as one truth: counts and histograms added up over shards, never averaged, never falling.

A snapshot counts from its child's start. The counts of a child that is gone stay in the sums; what a shard *is*
(its gauges) is told only by a child that lives, so a shard that moved to another host is forgotten here.
"""

import collections
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_router.telemetry.histogram import Histogram

ENDED_KEPT = 16
"""Children that ended and are known each by itself; what earlier ones counted is one sum."""

Child = tuple[str, int]
"""A shard's id and the id of the process that had it."""


@dataclass
class Totals:
    """Everything that was counted, by all children since the supervisor began."""

    counters: collections.Counter[str] = field(default_factory=collections.Counter)
    dead_letters: collections.Counter[str] = field(default_factory=collections.Counter)
    """By reason."""
    retries: collections.Counter[str] = field(default_factory=collections.Counter)
    """By code; "" where a snapshot does not tell."""
    entries_per_call: collections.Counter[int] = field(default_factory=collections.Counter)
    """Calls, by how many of their entries were accepted."""
    latencies: dict[str, Histogram] = field(default_factory=dict)
    """By stage."""
    times_ms: collections.Counter[str] = field(default_factory=collections.Counter)
    """Milliseconds of all children by activity: integers, whose sum is the same in whatever order."""

    def add(self, other: "Totals") -> None:
        """Add everything that `other` has counted."""
        self.counters.update(other.counters)
        self.dead_letters.update(other.dead_letters)
        self.retries.update(other.retries)
        self.entries_per_call.update(other.entries_per_call)
        for stage, histogram in other.latencies.items():
            self.latencies.setdefault(stage, Histogram()).merge(histogram)
        self.times_ms.update(other.times_ms)

    def since(self, base: "Totals") -> "Totals":
        """What was counted after `base` was: these totals less those."""
        return Totals(
            self.counters - base.counters,
            self.dead_letters - base.dead_letters,
            self.retries - base.retries,
            self.entries_per_call - base.entries_per_call,
            {
                stage: histogram.since(base.latencies.get(stage, Histogram()))
                for stage, histogram in self.latencies.items()
            },
        )

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> "Totals":
        """What one snapshot says. Raises KeyError, TypeError, ValueError, … where it is none."""
        counters = {str(name): int(value) for name, value in snapshot["counters"].items()}
        retries = snapshot.get("retries", {"": counters.get("retried", 0)})
        return cls(
            collections.Counter(counters),
            collections.Counter({str(reason): int(count) for reason, count in snapshot["deadLetters"].items()}),
            collections.Counter({str(code): int(count) for code, count in retries.items()}),
            collections.Counter({int(entries): int(calls) for entries, calls in snapshot["entriesPerCall"].items()}),
            {str(stage): Histogram.from_dict(data) for stage, data in snapshot["latenciesMs"].items()},
            collections.Counter({str(name): round(1000 * s) for name, s in snapshot.get("timeS", {}).items()}),
        )


@dataclass
class Shard:
    """The latest word of the child that has the shard."""

    shard_id: str
    pid: int
    at_s: float
    """When it said so (epoch seconds)."""
    counters: dict[str, int]
    gauges: dict[str, float]
    """By their Prometheus names, without the prefix."""
    holding: str
    """Why it holds, in a word; "" where it does not."""
    told: Mapping[str, Any]
    """All else that the snapshot says (`consumer/child/telling/shard_vitals.py`)."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A number that the child told; None where it did not."""
        value = self.told.get(name)
        return float(value) if isinstance(value, int | float) else None


@dataclass
class Merged:
    """All that is known of this worker's shards."""

    totals: Totals
    shards: list[Shard]


class ShardMerger:
    """Merges snapshots again and again; remembers what it has seen, so that no sum ever falls.

    `is_alive` tells whether a process of that id is there. Where a child was seen to be gone, that holds until it says
    another word: the kernel gives its id to others, threads among them, and its shard may be another host's by then.
    """

    def __init__(self, is_alive: Callable[[int], bool]) -> None:
        self._is_alive = is_alive
        self._ended = Totals()
        self._latest: dict[Child, Totals] = {}
        self._said_s: dict[Child, float] = {}
        self._gone_at: dict[Child, float] = {}
        """What those that are gone had said last, by its time."""

    def merge(self, snapshots: Iterable[Mapping[str, Any]]) -> Merged:
        """Every snapshot that is there now, with what earlier ones had said. One that cannot be read is passed over."""
        shards: dict[str, Shard] = {}
        for snapshot in snapshots:
            try:
                shard, totals = _shard(snapshot), Totals.of(snapshot)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                continue
            self._keep((shard.shard_id, shard.pid), totals)
            self._said_s[shard.shard_id, shard.pid] = shard.at_s
            known = shards.get(shard.shard_id)
            if self._lives((shard.shard_id, shard.pid)) and (known is None or known.at_s < shard.at_s):
                shards[shard.shard_id] = shard
        totals = Totals()
        for part in (self._ended, *self._latest.values()):
            totals.add(part)
        return Merged(totals, [shards[name] for name in sorted(shards)])

    def gone(self, before_s: float) -> list[Child]:
        """Children that ended and said their last word before then (epoch seconds), but for the latest; oldest first.

        Where their snapshots are removed, and `let_go` is told, neither files nor sums grow with each child that ends.
        """
        ended = [child for child in self._latest if not self._lives(child)]
        ended.sort(key=lambda child: self._said_s[child])
        return [child for child in ended[:-ENDED_KEPT] if self._said_s[child] < before_s]

    def let_go(self, child: Child) -> None:
        """The child's snapshot is there no more: what it counted is of the sum from now on."""
        self._ended.add(self._latest.pop(child))
        del self._said_s[child]
        self._gone_at.pop(child, None)

    def _lives(self, child: Child) -> bool:
        said_s = self._said_s[child]
        if self._gone_at.get(child) == said_s:
            return False
        if self._is_alive(child[1]):
            return True
        self._gone_at[child] = said_s
        return False

    def _keep(self, child: Child, totals: Totals) -> None:
        before = self._latest.get(child)
        if before and any(totals.counters[name] < count for name, count in before.counters.items()):
            self._ended.add(before)  # the kernel gave the process id to a later child of the same shard
        self._latest[child] = totals


def _shard(snapshot: Mapping[str, Any]) -> Shard:
    return Shard(
        shard_id=str(snapshot["shardId"]),
        pid=int(snapshot["pid"]),
        at_s=float(snapshot["at"]),
        counters={str(name): int(value) for name, value in snapshot["counters"].items()},
        gauges={str(name): float(value) for name, value in snapshot.get("gauges", {}).items() if value is not None},
        holding=str(snapshot.get("holding") or ""),
        told=snapshot,
        dead_letters={str(reason): int(count) for reason, count in snapshot["deadLetters"].items()},
        retries={str(code): int(count) for code, count in snapshot.get("retries", {}).items()},
    )
