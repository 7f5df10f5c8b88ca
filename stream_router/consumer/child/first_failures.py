"""Remembers over a restart when entries in trouble failed first: else their budget would begin anew with each process.

An entry in trouble holds the checkpoint for as long as its budget runs. Were that to begin anew after each death, what
comes again would grow with each. One that was buried is remembered too, for it comes again where its process dies
before a checkpoint is past it.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from stream_router.consumer.state_dir import TROUBLES
from stream_router.model import Entry, Place
from stream_router.process import write_whole

EVERY_S = 1.0
KEPT_S = 300.0
"""An entry whose first failure is older begins anew: the world was down, or the shard was another worker's."""

KEPT_MAX = 1_000
"""So many entries are remembered; with more of them in trouble the newest begin anew."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FirstFailures:
    """A dispatcher's memory of its entries, in a file of the shard's own, written once a second at most.

    Seconds are monotonic: one clock for all processes of a host, until it is booted again. Then, without a folder, or
    where the file cannot be read, nothing is remembered.
    """

    def __init__(self, state_dir: Path | None, shard_id: str, clock: Callable[[], float]) -> None:
        self._path = state_dir / TROUBLES / f"{shard_id}.json" if state_dir else None
        self._clock = clock
        self._boot = _boot_id()
        self._known = self._read()
        self._changed = False
        self._written_at = -EVERY_S

    def recall(self, entry: Entry) -> tuple[int, float] | None:
        """How often the entry failed by itself in processes before this one, and when first."""
        return self._known.get(entry.event.place) if self._known else None

    def failed(self, entry: Entry, own: int, first_own_at: float) -> None:
        """It failed by itself: so often by now, and then first."""
        place = entry.event.place
        if place in self._known or len(self._known) < KEPT_MAX:
            self._known[place] = (own, first_own_at)
            self._changed = True

    def accepted(self, entry: Entry) -> None:
        """It is no longer in trouble."""
        if self._known.pop(entry.event.place, None):
            self._changed = True

    def write(self) -> None:
        """Keep what is known, where it changed and the last time is a second ago."""
        now = self._clock()
        if not self._changed or self._path is None or now - self._written_at < EVERY_S:
            return
        self._changed, self._written_at = False, now
        # What came from an earlier process and is not under way here is some other worker's by now.
        self._known = {place: known for place, known in self._known.items() if known[1] >= now - KEPT_S}
        entries = [(*map(str, place), own, first) for place, (own, first) in self._known.items()]
        told = {"boot": self._boot, "entries": entries}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, orjson.dumps(told))

    def _read(self) -> dict[Place, tuple[int, float]]:
        now = self._clock()
        with contextlib.suppress(OSError, orjson.JSONDecodeError, TypeError, ValueError, KeyError):
            told: dict[str, Any] = orjson.loads(self._path.read_bytes()) if self._path else {"boot": ""}
            if self._boot and told["boot"] == self._boot:
                found = {
                    Place(int(sequence), int(sub), int(line)): (int(own), float(first))
                    for sequence, sub, line, own, first in told["entries"]
                }
                return {place: known for place, known in found.items() if now - KEPT_S <= known[1] <= now}
        return {}


def _boot_id() -> str:
    """Names the host's life since it was booted; "" where nothing tells."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""
