"""Publishes entries that the present settings make of events again, and says of each what became of it.

The way is the child's own (packing, many calls in flight, retries, bisection, claim check), with one
difference: what cannot be published is handed back, not buried. An event counts as settled once the bus accepted it and
was proven to exist after that, as a checkpoint counts it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from stream_router.errors import THROTTLING, cure
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.delivery.dispatcher_contract import GivenUp
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, Publisher

ENOUGH_WAITING = 2_000
"""Entries handed over and not yet ended, at which `has_room` says no: enough to fill every call in flight."""


SECOND_COPIES = (
    "on a v2 bus an event that was published less than 5 minutes ago is not published twice, though it is counted; an "
    "older one is, and has the same eventId"
)


class Again(Record):
    """A record whose events are published again. A v2 bus knows an event by where it was in the stream.

    `place` is `shard:sequence number:sub-sequence number:`, to which each event's line is added, or, with `alone`, all
    of it, the line too. `edit` tells what somebody made of it by hand from what it was, and from another edit.
    """

    __slots__ = ("alone", "edit", "place")

    def __init__(
        self, data: bytes, place: str, sequence_number: int, arrived_at_ms: int = 0, *, alone: bool = False
    ) -> None:
        super().__init__(data, sequence_number, 0, arrived_at_ms)
        self.place = place
        self.alone = alone
        self.edit = ""


_EDIT = "/"
"""Stands before an edit, and in no event's id or place."""


def token_of(event: Event) -> str:
    """The token by which a v2 bus knows an event of an `Again` for a copy: unedited, the same as the child's."""
    record = event.record
    assert isinstance(record, Again)
    token = record.place if record.alone else f"{record.place}{event.line}"
    if event.id_from == "delivery":
        token = event.event_id
    return f"{token}{_EDIT}{record.edit}" if record.edit else token


def unedited(token: str) -> str:
    """The token of the event as it was before somebody edited it."""
    return token.partition(_EDIT)[0]


def why_nothing_ends(republisher: "Republisher") -> str:
    """What to tell an operator who waits; "" where nothing is known."""
    if republisher.unproven and not republisher.in_flight:
        return "EventBridge accepted, and whether the bus exists cannot be asked; allow events:DescribeEventBus"
    return republisher.last_code


def why_refused(code: str) -> str:
    """What to tell an operator where EventBridge refuses everything with this code, and what to do."""
    what_to_do = "wait, then give a lower --rate" if code in THROTTLING else cure(code)
    return f"EventBridge accepts nothing ({code}): {what_to_do}"


class Outcome(NamedTuple):
    """What became of one event: settled where `failure` is None, else why it could not be published."""

    event: Event
    failure: DeadLetter | None = None


class Proof(Protocol):
    """What is asked of the bus (`consumer/bus_proof.py`)."""

    gone: bool

    def latest(self) -> float:
        """Monotonic seconds before which whatever was accepted had a bus to go to."""

    def renew(self) -> None:
        """Ask the bus now."""


class Republisher:
    """Takes charge of entries by `publish`; each comes back from `turn` as one `Outcome`, unless `stop` was said.

    `wait` moves the calls on and waits at most so many seconds. Times are monotonic seconds. Single-threaded.
    """

    def __init__(
        self,
        publisher: Publisher,
        claim_check: ClaimCheck | None,
        proof: Proof,
        wait: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._claim_check = claim_check
        self._proof = proof
        self._wait = wait
        self._clock = clock
        self._unproven: deque[tuple[float, list[Entry]]] = deque()
        self._stopped = False
        self.retries = 0
        """Attempts that failed and were, or are to be, made again."""
        self.last_code = ""
        """AWS's code of the latest of them; where the bucket takes nothing, its name and code."""

    def publish(self, entries: Iterable[Entry]) -> None:
        """Take charge of entries, in order; with `ordering=conversation` each waits for those before it."""
        self._publisher.submit(entries)

    @property
    def backlog(self) -> int:
        """Entries not yet handed back."""
        return self._publisher.backlog + self._uploads + sum(len(entries) for _, entries in self._unproven)

    @property
    def in_flight(self) -> int:
        """Calls that are under way: after `stop` nothing else is waited for but the proof."""
        dispatcher = self._publisher.dispatcher
        return dispatcher.flight.calls + (self._claim_check.dispatcher.flight.calls if self._claim_check else 0)

    @property
    def unproven(self) -> int:
        """Entries that were accepted and wait for the bus's proof."""
        return sum(len(entries) for _, entries in self._unproven)

    @property
    def _uploads(self) -> int:
        return self._claim_check.backlog if self._claim_check else 0

    @property
    def has_room(self) -> bool:
        """Whether more entries would do any good now."""
        return not self._stopped and self.backlog < ENOUGH_WAITING

    @property
    def holding(self) -> bool:
        """Whether the bus (or the bucket) accepts nothing at present."""
        bucket = self._claim_check is not None and self._claim_check.dispatcher.gate.holding
        return self._publisher.dispatcher.gate.holding or bucket

    @property
    def bus_gone(self) -> bool:
        """Whether the bus was found gone, or made anew: what is unproven then is not settled, and never will be."""
        return self._proof.gone

    def stop(self) -> None:
        """Start no more calls; `turn` goes on handing back what is in flight. The rest is never handed back."""
        self._stopped = True
        self._publisher.dispatcher.gate.stop()
        if self._claim_check:
            self._claim_check.dispatcher.gate.stop()

    def turn(self, longest_s: float) -> list[Outcome]:
        """Once around: start what may start, wait for what comes first (at most so long), hand back what ended."""
        ended = self._collect()
        if not self._stopped:
            self._publisher.dispatcher.advance(flush=True)
            if self._claim_check:
                self._claim_check.dispatcher.advance(flush=True)
        if self._unproven:
            self._proof.renew()
            longest_s = min(longest_s, 0.1)
        if not ended:
            self._wait(longest_s if self._stopped else self._publisher.dispatcher.wait_s(longest_s))
            ended = self._collect()
        return [*ended, *self._proven()]

    def _collect(self) -> list[Outcome]:
        failed: list[Outcome] = []
        while self._publisher.collectable:
            accepted, given_up, retried, _ = self._publisher.collect()
            now = self._clock()
            self._unproven += [(now, entries) for entries in accepted]
            for entry, why in given_up:
                failed += self._unpublished(entry, why)
            if retried:
                self.retries += len(retried)
                self.last_code = retried[-1][1]
        if self._claim_check:
            bucket = self._claim_check.dispatcher
            if bucket.gate.holding:
                self.last_code = f"{bucket.report.destination}: {bucket.report.code}"
            for entry in self._claim_check.collect()[0]:
                if entry.size_bytes <= self._publisher.limits.bytes:
                    self._publisher.again(entry)
                else:
                    failed += self._unpublished(entry, TOO_LARGE)
        return failed

    def _unpublished(self, entry: Entry, why: GivenUp) -> Sequence[Outcome]:
        if self._claim_check and why.reason is Reason.OVERSIZE and self._claim_check.entry(entry):
            return ()
        self._publisher.ended(entry, why)
        return (Outcome(entry.event, DeadLetter(entry.event, *why, entry=entry, event_type=entry.detail_type)),)

    def _proven(self) -> list[Outcome]:
        settled: list[Outcome] = []
        latest = self._proof.latest()
        while self._unproven and self._unproven[0][0] < latest:
            settled += [Outcome(entry.event) for entry in self._unproven.popleft()[1]]
        return settled
