"""The spill in an SQS queue: its events outlive the host, and any receiver drains them.

A message holds events that were stored together or at the same time: at most 700 kB of lines, unless a single event is
larger. It counts as stored once SendMessageBatch has answered its id and the MD5 of the body that was sent.

A drained message is hidden from other receivers while its events are on their way. It is deleted once all of its events
are in the stream. Otherwise SQS shows the message again, with the same event ids.

A message of which the stream took no event for GIVE_BACK_AFTER_S, and every message at a clean stop, is shown to all
receivers again. A message with some events in the stream stays hidden, since those events would be sent again.

A message is first shown after DELAY_S. By then the calls that carried its events when it was sent have ended.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from stream_router import limits
from stream_router.aws_answers import Answer, Refusal, read_body, read_send_message_batch
from stream_router.aws_error_codes import find_cure
from stream_router.envelope import CONVERSATION_BITS, group_of
from stream_router.receiver.events import QUEUED, SPILLED, PartitionGroup, PendingEvent
from stream_router.receiver.spill_store import Stored
from stream_router.receiver.stats import Stats

log = logging.getLogger(__name__)

MESSAGE_LINES_BYTES = 700_000
"""Maximum bytes of lines in a message of several events. As base64, with its head, it is below SQS's 1 MiB."""
SENDS = 4
"""Maximum number of SendMessageBatch calls in flight."""
SEND_TIMEOUT_S = 2.0
"""Maximum seconds of a call that stores, deletes, hides or shows messages."""
POLL_S = 20
"""Seconds for which ReceiveMessage waits for a message. SQS allows no more."""
POLL_TIMEOUT_S = POLL_S + 5.0
DELAY_S = 6
"""Seconds after which a message is first shown: longer than a PutRecords call can be in flight."""
VISIBILITY_TIMEOUT_S, EXTEND_INTERVAL_S = 60, 20.0
"""Seconds for which a drained message is hidden, and seconds between two extensions of that time."""
GIVE_BACK_AFTER_S = 300.0
"""Seconds after which a drained message is shown again if the stream took none of its events.

Another receiver may reach the stream, or another message's shard may be well. A shorter time could silence the alarm
on messages older than five minutes: SQS's metric of the oldest message's age ignores a message that was received three
times.
"""
CLOSE_WITHIN_S = 1.0
"""Seconds for which a stop waits for its last deletions and changes of visibility to be answered."""
ANSWER_BYTES = 2 * limits.SQS_BATCH_MAX * limits.SQS_MESSAGE_BYTES + limits.SQS_MESSAGE_BYTES
"""Bytes of the largest answer to ReceiveMessage: ten messages, with every character escaped, and their ids."""
HAND_BYTES = 4 * 1024 * 1024
"""Bytes of drained events in memory below which more messages are received."""
MAX_SETTLED = 10_000
"""Maximum number of rows that are remembered as settled before their message is received.

It is also the maximum number of remembered messages that this process stored itself. Events of forgotten rows and
messages may be stored twice, under the same ids.
"""
BROKEN_FOR_S = 2.0
"""Seconds after a failure during which the queue is not tried again."""
HANGS_AFTER_S = 2.5
"""Seconds without an answer to a send after which the queue counts as hanging.

SEND_TIMEOUT_S is shorter, so this happens only if a send does not even time out.
"""
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""Bytes of characters that SQS does not allow in a message. Source: API of SendMessage."""
_RECEIVED_AT = re.compile(rb'"receivedAt":(\d{1,14}),')
"""Time of receipt in an envelope, in epoch milliseconds."""

Call = Callable[[str, bytes, float, Callable[[Answer], None]], None]
"""Start of a signed call. Parameters: the operation's name, body, timeout in seconds, callback that gets the answer."""


def encode(events: Sequence[tuple[int, bytes]]) -> str:
    """Return a message's body: a JSON line that describes its content, then the events' lines.

    The lines are base64 if they hold characters that SQS refuses. `events` are pairs of conversation and line.
    """
    lines = b"\n".join(line for _, line in events)
    is_text = not _NO_TEXT.search(lines)
    head = {
        "spill": 1,
        "encoding": "text" if is_text else "base64",
        "conversations": [conversation for conversation, _ in events],
    }
    content = lines if is_text else base64.b64encode(lines)
    return (orjson.dumps(head) + b"\n" + content).decode()


