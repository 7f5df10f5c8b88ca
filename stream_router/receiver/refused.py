"""Dead letters of the receiver: events of the spill queue that the stream refuses for good."""

from collections.abc import Callable
from functools import partial

import orjson

from stream_router.aws_answers import Answer, Refusal, read_send_message_batch
from stream_router.dead_letter_reasons import Reason
from stream_router.model import DeadLetter, Event, Record
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter

TIMEOUT_S = 5.0


class RefusedLetters:
    """Sender of dead letters to the queue at `url`, for events that the stream refuses for their content."""

    def __init__(
        self,
        send: Callable[[bytes, float, Callable[[Answer], None]], None],
        url: str,
        stream: str,
        now_ms: Callable[[], float],
    ) -> None:
        self._send = send
        self._url = url
        self._writer = LetterWriter(stream, "", now_ms, ordered=False)

    def send(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Send an event as a dead letter with the reason `refused`.

        `done` gets whether the queue stored all messages of the dead letter with the right MD5.
        """
        envelope = orjson.loads(line)
        event = Event(Record(line, 0), 0, line, envelope["id"], envelope["idFrom"], envelope["receivedAt"], None)
        letter = DeadLetter(event, Reason.REFUSED, "ValidationException", "the stream refuses it, and takes others")
        # The batcher sets an event aside after a second refusal (`Batcher._suspect`), so it was sent at least twice.
        letter = letter._replace(attempts=2, raw=line)
        # `write` returns [] if the letter does not fit into one message.
        messages = self._writer.write(letter) or self._writer.write_parts(letter)
        are_stored: list[bool] = []

        def answered(md5: str, answer: Answer) -> None:
            outcomes = read_send_message_batch(answer, [md5])
            are_stored.append(not isinstance(outcomes, Refusal) and outcomes[0].disposition is None)
            if len(are_stored) == len(messages):
                done(all(are_stored))

        for message in messages:
            attributes = {
                name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
            }
            entry = {"Id": "0", "MessageBody": message.body, "MessageAttributes": attributes}
            body = orjson.dumps({"QueueUrl": self._url, "Entries": [entry]})
            self._send(body, TIMEOUT_S, partial(answered, message.body_md5))
