"""Delivery of dead letters to SQS. A letter is stored once SQS has confirmed each of its messages by id and MD5."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import orjson

from stream_router import limits
from stream_router.aws_answers import Answer, Outcome, Refusal, read_send_message_batch
from stream_router.aws_error_codes import Disposition
from stream_router.model import DeadLetter, EventPlace
from stream_router.pipeline.delivery.blame import NEVER_GIVEN_UP, RetryPolicy
from stream_router.pipeline.delivery.dispatcher import Dispatcher
from stream_router.pipeline.sinks.dead_letters.message import LetterMessage, LetterWriter
from stream_router.process import failpoint

log = logging.getLogger(__name__)

_TOO_LONG = ("BatchRequestTooLong", "Http413")

MAX_IN_FLIGHT = 16
"""Maximum number of calls in flight.

At 20 ms a call they store 8,000 letters a second. A full shard holds some 6,500 of the smallest events a second.
"""

BYTES_IN_FLIGHT = 4 * limits.SQS_MESSAGE_BYTES
POLICY = RetryPolicy(MAX_IN_FLIGHT, BYTES_IN_FLIGHT, NEVER_GIVEN_UP)


class SendMessageCalls:
    """SendMessageBatch calls to the queue at `queue_url`: a `Destination` for the dispatcher."""

    def __init__(self, send: Callable[[bytes, Callable[[Answer], None]], None], queue_url: str) -> None:
        self.name = f"the dead-letter queue {queue_url.rsplit('/', 1)[-1]}"
        self._send = send
        self._queue_url = queue_url
        self._room = limits.SQS_MESSAGE_BYTES
        """Present limit of a batch in bytes. It is lower once SQS has refused a batch for its size."""

    def take(self, ready: deque[LetterMessage]) -> list[LetterMessage]:
        taken: list[LetterMessage] = []
        room = self._room
        while ready and len(taken) < limits.SQS_BATCH_MAX and (not taken or ready[0].size_bytes <= room):
            room -= ready[0].size_bytes
            taken.append(ready.popleft())
        return taken

    def is_full(self, items: Sequence[LetterMessage]) -> bool:
        return len(items) >= limits.SQS_BATCH_MAX

    def size_bytes(self, items: Sequence[LetterMessage]) -> int:
        return sum(item.size_bytes for item in items)

    def key(self, item: LetterMessage) -> int:
        # The dispatcher holds a message for as long as it keeps its id.
        return id(item)

    def send(self, items: Sequence[LetterMessage], done: Callable[[Answer], None]) -> None:
        entries = [_build_batch_entry(str(number), message) for number, message in enumerate(items)]
        self._send(orjson.dumps({"QueueUrl": self._queue_url, "Entries": entries}), done)

    def read(self, answer: Answer, items: Sequence[LetterMessage]) -> list[Outcome] | Refusal:
        outcomes = read_send_message_batch(answer, [message.body_md5 for message in items])
        if isinstance(outcomes, Refusal):
            # No form of a letter is smaller than the minimal one, so a letter in that form is tried without end.
            is_minimal_alone = len(items) == 1 and items[0].minimal
            if is_minimal_alone and outcomes.disposition is Disposition.BISECT:
                return outcomes._replace(disposition=Disposition.HOLD)
            return outcomes
        return [_hold_if_minimal(message, outcome) for message, outcome in zip(items, outcomes, strict=True)]

    def too_large(self, items: Sequence[LetterMessage], refusal: Refusal) -> bool:
        """Return whether SQS refused the batch for its size. If so, later batches are smaller.

        Older endpoints take only 256 KiB.
        """
        if refusal.code not in _TOO_LONG:
            return False
        if len(items) > 1:
            self._room = min(self._room, self.size_bytes(items) // 2)
        return True


class DeadLetterQueue:
    """Owner of dead letters until `collect` returns each of them as stored."""

    def __init__(
        self,
        calls: SendMessageCalls,
        writer: LetterWriter,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.dispatcher = Dispatcher(calls, POLICY, clock, random)
        self._writer = writer
        self._parts: dict[EventPlace, int] = {}
        """Number of a letter's messages that are not stored yet, by the place of its event."""

    def take(self, letters: Iterable[DeadLetter], store_large: Callable[[DeadLetter], object] | None = None) -> None:
        """Take charge of `letters`. Without `store_large` a letter too large for a message becomes several messages.

        `store_large` gets such a letter and stores its bytes in S3. Then the letter comes back with their URL.
        """
        failpoint("before_dead_letter_sent")
        for letter in letters:
            messages = self._writer.write(letter)
            if not messages and store_large:
                store_large(letter)
                continue
            messages = messages or self._writer.write_parts(letter)
            self._parts[letter.event.place] = len(messages)
            self.dispatcher.enqueue(messages)
        self.dispatcher.advance(flush=False)

    def collect(self) -> list[DeadLetter]:
        """Return the letters stored since the last call. Messages that SQS refused are sent again in minimal form."""
        ended = self.dispatcher.collect()
        stored = []
        for message in [message for messages in ended.accepted for message in messages]:
            place = message.letter.event.place
            self._parts[place] -= 1
            if not self._parts[place]:
                del self._parts[place]
                failpoint("dead_letter_stored_before_settled")
                stored.append(message.letter)
        for message, given_up in ended.given_up:
            log.warning(
                "SQS refused a dead letter. It is sent again in its minimal form. No byte of the event is lost.",
                extra={"event": "dead-letter-minimal", "code": given_up.code},
            )
            minimal = self._writer.write_parts(message.letter, minimal=True)
            # The new messages replace the refused one.
            self._parts[message.letter.event.place] += len(minimal) - 1
            self.dispatcher.submit(minimal)
        return stored


def _hold_if_minimal(message: LetterMessage, outcome: Outcome) -> Outcome:
    """Return the outcome of a message; if the message has the minimal form and was refused, that it is tried again."""
    if message.minimal and outcome.disposition is Disposition.DEAD_LETTER:
        return outcome._replace(disposition=Disposition.HOLD)
    return outcome


def _build_batch_entry(number: str, message: LetterMessage) -> dict[str, object]:
    entry: dict[str, object] = {"Id": number, "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    return entry
