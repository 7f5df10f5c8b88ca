"""Read this first: what becomes of every record. `route` is its way down, `collect` what comes back."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from stream_router.core.dead_letter_reasons import Reason
from stream_router.core.envelope import open_record
from stream_router.core.model import DeadLetter, Dropped, Entry, Event, Record
from stream_router.core.names import PROBE_TYPE
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.delivery.dispatcher_contract import GivenUp, Held, Took
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher

log = logging.getLogger(__name__)

T = TypeVar("T")
SLICE_EVENTS = 500
"""Events routed at once. A record of very many tiny lines would else take memory out of all proportion."""

UNROUTABLE_TYPES_SAID = 20


class Ledger(Protocol):
    """Who is told what became of events."""

    def accepted(self, entries: Sequence[Entry], took_s: Took) -> None:
        """One call's entries are accepted by the bus, so long after their first call was started."""

    def retried(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """These are to be sent again, each for AWS's code."""

    def buried(self, letter: DeadLetter) -> None:
        """The dead letter is stored, whole."""

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """A setting said to drop these."""


class Router:
    """The whole pipeline of one shard. Every event of every record ends in exactly one of delivered, dead, dropped.

    `raw_of` gives the bytes that a dead letter keeps.
    """

    def __init__(
        self,
        transform: Callable[[Event], Entry | DeadLetter | Dropped],
        raw_of: Callable[[DeadLetter], bytes],
        publisher: Publisher,
        dead_letters: DeadLetters,
        claim_check: ClaimCheck | None,
        ledger: Ledger,
        limit: DeadLetterLimit,
    ) -> None:
        self.transform = transform
        self._raw_of = raw_of
        self.publisher = publisher
        self.dead_letters = dead_letters
        self._claim_check = claim_check
        self._ledger = ledger
        self.limit = limit
        self._said_types: set[str] = set()
        self._stopped = False

    def route(self, records: Iterable[Record], keep_up: Callable[[], None] = lambda: None) -> None:
        """Take charge of every event of `records`; each settles in its record once it is through.

        `keep_up` is called after each slice of them, so that the caller can let the backlog shrink.
        """
        found = [event for record in records for event in open_record(record)]
        for at in range(0, len(found), SLICE_EVENTS):
            self.route_found(found[at : at + SLICE_EVENTS])
            keep_up()

    def route_found(self, found: Sequence[Event | DeadLetter]) -> None:
        """Take charge of the events of opened records."""
        events, malformed, _ = split(found, Event)
        transform = self.transform
        entries, rejected, dropped = split([transform(event) for event in events], Entry)
        self.limit.judge(len(entries), [*malformed, *rejected])
        self.bury([*malformed, *rejected])
        self.drop(dropped)
        self.publisher.submit(entries)

    def collect(self) -> None:
        """What came back: it is settled, or goes its next way."""
        while self.publisher.collectable:
            accepted, given_up, retried, took = self.publisher.collect()
            for entries, took_s in zip(accepted, took, strict=True):
                self._accepted(entries, took_s)
            if retried:
                self._ledger.retried(retried)
            for entry, why in given_up:
                self._unpublished(entry, why)
        for letter in self.dead_letters.collect():
            self._buried(letter)
        if self._claim_check:
            slim, letters = self._claim_check.collect()
            for entry in slim:
                self._slimmed(entry)
            for stored in letters:
                self.dead_letters.submit_stored(stored)

    def _accepted(self, entries: list[Entry], took_s: Took) -> None:
        if PROBE_TYPE in [entry.detail_type for entry in entries]:
            entries, took_s = self._without_probes(entries, took_s)
        for entry in entries:
            event = entry.event
            record = event.record
            record.batch.delivered += 1
            record.settle(event.line)
        if entries:
            self._ledger.accepted(entries, took_s)

    def _without_probes(self, entries: list[Entry], took_s: Took) -> tuple[list[Entry], Took]:
        """The product's own events are settled like all and counted apart; what is left, and its times."""
        own = [entry.detail_type == PROBE_TYPE for entry in entries]
        for event in [entry.event for entry, is_own in zip(entries, own, strict=True) if is_own]:
            event.record.batch.probes += 1
            event.record.settle(event.line)
        if isinstance(took_s, list):
            took_s = [took for took, is_own in zip(took_s, own, strict=True) if not is_own]
        return [entry for entry, is_own in zip(entries, own, strict=True) if not is_own], took_s

    def _unpublished(self, entry: Entry, why: GivenUp) -> None:
        """What no call can carry goes by claim check where there is a bucket; the rest is a dead letter."""
        if self._claim_check and why.reason is Reason.OVERSIZE and self._claim_check.entry(entry):
            return
        letter = DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)
        self.limit.refused(letter)
        self.bury([letter])
        self.publisher.ended(entry, why)

    def _slimmed(self, entry: Entry) -> None:
        """An entry whose payload is in S3 now; what is too large even without it can only be buried."""
        if entry.size_bytes <= self.publisher.limits.bytes:
            self.publisher.again(entry)
        else:
            self._unpublished(entry, TOO_LARGE)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters to the queue; what fits no message goes to S3 first, where there is a bucket.

        Where the limit on dead letters is passed nothing is buried: the events stay unsettled, and the shard holds.
        """
        if self.limit.passed_by or not letters:
            return
        self._warn_of_types(letters)
        written = [letter._replace(raw=self._raw_of(letter)) for letter in letters]
        for letter in self.dead_letters.submit(written, may_go_aside=self._claim_check is not None):
            assert self._claim_check
            self._claim_check.letter(letter)

    def _buried(self, letter: DeadLetter) -> None:
        record = letter.event.record
        record.batch.dead_letters[letter.reason.value] += 1
        record.settle(letter.event.line)
        self._ledger.buried(letter)

    def _warn_of_types(self, letters: Sequence[DeadLetter]) -> None:
        """Once for each event type that the rule does not match: there may be a subscription too many, or a typo."""
        for letter in letters:
            if letter.reason is not Reason.UNROUTABLE or letter.event_type in self._said_types:
                continue
            if len(self._said_types) < UNROUTABLE_TYPES_SAID:
                self._said_types.add(letter.event_type)
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event_type": letter.event_type},
                )

    def drop(self, dropped: Sequence[Dropped]) -> None:
        """Settle what a setting says to drop, and count it."""
        for one in dropped:
            one.event.record.batch.dropped += 1
            one.event.record.settle(one.event.line)
        if dropped:
            self._ledger.dropped(dropped)

    @property
    def backlog(self) -> int:
        """Events, messages and objects not yet through."""
        return self.publisher.backlog + self.dead_letters.backlog + self._uploads

    @property
    def _uploads(self) -> int:
        return self._claim_check.backlog if self._claim_check else 0

    @property
    def ready(self) -> int:
        """Items that wait for nothing but a call: more of them gain nothing."""
        return sum(part.dispatcher.ready for part in self._parts())

    @property
    def only_sick(self) -> bool:
        """Whether all that is under way is in trouble of its own, or suspected, or waits behind such an entry."""
        return self.publisher.only_sick and not self.dead_letters.backlog and not self._uploads

    @property
    def holding(self) -> bool:
        """Whether some destination accepts nothing at present."""
        return any(part.dispatcher.gate.holding for part in self._parts())

    @property
    def held(self) -> Held | None:
        """The destination that has accepted nothing for longest, where there is one."""
        found = [part.dispatcher for part in self._parts() if part.dispatcher.gate.holding]
        held = [Held(one.report.destination, one.gate.held_since, one.report.code) for one in found]
        return min(held, key=lambda one: one.since) if held else None

    def _parts(self) -> tuple[Publisher | DeadLetters | ClaimCheck, ...]:
        parts: tuple[Publisher | DeadLetters | ClaimCheck, ...] = (self.publisher, self.dead_letters)
        return (*parts, self._claim_check) if self._claim_check else parts

    def advance(self, *, flush: bool) -> None:
        """Settle what came back and start what may be started now; with `flush` also calls that are not full."""
        self.collect()
        if self._stopped:
            return
        self.publisher.dispatcher.advance(flush=flush)
        self.dead_letters.dispatcher.advance(flush=flush)
        if self._claim_check:
            self._claim_check.dispatcher.advance(flush=True)

    def stop(self) -> None:
        """Start nothing more: the lease is another's. What is in flight may still come back."""
        self._stopped = True
        # What comes back would start calls of its own: a dead letter, the next of a conversation, a claim check.
        for part in self._parts():
            part.dispatcher.gate.stop()

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        if self._stopped:
            return longest
        return min(part.dispatcher.wait_s(longest) for part in self._parts())


def split(found: Sequence[T | DeadLetter | Dropped], kind: type[T]) -> tuple[list[T], list[DeadLetter], list[Dropped]]:
    """Values of `kind`, rejections and drops, each in order."""
    values = [one for one in found if type(one) is kind]
    if len(values) == len(found):
        return values, [], []
    rejected = [one for one in found if type(one) is DeadLetter]
    return values, rejected, [one for one in found if type(one) is Dropped]