def decode(body: str) -> list[tuple[int, bytes]]:
    """Return the events of a message's body, as pairs of conversation and line; [] if no receiver wrote the body."""
    head, _, content = body.encode().partition(b"\n")
    try:
        described = orjson.loads(head)
        conversations, encoding = described["conversations"], described["encoding"]
        if described["spill"] != 1 or encoding not in ("text", "base64"):
            return []
        if encoding == "base64":
            content = base64.b64decode(content, validate=True)
        hashes = [int(conversation) for conversation in conversations]
        # A number outside this range is not a conversation's hash, and belongs to no partition group.
        if not all(0 <= conversation < 1 << CONVERSATION_BITS for conversation in hashes):
            return []
        return list(zip(hashes, content.split(b"\n"), strict=True))
    except (LookupError, TypeError, ValueError):
        return []


class _ReadMessage(NamedTuple):
    """Content of a readable message: its id, its receipt handle, pairs of conversation and line."""

    message_id: str
    handle: str
    pairs: list[tuple[int, bytes]]


def _read_message(message: Any) -> _ReadMessage | None:
    """Return the content of a message in ReceiveMessage's answer; None if it cannot be read."""
    try:
        body = message["Body"]
        if hashlib.md5(body.encode(), usedforsecurity=False).hexdigest() != message["MD5OfBody"]:
            return None
        read = _ReadMessage(str(message["MessageId"]), str(message["ReceiptHandle"]), decode(body))
    except Exception:  # noqa: BLE001 - a bad message must not keep the others of the answer from being read
        return None
    return read if read.pairs else None


class _Message:
    """A drained message: its receipt handle, time of receipt, number of events, and rows that are not settled."""

    def __init__(self, handle: str, received_s: float, events: int) -> None:
        self.handle = handle
        self.received_s = received_s
        self.events = events
        self.rows: set[int] = set()


class _Part(NamedTuple):
    """Events that go into the same message, and the callback that gets their outcome."""

    events: Sequence[PendingEvent]
    size_bytes: int
    done: Stored


