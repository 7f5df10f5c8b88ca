"""What the worker's other shards know of the bus's health: a shard that is silent learns from one that is not.

Each child writes its counts of the last minute to a file of its own in the state folder, at most once a second, and
reads the others' only when it has an entry to judge.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import orjson

from stream_router.consumer.state_dir import HEALTH
from stream_router.pipeline.delivery.health import LATELY_S, Health, Tally
from stream_router.process import write_whole

EVERY_S = 1.0

FORGOTTEN_AFTER_S = 3600.0
"""A file that was not written for so long is removed: its shard is another host's, or was read to its end."""


class Told(NamedTuple):
    """What one other shard tells: each entry by its latest answer, and what became of first tries."""

    latest: Tally
    at_first: Tally


class Neighbours:
    """Accepted and failing entries of the other shards' calls, as `Health` asks for them.

    Moments are monotonic seconds, one clock for all processes of a host. Without a folder there are no neighbours. A
    file that cannot be written or read is as good as none: the shard then judges by its own entries.
    """

    def __init__(self, state_dir: Path | None, shard_id: str, clock: Callable[[], float]) -> None:
        self._folder = state_dir / HEALTH if state_dir else None
        self._own = f"{shard_id}.json"
        self._clock = clock
        self._written_at = self._read_at = -EVERY_S
        self._written = ""
        self._others: list[Told] = []

    def publish(self, health: Health) -> None:
        """Tell the others, where anything changed within the last second."""
        now = self._clock()
        if self._folder is None or now - self._written_at < EVERY_S:
            return
        self._written_at = now
        told = {name: _listed(tally) for name, tally in (("latest", health.tally), ("atFirst", health.at_first))}
        # Not the sums: on a steady stream those are the same for ever.
        text = orjson.dumps(told).decode()
        if text == self._written:
            return
        self._written = text
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / self._own, text)

    def latest(self, since: float) -> tuple[int, int]:
        return _sum([told.latest.since(since) for told in self._heard()])

    def at_first(self, since: float, until: float) -> tuple[int, int]:
        return _sum([told.at_first.since(since, until) for told in self._heard()])

    def _heard(self) -> list[Told]:
        now = self._clock()
        if now - self._read_at >= EVERY_S:
            self._read_at = now
            self._others = self._read(int(now - LATELY_S))
        return self._others

    def _read(self, oldest: int) -> list[Told]:
        found, paths = [], list[Path]()
        with contextlib.suppress(OSError):
            paths += sorted(self._folder.glob("*.json")) if self._folder else ()
        for path in paths:
            if path.name == self._own:
                continue
            with contextlib.suppress(OSError, orjson.JSONDecodeError, TypeError, ValueError, KeyError):
                if path.stat().st_mtime < time.time() - FORGOTTEN_AFTER_S:
                    path.unlink()
                    continue
                told = orjson.loads(path.read_bytes())
                found.append(Told(_tally(told["latest"], oldest), _tally(told["atFirst"], oldest)))
        return found


_Counts = list[tuple[int, int]]


def _listed(tally: Tally) -> dict[str, _Counts]:
    return {"accepted": [*tally.accepted.items()], "failing": [*tally.failing.items()]}


def _tally(told: dict[str, _Counts], oldest: int) -> Tally:
    """What was written, but for what is older than a minute."""
    tally = Tally()
    tally.accepted = {int(at): int(count) for at, count in told["accepted"] if at >= oldest}
    tally.failing = {int(at): int(count) for at, count in told["failing"] if at >= oldest}
    return tally


def _sum(counts: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(accepted for accepted, _ in counts), sum(failing for _, failing in counts)
