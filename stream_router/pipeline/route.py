"""The path of every record through the pipeline; read this module first.

`Router.route` opens a record into events. The transform turns each event into an entry, a dead letter, or an event to
drop. Entries go to the bus, dead letters to the queue. What is too large for either is stored in S3 first. Bus, queue
and S3 are the stages. A stage's `take` accepts an item. Its `collect` returns the item once the stage has delivered it
or given it up. `Router.collect` then settles the event, or passes it to the next stage.
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
"""Maximum number of events that are transformed before they are sent.

A record may hold very many tiny events. Entries of all of them at once would need too much memory.
"""


class Ledger(Protocol):
    """Counter of the results of events, to which the router reports them."""

    def record_accepted(self, entries: Sequence[Entry], took_s: float) -> None:
        """Count the accepted entries of a call. `took_s` are the seconds since their first call was sent."""

    def record_resubmitted(self, count: int) -> None:
        """Count `count` delivered entries that an operator had resubmitted.

        They have no `took_s`, since their latencies say nothing about the present.
        """

    def record_retries(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Count entries that will be sent again, each with AWS's error code."""

    def record_dead_letter(self, letter: DeadLetter) -> None:
        """Count a dead letter that is stored."""

    def record_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Count events that a setting drops, or that an operator resubmitted for another application."""


class Router:
    """The whole pipeline of one shard. Every event of every record is either delivered, dead-lettered or dropped.

    `transform` turns an opened event into a result. `raw_of` returns the bytes of an event that its dead letter keeps.
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
        self._unroutable_log_limiter = NameLogLimiter()
        self._stopped = False

    def route(self, records: Iterable[Record], on_slice_sent: Callable[[], None] = lambda: None) -> None:
        """Open `records`, and send every event on its way: to the bus, to the dead-letter queue, or nowhere if dropped.

        An event is settled in its record later, by `collect`; a dropped event is settled at once. `on_slice_sent` is
        called after each slice of at most SLICE_EVENTS events, so that the caller can wait until the backlog is
        smaller. Each record is transformed right after it is opened, so that its memory is reused while it is in the
        CPU's caches.
        """
        transformed = list[Transformed]()
        for record in records:
            opened = open_record(record)
            for at in range(0, len(opened), SLICE_EVENTS):
                if transformed and len(transformed) + len(opened) - at > SLICE_EVENTS:
                    self._send(transformed)
                    on_slice_sent()
                    transformed = []
                transformed += map(self.transform, opened[at : at + SLICE_EVENTS])
        self._send(transformed)
        on_slice_sent()

    def route_opened(self, opened: Sequence[Event | DeadLetter]) -> None:
        """Transform and send the events of records that the caller has already opened."""
        self._send([*map(self.transform, opened)])

    def _send(self, transformed: Sequence[Transformed]) -> None:
        """Send entries to the bus and dead letters to the queue, and settle the events to drop."""
        entries = [result for result in transformed if type(result) is Entry]
        letters: list[DeadLetter] = []
        # Nearly always every result is an entry. The counts show that, and save the search for the other results.
        if len(entries) < len(transformed):
            letters = [result for result in transformed if type(result) is DeadLetter]
        self.send_dead_letters(letters)
        if len(entries) + len(letters) < len(transformed):
            self._settle_dropped([result for result in transformed if type(result) is Dropped])
        self.publisher.take(entries)

    def collect(self) -> None:
        """Settle the events whose items a stage has delivered or given up, or pass the items to the next stage."""
        # In a loop, since giving up one entry of a conversation may at once give up the next one.
        while ended := self.publisher.collect():
            for entries, took_s in zip(ended.accepted, ended.took_s, strict=True):
                self._settle_accepted(entries, took_s)
            if ended.retried:
                self._ledger.record_retries(ended.retried)
            for entry, given_up in ended.given_up:
                self._handle_unpublished(entry, given_up)
        for letter in self.dead_letters.collect():
            self._settle_dead_letter(letter)
        for stored in self._claim_check.collect() if self._claim_check else ():
            # The stored item now refers to its object in S3, so it is sent in its smaller form.
            if isinstance(stored, DeadLetter):
                self.dead_letters.take([stored])
            elif stored.size_bytes > self.publisher.limits.bytes:
                self._handle_unpublished(stored, TOO_LARGE)
            else:
                self.publisher.submit_smaller(stored)

    def _settle_accepted(self, entries: list[Entry], took_s: float) -> None:
        """Settle accepted entries and count them.

        Probes are the product's own, so the ledger does not count them. Resubmitted events are counted apart.
        """
        # Probes and resubmitted events are rare, so the entries are filtered only if there may be one.
        has_special_entries = False
        for entry in entries:
            event = entry.event
            record = event.record
            if entry.detail_type == PROBE_TYPE:
                record.batch.probes += 1
                has_special_entries = True
            else:
                record.batch.delivered += 1
                has_special_entries = has_special_entries or record.has_resubmitted
            record.settle(event.line)
        if has_special_entries:
            without_probes = [entry for entry in entries if entry.detail_type != PROBE_TYPE]
            entries = [*filter(_is_new, without_probes)]
            if len(entries) < len(without_probes):
                self._ledger.record_resubmitted(len(without_probes) - len(entries))
        if entries:
            self._ledger.record_accepted(entries, took_s)

    def _handle_unpublished(self, entry: Entry, given_up: GivenUp) -> None:
        """Store an entry's payload in S3 if the entry is too large and there is a bucket; otherwise dead-letter it."""
        is_oversize = given_up.reason is Reason.OVERSIZE
        if self._claim_check and is_oversize and self._claim_check.take_entry(entry):
            return
        self.send_dead_letters([DeadLetter(entry.event, *given_up, entry=entry, event_type=entry.detail_type)])
        self.publisher.release_conversation(entry, given_up)

    def send_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters to the queue. A letter too large for a message goes to S3 first, if there is a bucket."""
        if not letters:
            return
        self._warn_of_unroutable(letters)
        written = [letter._replace(raw=self._raw_of(letter)) for letter in letters]
        self.dead_letters.take(written, self._claim_check.take_letter if self._claim_check else None)

    def _settle_dead_letter(self, letter: DeadLetter) -> None:
        """Settle the event of a dead letter that the queue has stored, and count it."""
        record = letter.event.record
        record.batch.dead_letters[letter.reason.value] += 1
        record.settle(letter.event.line)
        self._ledger.record_dead_letter(letter)

    def _warn_of_unroutable(self, letters: Sequence[DeadLetter]) -> None:
        """Log each event type that the rule does not match, once. A sender's subscription or a setting may be wrong."""
        for letter in letters:
            if letter.reason is Reason.UNROUTABLE and (event_type := self._unroutable_log_limiter(letter.event_type)):
                log.warning(
                    "Events of a type that the rule does not match become dead letters. Add the type to"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE.",
                    extra={"event": "types-unmatched", "event_type": event_type},
                )

    def _settle_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Settle and count events that are not sent."""
        for result in dropped:
            result.event.record.batch.dropped += 1
            result.event.record.settle(result.event.line)
        self._ledger.record_dropped(dropped)

    def advance(self, *, flush: bool) -> None:
        """Settle or pass on finished items (`collect`), then start the calls that may start now.

        Without `flush`, a call that is not full waits for more items while another call is in flight.
        """
        self.collect()
        if not self._stopped:
            for dispatcher in self._dispatchers:
                dispatcher.advance(flush=flush)

    def block_publishing(self, *, blocked: bool) -> None:
        """Start no PutEvents call while `blocked` is true. Dead letters are still sent."""
        self.bus.block(blocked=blocked)

    def stop(self) -> None:
        """Start no more calls, since another worker holds the lease. Calls in flight may still be answered.

        Each dispatcher is stopped, since an answer would otherwise start new calls: for a dead letter, the next entry
        of a conversation, or a claim check.
        """
        self._stopped = True
        for dispatcher in self._dispatchers:
            dispatcher.stop()

    def mark_input_ended(self, already_s: float) -> None:
        """Record that no more events will come, since the shard has ended.

        From now on an event that fails while no other event can be compared with it is retried for 15 minutes in all.
        `already_s` are the seconds of these for which earlier processes have retried it (AT_THE_END_S in `blame.py`).
        """
        self.bus.mark_input_ended(already_s)

    @property
    def backlog(self) -> int:
        """Number of entries, dead-letter messages and S3 objects that are neither delivered nor given up."""
        return self.unpublished + sum([dispatcher.backlog for dispatcher in self._dispatchers[1:]])

    @property
    def unpublished(self) -> int:
        """Number of entries that the bus has not accepted, also those in flight."""
        return self.publisher.backlog

    @property
    def ready(self) -> int:
        """Number of items that wait only for a free call. More of them would not increase the throughput."""
        return sum([dispatcher.ready for dispatcher in self._dispatchers])

    @property
    def ready_letters(self) -> int:
        """Number of dead-letter messages that wait only for a free call."""
        return self._letters.ready

    @property
    def has_only_failing_items(self) -> bool:
        """Whether all that is pending are entries that fail by themselves, or that wait behind such an entry.

        An entry whose call was refused for its content counts as failing. False if nothing is pending, or if a dead
        letter or an S3 object is.
        """
        return self.bus.has_only_failing_items and not any(dispatcher.backlog for dispatcher in self._dispatchers[1:])

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
        """The destination that has accepted nothing for the longest time although items wait for it; None if none does.

        A destination without waiting items does not count, since it gets no call that could show that it is back.
        """
        held = [destination for destination in [dispatcher.held for dispatcher in self._dispatchers] if destination]
        return min(held, key=lambda destination: destination.since) if held else None

    def wait_s(self, longest: float) -> float:
        """Return the seconds until a retry or a probe is due, at most `longest`."""
        if not self._stopped:
            for dispatcher in self._dispatchers:
                longest = dispatcher.wait_s(longest)
        return longest


def _is_new(entry: Entry) -> bool:
    """Return whether the event is new, not resubmitted by an operator."""
    return not entry.event.resubmitted
