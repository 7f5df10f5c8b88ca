"""Sends dead letters to SQS and sees each stored: an event is settled only once its letter has a proven MessageId."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import orjson

from stream_router.core import limits
from stream_router.core.aws_answers import Answer, Outcome, Refusal, of_send_message_batch
from stream_router.core.dispositions import Disposition
from stream_router.core.model import DeadLetter
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, Policy
from stream_router.pipeline.sinks.claim_check import Offload
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter, Message

log = logging.getLogger(__name__)

NEVER_GIVEN_UP = 1_000_000_000
"""Retries of a dead letter: it has nowhere else to go, so the shard holds until it is stored."""

_TOO_LONG = ("BatchRequestTooLong", "Http413")

MAX_IN_FLIGHT = 4
POLICY = Policy(MAX_IN_FLIGHT, limits.SQS_MESSAGE_BYTES * MAX_IN_FLIGHT, NEVER_GIVEN_UP)


class Ledger(Protocol):
    """Who is told of stored dead letters."""

    def buried(self, letter: DeadLetter) -> None:
        """The dead letter is stored, whole."""


class DeadLetters:
    """Takes charge of dead letters until each is stored in the queue at `queue_url`, and settles its event then."""

    name = "the dead-letter queue"

    def __init__(
        self,
        send: Callable[[bytes, Callable[[Answer], None]], None],
        queue_url: str,
        writer: LetterWriter,
        offload: Offload | None,
        ledger: Ledger,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._send = send
        self._queue_url = queue_url
        self._writer = writer
        self._offload = offload
        self._ledger = ledger
        self._parts: dict[tuple[int, int, int], int] = {}
        self._room = limits.SQS_MESSAGE_BYTES
        self.engine: Dispatcher[Message] = Dispatcher(self, POLICY, clock, random)

    @property
    def backlog(self) -> int:
        """Messages not yet stored."""
        return self.engine.backlog

    def submit(self, letters: Iterable[DeadLetter]) -> None:
        """Take charge of `letters`."""
        for letter in letters:
            messages = self._writer.write(letter)
            if messages:
                self._enqueue(letter, messages)
            elif self._offload:
                self._offload.letter(letter, self._writer.raw(letter), self._stored_aside)
            else:
                self._enqueue(letter, self._writer.write_parts(letter))

    def _stored_aside(self, letter: DeadLetter, location: str) -> None:
        self._enqueue(letter, self._writer.write_reference(letter, location))

    def _enqueue(self, letter: DeadLetter, messages: list[Message]) -> None:
        self._parts[_place(letter)] = len(messages)
        self.engine.submit(messages)

    # What the engine asks (`dispatch.Destination`).

    def take(self, ready: deque[Message]) -> list[Message]:
        taken: list[Message] = []
        room = self._room
        while ready and len(taken) < limits.SQS_BATCH_MAX and (not taken or ready[0].size_bytes <= room):
            room -= ready[0].size_bytes
            taken.append(ready.popleft())
        return taken

    def is_full(self, items: Sequence[Message]) -> bool:
        return len(items) >= limits.SQS_BATCH_MAX

    def size_bytes(self, items: Sequence[Message]) -> int:
        return sum(item.size_bytes for item in items)

    def key(self, item: Message) -> int:
        return id(item)

    def send(self, items: Sequence[Message], done: Callable[[Answer], None]) -> None:
        entries = [_wire(str(number), message) for number, message in enumerate(items)]
        self._send(orjson.dumps({"QueueUrl": self._queue_url, "Entries": entries}), done)

    def read(self, answer: Answer, items: Sequence[Message]) -> list[Outcome] | Refusal:
        result = of_send_message_batch(answer, [message.body_md5 for message in items])
        if isinstance(result, Refusal):
            # A minimal form cannot be to blame, and there is no smaller one: hold.
            lone = len(items) == 1 and items[0].minimal and result.disposition is Disposition.BISECT
            return result._replace(disposition=Disposition.HOLD) if lone else result
        return [_never_refused(message, outcome) for message, outcome in zip(items, result, strict=True)]

    def too_large(self, items: Sequence[Message], refusal: Refusal) -> bool:
        """Whether SQS refused the batch for its size (older endpoints take 256 KiB); then batches are smaller."""
        if refusal.code not in _TOO_LONG:
            return False
        if len(items) > 1:
            self._room = min(self._room, self.size_bytes(items) // 2)
        return True

    def accepted(self, items: Sequence[Message]) -> None:
        for message in items:
            place = _place(message.letter)
            self._parts[place] -= 1
            if not self._parts[place]:
                del self._parts[place]
                message.letter.event.settle()
                self._ledger.buried(message.letter)

    def given_up(self, item: Message, why: GivenUp) -> None:
        """SQS blames the message: send its letter again in the form that cannot be refused."""
        log.warning("SQS refused a dead letter, sending its minimal form", extra={"code": why.code})
        place = _place(item.letter)
        minimal = self._writer.write_parts(item.letter, minimal=True)
        self._parts[place] += len(minimal) - 1
        self.engine.submit(minimal)

    def retried(self, count: int) -> None:
        """Retries of dead letters are in no promised metric."""


def _never_refused(message: Message, outcome: Outcome) -> Outcome:
    if message.minimal and outcome.disposition is Disposition.DEAD_LETTER:
        return outcome._replace(disposition=Disposition.HOLD)
    return outcome


def _place(letter: DeadLetter) -> tuple[int, int, int]:
    record = letter.event.record
    return record.sequence_number, record.sub_sequence_number, letter.event.line


def _wire(number: str, message: Message) -> dict[str, object]:
    entry: dict[str, object] = {"Id": number, "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    return entry
