"""The way of every record through the pipeline; read this module first. `route` sends, `collect` handles the results.

A record is opened into events. The transform turns each event into an entry, a dead letter, or an event to drop.
Entries go to the bus, dead letters to the queue. What is too large for either is stored in S3 first. These three
destinations are the stages: `take` passes an item to a stage, `collect` returns it once it has ended there. Then the
event is settled, or goes to the next stage.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import open_record
from stream_router.log import NameLogLimiter
from stream_router.model import PROBE_TYPE, DeadLetter, Dropped, Entry, Event, Record, Transformed
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, HeldDestination
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher

log = logging.getLogger(__name__)

SLICE_EVENTS = 500
"""Maximum number of events routed at once: a record of very many tiny lines would otherwise need too much memory."""


class Ledger(Protocol):
    """Receiver of the results of events."""

    def accepted(self, entries: Sequence[Entry], took_s: float) -> None:
        """Count one call's entries as accepted, `took_s` seconds after the first call that carried them began."""

    def accepted_again(self, count: int) -> None:
        """Count resubmitted entries as delivered. Their latencies say nothing about the present and do not count."""

    def retried(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Count entries that will be resent, each with the error code of AWS."""

    def buried(self, letter: DeadLetter) -> None:
        """Count a dead letter that is stored."""

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Count events that a setting drops, or that belong to another application."""


class Router:
    """The whole pipeline of one shard. Every event of every record is delivered, dead-lettered or dropped, never two.

    `raw_of` returns the bytes that a dead letter keeps.
    """

    def __init__(
        self,
        transform: Callable[[Event | DeadLetter], Transformed],
        raw_of: Callable[[DeadLetter], bytes],
        publisher: Publisher,
        dead_letters: DeadLetterQueue,
        claim_check: ClaimCheck | None,
        ledger: Ledger,
    ) -> None:
        self.transform = transform
        self._raw_of = raw_of
        self.publisher = publisher
        self.dead_letters = dead_letters
        self._claim_check = claim_check
        self.bus: Dispatcher[Entry] = publisher.dispatcher
        """Calls to the bus."""
        self._letters: Dispatcher[Any] = dead_letters.dispatcher
        self._dispatchers: list[Dispatcher[Any]] = [self.bus, self._letters]
        if claim_check:
            self._dispatchers.append(claim_check.dispatcher)
        self._ledger = ledger
        self._unroutable_to_be_said = NameLogLimiter()
        self._stopped = False

    def route(self, records: Iterable[Record], keep_up: Callable[[], None] = lambda: None) -> None:
        """Accept every event of `records`, and settle each in its record once it has ended.

        `keep_up` is called after each slice of events, so that the caller can let the backlog shrink. Each record is
        transformed right after it is opened, so that its memory is freed and reused while it is in the CPU's caches.
        """
        transformed = list[Transformed]()
        for record in records:
            opened = open_record(record)
            for at in range(0, len(opened), SLICE_EVENTS):
                if transformed and len(transformed) + len(opened) - at > SLICE_EVENTS:
                    self._send(transformed)
                    keep_up()
                    transformed = []
                transformed += map(self.transform, opened[at : at + SLICE_EVENTS])
        self._send(transformed)
        keep_up()

    def route_opened(self, opened: Sequence[Event | DeadLetter]) -> None:
        """Accept the events of opened records."""
        self._send([*map(self.transform, opened)])

    def _send(self, transformed: Sequence[Transformed]) -> None:
        """Send entries to the bus and dead letters to the queue, and settle the events to drop."""
        entries = [result for result in transformed if type(result) is Entry]
        letters = (
            [result for result in transformed if type(result) is DeadLetter] if len(entries) < len(transformed) else []
        )
        self.bury(letters)
        if len(entries) + len(letters) < len(transformed):
            self._drop([result for result in transformed if type(result) is Dropped])
        self.publisher.take(entries)

    def collect(self) -> None:
        """Settle the events that ended in one of the three stages, or pass them to the next stage."""
        while ended := self.publisher.collect():
            for entries, took_s in zip(ended.accepted, ended.took_s, strict=True):
                self._delivered(entries, took_s)
            if ended.retried:
                self._ledger.retried(ended.retried)
            for entry, why in ended.given_up:
                self._unpublished(entry, why)
        for letter in self.dead_letters.collect():
            self._buried(letter)
        for stored in self._claim_check.collect() if self._claim_check else ():
            if isinstance(stored, DeadLetter):
                self.dead_letters.take([stored])
            elif stored.size_bytes > self.publisher.limits.bytes:
                self._unpublished(stored, TOO_LARGE)
            else:
                self.publisher.again(stored)

    def _delivered(self, entries: list[Entry], took_s: float) -> None:
        """Settle accepted entries and count them.

        Probes are the product's own, so the ledger does not count them. Resubmitted events are counted apart.
        """
        special = False
        for entry in entries:
            event = entry.event
            record = event.record
            if entry.detail_type == PROBE_TYPE:
                record.batch.probes += 1
                special = True
            else:
                record.batch.delivered += 1
                special = special or record.has_resubmitted
            record.settle(event.line)
        if special:
            without_probes = [entry for entry in entries if entry.detail_type != PROBE_TYPE]
            entries = [*filter(_is_new, without_probes)]
            if len(entries) < len(without_probes):
                self._ledger.accepted_again(len(without_probes) - len(entries))
        if entries:
            self._ledger.accepted(entries, took_s)

    def _unpublished(self, entry: Entry, why: GivenUp) -> None:
        """Turn an entry that no call can carry into a claim check, if there is a bucket; dead-letter it otherwise."""
        if self._claim_check and why.reason is Reason.OVERSIZE and self._claim_check.take_entry(entry):
            return
        self.bury([DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)])
        self.publisher.ended(entry, why)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters to the queue. A letter too large for a message goes to S3 first, if there is a bucket."""
        if not letters:
            return
        self._warn_of_unroutable(letters)
        written = [letter._replace(raw=self._raw_of(letter)) for letter in letters]
        self.dead_letters.take(written, self._claim_check.take_letter if self._claim_check else None)

    def _buried(self, letter: DeadLetter) -> None:
        record = letter.event.record
        record.batch.dead_letters[letter.reason.value] += 1
        record.settle(letter.event.line)
        self._ledger.buried(letter)

    def _warn_of_unroutable(self, letters: Sequence[DeadLetter]) -> None:
        """Log event types that the rule does not match: a sender may have a wrong subscription, or a setting a typo."""
        for letter in letters:
            if letter.reason is Reason.UNROUTABLE and (event_type := self._unroutable_to_be_said(letter.event_type)):
                log.warning(
                    "Events of a type that the rule does not match become dead letters. Add the type to"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE.",
                    extra={"event": "types-unmatched", "event_type": event_type},
                )

    def _drop(self, dropped: Sequence[Dropped]) -> None:
        """Settle and count events that are not sent."""
        for result in dropped:
            result.event.record.batch.dropped += 1
            result.event.record.settle(result.event.line)
        self._ledger.dropped(dropped)

    def advance(self, *, flush: bool) -> None:
        """Settle ended events and start the calls that may start now; if `flush`, also calls that are not full."""
        self.collect()
        if not self._stopped:
            for dispatcher in self._dispatchers:
                dispatcher.advance(flush=flush)

    def block_publishing(self, *, blocked: bool) -> None:
        """Start no PutEvents call while `blocked`. Dead letters are still sent."""
        self.bus.block(blocked=blocked)

    def stop(self) -> None:
        """Start no more calls, since another worker holds the lease. Calls in flight may still be answered.

        Each dispatcher is stopped, since an answer would otherwise start new calls: for a dead letter, the next entry
        of a conversation, or a claim check.
        """
        self._stopped = True
        for dispatcher in self._dispatchers:
            dispatcher.stop()

    def at_the_end(self, already_s: float) -> None:
        """Record that no more events will come. From now on an event that fails alone is retried for 15 minutes.

        It has waited `already_s` of these seconds in the processes before this one.
        """
        self.bus.at_the_end(already_s)

    @property
    def backlog(self) -> int:
        """Number of events, messages and objects that have not ended."""
        return self.unpublished + sum([dispatcher.backlog for dispatcher in self._dispatchers[1:]])

    @property
    def unpublished(self) -> int:
        """Number of entries that wait for the bus."""
        return self.publisher.backlog

    @property
    def ready(self) -> int:
        """Number of items that wait only for a call. More of them would not increase the throughput."""
        return sum([dispatcher.ready for dispatcher in self._dispatchers])

    @property
    def ready_letters(self) -> int:
        """Number of dead-letter messages that wait only for a call."""
        return self._letters.ready

    @property
    def only_sick(self) -> bool:
        """Whether every pending entry fails by itself, is suspected, or waits behind such an entry."""
        return self.bus.only_sick and not any(dispatcher.backlog for dispatcher in self._dispatchers[1:])

    @property
    def accepted_at(self) -> float:
        """Time at which the bus last accepted an entry (monotonic seconds)."""
        return self.bus.accepted_at

    @property
    def holding(self) -> bool:
        """Whether events wait for a destination that accepts nothing at present."""
        return self.held is not None

    @property
    def held(self) -> HeldDestination | None:
        """The destination that has accepted nothing for longest, of those that items wait for; None if there is none.

        A destination without waiting items does not count, since no call tries it until the next event.
        """
        held = [destination for destination in [dispatcher.held for dispatcher in self._dispatchers] if destination]
        return min(held, key=lambda destination: destination.since) if held else None

    def wait_s(self, longest: float) -> float:
        """Return the seconds, at most `longest`, until a retry or a probe is due."""
        if not self._stopped:
            for dispatcher in self._dispatchers:
                longest = dispatcher.wait_s(longest)
        return longest


def _is_new(entry: Entry) -> bool:
    """Return whether the event was not resubmitted by an operator."""
    return not entry.event.resubmitted
