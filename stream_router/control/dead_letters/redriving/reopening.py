"""A dead letter's line as events again, with the identity and the place that they had."""

import hashlib
from collections.abc import Callable

from stream_router import envelope
from stream_router.control.republish.republisher import Again
from stream_router.model import DeadLetter, Event
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError


class LetterRecord(Again):
    """The record of one letter: `letter` is the letter, for what goes back into the queue."""

    __slots__ = ("letter",)

    def __init__(self, raw: bytes, letter: Letter, number: int, *, alone: bool) -> None:
        at = letter.origin
        place = f"{at.shard_id}:{at.sequence_number}:{at.sub_sequence_number}:{at.line}"
        # Of several events in one letter none may have another letter's place: a v2 bus would take it for a copy.
        super().__init__(raw, place if alone else f"{place}.", number, at.received_at_ms, alone=alone)
        self.letter = letter
        self.edit = _edit_of(letter, raw)


def original(letter: Letter, fetch: Callable[[str], bytes] | None) -> bytes:
    """The letter's line. Raises UnreadableLetterError, also where masking kept it out of the letter."""
    raw = reader.original(letter, fetch)
    if is_withheld(raw):
        raise UnreadableLetterError("its event was withheld, since it could not be masked")
    return raw


def is_withheld(raw: bytes) -> bool:
    """Whether a line says that masking kept the event out of it."""
    return raw.startswith(b'{"withheld":')


def mark_of(letter: Letter, raw: bytes) -> str:
    """What the event of a letter that was edited by hand says in `metadata.replayed`; "" of any other letter.

    It is of its bytes, not of one redrive: an event that goes out again, since the first redrive did not come to delete
    its letter, is a repeat to whoever got it.
    """
    edit = _edit_of(letter, raw)
    return f"redrive/{edit}" if edit else ""


def _edit_of(letter: Letter, raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16] if letter.edited else ""


def reopen(raw: bytes, letter: Letter, number: int) -> list[Event | DeadLetter]:
    """The events of a letter's line, or why they cannot be read. `number` is the letter's own among those in hand.

    A single event has the identity that the letter tells: of an element of an array, and of what was mended by hand,
    the line alone would tell another.
    """
    found = envelope.open_record(LetterRecord(raw, letter, number, alone=True))
    if len(found) > 1:
        return envelope.open_record(LetterRecord(raw, letter, number, alone=False))
    (one,) = found
    return [
        one._replace(event=_as_it_was(one.event, letter)) if isinstance(one, DeadLetter) else _as_it_was(one, letter)
    ]


def unread(raw: bytes, letter: Letter, number: int) -> Event:
    """The same without parsing a byte of it: for a line that killed a process."""
    record = LetterRecord(raw, letter, number, alone=True)
    record.expect(1)
    return _as_it_was(envelope.unread(record, 0, raw), letter)


def _as_it_was(event: Event, letter: Letter) -> Event:
    at = letter.origin
    if not at.event_id:
        return event
    return event._replace(event_id=at.event_id, id_from=at.id_from, received_at_ms=at.received_at_ms)
