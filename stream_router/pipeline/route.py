"""Read this first: what becomes of every record. Ten lines, called once a micro-batch."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from stream_router.core.dispositions import Reason
from stream_router.core.envelope import open_record
from stream_router.core.model import DeadLetter, Dropped, Entry, Event, Record
from stream_router.pipeline.delivery.dispatcher import GivenUp
from stream_router.pipeline.sinks.claim_check import Offload
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher

T = TypeVar("T")
SLICE_EVENTS = 500
"""Events routed at once. A record of very many tiny lines would else take memory out of all proportion."""


class Router:
    """The whole pipeline of one shard. Every event of every record ends in exactly one of delivered, dead, dropped."""

    def __init__(
        self,
        transform: Callable[[Event], Entry | DeadLetter | Dropped],
        publisher: Publisher,
        dead_letters: DeadLetters,
        offload: Offload | None,
        dropped: Callable[[list[Dropped]], None],
    ) -> None:
        self.transform = transform
        self.publisher = publisher
        self.dead_letters = dead_letters
        self.offload = offload
        self._dropped = dropped

    def route(self, records: Iterable[Record], keep_up: Callable[[], None] = lambda: None) -> None:
        """Take charge of every event of `records`; each settles in its record's books once it is through.

        `keep_up` is called after each slice of them, so that the caller can let the backlog shrink.
        """
        found = [found for record in records for found in open_record(record)]
        for at in range(0, len(found), SLICE_EVENTS):
            self.route_found(found[at : at + SLICE_EVENTS])
            keep_up()

    def route_found(self, found: Sequence[Event | DeadLetter]) -> None:
        """Take charge of what was found in records whose books are open."""
        events, malformed, _ = split(found, Event)
        transform = self.transform
        entries, rejected, dropped = split([transform(event) for event in events], Entry)
        self.dead_letters.submit([*malformed, *rejected])
        self.drop(dropped)
        self.publisher.submit(entries)

    def unpublished(self, entry: Entry, why: GivenUp) -> bool:
        """What no call can carry goes by claim check where there is a bucket; the rest is a dead letter (True)."""
        if self.offload and why.reason is Reason.OVERSIZE and self.offload.entry(entry, self._slimmed):
            return False
        self.dead_letters.submit([DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)])
        return True

    def _slimmed(self, entry: Entry) -> None:
        """An entry whose payload is in S3 now; what is too large even without it can only be buried."""
        if entry.size_bytes <= self.publisher.limits.bytes:
            self.publisher.again(entry)
        elif self.unpublished(entry, TOO_LARGE):
            self.publisher.ended(entry)

    def drop(self, dropped: list[Dropped]) -> None:
        """Settle what a setting says to drop, and count it."""
        for one in dropped:
            one.event.settle()
        if dropped:
            self._dropped(dropped)

    @property
    def backlog(self) -> int:
        """Events, messages and objects not yet through."""
        return self.publisher.backlog + self.dead_letters.backlog + (self.offload.backlog if self.offload else 0)

    @property
    def holding(self) -> bool:
        """Whether some destination accepts nothing at present."""
        parts = (self.publisher, self.dead_letters, self.offload)
        return any(part.engine.gate.holding for part in parts if part)

    def advance(self, *, flush: bool) -> None:
        """Start what may be started now; with `flush` also calls that are not full."""
        self.publisher.engine.advance(flush=flush)
        self.dead_letters.engine.advance(flush=flush)
        if self.offload:
            self.offload.engine.advance(flush=True)

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        parts = (self.publisher, self.dead_letters, self.offload)
        return min(part.engine.wait_s(longest) for part in parts if part)


def split(found: Sequence[T | DeadLetter | Dropped], kind: type[T]) -> tuple[list[T], list[DeadLetter], list[Dropped]]:
    """Values of `kind`, rejections and drops, each in order."""
    values = [one for one in found if type(one) is kind]
    if len(values) == len(found):
        return values, [], []
    rejected = [one for one in found if type(one) is DeadLetter]
    return values, rejected, [one for one in found if type(one) is Dropped]
