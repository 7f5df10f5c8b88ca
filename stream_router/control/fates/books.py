"""What is in the two queues, by event: our dead letters, and EventBridge's own of the rule's target."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from stream_router.control.stream.sightings import Sighting, StreamPlace
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, StrangeLetterError, UnreadableLetterError

_ONE = "1 message of the dead-letter queue is a letter"


class Message(NamedTuple):
    """One message of a queue: its text, its attributes, when it was sent (epoch ms)."""

    body: str
    attributes: Mapping[str, str]
    sent_ms: int


class Look(NamedTuple):
    """What was seen of one queue. `missing`: why it, or some of it, was not seen ("" where all of it was)."""

    messages: Iterable[Message]
    missing: str = ""


class Letters:
    """Our dead letters, by the place of their event in the stream.

    `missing` as in `Look`; also where there are letters that this version cannot read: each may be any event's.
    """

    def __init__(self, look: Look, stream: str) -> None:
        self._of_place: dict[StreamPlace, Letter] = {}
        seen: dict[tuple[object, ...], Letter] = {}
        strange = 0
        for message in look.messages:
            try:
                letter = reader.read(message.body, message.attributes)
            except StrangeLetterError:
                strange += 1
            except UnreadableLetterError:
                continue  # no dead letter of ours
            else:
                seen.setdefault(letter.place, letter)  # a letter in parts, or twice, is one
        self.all = list(seen.values())
        self._unseen = look.missing
        self.missing = "; ".join(filter(None, (look.missing, _unread(strange))))
        self._stream = stream
        for letter in self.all:
            self._note_place(letter)

    def _note_place(self, letter: Letter) -> None:
        if letter.origin.stream == self._stream and (place := place_of(letter)):
            self._of_place[place] = letter

    def after(self, before: "Letters") -> "Letters":
        """These, and where not all of the queue was seen those that a look before saw."""
        known = {letter.place for letter in self.all}
        for letter in before.all if self._unseen else ():
            if letter.place not in known:
                self.all.append(letter)
                self._note_place(letter)
        return self

    def of(self, sighting: Sighting) -> Letter | None:
        """The letter of this very event: of a copy of it elsewhere in the stream it says nothing."""
        return self._of_place.get(sighting.place)


def _unread(count: int) -> str:
    """Why the letters are not all of them, where so many messages are letters that nobody here can read."""
    those = f"{count:,} messages of the dead-letter queue are letters" if count > 1 else _ONE
    return f"{those} that this version cannot read (another version's, or damaged)" if count else ""


def place_of(letter: Letter) -> StreamPlace | None:
    """Where a letter's event is in its stream; None where it tells no place."""
    at = letter.origin
    if at.sequence is None:
        return None
    return StreamPlace(at.shard_id, at.sequence, at.sub_sequence_number, at.line)


class Undelivered(NamedTuple):
    """An event that EventBridge could not bring to the rule's target, and why in AWS's words.

    `detail` is what of the event's Detail is compared; empty on a v2 bus, whose record has only ids.
    """

    event_id: str
    code: str
    message: str
    detail: Mapping[str, Any]


class UndeliveredBook:
    """EventBridge's own dead letters of the target, by event. `missing` as in `Look`."""

    def __init__(self, look: Look) -> None:
        self.by_token: dict[str, Undelivered] = {}
        """Each by what the bus knew it by."""
        self.missing = look.missing
        for message in look.messages:
            for token, one in _undelivered(message):
                self.by_token[token] = one

    def after(self, before: "UndeliveredBook") -> "UndeliveredBook":
        """These, and where not all of the queue was seen those that a look before saw."""
        if self.missing:
            self.by_token = before.by_token | self.by_token
        return self

    @property
    def all(self) -> Iterable[Undelivered]:
        """Each event once; those that are known by their place alone have no id."""
        return self.by_token.values()

    def of(self, sighting: Sighting) -> Undelivered | None:
        """Why the event is undelivered, None where it is not there."""
        event = sighting.event
        at_place = f"{sighting.shard_id}:{sighting.position[0]}:{sighting.position[1]}:{event.line}"
        return self.by_token.get(event.event_id) or self.by_token.get(at_place)


def _undelivered(message: Message) -> Iterator[tuple[str, Undelivered]]:
    """What a message tells of, by event id, or by the token under which a v2 bus had it."""
    try:
        body = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return
    told, detail = message.attributes, body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, dict) and isinstance(event_id := detail.get("eventId"), str):
        compared = {name: detail[name] for name in ("conversationId", "originalEventId") if name in detail}
        yield event_id, Undelivered(event_id, told.get("ERROR_CODE", ""), told.get("ERROR_MESSAGE", ""), compared)
    elif isinstance(body, dict) and isinstance(body.get("failedMessages"), list):
        code, text = str(body.get("errorCode") or ""), str(body.get("errorMessage") or "")
        for failed in body["failedMessages"]:
            token = str(failed.get("deduplicationId") or "").partition("/")[0] if isinstance(failed, dict) else ""
            if token:
                yield token, Undelivered("" if ":" in token else token, code, text, {})
