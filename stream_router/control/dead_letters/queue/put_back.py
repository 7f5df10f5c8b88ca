"""Sends letters back into the queue: those that failed again, with their history, and those that are imported."""

from typing import Any

from stream_router.consumer.destinations import Destinations
from stream_router.control.dead_letters.redriving.reopening import LetterRecord
from stream_router.model import DeadLetter, Entry, Event, Reason
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter, Message
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.dead_letters.reader import Failure, Letter
from stream_router.process import iso, now_ms

HISTORY_MAX = 10
"""Earlier failures that a letter remembers."""


class AgainWriter(LetterWriter):
    """Writes the letter that an event's `LetterRecord` holds, its origin and history as they are."""

    def __init__(self) -> None:
        super().__init__("", "", now_ms, ordered=False)

    def write(self, letter: DeadLetter) -> list[Message]:
        """As for a new letter; one whose event is in S3 goes on naming its object."""
        known = _known(letter)
        if known.record.encoding == "s3":
            return self.write_reference(letter, known.record.data)
        return super().write(letter)

    def _content(self, letter: DeadLetter, entry: Entry | None, record: dict[str, str]) -> dict[str, object]:
        known = _known(letter)
        content: dict[str, Any] = known.model_dump(by_alias=True, exclude={"event_type", "record", "part"})
        for name in ("generation", "history", "edited", "masking", "ordering"):
            if not content[name]:
                del content[name]
        made = super()._content(letter, entry, record)
        return {**content, "entry": made["entry"], "record": record, "part": None}


def failed_again(failure: DeadLetter, letter: Letter, raw: bytes, number: int) -> DeadLetter:
    """The letter that goes back in place of one whose event failed again, one generation older."""
    before = Failure(failed_at=letter.failed_at, reason=letter.reason, code=letter.error.code, attempts=letter.attempts)
    changes = {
        "reason": failure.reason.value,
        "error": letter.error.model_copy(update={"code": failure.code, "message": failure.message}),
        "attempts": failure.attempts,
        "failed_at": iso(int(now_ms())),
        "generation": letter.generation + 1,
        "history": (*letter.history, before)[-HISTORY_MAX:],
    }
    return to_be_sent(letter.model_copy(update=changes), raw, number, failure)


def to_be_sent(letter: Letter, raw: bytes, number: int, failure: DeadLetter | None = None) -> DeadLetter:
    """A letter as the queue's sender takes it. `number` tells it from all others that are sent."""
    record, at = LetterRecord(raw, letter, number, alone=True), letter.origin
    event = Event(record, 0, raw, at.event_id, at.id_from, at.received_at_ms, None)
    # A reason that a later version added stays in the body; only the attribute, for filters of others, is another.
    reason = Reason(letter.reason) if letter.reason in set(Reason) else Reason.INTERNAL_ERROR
    entry = failure.entry if failure else None
    event_type = letter.event_type or (failure.event_type if failure else "")
    return DeadLetter(event, reason, "", "", 0, entry, event_type, raw)


def sender(connection: Destinations, queue_url: str) -> DeadLetters:
    """What sends letters to the queue and sees each stored."""
    return connection.dead_letters(queue_url, AgainWriter())


def _known(letter: DeadLetter) -> Letter:
    record = letter.event.record
    assert isinstance(record, LetterRecord)
    return record.letter
