"""The five minutes in which a v2 bus knows a deduplication token again."""

import time
from collections import OrderedDict

WINDOW_S = 300.0
"""Source: EventBridge custom event bus documentation, deduplication."""


class Deduplicator:
    """Remembers tokens by bus for five minutes after their first acceptance."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self._number = 0

    def first(self, bus: str, token: str) -> str | None:
        """The EventId of the first event with this token, None where there is none within the window."""
        oldest = time.monotonic() - WINDOW_S
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key][0] >= oldest:
                break
            del self._seen[key]
        found = self._seen.get((bus, token))
        return found[1] if found else None

    def remember(self, bus: str, token: str, event_id: str) -> None:
        """Start a token's window."""
        self._seen[(bus, token)] = (time.monotonic(), event_id)

    def next_number(self) -> int:
        """The next sequence number."""
        self._number += 1
        return self._number

    def clear(self) -> None:
        """Forget every token."""
        self._seen.clear()
