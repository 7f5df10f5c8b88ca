"""Dead letters as read from a queue: our own, and EventBridge's for events that the rule's target did not take.

A classic bus puts the whole event into EventBridge's queue, so a redrive can resubmit it unchanged. A v2 bus puts only
ids there, so `replay` has to publish those events again. Source: docs/facts.md, "EventBridge".
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.aws.clients import Clients
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import (
    Resubmitted,
    find_line_conversation,
    make_unparsed_event,
    mark_redriven,
    read_resubmitted,
    seal_entry,
    seal_line,
)
from stream_router.model import SOURCE, Event, Record
from stream_router.operate.console import readable
from stream_router.operate.dry_run import render_event
from stream_router.operate.queue import Message, QueueReader, fetch_object
from stream_router.operate.resubmit import Selection
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.dead_letters.reader import (
    Letter,
    PartsKey,
    StrangeLetterError,
    UnreadableLetterError,
    join,
    parts_key,
)
from stream_router.process import iso
from stream_router.settings.operators import DeadLetters

ENCRYPTED = "Encrypted Events"
"""Detail type of a message for an event that EventBridge could not decrypt.

Source: EventBridge user guide, "Decrypting events in EventBridge dead-letter queues", 2026-12-02.
"""

MAX_RESUBMISSIONS = 5
"""Resubmissions after which a redrive skips a letter, since its cause needs a person (`--all` overrides this)."""


class RedriveOptions(NamedTuple):
    """Options of a redrive, as typed.

    `file` is an export that names the letters, perhaps edited. `rate` is lines per second (0.0: unlimited), `limit` the
    largest number of letters (0: all). `take_all` also takes letters that came back MAX_RESUBMISSIONS times, `yes`
    undelivered events that are not known to be masked.
    """

    selection: Selection
    file: Path | None = None
    rate: float = 0.0
    limit: int = 0
    dry_run: bool = False
    take_all: bool = False
    yes: bool = False
    run: str = ""
    """Id of the run that this one continues; "" for a new run."""


class QueuedLetter:
    """A dead letter, and the messages that carry it: one for each part of each copy.

    `reason`, `code` and `text` are those of the error. Copies of a letter have the same `key`. Letters are sorted by
    `order`, which puts the oldest first.
    """

    order: tuple[int, ...] = ()
    size_bytes = 0

    def __init__(self, messages: list[Message], event_id: str, event_type: str, *error: str) -> None:
        self.messages = messages
        self.event_id, self.event_type = event_id, event_type
        self.reason, self.code, self.text = error
        self.key: object = messages[0].id

    @property
    def sent_ms(self) -> int:
        """Time of the oldest message (epoch ms), by the queue's own stamp."""
        return min(message.sent_ms for message in self.messages)

    def is_selected(self, selection: Selection) -> bool:
        """Return whether the letter matches the operator's filters."""
        return selection.matches(self.event_id, self.event_type, self.sent_ms, self.reason)


class OurLetter(QueuedLetter):
    """A dead letter of our own queue.

    Letters of the same place in the stream with the same bytes are copies. If the letter does not name its place, no
    other letter counts as its copy.
    """

    def __init__(self, letter: Letter, messages: list[Message]) -> None:
        origin, error = letter.origin, letter.error
        super().__init__(messages, origin.event_id, letter.event_type, letter.reason, error.code, error.message)
        self.letter = letter
        self.order = (origin.sequence or 0, origin.sub_sequence_number, origin.line)
        self.size_bytes = len(letter.record.data)
        if origin.sequence:
            self.key = (*letter.place, origin.event_id, letter.record.data)

    def raw(self, clients: Clients) -> bytes:
        """Return the bytes of the event's line, from S3 if necessary.

        Raises UnreadableLetterError, UnavailableLetterError.
        """
        return reader.original(self.letter, lambda url: fetch_object(clients, url))

    def describe(self) -> dict[str, str]:
        """Return the rows that `show` prints for the letter: label and text."""
        letter, origin = self.letter, self.letter.origin
        return {
            "event": f"{origin.event_id or '(not known)'} ({origin.id_from})",
            "event type": self.event_type or "(not known)",
            "reason": self.reason,
            "error": f"{self.code}: {self.text}",
            "attempts": str(letter.attempts),
            "buried": letter.failed_at,
            "received": origin.received_at,
            "origin": f"{origin.stream} {origin.shard_id}",
            "sequence": f"{origin.sequence_number}.{origin.sub_sequence_number}, line {origin.line}",
            "record": letter.record.encoding + (f", masked by {letter.masking}" if letter.masking else ""),
            "resubmitted": letter.resubmitted or "never",
        }

    def render(self, settings: DeadLetters, raw: bytes) -> str:
        """Return the event as an operator may see it: masked if a policy is in force."""
        return render_event(settings, self._event(raw), self.reason)

    def _event(self, raw: bytes) -> Event:
        """Return the event with the letter's identity, without parsing its bytes: parsing may be what failed."""
        origin = self.letter.origin
        record = Record(raw, origin.sequence or 0)
        record.expect(1)  # as after opening: one event, not settled
        event = make_unparsed_event(record, 0, raw)
        if not origin.event_id:
            return event
        return event._replace(event_id=origin.event_id, id_from=origin.id_from, received_at_ms=origin.received_at_ms)

    def explain_skipping(self, options: RedriveOptions, settings: DeadLetters) -> str:
        """Return why the letter is not resubmitted; "" if it is."""
        if self.letter.origin.stream not in ("", settings.stream):
            return f"of stream {self.letter.origin.stream}: set STREAM_ROUTER_STREAM to it"
        if self.letter.masking:
            return "stored masked: `stream-router replay --since WHEN --id ID` resubmits it while the stream keeps it"
        if self.reason == Reason.CRASHED and not options.selection.ids and not options.selection.reason:
            return "killed a process: select it with --reason crashed or --id to resubmit it anyway"
        mark = read_resubmitted(self.letter.resubmitted)
        if mark and mark.times >= MAX_RESUBMISSIONS and not options.take_all:
            return f"came back {MAX_RESUBMISSIONS} times: fix its cause (`dlq show`); --all resubmits it anyway"
        return ""

    def build_line(self, raw: bytes, edited: bytes | None, settings: DeadLetters, run: str) -> bytes:
        """Return the line to put on the stream, marked with `run`. `edited` replaces the event's bytes unless None."""
        mark = mark_redriven(self.letter.resubmitted, settings.application, run)
        if edited is not None:
            # The run id of an edit is a hash of its bytes. So if a kill makes the next redrive resubmit it once more,
            # consumers get the same id and run, by which they recognise a copy.
            mark = Resubmitted("edit", settings.application, hashlib.sha256(edited).hexdigest()[:16], mark.times)
        event, crashed = self._event(raw), self.reason == Reason.CRASHED
        text = raw if edited is None else edited
        return seal_line(text, event.event_id, event.id_from, event.received_at_ms, mark, crashed=crashed)

    def find_conversation(self, raw: bytes, paths: Sequence[Sequence[str]]) -> str:
        """Return the conversation by which the receiver would choose the partition group."""
        return find_line_conversation(raw, paths)


