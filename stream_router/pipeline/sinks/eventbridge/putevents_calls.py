"""PutEvents calls: which entries share one, how its answer is read, what is learned where the bus takes less."""

import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from stream_router import limits
from stream_router.errors import Answer, Outcome, Refusal
from stream_router.model import Entry
from stream_router.pipeline.sinks.eventbridge.packer import CallLimits, take

log = logging.getLogger(__name__)


_ABOUT_SIZE = re.compile(r"size|too (large|long)|exceed", re.IGNORECASE)
"""EventBridge: "Total size of the entries in the request is over the limit." (docs/facts.md, "EventBridge")."""


class Bus(Protocol):
    """The wire to one event bus."""

    def send(self, entries: Sequence[Entry], done: Callable[[Answer], None]) -> None:
        """Start one PutEvents call."""

    def read(self, answer: Answer, sent: int) -> list[Outcome] | Refusal:
        """Its outcome, by position."""


class PutEventsCalls:
    """Calls to one bus: a `Destination` for the dispatcher. `name` is what logs and dead letters call it."""

    def __init__(self, bus: Bus, call_limits: CallLimits, name: str = "EventBridge") -> None:
        self.name = name
        self._bus = bus
        self.limits = call_limits
        """What the bus takes by AWS's word: an entry above it is carried by no call."""
        self.packing = call_limits
        """What calls are packed to: less, once the bus has refused one for its size."""

    def take(self, ready: deque[Entry]) -> list[Entry]:
        return take(ready, self.packing)

    def is_full(self, items: Sequence[Entry]) -> bool:
        return len(items) >= self.limits.entries

    def size_bytes(self, items: Sequence[Entry]) -> int:
        return sum([item.size_bytes for item in items])

    def key(self, item: Entry) -> int:
        return id(item)  # the dispatcher holds it for as long as it keeps the key

    def send(self, items: Sequence[Entry], done: Callable[[Answer], None]) -> None:
        self._bus.send(items, done)

    def read(self, answer: Answer, items: Sequence[Entry]) -> list[Outcome] | Refusal:
        return self._bus.read(answer, len(items))

    def too_large(self, items: Sequence[Entry], refusal: Refusal) -> bool:
        """Whether the bus refused the call for its size; then calls are packed smaller, and large entries go alone.

        What held everywhere before AWS allowed more is taken for granted: a message may quote an entry, so its words
        alone prove nothing of a smaller call.
        """
        said = _ABOUT_SIZE.search(refusal.message) or refusal.code == "Http413"
        if not said or self.size_bytes(items) <= limits.REQUEST_BYTES_256K:
            return False
        if self.packing.bytes > limits.REQUEST_BYTES_256K:
            log.warning(
                "the bus takes smaller calls than documented",
                extra={"event": "calls-smaller", "limit_bytes": limits.REQUEST_BYTES_256K},
            )
            self.packing = self.packing._replace(bytes=limits.REQUEST_BYTES_256K)
        return True
