"""Keeps a conversation's entries in order of acceptance: at most one of them unsettled beyond this point."""

from collections import deque
from collections.abc import Iterable

from stream_router.model import Entry


class Lanes:
    """One lane a conversation; only the head of a lane is let through. Entries without a conversation pass freely.

    With `enabled` False everything passes, in order.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._waiting: dict[str, deque[Entry]] = {}
        self._shut: set[str] = set()
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def enter(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of `entries` that may be sent now, in order; the rest waits for `leave`."""
        if not self._enabled:
            return list(entries)
        through = []
        for entry in entries:
            if not (key := _key(entry)):
                through.append(entry)
            elif (lane := self._waiting.get(key)) is None:
                self._waiting[key] = deque()
                through.append(entry)
            elif key not in self._shut:
                lane.append(entry)
                self._held += 1
        return through

    def shut(self, entry: Entry) -> None:
        """Let nothing of this conversation through any more: what waits, and what comes, is dropped unsettled."""
        if self._enabled and (key := _key(entry)):
            self._held -= len(self._waiting[key])
            self._waiting[key].clear()
            self._shut.add(key)

    def leave(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that may be sent now because `entries`, let through before, are accepted or given up."""
        if not self._enabled:
            return []
        freed = []
        for entry in entries:
            if not (key := _key(entry)):
                continue
            lane = self._waiting[key]
            if lane:
                freed.append(lane.popleft())
                self._held -= 1
            else:
                del self._waiting[key]
        return freed


def _key(entry: Entry) -> str:
    """Masked, two conversations may have one name, and one of them several."""
    return entry.lane or entry.order_key
