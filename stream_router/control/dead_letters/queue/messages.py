"""The messages of one SQS queue, held for a while: received, kept hidden, given back, deleted. Many calls in flight.

SQS hides a message from other readers while we hold it, and counts that we looked. So whatever is not deleted is given
back as soon as nobody needs it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable

import orjson

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.consumer.destinations import CALL_TIMEOUT_S, Destinations, chance
from stream_router.control.dead_letters.queue.held import Batches, Change, Held
from stream_router.errors import Answer, Refusal, of_receive_message
from stream_router.pipeline.delivery.dispatcher import Dispatcher
from stream_router.pipeline.delivery.dispatcher_contract import Policy
from stream_router.process import backoff_s

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

NEARLY_ALL_HIDDEN = 100_000
"""Held messages from which on a queue that gives nothing more may be one that hides as many as SQS allows."""

AGAIN_S, AGAIN_MOST_S = 0.25, 5.0
"""The first and the longest wait after a refused call: a right or a quota does not come back within milliseconds."""

POLICY = Policy(8, 1_000_000_000, 4, outage_gives_up=True)


class Messages:
    """One queue. `turn` moves everything on; what was received comes from `take`."""

    def __init__(self, connection: Destinations, queue_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport, self._clock = connection.transport, clock
        self.queue_url = queue_url
        self.name = queue_url.rsplit("/", 1)[-1]
        self._receive = endpoints.target(connection.session, "sqs", "ReceiveMessage")
        self._delete = self._dispatcher(connection, "DeleteMessageBatch")
        self._hide = self._dispatcher(connection, "ChangeMessageVisibilityBatch")
        self._received, self._receiving = deque[Held](), 0
        self._held: dict[str, Held] = {}
        self._look_again_at = clock() + LOOK_EVERY_S
        self.empty_answers = 0
        """Answers in a row without a message that was there when we began: a queue that fills all the time has an end
        too."""
        self.begun_ms = 0.0
        """When we began to look at the queue (epoch ms), by its own clock; 0.0 where that is not known."""
        self.is_at_most = False
        """Whether SQS gives nothing more since as many messages are hidden as it allows, and not since none is left."""
        self._to_be_deleted: set[str] = set()
        """The ids of messages that `delete` got, and of which it is not known that they are deleted."""
        self._not_shown = 0
        self.unanswered = 0
        """Receive calls that got no answer: what SQS gave them is hidden, and nobody has it."""
        self.trouble = ""
        """AWS's code for the latest call that failed."""
        self.refused = 0
        """Receive calls in a row that failed."""
        self._waits = 0
        """Waits in a row after refusals."""
        self._receive_again_at = clock()

    def _dispatcher(self, connection: Destinations, operation: str) -> "Dispatcher[Change]":
        target = endpoints.target(connection.session, "sqs", operation)

        def send(body: bytes, done: Callable[[Answer], None]) -> None:
            self._transport.start(target, body, CALL_TIMEOUT_S, done)

        calls = Batches(f"{operation} of {self.name}", send, self.queue_url)
        return Dispatcher(calls, POLICY, self._clock, chance)

    @property
    def dry(self) -> bool:
        """Whether nothing more seems to be there. A call that is under way may still bring the opposite."""
        return self.empty_answers >= DRY_AFTER and not self._receiving

    def look_again(self) -> None:
        """Look for more, though nothing more seemed to be there."""
        self.empty_answers = 0

    @property
    def changing(self) -> int:
        """Deletes and changes of visibility that are not through."""
        return self._delete.backlog + self._hide.backlog

    @property
    def undeleted(self) -> int:
        """Messages that should be deleted, and of which it is not known that they are: given up, or not through."""
        return len(self._to_be_deleted)

    @property
    def deletes_nothing(self) -> bool:
        """Whether SQS refuses every delete at present, or answers none."""
        return self._delete.gate.holding

    @property
    def not_given_back(self) -> int:
        """Messages that should be visible again, and of which it is not known that they are."""
        return self._not_shown + (0 if self._held else self._hide.backlog)

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
        """Have so many ReceiveMessage calls under way, unless all of late were empty: then hear out the last ones.

        After a refusal it waits, longer each time, and one call asks whether the queue answers again.
        """
        if self.empty_answers >= DRY_AFTER or self._clock() < self._receive_again_at:
            return
        body = {
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": limits.SQS_BATCH_MAX,
            "WaitTimeSeconds": LONG_POLL_S,
            "VisibilityTimeout": int(HIDE_S),
            "AttributeNames": ["SentTimestamp", "ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        }
        while self._receiving < (1 if self._waits else calls):
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
            self.unanswered += found.indeterminate
            if found.code == "OverLimit":
                self.empty_answers, self.is_at_most = self.empty_answers + 1, True
            else:
                self._wait_before_next()
            return
        self.refused = self._waits = 0
        self.empty_answers += 1
        self.is_at_most = not found and len(self._held) >= NEARLY_ALL_HIDDEN  # a long poll gets no OverLimit
        for message in found:
            held = Held(message, asked + HIDE_S, self.begun_ms)
            if held.id in self._to_be_deleted:  # its event is settled: who had it again would publish it again
                self._delete.enqueue([Change(held, None)])
                continue
            if not held.came_later:
                self.empty_answers = 0
            if (before := self._held.get(held.id)) is not None:
                # It came again while we hold it: the newer receipt is the one that counts.
                before.handle, before.hidden_until, before.lost = held.handle, held.hidden_until, False
                continue
            self._held[held.id] = held
            self._received.append(held)

    def _wait_before_next(self) -> None:
        now = self._clock()
        if now >= self._receive_again_at:  # calls that were under way together are refused together
            wait_s = backoff_s(self._waits, AGAIN_S, AGAIN_MOST_S, 0.5 + chance() / 2)
            self._receive_again_at, self._waits = now + wait_s, self._waits + 1

    def take(self) -> list[Held]:
        """What was received since the last time, each message once."""
        taken = list(self._received)
        self._received.clear()
        return taken

    def delete(self, messages: Iterable[Held]) -> None:
        """Delete these; `turn` sees to it."""
        gone = self._let_go(messages)
        self._to_be_deleted.update(held.id for held in gone)
        self._delete.submit([Change(held, None) for held in gone])

    def give_back(self, messages: Iterable[Held]) -> None:
        """Show these to other readers again."""
        self._hide.submit([Change(held, 0.0) for held in self._let_go(messages) if not held.lost])

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
        self._hide.enqueue([Change(held, HIDE_S) for held in due])

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
            gone = {change.held.id for call in accepted for change in call if change.hide_s is None}
            self._to_be_deleted -= gone
            for change, why in given_up:
                self.trouble = why.code
                self._not_shown += change.hide_s == 0.0
                change.held.lost = True
            if retried:
                self.trouble = retried[-1][1]

    def see_through(self, within_s: float) -> None:
        """Wait for deletes and changes, as long as one ends `within_s`; SQS shows all by itself after HIDE_S."""
        left, now = self.changing, self._clock()
        until, end = now + within_s, now + HIDE_S
        while self.changing and self._clock() < min(until, end):
            self.turn(0.25)
            if self.changing < left:
                left, until = self.changing, self._clock() + within_s
