"""Publishes entries: full PutEvents calls, many in flight; each entry ends accepted by the bus or given up."""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stream_router.core import limits
from stream_router.core.aws_answers import Answer, Outcome, Refusal
from stream_router.core.dispositions import Reason
from stream_router.core.model import Entry
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, Policy
from stream_router.pipeline.sinks.eventbridge.conversation_lanes import Lanes
from stream_router.pipeline.sinks.eventbridge.packer import CallLimits, fits, take

log = logging.getLogger(__name__)

_ABOUT_SIZE = re.compile(r"size|too (large|long)|exceed", re.IGNORECASE)
"""EventBridge: "Total size of the entries in the request is over the limit." (FACTS 1)."""


TOO_LARGE = GivenUp(Reason.OVERSIZE, "EntryTooLarge", "no PutEvents call can carry this entry", 0)


class Bus(Protocol):
    """The wire to one event bus."""

    def send(self, entries: Sequence[Entry], done: Callable[[Answer], None]) -> None:
        """Start one PutEvents call."""

    def read(self, answer: Answer, sent: int) -> list[Outcome] | Refusal:
        """Its outcome, by position."""


class Books(Protocol):
    """Who is told what became of entries."""

    def accepted(self, entries: Sequence[Entry]) -> None:
        """One call's entries are accepted by the bus."""

    def retried(self, count: int) -> None:
        """So many entries are to be sent again."""


class Publisher:
    """Takes charge of entries until each is settled.

    `unpublished` gets what is given up and says whether that is its end; where it is not, the entry keeps its place in
    its conversation and comes back by `again`, or ends by `ended`.
    """

    name = "EventBridge"

    def __init__(
        self,
        bus: Bus,
        limits: CallLimits,
        lanes: Lanes,
        policy: Policy,
        books: Books,
        unpublished: Callable[[Entry, GivenUp], bool],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._bus = bus
        self.limits = limits
        """What the bus takes by AWS's word: an entry above it is carried by no call."""
        self.packing = limits
        """What calls are packed to: less, once the bus has refused one for its size."""
        self._lanes = lanes
        self._books = books
        self._unpublished = unpublished
        self.engine: Dispatcher[Entry] = Dispatcher(self, policy, clock, random)

    @property
    def backlog(self) -> int:
        """Entries not yet settled nor handed on."""
        return self.engine.backlog + len(self._lanes)

    def submit(self, entries: Iterable[Entry]) -> None:
        """Take charge of `entries`; full calls start at once where the gate allows."""
        self._admit(self._lanes.enter(entries))
        self.engine.advance(flush=False)

    def again(self, entry: Entry) -> None:
        """An entry that was `unpublished` comes back in a form that a call can carry."""
        self.engine.submit([entry])

    def ended(self, entry: Entry) -> None:
        """An entry that was `unpublished` found its end elsewhere: the next of its conversation may go."""
        self._admit(self._lanes.leave((entry,)))

    # What the engine asks (`dispatch.Destination`).

    def take(self, ready: deque[Entry]) -> list[Entry]:
        return take(ready, self.packing)

    def is_full(self, items: Sequence[Entry]) -> bool:
        return len(items) >= self.limits.entries

    def size_bytes(self, items: Sequence[Entry]) -> int:
        return sum([item.size_bytes for item in items])

    def key(self, item: Entry) -> tuple[int, int, int]:
        record = item.event.record
        return record.sequence_number, record.sub_sequence_number, item.event.line

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
            log.warning("the bus takes smaller calls than documented", extra={"limit_bytes": limits.REQUEST_BYTES_256K})
            self.packing = self.packing._replace(bytes=limits.REQUEST_BYTES_256K)
        return True

    def accepted(self, items: Sequence[Entry]) -> None:
        for item in items:
            event = item.event
            event.record.settle(event.line)
        self._books.accepted(items)
        self._admit(self._lanes.leave(items))

    def given_up(self, item: Entry, why: GivenUp) -> None:
        if self._unpublished(item, why):
            self.ended(item)

    def retried(self, count: int) -> None:
        self._books.retried(count)

    def _admit(self, entries: list[Entry]) -> None:
        """Entries whose turn it is: what a call can carry waits for the next one, the rest is given up."""
        while entries:
            fitting, oversize = fits(entries, self.limits)
            self.engine.enqueue(fitting)
            entries = self._lanes.leave([entry for entry in oversize if self._unpublished(entry, TOO_LARGE)])
