"""The messages of one SQS queue, held for a while: received, kept hidden, given back, deleted. Many calls in flight.

SQS hides a message from other readers while we hold it, and counts that we looked. So whatever is not deleted is given
back as soon as nobody needs it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from stream_router.aws import endpoints
from stream_router.consumer.data_plane import CALL_TIMEOUT_S, DataPlane, chance
from stream_router.core import limits
from stream_router.core.aws_answers import Answer, Outcome, Refusal, of_message_batch, of_receive_message
from stream_router.pipeline.delivery.dispatcher import Dispatcher
from stream_router.pipeline.delivery.dispatcher_contract import Policy

HIDE_S = 300.0
"""How long a message is hidden at a time; after half of it, it is hidden anew. A command that is killed gives back what
it held within this."""

LOOK_EVERY_S = 5.0
"""How often it is looked whose time runs out."""

RECEIVE_CALLS = 8
LONG_POLL_S = 1
RECEIVE_TIMEOUT_S = 30.0
DRY_AFTER = 2 * RECEIVE_CALLS
"""Empty answers in a row that say that nothing more is there: one alone may only have asked other servers of SQS's."""

POLICY = Policy(8, 1_000_000_000, 4, outage_gives_up=True)


class Held:
    """One message that we hold. `hidden_until` is monotonic seconds; `sent_ms` when it was sent (epoch ms).

    `body` may be let go once it is read.
    """

    __slots__ = ("attributes", "body", "handle", "hidden_until", "id", "lost", "received", "sent_ms", "size_bytes")

    def __init__(self, message: dict[str, Any], hidden_until: float) -> None:
        self.id = str(message["MessageId"])
        self.handle = str(message["ReceiptHandle"])
        self.body = str(message["Body"])
        self.size_bytes = len(self.body)
        given = message.get("MessageAttributes") or {}
        self.attributes = {str(name): str(value.get("StringValue") or "") for name, value in given.items()}
        system = message.get("Attributes") or {}
        self.sent_ms = int(system.get("SentTimestamp") or 0)
        self.received = int(system.get("ApproximateReceiveCount") or 1)
        self.hidden_until = hidden_until
        self.lost = False
        """Whether SQS says that it is no longer ours: another reader may have it."""


class _Change(NamedTuple):
    """One message and what is to be done with it: deleted (None), or hidden so many seconds."""

    held: Held
    hide_s: float | None


