"""Looks at the two queues: takes every message in hand for a moment, and gives all of them back."""

from collections.abc import Callable

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.control.fates.books import Letters, Look, Message, UndeliveredBook
from stream_router.control.stream.session import Stops, say
from stream_router.operate.console import Stop
from stream_router.operate.queue import Queue, QueueAbsentError, QueueError, undelivered_url
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

MOST_BYTES = 512 * 1024 * 1024
"""Messages of one queue that are kept in memory."""

Keep = Callable[[str], bool]
"""Whether a message may be one of those that are asked for, by its text: the others are counted, and not kept."""


def everything(_: str) -> bool:
    """Keep all of it."""
    return True


def both(settings: DeadLetters, stops: Stops, keep: Keep = everything) -> tuple[Letters, UndeliveredBook]:
    """Our dead letters, and EventBridge's own of the rule's target. What cannot be seen says so in its `missing`."""
    letters = Letters(look(settings, settings.sqs_dlq_url, stops, keep), settings.stream)
    try:
        url = undelivered_url(settings, Clients(settings.aws_region).sqs)
    except QueueError as error:
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
    kept: list[Message] = []
    size_bytes, stop = 0, Stop()
    try:
        with Queue(Clients(settings.aws_region).sqs, queue_url, stop) as queue:
            say(f"looking at queue {queue.name}: about {queue.depth().visible:,} messages, given back at once")
            for message in queue.read():
                if stops.asked.is_set():
                    stop.ask()
                if keep(message.body):
                    kept.append(Message(message.body, message.attributes, message.sent_ms))
                    size_bytes += len(message.body)
                if size_bytes >= MOST_BYTES:
                    return Look(kept, f"queue {queue.name} holds more than can be looked at")
                message.body = ""
            return Look(kept, queue.missing)
    except QueueError as error:
        return Look((), str(error))