class QueueBacklog:
    """The events in the queue at `url`.

    `drained` gets events that may be sent now. `may_drain` returns whether the stream takes events. `dead_letter`
    stores a line that the stream refuses for good, and passes to its callback whether that succeeded.
    """

    def __init__(
        self,
        call: Call,
        url: str,
        loop: asyncio.AbstractEventLoop,
        groups: Sequence[PartitionGroup],
        stats: Stats,
        drained: Callable[[list[PendingEvent]], None],
        may_drain: Callable[[], bool],
        dead_letter: Callable[[bytes, Callable[[bool], None]], None],
    ) -> None:
        self._call = call
        self.resource = url
        self._loop = loop
        self._groups = groups
        self._stats = stats
        self._drained = drained
        self._may_drain = may_drain
        self._dead_letter = dead_letter
        self.unread = 0
        """Always 0. Arrivals need not wait for events in the queue, since a spill queue excludes ordering."""
        self._send_error = self._receive_error = ""
        """Codes of the last send and of the last receive if they failed."""
        self._parts: deque[_Part] = deque()
        self._sends_began_s: dict[int, float] = {}
        """Times at which the unanswered sends began, by their first row."""
        self._writing = 0
        self._next_row = 0
        self._broken_until_s = float("-inf")
        self._read: dict[int, PendingEvent] = {}
        """Drained events that are not settled, by row, in the order in which they were drained."""
        self._read_bytes = 0
        self._message_of: dict[int, _Message] = {}
        """Message of each row in `_read`."""
        self._in_flight: set[int] = set()
        """Rows that a call in flight carries. The call began before the row was stored."""
        self._settled: set[int] = set()
        """Rows that were settled before their message was received."""
        self._own: dict[str, int] = {}
        """First rows of messages that had a held or settled row when they were stored, by message id."""
        self._to_delete: list[str] = []
        self._changes = 0
        """Number of deletions and changes of visibility in flight."""
        self._all_changed: asyncio.Event | None = None
        self._is_polling = self._is_closing = False
        self._extend_again()

    # --- what is known

    @property
    def size(self) -> int:
        """Number of events that this process is storing or has drained. SQS's metrics count the events in the queue."""
        return self._writing + len(self._read)

    @property
    def has_drained(self) -> bool:
        """Whether a drained event is in memory, with which the stream can be tried."""
        return bool(self._read)

    @property
    def takes(self) -> bool:
        """Whether events can be stored, as far as is known."""
        now_s = self._loop.time()
        hangs = any(now_s - began_s > HANGS_AFTER_S for began_s in self._sends_began_s.values())
        return now_s >= self._broken_until_s and not hangs

    @property
    def error(self) -> str:
        """Code of what is wrong with sending or receiving; "" if nothing is known to be."""
        return self._send_error or self._receive_error

    @property
    def cure(self) -> str:
        """Advice to an operator about `error`."""
        return find_cure(self.error)

    def snapshot(self) -> dict[str, float]:
        """Return the spill's metrics by name (docs/metrics.md)."""
        oldest = next(iter(self._read.values()), None)
        received_at = _RECEIVED_AT.search(oldest.line[:200]) if oldest else None
        return {
            "spilled_events": self.size,
            "spill_bytes": self._read_bytes,
            "spill_oldest_age_seconds": max(0.0, time.time() - int(received_at[1]) / 1000) if received_at else 0.0,
            "spill_failing": bool(self.error),
        }

    # --- into the queue

    def store(self, events: Sequence[PendingEvent], done: Stored) -> None:
        """Store events in one message or several. A message may also hold events of other calls of this method."""
        self._writing += len(events)
        part: list[PendingEvent] = []
        size_bytes = 0
        for event in events:
            if part and size_bytes + len(event.line) + 1 > MESSAGE_LINES_BYTES:
                self._parts.append(_Part(part, size_bytes, done))
                part, size_bytes = [], 0
            part.append(event)
            size_bytes += len(event.line) + 1
        self._parts.append(_Part(part, size_bytes, done))
        self._send()

    def _send(self) -> None:
        """Send the events that wait to be stored, in full messages, with at most SENDS calls in flight."""
        while self._parts and len(self._sends_began_s) < SENDS:
            parts = [self._parts.popleft()]
            size_bytes = parts[0].size_bytes
            while self._parts and size_bytes + self._parts[0].size_bytes <= MESSAGE_LINES_BYTES:
                parts.append(self._parts.popleft())
                size_bytes += parts[-1].size_bytes
            self._send_message(parts)

    def _send_message(self, parts: list[_Part]) -> None:
        """Send a message with the events of these parts, and report its outcome to each part."""
        events = [event for part in parts for event in part.events]
        body = encode([(event.conversation, event.line) for event in events])
        first = self._next_row
        self._next_row += len(events)
        self._sends_began_s[first] = self._loop.time()
        md5 = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()

        def answered(answer: Answer) -> None:
            del self._sends_began_s[first]
            self._writing -= len(events)
            outcomes = read_send_message_batch(answer, [md5])
            code = outcomes.code if isinstance(outcomes, Refusal) else outcomes[0].code
            is_stored = not isinstance(outcomes, Refusal) and outcomes[0].disposition is None
            self._send_error = "" if is_stored else code or "Unknown"
            if is_stored:
                self._stats.events_spilled += len(events)
            else:
                self._broken_until_s = self._loop.time() + BROKEN_FOR_S
            row = first
            for part in parts:
                part.done(part.events, row if is_stored else None)
                row += len(part.events)
            rows = range(first, row)
            # The message has to be recognized when it is received, since a call may have stored some of its events.
            if is_stored and not (self._in_flight.isdisjoint(rows) and self._settled.isdisjoint(rows)):
                if len(self._own) >= MAX_SETTLED:
                    self._forget_own()
                self._own[_message_id(answer)] = first
            self._send()
            self.drain()

        entry = {"Id": "0", "MessageBody": body, "DelaySeconds": DELAY_S}
        request = orjson.dumps({"QueueUrl": self.resource, "Entries": [entry]})
        # SQS would refuse a larger message. It is not sent, and its events count as not stored.
        if len(body.encode()) > limits.SQS_MESSAGE_BYTES:
            self._loop.call_soon(answered, Answer(413, b"", {}, ""))
        else:
            self._call("SendMessageBatch", request, SEND_TIMEOUT_S, answered)

    # --- out of the queue

    def drain(self) -> None:
        """Receive messages, unless enough events are in memory or the stream is down.

        If the stream is down and no drained event is in memory, receive all the same: the stream is tried with that
        event.
        """
        wants = self._read_bytes < HAND_BYTES and (self._may_drain() or not self._read)
        if self._is_polling or self._is_closing or not wants:
            return
        self._is_polling = True
        request = {
            "QueueUrl": self.resource,
            "MaxNumberOfMessages": limits.SQS_BATCH_MAX,
            "WaitTimeSeconds": POLL_S,
            "VisibilityTimeout": VISIBILITY_TIMEOUT_S,
        }
        self._call("ReceiveMessage", orjson.dumps(request), POLL_TIMEOUT_S, self._received)

    def _received(self, answer: Answer) -> None:
        """Keep the events of received messages, send them on, and receive more."""
        response = read_body(answer, "")
        if isinstance(response, Refusal):
            self._receive_error = response.code
            self._loop.call_later(BROKEN_FOR_S, self._poll_again)
            return
        self._receive_error = ""
        # The queue can be reached again. Without a further send the error of the last send would stay for ever.
        if self._loop.time() >= self._broken_until_s:
            self._send_error = ""
        self._is_polling = False
        try:
            messages = [_read_message(message) for message in response.get("Messages") or ()]
            if self._is_closing:
                self._show([message.handle for message in messages if message])
                return
            free: list[PendingEvent] = []
            for message in messages:
                free += self._open(message)
            self._drained(free)
            self.delete_settled()
        finally:
            # If `drain` did not receive (the stream is down, or enough is in memory), try again after a pause.
            if not (self._is_polling or self._is_closing):
                self._is_polling = True
                self._loop.call_later(BROKEN_FOR_S, self._poll_again)

    def _poll_again(self) -> None:
        """Receive messages after a pause. If `drain` does not receive any, try again after another pause."""
        self._is_polling = False
        self.drain()
        if not (self._is_polling or self._is_closing):
            self._is_polling = True
            self._loop.call_later(BROKEN_FOR_S, self._poll_again)

    def _open(self, message: _ReadMessage | None) -> list[PendingEvent]:
        """Keep a message's events in memory. Return the events that may be sent now."""
        if message is None:
            log.error(
                "A message of the spill queue cannot be read. It stays in the queue until its retention ends. Move it "
                "elsewhere, and report it if a receiver wrote it.",
                extra={"event": "spill-message-unreadable", "resource": self.resource},
            )
            return []
        pairs = message.pairs
        first = self._own.pop(message.message_id, None)
        # Another receiver stored the message, or this process need not recognize its rows: they get new numbers.
        if first is None:
            first = self._next_row
            self._next_row += len(pairs)
        free: list[PendingEvent] = []
        opened = _Message(message.handle, self._loop.time(), len(pairs))
        for row, (conversation, line) in enumerate(pairs, first):
            if row in self._settled:
                self._settled.remove(row)
                continue
            event = self._read[row] = PendingEvent(
                self._groups[group_of(conversation, len(self._groups))], conversation, line, None, SPILLED
            )
            event.row = row
            self._read_bytes += len(line)
            opened.rows.add(row)
            self._message_of[row] = opened
            if row not in self._in_flight:
                free.append(event)
        if not opened.rows:
            self._to_delete.append(message.handle)
        return free

    def hold(self, row: int) -> None:
        """Do not drain a row, since a call in flight carries its event. The call began before the row was stored."""
        self._in_flight.add(row)

    def release(self, row: int) -> PendingEvent | None:
        """End the hold of a row, since the call failed. Return the row's event if it was drained meanwhile."""
        self._in_flight.discard(row)
        return self._read.get(row)

    def settle(self, row: int) -> None:
        """Record that the event of a row is in the stream, or set aside."""
        self._in_flight.discard(row)
        event = self._read.pop(row, None)
        if event is None:
            if len(self._settled) >= MAX_SETTLED:
                self._forget_own()
            self._settled.add(row)
            return
        self._read_bytes -= len(event.line)
        message = self._message_of.pop(row)
        message.rows.remove(row)
        if not message.rows:
            self._to_delete.append(message.handle)

    def _forget_own(self) -> None:
        """Forget settled rows and this process's own messages. Other receivers have drained most of these by now."""
        self._settled.clear()
        self._own.clear()

    def delete_settled(self) -> None:
        """Delete the messages whose events are all settled, then receive more."""
        handles, self._to_delete = self._to_delete, []
        self._change("DeleteMessageBatch", handles)
        self.drain()

    def _change(self, operation: str, handles: Sequence[str], **fields: int) -> None:
        """Delete messages or change their visibility, without a retry.

        If that fails, SQS shows the message again, with the same event ids.
        """

        def answered(answer: Answer) -> None:
            self._changes -= 1
            if self._all_changed is not None and not self._changes:
                self._all_changed.set()
            response = read_body(answer, "")
            if isinstance(response, Refusal) or response.get("Failed"):
                log.warning(
                    "Messages of the spill queue were not deleted or not kept hidden. Their events may come again, "
                    "with the same ids. Check the receiver's rights on the queue if this repeats.",
                    extra={"event": "spill-message-not-changed", "operation": operation, "resource": self.resource},
                )

        for first in range(0, len(handles), limits.SQS_BATCH_MAX):
            batch = handles[first : first + limits.SQS_BATCH_MAX]
            entries = [{"Id": str(number), "ReceiptHandle": handle, **fields} for number, handle in enumerate(batch)]
            self._changes += 1
            body = orjson.dumps({"QueueUrl": self.resource, "Entries": entries})
            self._call(operation, body, SEND_TIMEOUT_S, answered)

    def _extend_again(self) -> None:
        """Keep drained messages hidden. Show messages that have failed for GIVE_BACK_AFTER_S to all receivers again."""
        if self._is_closing:
            return
        long_ago_s = self._loop.time() - GIVE_BACK_AFTER_S
        old = [message for message in self._drained_messages() if message.received_s <= long_ago_s]
        self._show([message.handle for message in old if self._forget(message)])
        hidden = [message.handle for message in self._drained_messages()]
        self._change("ChangeMessageVisibilityBatch", hidden, VisibilityTimeout=VISIBILITY_TIMEOUT_S)
        self._loop.call_later(EXTEND_INTERVAL_S, self._extend_again)

    def _drained_messages(self) -> list[_Message]:
        """Return the drained messages that have an unsettled row, each once."""
        return list(dict.fromkeys(self._message_of.values()))

    def _show(self, handles: Sequence[str]) -> None:
        """Show messages to every receiver again, at once."""
        self._change("ChangeMessageVisibilityBatch", handles, VisibilityTimeout=0)

    def _forget(self, message: _Message) -> bool:
        """Drop a message's events from memory, and return True.

        If any of its events is in the stream or in a call, do nothing and return False.
        """
        events = [self._read[row] for row in message.rows]
        if len(events) < message.events or any(event.state != QUEUED for event in events):
            return False
        for event in events:
            del self._read[event.row], self._message_of[event.row]
            self._read_bytes -= len(event.line)
            event.group.suspects.pop(event, None)
            # The event stays in its group's `rows`. The batcher skips it there, since it is no longer QUEUED.
            event.move(SPILLED)
            event.line = b""
        return True

    def set_aside(self, event: PendingEvent, done: Callable[[bool], None]) -> None:
        """Dead-letter an event that the stream refuses for good. `done` gets whether the dead letter is stored."""

        def answered(is_kept: bool) -> None:
            if is_kept:
                log.error(
                    "The stream refuses an event of the spill queue for good. The event became a dead letter "
                    "(refused). Inspect it with `stream-router dlq show`.",
                    extra={"event": "spill-refused", "resource": self.resource},
                )
            done(is_kept)

        self._dead_letter(event.line, answered)

    def begin_close(self) -> None:
        """Receive no further message. Show drained messages again if none of their events is stored or in a call."""
        self._is_closing = True
        self._show([message.handle for message in self._drained_messages() if self._forget(message)])

    async def close(self) -> int:
        """Show the remaining drained messages again. Return 0, since no event is left on this host alone."""
        self._all_changed = asyncio.Event()
        self.delete_settled()
        self._show([message.handle for message in self._drained_messages()])
        if self._changes:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._all_changed.wait()
        return 0


def _message_id(answer: Answer) -> str:
    """Return the id that SQS gave to the message of a successful send."""
    return str(orjson.loads(answer.body)["Successful"][0]["MessageId"])