class _Batches:
    """Calls that delete, or change the visibility: a `Destination` for the dispatcher."""

    def __init__(self, name: str, send: Callable[[bytes, Callable[[Answer], None]], None], queue_url: str) -> None:
        self.name = name
        self._send = send
        self._queue_url = queue_url

    def take(self, ready: "deque[_Change]") -> list[_Change]:
        return [ready.popleft() for _ in range(min(len(ready), limits.SQS_BATCH_MAX))]

    def is_full(self, items: Sequence[_Change]) -> bool:
        return len(items) >= limits.SQS_BATCH_MAX

    def size_bytes(self, items: Sequence[_Change]) -> int:
        return len(items)

    def key(self, item: _Change) -> int:
        return id(item.held)

    def send(self, items: Sequence[_Change], done: Callable[[Answer], None]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": item.held.handle} for n, item in enumerate(items)]
        for entry, item in zip(entries, items, strict=True):
            if item.hide_s is not None:
                entry["VisibilityTimeout"] = int(item.hide_s)  # type: ignore[assignment]
        self._send(orjson.dumps({"QueueUrl": self._queue_url, "Entries": entries}), done)

    def read(self, answer: Answer, items: Sequence[_Change]) -> list[Outcome] | Refusal:
        return of_message_batch(answer, len(items))

    def too_large(self, items: Sequence[_Change], refusal: Refusal) -> bool:
        return False


class Messages:
    """One queue. `turn` moves everything on; what was received comes from `take`."""

    def __init__(self, connection: DataPlane, queue_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport, self._clock = connection.transport, clock
        self.queue_url = queue_url
        self.name = queue_url.rsplit("/", 1)[-1]
        self._receive = endpoints.sqs(connection.session, "ReceiveMessage")
        self._delete = self._dispatcher(connection, "DeleteMessageBatch")
        self._hide = self._dispatcher(connection, "ChangeMessageVisibilityBatch")
        self._received: deque[Held] = deque()
        self._receiving = 0
        self._held: dict[str, Held] = {}
        self._look_again_at = clock() + LOOK_EVERY_S
        self.empty_answers = 0
        """Empty answers in a row."""
        self.deleted = 0
        self.undeleted = 0
        """Messages that could not be deleted although they should be."""
        self.trouble = ""
        """AWS's code for the latest call that failed."""
        self.refused = 0
        """Receive calls in a row that failed."""

    def _dispatcher(self, connection: DataPlane, operation: str) -> "Dispatcher[_Change]":
        target = endpoints.sqs(connection.session, operation)

        def send(body: bytes, done: Callable[[Answer], None]) -> None:
            self._transport.start(target, body, CALL_TIMEOUT_S, done)

        calls = _Batches(f"{operation} of {self.name}", send, self.queue_url)
        return Dispatcher(calls, POLICY, self._clock, chance)

    @property
    def dry(self) -> bool:
        """Whether nothing more seems to be there. A call that is under way may still bring the opposite."""
        return self.empty_answers >= DRY_AFTER and not self._receiving

    @property
    def changing(self) -> int:
        """Deletes and changes of visibility that are not through."""
        return self._delete.backlog + self._hide.backlog

    @property
    def held(self) -> int:
        """Messages that we hold."""
        return len(self._held)

    @property
    def receiving(self) -> int:
        """Receive calls that are under way: what they bring is held too."""
        return self._receiving

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    def keep_receiving(self, calls: int = RECEIVE_CALLS) -> None:
        """Have so many ReceiveMessage calls under way, unless all of late were empty: then hear out the last ones."""
        if self.empty_answers >= DRY_AFTER:
            return
        body = {
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": limits.SQS_BATCH_MAX,
            "WaitTimeSeconds": LONG_POLL_S,
            "VisibilityTimeout": int(HIDE_S),
            "AttributeNames": ["SentTimestamp", "ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        }
        while self._receiving < calls:
            self._receiving += 1
            asked = self._clock()
            self._transport.start(
                self._receive,
                orjson.dumps(body),
                RECEIVE_TIMEOUT_S,
                lambda answer, asked=asked: self._got(answer, asked),  # type: ignore[misc]
            )

    def _got(self, answer: Answer, asked: float) -> None:
        self._receiving -= 1
        found = of_receive_message(answer)
        if isinstance(found, Refusal):
            self.trouble, self.refused = found.code, self.refused + 1
            # Standard queues refuse further readers once 120,000 messages are hidden.
            self.empty_answers += found.code == "OverLimit"
            return
        self.refused = 0
        self.empty_answers = 0 if found else self.empty_answers + 1
        for message in found:
            held = Held(message, asked + HIDE_S)
            if (before := self._held.get(held.id)) is not None:
                # It came again while we hold it: the newer receipt is the one that counts.
                before.handle, before.hidden_until, before.lost = held.handle, held.hidden_until, False
                continue
            self._held[held.id] = held
            self._received.append(held)

    def take(self) -> list[Held]:
        """What was received since the last time, each message once."""
        taken = list(self._received)
        self._received.clear()
        return taken

    def delete(self, messages: Iterable[Held]) -> None:
        """Delete these; `turn` sees to it."""
        self._delete.submit([_Change(held, None) for held in self._let_go(messages)])

    def give_back(self, messages: Iterable[Held]) -> None:
        """Show these to other readers again."""
        self._hide.submit([_Change(held, 0.0) for held in self._let_go(messages) if not held.lost])

    def give_back_all(self) -> None:
        """Show everything that we still hold."""
        self.give_back(list(self._held.values()))

    def _let_go(self, messages: Iterable[Held]) -> list[Held]:
        gone = list(messages)
        for held in gone:
            self._held.pop(held.id, None)
        return gone

    def _hide_anew(self, now: float) -> None:
        due = [held for held in self._held.values() if held.hidden_until - now < HIDE_S / 2 and not held.lost]
        for held in due:
            held.hidden_until = now + HIDE_S
        self._hide.enqueue([_Change(held, HIDE_S) for held in due])

    def turn(self, wait_s: float) -> None:
        """Once around: hide anew what has been hidden for half of its time, start calls, hear answers."""
        self.advance()
        self._transport.pump(wait_s)
        self.advance()

    def advance(self) -> None:
        """The same, without waiting: for one who pumps the transport anyway."""
        now = self._clock()
        if now >= self._look_again_at:
            self._look_again_at = now + LOOK_EVERY_S
            self._hide_anew(now)
        for dispatcher in (self._delete, self._hide):
            dispatcher.advance(flush=True)
            accepted, given_up, retried, *_ = dispatcher.collect()
            if dispatcher is self._delete:
                self.deleted += sum(map(len, accepted))
            for change, why in given_up:
                self.trouble = why.code
                if change.hide_s is None:
                    self.undeleted += 1
                change.held.lost = True
            if retried:
                self.trouble = retried[-1][1]
