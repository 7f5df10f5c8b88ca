"""Events as they are met in the stream, opened exactly as the consumer opens them."""

from collections.abc import Iterator
from typing import NamedTuple

from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import Position
from stream_router.control.stream.reader import Piece
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Event, Record


class StreamPlace(NamedTuple):
    """Where an event is in the stream: no other has it."""

    shard_id: str
    sequence_number: int
    sub_sequence_number: int
    line: int


class Sighting(NamedTuple):
    """One event, or the dead letter that the consumer makes of what cannot be read, and where it is in the stream.

    `passed_over`: the KCL does not hand its record to the consumer.
    """

    shard_id: str
    position: Position
    arrived_at_ms: int
    found: Event | DeadLetter
    passed_over: bool

    @property
    def event(self) -> Event:
        """The event, read or not."""
        return self.found.event if isinstance(self.found, DeadLetter) else self.found

    @property
    def place(self) -> StreamPlace:
        """Its place, the same for each look at the stream."""
        return StreamPlace(self.shard_id, *self.position, self.event.line)


def sightings(piece: Piece) -> Iterator[Sighting]:
    """The events of some records, in order."""
    for record in piece.records:
        yield from of_record(piece.shard.shard_id, record)


def of_record(shard_id: str, record: UserRecord) -> Iterator[Sighting]:
    """The events of one record, in order."""
    opened = Record(record.data, *record.position, record.arrived_at_ms)
    events = open_record(opened)
    opened.data = b""  # each event has its own line; one that is kept must not keep a whole record
    for found in events:
        yield Sighting(shard_id, record.position, record.arrived_at_ms, found, record.passed_over)
