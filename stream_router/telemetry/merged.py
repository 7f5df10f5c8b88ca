"""Sum of the children's snapshots. Counts and histograms are added over all shards, and never decrease.

A snapshot counts from its child's start. The counts of a child that has ended stay in the sums. Gauges and states of a
shard come only from a living child, so a shard that moved to another host is forgotten here.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.telemetry.snapshot import Snapshot

SNAPSHOTS = "metrics"
"""The folder of the children's snapshots in the state folder."""


class MergedShard(NamedTuple):
    """Latest snapshot of the child that serves a shard."""

    shard_id: str
    pid: int
    snapshot: Snapshot

    def number(self, name: str) -> float | None:
        """Return a number from the child's states; None if the child did not report it."""
        value = self.snapshot.states.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def holding(self) -> str:
        """Code of the reason for which the shard holds; "" if it does not."""
        return str(self.snapshot.states.get("holding") or "")

    @property
    def many_dead_letters(self) -> dict[str, Any] | None:
        """Fields of the alarm on dead letters; None if it is not raised."""
        raised = self.snapshot.states.get("manyDeadLetters")
        return raised if isinstance(raised, dict) else None


class Merged(NamedTuple):
    """State of this worker's shards: the counts since the supervisor began, and each shard's latest snapshot."""

    totals: Snapshot
    shards: list[MergedShard]


class Merger:
    """Merger of the snapshot files in the state folder. It remembers earlier snapshots, so no sum ever decreases.

    `is_alive` returns whether a process with that id exists.
    """

    def __init__(self, state_folder: Path, is_alive: Callable[[int], bool]) -> None:
        self._folder = state_folder / SNAPSHOTS
        self._is_alive = is_alive
        self._latest: dict[Path, Snapshot] = {}
        """Latest snapshot of each living child, by its file."""
        self._ended = Snapshot()
        """Counts of the children that have ended. Their files are removed, except those in `_kept`."""
        self._kept: set[Path] = set()
        """Files of ended children that could not be removed. They are not read again: their counts are in `_ended`."""

    def merge(self) -> Merged:
        """Return the sum of every child's latest snapshot. Files that are no snapshots are ignored."""
        shards: dict[str, MergedShard] = {}
        for file in sorted({*self._folder.glob("*.json")} - self._kept):
            shard_id, _, pid = file.stem.rpartition(".")
            # This check precedes the reading: if the child has ended already, its file holds the final counts.
            is_alive = pid.isdecimal() and self._is_alive(int(pid))
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError, IndexError, AttributeError):
                self._latest[file] = read(file)
            if not is_alive:
                self._forget_child(file)
            elif snapshot := self._latest.get(file):
                # While a shard passes from one child to the next, both may live. The newer snapshot counts.
                known = shards.get(shard_id)
                if known is None or known.snapshot.at_s < snapshot.at_s:
                    shards[shard_id] = MergedShard(shard_id, int(pid), snapshot)
        totals = Snapshot()
        for part in (self._ended, *self._latest.values()):
            totals.add(part)
        return Merged(totals, [shards[name] for name in sorted(shards)])

    def _forget_child(self, file: Path) -> None:
        """Keep an ended child's counts, and remove its file, so that repeated restarts do not fill the folder."""
        self._ended.add(self._latest.pop(file, Snapshot()))
        try:
            file.unlink()
        except OSError:
            self._kept.add(file)


def snapshot_file(state_folder: Path, shard_id: str, pid: int) -> Path:
    """Return the path of a child's snapshot."""
    return state_folder / SNAPSHOTS / f"{shard_id}.{pid}.json"


def read(file: Path) -> Snapshot:
    """Return a child's snapshot from its file. Raises OSError, or the errors of `Snapshot.from_dict`."""
    return Snapshot.from_dict(orjson.loads(file.read_bytes()))
