"""What no call can carry is known without sending it: nothing promises it, tries it, or takes it for accepted."""

from collections.abc import Callable

from stream_router.model import DeadLetter, Entry, Event, Made
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE
from stream_router.settings.consumer import Consumer


def fitting(transform: Callable[[Event], Made], settings: Consumer) -> Callable[[Event], Made]:
    """The transform, whose entries fit a call of the settings; with a bucket any goes, by claim check."""
    if settings.offload_bucket:
        return transform

    def made(event: Event) -> Made:
        one = transform(event)
        if isinstance(one, Entry) and one.size_bytes > settings.bytes_per_call:
            return DeadLetter(one.event, *TOO_LARGE, entry=one, event_type=one.detail_type)
        return one

    return made
