"""Read this first: what becomes of every record. `route` is its way down, `collect` what comes back."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stream_router.envelope import open_record
from stream_router.model import PROBE_TYPE, DeadLetter, Dropped, Entry, Event, Made, Reason, Record
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.delivery.dispatcher_contract import GivenUp, Held, Took
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher
from stream_router.pipeline.unroutable_types import UnroutableTypes

SLICE_EVENTS = 500
"""Events routed at once. A record of very many tiny lines would else take memory out of all proportion."""


class Ledger(Protocol):
    """Who is told what became of events."""

    def accepted(self, entries: Sequence[Entry], took_s: Took) -> None:
        """One call's entries are accepted by the bus, so long after their first call was started."""

    def accepted_again(self, entries: Sequence[Entry]) -> None:
        """The same of what an operator put back: delivered, but its latencies say nothing of the present."""

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
        transform: Callable[[Event | DeadLetter], Made],
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
        self._unroutable = UnroutableTypes()
        self._stopped = False
        parts: tuple[Publisher | DeadLetters | ClaimCheck, ...] = (publisher, dead_letters)
        self._parts = (*parts, claim_check) if claim_check else parts

    def route(self, records: Iterable[Record], keep_up: Callable[[], None] = lambda: None) -> None:
        """Take charge of every event of `records`; each settles in its record once it is through.

        `keep_up` is called after each slice of them, so that the caller can let the backlog shrink. Each record is
        transformed as it is opened: what was parsed of it is freed, and used anew, while the caches hold it.
        """
        made: list[Made] = []
        for record in records:
            found = open_record(record)
            for at in range(0, len(found), SLICE_EVENTS):
                if made and len(made) + len(found) - at > SLICE_EVENTS:
                    self._go_on(made)
                    keep_up()
                    made = []
                made += self._transformed(found[at : at + SLICE_EVENTS])
        self._go_on(made)
        keep_up()

    def route_found(self, found: Sequence[Event | DeadLetter]) -> None:
        """Take charge of the events of opened records."""
        self._go_on(self._transformed(found))

    def _transformed(self, found: Sequence[Event | DeadLetter]) -> list[Made]:
        transform = self.transform
        return [transform(one) for one in found]

    def _go_on(self, made: Sequence[Made]) -> None:
        entries, letters, dropped = _split(made)
        put_back = len([1 for entry in entries if entry.event.resubmitted])
        self.limit.judge(len(entries) - put_back, [letter for letter in letters if not letter.event.resubmitted])
        self.bury(letters)
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
        put_back = False
        for entry in entries:
            event = entry.event
            record = event.record
            record.batch.delivered += 1
            record.settle(event.line)
            put_back = put_back or event.resubmitted != ""
        if put_back:
            entries, took_s = self._without_put_back(entries, took_s)
        if entries:
            self._ledger.accepted(entries, took_s)

    def _without_probes(self, entries: list[Entry], took_s: Took) -> tuple[list[Entry], Took]:
        """The product's own events are settled like all and counted apart; what is left, and its times."""
        own = [entry.detail_type == PROBE_TYPE for entry in entries]
        for event in [entry.event for entry, is_own in zip(entries, own, strict=True) if is_own]:
            event.record.batch.probes += 1
            event.record.settle(event.line)
        return _without(own, entries, took_s)

    def _without_put_back(self, entries: list[Entry], took_s: Took) -> tuple[list[Entry], Took]:
        """What an operator put back is told apart; what is left, and its times."""
        put_back = [bool(entry.event.resubmitted) for entry in entries]
        self._ledger.accepted_again([entry for entry in entries if entry.event.resubmitted])
        return _without(put_back, entries, took_s)

    def _unpublished(self, entry: Entry, why: GivenUp) -> None:
        """What no call can carry goes by claim check where there is a bucket; the rest is a dead letter."""
        if self._claim_check and why.reason is Reason.OVERSIZE and self._claim_check.entry(entry):
            return
        letter = DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)
        if not entry.event.resubmitted:
            self.limit.refused(letter)
        if self.limit.passed_by:
            self.publisher.shut(entry)  # it is not buried, so what follows it may not overtake it
        else:
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
        self._unroutable.warn(letters)
        written = [letter._replace(raw=self._raw_of(letter)) for letter in letters]
        for letter in self.dead_letters.submit(written, may_go_aside=self._claim_check is not None):
            assert self._claim_check
            self._claim_check.letter(letter)

    def _buried(self, letter: DeadLetter) -> None:
        record = letter.event.record
        record.batch.dead_letters[letter.reason.value] += 1
        record.settle(letter.event.line)
        self._ledger.buried(letter)

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
        return sum(part.dispatcher.ready for part in self._parts)

    @property
    def only_sick(self) -> bool:
        """Whether all that is under way is in trouble of its own, or suspected, or waits behind such an entry."""
        return self.publisher.only_sick and not self.dead_letters.backlog and not self._uploads

    @property
    def holding(self) -> bool:
        """Whether events wait for a destination that accepts nothing at present."""
        return self.held is not None

    @property
    def held(self) -> Held | None:
        """The destination that has accepted nothing for longest and that something waits for; None where there is none.

        The last that waited may have been given up: then nobody tries it until the next event comes.
        """
        found = [one for one in (part.dispatcher for part in self._parts) if one.gate.holding and one.backlog]
        held = [Held(one.report.destination, one.gate.held_since, one.report.code) for one in found]
        return min(held, key=lambda one: one.since) if held else None

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
        for part in self._parts:
            part.dispatcher.gate.stop()

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        if not self._stopped:
            for part in self._parts:
                longest = part.dispatcher.wait_s(longest)
        return longest


def _without(those: Sequence[bool], entries: list[Entry], took_s: Took) -> tuple[list[Entry], Took]:
    if isinstance(took_s, list):
        took_s = [took for took, is_one in zip(took_s, those, strict=True) if not is_one]
    return [entry for entry, is_one in zip(entries, those, strict=True) if not is_one], took_s


def _split(made: Sequence[Made]) -> tuple[list[Entry], list[DeadLetter], list[Dropped]]:
    """Entries, rejections and drops, each in order."""
    entries = [one for one in made if type(one) is Entry]
    if len(entries) == len(made):
        return entries, [], []
    return entries, [one for one in made if type(one) is DeadLetter], [one for one in made if type(one) is Dropped]
