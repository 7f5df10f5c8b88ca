"""Which events of the stream a replay takes, and what today's settings make of each."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stream_router.control.republish.republisher import Again
from stream_router.control.stream.reader import Piece
from stream_router.envelope import open_record
from stream_router.model import PROBE_TYPE, DeadLetter, Dropped, Entry, Event, Made


class Chosen(NamedTuple):
    """One event that is to be published again. `raw` is its line as it is in the stream."""

    entry: Entry
    shard_id: str
    arrived_at_ms: int
    raw: bytes


class Failed(NamedTuple):
    """One event that was not published, where it is, and why."""

    event_id: str
    shard_id: str
    sequence_number: int
    line: int
    reason: str
    code: str
    message: str


class Choice:
    """Chooses by event type and id, of what today's settings can publish. Counts what it does not take, by why.

    `unmet` are the ids that were asked for of which nothing was taken; `why_unmet` says why not of those that came.
    """

    def __init__(self, transform: Callable[[Event], Made], event_types: frozenset[str], ids: frozenset[str]) -> None:
        self._transform = transform
        self._event_types = event_types
        self._ids = ids
        self.unmet = set(ids)
        self.why_unmet: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()

    def chosen(self, piece: Piece) -> Iterator[Chosen | Failed]:
        """The events of some records that are asked for, in order; a failure for each that cannot be published."""
        shard_id = piece.shard.shard_id
        for record in piece.records:
            number, sub = record.position
            again = Again(record.data, f"{shard_id}:{number}:{sub}:", number, record.arrived_at_ms)
            opened = open_record(again)
            again.data = b""  # each event has its own line; one that waits must not keep a whole record
            for found in opened:
                event = found.event if isinstance(found, DeadLetter) else found
                if self._ids and event.event_id not in self._ids:
                    continue
                made = found if isinstance(found, DeadLetter) else self._transform(found)
                if one := self._one(made, event, shard_id, record.arrived_at_ms):
                    self.unmet.discard(event.event_id)
                    yield one

    def _one(self, made: Made, event: Event, shard_id: str, arrived_at_ms: int) -> Chosen | Failed | None:
        event_type = made.detail_type if isinstance(made, Entry) else made.event_type
        if self._event_types and event_type not in self._event_types:
            named = f"of type {event_type}" if event_type else "of no type that is known"
            self._pass_by(event, f"it is {named}, which is not asked for")
            return None
        if event_type == PROBE_TYPE:
            self._leave_out(event, "a probe of `stream-router doctor --end-to-end`, which is nobody's event")
            return None
        if isinstance(made, Entry):
            return Chosen(made, shard_id, arrived_at_ms, event.raw)
        if isinstance(made, Dropped):
            self._leave_out(event, f"a setting drops events of type {event_type}")
            return None
        return failed(made, shard_id)

    def _leave_out(self, event: Event, why: str) -> None:
        self.left_out[why] += 1
        self._pass_by(event, why)

    def _pass_by(self, event: Event, why: str) -> None:
        if self._ids:
            self.why_unmet[event.event_id] = why


def failed(letter: DeadLetter, shard_id: str) -> Failed:
    """Why an event was not published, as it is listed: no payload in it."""
    event = letter.event
    return Failed(
        event.event_id,
        shard_id,
        event.record.sequence_number,
        event.line,
        letter.reason.value,
        letter.code,
        letter.message,
    )
