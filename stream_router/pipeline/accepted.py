"""An event that EventBridge had accepted and could not deliver: published again as it stands (kind `entry`)."""

from typing import Any

import orjson

from stream_router.envelope import member
from stream_router.limits import DETAIL_TYPE_MAX_CHARS, ENTRY_TIME_BYTES
from stream_router.model import SOURCE, Entry, Event
from stream_router.pipeline.mapping import timestamps
from stream_router.pipeline.rejection import Rejected, mismatch

EVENT_SOURCE = "cxone.webhook"
"""The `eventSource` of every event of ours, which the rule matches."""


def entry(event: Event, text: bytes) -> Entry:
    """The entry of an accepted event (`text`, JSON): its detail type, time and detail, neither mapped nor masked.

    Raises Rejected where it is none of ours: what somebody wrote into the stream is not published unseen.
    """
    told = orjson.loads(text)
    detail, event_type = told.get("detail"), told.get("detail-type")
    if told.get("source") != SOURCE or type(detail) is not dict:
        raise _not_ours("its source is not ours, or it has no detail")
    if detail.get("eventSource") != EVENT_SOURCE or type(detail.get("eventId")) is not str or not detail["eventId"]:
        raise _not_ours("its detail has not our eventSource, or no eventId")
    if type(event_type) is not str or not 0 < len(event_type) <= DETAIL_TYPE_MAX_CHARS:
        raise _not_ours("it has no detail type")
    as_it_stood = member(text, "detail")
    size_bytes = ENTRY_TIME_BYTES + len(SOURCE) + len(event_type.encode()) + len(as_it_stood)
    conversation = detail.get("conversationId")
    key = conversation if type(conversation) is str else ""
    return Entry(event._replace(body=None), event_type, as_it_stood, _time_s(told), size_bytes, key)


def _time_s(told: dict[str, Any]) -> float:
    try:
        return timestamps.to_utc(told.get("time"), None)[1]
    except (ValueError, OverflowError):
        raise _not_ours("its time cannot be read") from None


def _not_ours(why: str) -> Rejected:
    return mismatch("NotOurEntry", f"the event is none that was published here: {why}")
