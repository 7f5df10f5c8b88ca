"""Read this first: what becomes of every record. `route` is its way down, `collect` what comes back.

A record is opened into events; the transform makes of each an entry, a dead letter or something to drop. Entries go to
the bus, dead letters to the queue, what fits neither to S3 first. These three are the stages: `take` gives a stage
charge of something, `collect` hands it back once it has come to its end there. Then it is settled, or goes on.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import open_record
from stream_router.log import SaidOnce
from stream_router.model import PROBE_TYPE, DeadLetter, Dropped, Entry, Event, Record, Transformed
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, HeldDestination
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher

log = logging.getLogger(__name__)

SLICE_EVENTS = 500
"""Events routed at once. A record of very many tiny lines would else take memory out of all proportion."""


class Ledger(Protocol):
    """Receiver of what became of events."""

    def accepted(self, entries: Sequence[Entry], took_s: float) -> None:
        """Count one call's entries as accepted by the bus, `took_s` after their first call was started."""

    def accepted_again(self, count: int) -> None:
        """Count resubmitted entries as delivered. Their latencies say nothing of the present and are not recorded."""

    def retried(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Count entries that will be sent again, each with AWS's code."""

    def buried(self, letter: DeadLetter) -> None:
        """Count a dead letter that is stored, whole."""

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Count events that a setting drops, or that are another application's."""


class Router:
    """The whole pipeline of one shard. Every event of every record ends in exactly one of delivered, dead, dropped.

    `raw_of` gives the bytes that a dead letter keeps.
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
        self._dispatchers: list[Dispatcher[Any]] = [publisher.dispatcher, dead_letters.dispatcher]
        if claim_check:
            self._dispatchers.append(claim_check.dispatcher)
        self._ledger = ledger
        self._unroutable_to_be_said = SaidOnce()
        self._stopped = False

    def route(self, records: Iterable[Record], keep_up: Callable[[], None] = lambda: None) -> None:
        """Take charge of every event of `records`; each settles in its record once it is through.

        `keep_up` is called after each slice of them, so that the caller can let the backlog shrink. Each record is
        transformed as it is opened: what was parsed of it is freed, and used anew, while the caches hold it.
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
        """Take charge of the events of opened records."""
        self._send([*map(self.transform, opened)])

    def _send(self, transformed: Sequence[Transformed]) -> None:
        """Send entries to the bus and dead letters to the queue, and settle what is to be dropped."""
        entries = [result for result in transformed if type(result) is Entry]
        letters = (
            [result for result in transformed if type(result) is DeadLetter] if len(entries) < len(transformed) else []
        )
        self.bury(letters)
        if len(entries) + len(letters) < len(transformed):
            self._drop([result for result in transformed if type(result) is Dropped])
        self.publisher.take(entries)

    def collect(self) -> None:
        """Settle what came back from the three stages, or pass it on to the next stage."""
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
                special = special or record.put_back
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
        """Send dead letters to the queue; what fits no message goes to S3 first, if there is a bucket."""
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
        """Warn of types that the rule does not match: the sender may have a subscription too many, or a typo."""
        for letter in letters:
            if letter.reason is Reason.UNROUTABLE and (event_type := self._unroutable_to_be_said(letter.event_type)):
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event": "types-unmatched", "event_type": event_type},
                )

    def _drop(self, dropped: Sequence[Dropped]) -> None:
        """Settle what is sent nowhere, and count it."""
        for result in dropped:
            result.event.record.batch.dropped += 1
            result.event.record.settle(result.event.line)
        self._ledger.dropped(dropped)

    def advance(self, *, flush: bool) -> None:
        """Settle what came back and start what may be started now; with `flush` also calls that are not full."""
        self.collect()
        if not self._stopped:
            for dispatcher in self._dispatchers:
                dispatcher.advance(flush=flush)

    def block_publishing(self, *, blocked: bool) -> None:
        """Start no PutEvents call while `blocked`. Dead letters go on."""
        self.publisher.dispatcher.gate.blocked = blocked

    def stop(self) -> None:
        """Start nothing more: the lease is another's. What is in flight may still come back.

        What comes back would start calls of its own: a dead letter, the next of a conversation, a claim check.
        """
        self._stopped = True
        for dispatcher in self._dispatchers:
            dispatcher.gate.stop()

    def at_the_end(self, already_s: float) -> None:
        """Note that the shard is at its end: an event in trouble waits up to 15 minutes for others to compare with.

        It waited `already_s` of them in the processes before this one.
        """
        self.publisher.dispatcher.at_the_end(already_s)

    @property
    def backlog(self) -> int:
        """Events, messages and objects not yet through."""
        return self.publisher.backlog + sum([dispatcher.backlog for dispatcher in self._dispatchers[1:]])

    @property
    def ready(self) -> int:
        """Items that wait for nothing but a call: more of them gain nothing."""
        return sum([dispatcher.ready for dispatcher in self._dispatchers])

    @property
    def ready_letters(self) -> int:
        """Dead letters' messages that wait for nothing but a call."""
        return self.dead_letters.dispatcher.ready

    @property
    def only_sick(self) -> bool:
        """Whether all that is under way is in trouble of its own, or suspected, or waits behind such an entry."""
        return self.publisher.dispatcher.only_sick and not any(
            dispatcher.backlog for dispatcher in self._dispatchers[1:]
        )

    @property
    def accepted_at(self) -> float:
        """When the bus last accepted something (monotonic seconds)."""
        return self.publisher.dispatcher.accepted_at

    @property
    def holding(self) -> bool:
        """Whether events wait for a destination that accepts nothing at present."""
        return self.held is not None

    @property
    def held(self) -> HeldDestination | None:
        """The destination that has accepted nothing for longest and that something waits for; None where there is none.

        The last that waited may have been given up: then nobody tries it until the next event comes.
        """
        held = [destination for destination in [dispatcher.held for dispatcher in self._dispatchers] if destination]
        return min(held, key=lambda destination: destination.since) if held else None

    def wait_s(self, longest: float) -> float:
        """Return the seconds, at most `longest`, until something can happen by time alone."""
        if not self._stopped:
            for dispatcher in self._dispatchers:
                longest = dispatcher.wait_s(longest)
        return longest


def _is_new(entry: Entry) -> bool:
    """Tell whether an event came by itself: no operator put it on the stream again."""
    return not entry.event.resubmitted
