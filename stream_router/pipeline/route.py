"""Read this first: what becomes of every record. `route` is its way down, `collect` what comes back.

A record is opened into events; the transform makes of each an entry, a dead letter or something to drop. Entries go to
the bus, dead letters to the queue, what fits neither to S3 first. These are the stages: each takes charge of what it is
given and hands it back once it has come to its end, and then it goes its next way, or is settled.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from stream_router.envelope import open_record
from stream_router.log import SaidOnce
from stream_router.model import PROBE_TYPE, DeadLetter, Dropped, Entry, Event, Made, Reason, Record
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.delivery.blame import Took
from stream_router.pipeline.delivery.dispatcher import GivenUp, Held
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher
from stream_router.pipeline.sinks.stage import Buried, Delivered, Handed, Retried, Slimmed, Stage, Stored, Unpublished

log = logging.getLogger(__name__)

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
        """A setting said to drop these, or they are another application's."""


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
        stages: tuple[Stage[Any], ...] = (publisher, dead_letters)
        self._stages = (*stages, claim_check) if claim_check else stages
        self._ledger = ledger
        self.limit = limit
        self._unroutable_to_be_said = SaidOnce()
        self._stopped = False

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
                    self._send(made)
                    keep_up()
                    made = []
                made += map(self.transform, found[at : at + SLICE_EVENTS])
        self._send(made)
        keep_up()

    def route_found(self, found: Sequence[Event | DeadLetter]) -> None:
        """Take charge of the events of opened records."""
        self._send([*map(self.transform, found)])

    def _send(self, made: Sequence[Made]) -> None:
        """Each on its way: entries to the bus, dead letters to the queue, what is to be dropped nowhere."""
        entries = [one for one in made if type(one) is Entry]
        letters, dropped = list[DeadLetter](), list[Dropped]()
        if len(entries) < len(made):
            letters = [one for one in made if type(one) is DeadLetter]
            dropped = [one for one in made if type(one) is Dropped]
        put_back = len([1 for entry in entries if entry.event.record.put_back and entry.event.resubmitted])
        self.limit.judge(len(entries) - put_back, [letter for letter in letters if not letter.event.resubmitted])
        self.bury(letters)
        self._drop(dropped)
        self.publisher.take(entries)

    def collect(self) -> None:
        """What came back: it is settled, or goes its next way."""
        for stage in self._stages:
            while handed := stage.collect():
                for one in handed:
                    self._next(one)

    def _next(self, handed: Handed) -> None:
        match handed:
            case Delivered():
                self._delivered(handed.entries, handed.took_s)
            case Retried(entries_and_codes):
                self._ledger.retried(entries_and_codes)
            case Unpublished(entry, why):
                self._unpublished(entry, why)
            case Slimmed(entry) if entry.size_bytes > self.publisher.limits.bytes:
                self._unpublished(entry, TOO_LARGE)
            case Slimmed(entry):
                self.publisher.again(entry)
            case Stored():
                self.dead_letters.take_stored(handed)
            case Buried(letter):
                record = letter.event.record
                record.batch.dead_letters[letter.reason.value] += 1
                record.settle(letter.event.line)
                self._ledger.buried(letter)

    def _delivered(self, entries: list[Entry], took_s: Took) -> None:
        """Settled; and told, but for probes, which are the product's own, and apart where an operator put them back."""
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
            own = [entry.detail_type != PROBE_TYPE for entry in entries]
            new = [is_own and not entry.event.resubmitted for entry, is_own in zip(entries, own, strict=True)]
            again = [entry for entry, is_own in zip(entries, own, strict=True) if is_own and entry.event.resubmitted]
            if again:
                self._ledger.accepted_again(again)
            if isinstance(took_s, list):
                took_s = [took for took, is_new in zip(took_s, new, strict=True) if is_new]
            entries = [entry for entry, is_new in zip(entries, new, strict=True) if is_new]
        if entries:
            self._ledger.accepted(entries, took_s)

    def _unpublished(self, entry: Entry, why: GivenUp) -> None:
        """What no call can carry goes by claim check where there is a bucket; the rest is a dead letter."""
        if self._claim_check and why.reason is Reason.OVERSIZE and self._claim_check.take_entry(entry):
            return
        letter = DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)
        if not entry.event.resubmitted:
            self.limit.refused(letter)
        if self.limit.passed_by:
            self.publisher.shut(entry)  # it is not buried, so what follows it may not overtake it
        else:
            self.bury([letter])
            self.publisher.ended(entry, why)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters to the queue; what fits no message goes to S3 first, where there is a bucket.

        Where the limit on dead letters is passed nothing is buried: the events stay unsettled, and the shard holds.
        """
        if self.limit.passed_by or not letters:
            return
        self._warn_of_unroutable(letters)
        written = [letter._replace(raw=self._raw_of(letter)) for letter in letters]
        for letter in self.dead_letters.take(written, may_go_aside=self._claim_check is not None):
            assert self._claim_check
            self._claim_check.take_letter(letter)

    def _warn_of_unroutable(self, letters: Sequence[DeadLetter]) -> None:
        """Of types that the rule does not match: there may be a subscription too many, or a typo."""
        for letter in letters:
            if letter.reason is Reason.UNROUTABLE and (said := self._unroutable_to_be_said(letter.event_type)):
                log.warning(
                    "events of a type that the rule does not match become dead letters; name it in"
                    " STREAM_ROUTER_EVENT_TYPES, or see STREAM_ROUTER_UNROUTABLE",
                    extra={"event": "types-unmatched", "event_type": said},
                )

    def _drop(self, dropped: Sequence[Dropped]) -> None:
        """Settle what is sent nowhere, and count it."""
        for one in dropped:
            one.event.record.batch.dropped += 1
            one.event.record.settle(one.event.line)
        if dropped:
            self._ledger.dropped(dropped)

    def advance(self, *, flush: bool) -> None:
        """Settle what came back and start what may be started now; with `flush` also calls that are not full."""
        self.collect()
        if not self._stopped:
            for stage in self._stages:
                stage.advance(flush=flush)

    def stop(self) -> None:
        """Start nothing more: the lease is another's. What is in flight may still come back.

        What comes back would start calls of its own: a dead letter, the next of a conversation, a claim check.
        """
        self._stopped = True
        for stage in self._stages:
            stage.stop()

    def at_the_end(self) -> None:
        """The shard is at its end: an event in trouble waits 15 minutes there for others to be compared with."""
        self.publisher.dispatcher.at_the_end()

    @property
    def backlog(self) -> int:
        """Events, messages and objects not yet through."""
        return sum([stage.backlog for stage in self._stages])

    @property
    def ready(self) -> int:
        """Items that wait for nothing but a call: more of them gain nothing."""
        return sum([stage.dispatcher.ready for stage in self._stages])

    @property
    def only_sick(self) -> bool:
        """Whether all that is under way is in trouble of its own, or suspected, or waits behind such an entry."""
        return self.publisher.dispatcher.only_sick and not any(stage.backlog for stage in self._stages[1:])

    @property
    def accepted_at(self) -> float:
        """When the bus last accepted something (monotonic seconds)."""
        return self.publisher.dispatcher.blame.first_tries.accepted_at

    @property
    def holding(self) -> bool:
        """Whether events wait for a destination that accepts nothing at present."""
        return self.held is not None

    @property
    def held(self) -> Held | None:
        """The destination that has accepted nothing for longest and that something waits for; None where there is none.

        The last that waited may have been given up: then nobody tries it until the next event comes.
        """
        held = [one for one in (stage.held for stage in self._stages) if one]
        return min(held, key=lambda one: one.since) if held else None

    def wait_s(self, longest: float) -> float:
        """Seconds, at most `longest`, until time alone lets something happen."""
        if not self._stopped:
            for stage in self._stages:
                longest = stage.dispatcher.wait_s(longest)
        return longest
