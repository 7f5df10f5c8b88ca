"""Looks at the two queues: takes every message in hand for a moment, and gives all of them back."""

import time

from stream_router.control.dead_letters.desk import Depth, Desk, still_hidden, undelivered_url
from stream_router.control.dead_letters.queue.gathering import (
    PATIENCE_S,
    QueueAbsentError,
    QueueUnreadableError,
    unreadable,
)
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.fates.books import Letters, Look, Message, UndeliveredBook
from stream_router.control.stream.session import Stops, say
from stream_router.core import limits
from stream_router.settings.common import NO_RULE
from stream_router.settings.dead_letters import DeadLetters

MOST_BYTES = 512 * 1024 * 1024
"""Messages of one queue that are kept in memory."""

_GIVEN_BACK_WITHIN_S = 30.0


def both(settings: DeadLetters, stops: Stops) -> tuple[Letters, UndeliveredBook]:
    """Our dead letters, and EventBridge's own of the rule's target. What cannot be seen says so in its `missing`."""
    letters = Letters(look(settings, settings.sqs_dlq_url, stops), settings.stream)
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
    return letters, UndeliveredBook(look(settings, url, stops))


def _need_not_be(settings: DeadLetters) -> bool:
    """Whether `setup` makes no queue of undelivered events, and the settings name none."""
    others = settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus)
    return others and not settings.target_dlq_arn


def look(settings: DeadLetters, queue_url: str, stops: Stops) -> Look:
    """Everything that is in a queue now. `missing` where it cannot be read, or others have some of it in hand."""
    try:
        desk = Desk(settings, queue_url)
        about = desk.depth()  # approximate, and up to a minute late: it never says that nothing is there
        say(f"looking at queue {desk.messages.name}: about {about.visible:,} messages, given back at once")
        found, broken = _gather(desk.messages, stops)
        for line in still_hidden(desk.messages):
            say(line)
    except QueueUnreadableError as error:
        return Look((), str(error))
    if not broken and desk.messages.unanswered:
        broken = f"SQS gave messages of queue {desk.messages.name} to a call whose answer never came"
    if broken:
        return Look(found, broken)
    if not _is_all(found, about, desk.messages.begun_ms):
        seen = f"{len(found):,} of about {about.visible + about.hidden:,} messages"
        return Look(found, f"{seen} of queue {desk.messages.name} were seen, others have the rest in hand")
    return Look(found)


def _is_all(found: list[Message], about: Depth, begun_ms: float) -> bool:
    """Whether what was found is as much as SQS counted; hidden ones too: its count may be of our own look before this.

    What was sent since the count was taken is none of those that were hidden then.
    """
    old = sum(not begun_ms or one.sent_ms < begun_ms for one in found)
    return len(found) >= about.visible and (not about.hidden or old >= about.visible + about.hidden)


def _gather(messages: Messages, stops: Stops) -> tuple[list[Message], str]:
    """Every message, and why not all of them ("" where it is all). Raises QueueUnreadableError."""
    found: list[Message] = []
    try:
        return found, _take_all(messages, stops, found)
    finally:
        messages.give_back_all()
        messages.see_through(_GIVEN_BACK_WITHIN_S)


def _take_all(messages: Messages, stops: Stops, found: list[Message]) -> str:
    size, since = 0, time.monotonic()
    while not messages.dry and not stops.asked.is_set() and size < MOST_BYTES:
        messages.keep_receiving()
        messages.turn(0.25)
        size += _take(messages, found)
        if not messages.refused:
            since = time.monotonic()
        elif time.monotonic() - since > PATIENCE_S:
            raise unreadable(messages)
    while messages.receiving:
        messages.turn(0.25)
        size += _take(messages, found)
    if stops.asked.is_set():
        return "the look at the queue was broken off"
    return "" if size < MOST_BYTES else f"queue {messages.name} holds more than can be looked at"


def _take(messages: Messages, found: list[Message]) -> int:
    taken = messages.take()
    found += [Message(held.body, held.attributes, held.sent_ms) for held in taken]
    return sum(held.size_bytes for held in taken)
