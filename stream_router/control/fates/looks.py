"""Looks at the two queues: takes every message in hand for a moment, and gives all of them back."""

from collections.abc import Callable

from stream_router import limits
from stream_router.control.dead_letters.desk import Depth, Desk, still_hidden, undelivered_url
from stream_router.control.dead_letters.queue.gathering import Patience, QueueAbsentError, QueueUnreadableError
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.fates.books import Letters, Look, Message, UndeliveredBook
from stream_router.control.stream.session import Stops, say
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

MOST_BYTES = 512 * 1024 * 1024
"""Messages of one queue that are kept in memory."""

_GIVEN_BACK_WITHIN_S = 30.0


Keep = Callable[[str], bool]
"""Whether a message may be one of those that are asked for, by its text: the others are counted, and not kept."""


def everything(_: str) -> bool:
    """Keep all of it."""
    return True


def both(settings: DeadLetters, stops: Stops, keep: Keep = everything) -> tuple[Letters, UndeliveredBook]:
    """Our dead letters, and EventBridge's own of the rule's target. What cannot be seen says so in its `missing`."""
    letters = Letters(look(settings, settings.sqs_dlq_url, stops, keep), settings.stream)
    try:
        url = undelivered_url(settings)
    except QueueUnreadableError as error:
        if isinstance(error, QueueAbsentError) and _need_not_be(settings):
            say(
                "note: no queue of undelivered events is known, since the rules are others': what their targets did "
                "not take is not looked for (STREAM_ROUTER_TARGET_DLQ_ARN names one)"
            )
            return letters, UndeliveredBook(Look(()))
        return letters, UndeliveredBook(Look((), str(error)))
    return letters, UndeliveredBook(look(settings, url, stops, keep))


def _need_not_be(settings: DeadLetters) -> bool:
    """Whether `setup` makes no queue of undelivered events, and the settings name none."""
    others = settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus)
    return others and not settings.target_dlq_arn


def look(settings: DeadLetters, queue_url: str, stops: Stops, keep: Keep = everything) -> Look:
    """Everything that is in a queue now. `missing` where it cannot be read, or others have some of it in hand."""
    try:
        desk = Desk(settings, queue_url)
        about = desk.depth()  # approximate, and up to a minute late: it never says that nothing is there
        say(f"looking at queue {desk.messages.name}: about {about.visible:,} messages, given back at once")
        seen = _Seen(keep, desk.messages.begun_ms)
        broken = _gather(desk.messages, stops, seen)
        for line in still_hidden(desk.messages):
            say(line)
    except QueueUnreadableError as error:
        return Look((), str(error))
    if not broken and desk.messages.unanswered:
        broken = f"SQS gave messages of queue {desk.messages.name} to a call whose answer never came"
    if not broken and not seen.is_all(about):
        told = f"{seen.count:,} of about {about.visible + about.hidden:,} messages"
        broken = f"{told} of queue {desk.messages.name} were seen, others have the rest in hand"
    return Look(seen.kept, broken)


class _Seen:
    """What was seen of a queue. `size_bytes` is of what is kept."""

    def __init__(self, keep: Keep, begun_ms: float) -> None:
        self._keep, self._begun_ms = keep, begun_ms
        self.kept: list[Message] = []
        self.count = self.size_bytes = self._old = 0

    def take(self, messages: Messages) -> None:
        """What was received since the last time."""
        for held in messages.take():
            self.count += 1
            self._old += not self._begun_ms or held.sent_ms < self._begun_ms
            if self._keep(held.body):
                self.kept.append(Message(held.body, held.attributes, held.sent_ms))
                self.size_bytes += held.size_bytes
            held.body = ""

    def is_all(self, about: Depth) -> bool:
        """Whether it is as much as SQS counted; hidden ones too: its count may be of our own look before this.

        What was sent since the count was taken is none of those that were hidden then.
        """
        hidden_too = not about.hidden or self._old >= about.visible + about.hidden
        return self.count >= about.visible and hidden_too


def _gather(messages: Messages, stops: Stops, seen: _Seen) -> str:
    """See every message; why not all of them ("" where it is all). Raises QueueUnreadableError."""
    try:
        return _take_all(messages, stops, seen)
    finally:
        messages.give_back_all()
        messages.see_through(_GIVEN_BACK_WITHIN_S)


def _take_all(messages: Messages, stops: Stops, seen: _Seen) -> str:
    patience = Patience(messages)
    while not messages.dry and not stops.asked.is_set() and seen.size_bytes < MOST_BYTES:
        messages.keep_receiving()
        messages.turn(0.25)
        seen.take(messages)
        patience.look()
    while messages.receiving:
        messages.turn(0.25)
        seen.take(messages)
    if stops.asked.is_set():
        return "the look at the queue was broken off"
    return "" if seen.size_bytes < MOST_BYTES else f"queue {messages.name} holds more than can be looked at"
