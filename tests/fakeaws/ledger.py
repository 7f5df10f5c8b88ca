"""The ledger: one JSON line for every entry, record or message, written before the answer; and the counters."""

import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson

from tests.fakeaws.call import Call, Item

_OPTIONAL = {
    "code": "code",
    "conversationId": "conversation_id",
    "partitionKey": "key",
    "id": "id",
    "note": "note",
}
"""What a line says where the item has it: the line's name and the item's."""


class Ledger:
    """Writes the lines and keeps the counts. `path` None keeps counts only; `payloads` adds each item's content."""

    def __init__(self, path: Path | None, *, payloads: bool = False) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else -1
        self._payloads = payloads
        self.clear()

    def clear(self) -> None:
        """Start counting anew; the lines stay."""
        self._calls: Counter[str] = Counter()
        self._items: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: Counter[str] = Counter()
        self._most_in_flight = 0

    @property
    def writes(self) -> bool:
        """Whether lines are written: what only they need is not to be computed otherwise."""
        return self._fd >= 0

    def note_in_flight(self, calls: int) -> None:
        """Take down how many calls are being answered at once."""
        self._most_in_flight = max(self._most_in_flight, calls)

    def record(self, operation: str, call: Call, call_code: str) -> None:
        """Write a call's lines. `call_code` is the code that refused it whole, or empty."""
        self._calls[operation] += 1
        self._items[operation].update(item.verdict for item in call.items)
        if self._fd < 0:
            return
        head: dict[str, Any] = {"time": time.time_ns() / 1e6, "call": self._calls.total()}
        head |= {"operation": operation, "entries": len(call.items)}
        lines = [self._line(head, call, index, item) for index, item in enumerate(call.items)]
        if not lines and call_code:
            lines = [orjson.dumps({**head, "index": -1, "verdict": "refused", "code": call_code}) + b"\n"]
        os.write(self._fd, b"".join(lines))

    def _line(self, head: dict[str, Any], call: Call, index: int, item: Item) -> bytes:
        line = {**head, "index": index, "verdict": item.verdict, "size": item.size, "target": call.target}
        if ids := item.event_ids:
            line["eventId"] = ids[0]
            if len(ids) > 1:
                line["eventIds"] = ids
        for name, attribute in _OPTIONAL.items():
            if value := getattr(item, attribute):
                line[name] = value
        if self._payloads:
            content = item.content
            line["payload"] = content if isinstance(content, str) else content.decode("utf-8", "replace")
        return orjson.dumps(line, default=str) + b"\n"

    def stats(self) -> dict[str, Any]:
        """The counters as JSON: calls, items by verdict, faults that bit, most calls in flight."""
        return {
            "calls": self._calls,
            "items": self._items,
            "faults": self.faults,
            "mostInFlight": self._most_in_flight,
        }

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
