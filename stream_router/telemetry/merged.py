"""The children's snapshots as one truth: counts and histograms added up over shards, never averaged, never falling.

A snapshot counts from its child's start. The counts of a child that is gone stay in the sums; what a shard *is*
(its gauges and states) is told only by a child that lives, so a shard that moved to another host is forgotten here.
"""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.telemetry.snapshot import Snapshot

SNAPSHOTS = "metrics"
"""The folder of the children's snapshots in the state folder."""

ENDED_KEPT = 16
"""Children that ended and are known each by itself; what earlier ones counted is one sum."""


class Child(NamedTuple):
    """A shard's id and the id of the process that had it."""

    shard_id: str
    pid: int


class Shard(NamedTuple):
    """The latest word of the child that has the shard."""

    shard_id: str
    pid: int
    told: Snapshot

    def number(self, name: str) -> float | None:
        """A number of its states; None where the child did not tell it."""
        value = self.told.states.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def holding(self) -> str:
        """Why it holds, in a word; "" where it does not."""
        return str(self.told.states.get("holding") or "")


class Merged(NamedTuple):
    """All that is known of this worker's shards: what was counted since the supervisor began, and each as it is."""

    totals: Snapshot
    shards: list[Shard]


class Merger:
    """Merges snapshots again and again; remembers what it has seen, so that no sum ever falls.

    `is_alive` tells whether a process of that id is there. Where a child was seen to be gone, that holds until it says
    another word: the kernel gives its id to others, threads among them, and its shard may be another host's by then.
    """

    def __init__(self, is_alive: Callable[[int], bool]) -> None:
        self._is_alive = is_alive
        self._ended = Snapshot()
        self._latest: dict[Child, Snapshot] = {}
        self._gone_at: dict[Child, float] = {}
        """When those that are gone had said their last word."""

    def merge(self, snapshots: Iterable[Snapshot]) -> Merged:
        """Every snapshot that is there now, with what earlier ones had said. One of no shard is passed over."""
        shards: dict[str, Shard] = {}
        for told in snapshots:
            try:
                child = Child(str(told.states["shard"]), int(told.states["pid"]))
            except (KeyError, TypeError, ValueError):
                continue
            before = self._latest.get(child)
            if before and before.falls_to(told):
                self._ended.add(before)  # the kernel gave the process id to a later child of the same shard
            self._latest[child] = told
            known = shards.get(child.shard_id)
            if self._lives(child) and (known is None or known.told.at_s < told.at_s):
                shards[child.shard_id] = Shard(*child, told)
        totals = Snapshot()
        for part in (self._ended, *self._latest.values()):
            totals.add(part)
        return Merged(totals, [shards[name] for name in sorted(shards)])

    def gone(self, before_s: float) -> list[Child]:
        """Children that ended and said their last word before then (epoch seconds), but for the latest; oldest first.

        Where their snapshots are removed, and `let_go` is told, neither files nor sums grow with each child that ends.
        """
        ended = [child for child in self._latest if not self._lives(child)]
        ended.sort(key=lambda child: self._latest[child].at_s)
        return [child for child in ended[:-ENDED_KEPT] if self._latest[child].at_s < before_s]

    def let_go(self, child: Child) -> None:
        """The child's snapshot is there no more: what it counted is of the sum from now on."""
        self._ended.add(self._latest.pop(child))
        self._gone_at.pop(child, None)

    def _lives(self, child: Child) -> bool:
        said_s = self._latest[child].at_s
        if self._gone_at.get(child) == said_s:
            return False
        if self._is_alive(child.pid):
            return True
        self._gone_at[child] = said_s
        return False


def snapshot_file(state_folder: Path, shard_id: str, pid: int) -> Path:
    """Where a child's snapshot is."""
    return state_folder / SNAPSHOTS / f"{shard_id}.{pid}.json"


def read_snapshots(state_folder: Path) -> list[Snapshot]:
    """Every snapshot of children that live and of those before them; what cannot be read is left out."""
    found = []
    for file in sorted((state_folder / SNAPSHOTS).glob("*.json")):
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError, IndexError, AttributeError):
            told: Any = orjson.loads(file.read_bytes())
            found.append(Snapshot.from_dict(told))
    return found