def read_our_letters(queue: QueueReader, unreadable: list[UnreadableLetterError]) -> Iterator[OurLetter]:
    """Yield each letter of a queue as soon as all of its parts were read.

    At the end `unreadable` has an error for each message that is no letter, and for each incomplete letter.
    """
    parts: dict[PartsKey, list[tuple[Letter, Message]]] = {}
    joined = set[PartsKey]()
    for message in queue.read():
        try:
            letter = reader.read(message.body, message.attributes)
        except UnreadableLetterError as error:
            unreadable.append(error)
            continue
        finally:
            message.body = ""  # the letter has the content, which would be in memory twice
        key = parts_key(letter)
        if letter.part and key in joined:  # this part was sent twice
            continue
        carriers = parts.setdefault(key, [])
        carriers.append((letter, message))
        if (whole := join(part for part, _ in carriers)) is not None:
            joined.add(key)
            del parts[key]
            yield OurLetter(whole, [carrier for _, carrier in carriers])
    incomplete = StrangeLetterError("a part of it was not seen: another reader has it, or it was deleted")
    unreadable += [incomplete] * len(parts)


class UndeliveredEvent(QueuedLetter):
    """A message of EventBridge's own dead-letter queue.

    A message of a classic bus has the event, whose Detail is `detail`. A message of a v2 bus has only the deduplication
    ids of events (`tokens`); its `detail` is {}. `published_ms` is the approximate time of publication (epoch ms).
    `is_ours`: we published the event. The constructor raises UnreadableLetterError for any other message.
    """

    def __init__(self, message: Message) -> None:
        try:
            value = orjson.loads(message.body)
        except orjson.JSONDecodeError:
            raise UnreadableLetterError("the message is not JSON") from None
        document: dict[str, Any] = value if isinstance(value, dict) else {}
        self.body, message.body = message.body, ""
        self.size_bytes = len(self.body)
        self.detail: dict[str, Any] = {}
        self.tokens: list[str] = []
        self._tag = ""
        self.is_ours = False
        if isinstance(document.get("failedMessages"), list):
            self._read_v2(message, document)
        elif "detail-type" in document and isinstance(document.get("detail"), dict):
            self._read_classic(message, document)
        else:
            ours = ", but one of ours (see STREAM_ROUTER_TARGET_DLQ_ARN)" if document.get("schema") == SCHEMA else ""
            raise UnreadableLetterError(f"the message is not a dead letter of EventBridge's{ours}")
        self.order = (self._received_at_ms,)

    def _read_classic(self, message: Message, value: dict[str, Any]) -> None:
        attributes, self.detail = message.attributes, value["detail"]
        code = attributes.get("ERROR_CODE") or "no code"
        text = attributes.get("ERROR_MESSAGE") or "EventBridge gives no reason"
        super().__init__([message], _text(self.detail.get("eventId")), str(value["detail-type"]), code, code, text)
        # An event that two targets did not take has two messages. They are copies, since one PutEvents reaches both
        # targets.
        if value.get("id"):
            self.key = (_text(value["id"]), self.event_id)
        metadata = self.detail.get("metadata")
        self._tag = _text(metadata.get("complianceTag")) if isinstance(metadata, dict) else ""
        self.is_ours = value.get("source") == SOURCE and bool(self.event_id)
        self._is_encrypted = value["detail-type"] == ENCRYPTED and value.get("source") == "aws.events"
        self._received_at_ms = _epoch_ms(self.detail.get("receivedAt")) or _epoch_ms(value.get("time"))
        self.published_ms = _epoch_ms(self.detail.get("processedAt")) or message.sent_ms
        condition = attributes.get("EXHAUSTED_RETRY_CONDITION", "no retry was made")
        retries = f"{attributes.get('RETRY_ATTEMPTS', '0')}, {condition}"
        self._delivery_rows = {
            "retries": retries,
            "rule": attributes.get("RULE_ARN", ""),
            "target": attributes.get("TARGET_ARN", ""),
        }

    def _read_v2(self, message: Message, value: dict[str, Any]) -> None:
        failed = [failure for failure in value["failedMessages"] if isinstance(failure, dict)]
        self.tokens = [_text(failure.get("deduplicationId")) for failure in failed]
        code = _text(value.get("errorCode")) or "no code"
        text = _text(value.get("errorMessage")) or "EventBridge gives no reason"
        # A token is the event's id only if the sender gave the delivery an id; otherwise it has several parts with ":".
        identity = self.tokens[0] if len(failed) == 1 and ":" not in self.tokens[0] else ""
        super().__init__([message], identity, "", code, code, text)
        self._received_at_ms = min(filter(None, (_epoch_ms(failure.get("timestamp")) for failure in failed)), default=0)
        self.published_ms = message.sent_ms
        retries = f"{value.get('retryAttempts', 0)}, {value.get('exhaustedRetryCondition') or 'no retry was made'}"
        self._delivery_rows = {"retries": retries, "tokens": " ".join(self.tokens)}

    def raw(self, _: Clients) -> bytes:
        """Return the message's JSON, which is the event if it came from a classic bus."""
        return self.body.encode()

    def describe(self) -> dict[str, str]:
        """Return the rows that `show` prints for the letter: label and text."""
        return {
            "event": self.event_id or "(not known)",
            "event type": self.event_type or "(not known: v2)",
            "error": f"{self.code}: {self.text}",
            **self._delivery_rows,
            "received": iso(self._received_at_ms) if self._received_at_ms else "",
        }

    def render(self, settings: DeadLetters, raw: bytes) -> str:
        """Return the event as an operator may see it.

        If a masking policy is in force now, an event that is not known to be masked is not shown. The text says so.
        """
        if settings.masking == "off" or not self.detail or (self.is_ours and self._tag.startswith("pii-masked")):
            return readable(raw)
        return "(it is not known to be masked, and STREAM_ROUTER_MASKING is on now, so it is not shown)"

    def explain_skipping(self, options: RedriveOptions, settings: DeadLetters) -> str:
        """Return why the letter is not resubmitted; "" if it is."""
        if not self.detail:
            since = iso(self._received_at_ms - 3_600_000) if self._received_at_ms else "…"
            ids = f" --id {self.event_id}" if self.event_id else ""
            return f"a v2 bus keeps no payload: stream-router replay --since {since}{ids}"
        if self._is_encrypted:
            since = iso(self.published_ms - 3_600_000)
            return f"EventBridge keeps it encrypted: mend the key, then stream-router replay --since {since}"
        if not self.is_ours:
            return "the event is none that we publish"
        if not self._tag.startswith("pii-masked") and settings.masking != "off" and not options.yes:
            return "not known to be masked, and STREAM_ROUTER_MASKING is on now: --yes resubmits it anyway"
        return ""

    def build_line(self, raw: bytes, edited: bytes | None, settings: DeadLetters, run: str) -> bytes:
        """Return the line to put on the stream. Raises UnreadableLetterError if it was edited."""
        if edited is not None:
            raise UnreadableLetterError(
                "its line was edited, but an undelivered event can only be resubmitted as it was accepted"
            )
        mark = Resubmitted("undelivered", settings.application, run, 1)
        return seal_entry(raw, self.event_id, "content", self._received_at_ms, mark)

    def find_conversation(self, _raw: bytes, _paths: object) -> str:
        """Return the conversation that the published event names; its id if it names none."""
        return _text(self.detail.get("conversationId")) or self.event_id


def _text(value: object) -> str:
    """Return a text of a foreign message; "" for any other value."""
    return value if isinstance(value, str) else ""


def _epoch_ms(value: object) -> int:
    """Return a time of a foreign message as epoch ms; 0 if the value is not a time in ISO 8601."""
    try:
        return round(datetime.fromisoformat(_text(value)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def read_undelivered_events(queue: QueueReader, unreadable: list[UnreadableLetterError]) -> Iterator[UndeliveredEvent]:
    """Yield the undelivered events of EventBridge's queue. `unreadable` collects other messages."""
    for message in queue.read():
        try:
            yield UndeliveredEvent(message)
        except UnreadableLetterError as error:
            unreadable.append(error)
