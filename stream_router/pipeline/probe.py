"""The reserved event of `doctor --end-to-end`: known before mapping, and nothing of its sender's goes on.

Anybody who may post may name this type, and it is masked by no policy. So its entry is made of what we know ourselves,
and of a mark that can only be 32 hex digits.
"""

import re
from typing import Any

import orjson

from stream_router.limits import ENTRY_TIME_BYTES
from stream_router.model import PROBE_TYPE, SOURCE, Entry, Event, correlation_id, new_entry, new_event

_MARK = re.compile(r"[0-9a-f]{32}")
_FIXED_BYTES = ENTRY_TIME_BYTES + len(SOURCE) + len(PROBE_TYPE)


def entry(event: Event, received: str, processed: str, metadata: Any) -> Entry:
    """The entry of a probe. `received` and `processed` are its times in ISO, `metadata` as every event has it."""
    assert isinstance(event.body, dict)
    payload = event.body.get("payload")
    mark = payload.get("probe") if isinstance(payload, dict) else None
    detail = {
        "correlationId": correlation_id(event.event_id),
        "eventId": event.event_id,
        "eventSource": "cxone.webhook",
        "eventType": PROBE_TYPE,
        "originalEventId": None,
        "conversationId": None,
        "eventTimestamp": received,
        "receivedAt": received,
        "processedAt": processed,
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": {"probe": mark} if isinstance(mark, str) and _MARK.fullmatch(mark) else {},
        "metadata": metadata,
    }
    text = orjson.dumps(detail)
    unparsed = new_event((*event[:6], None, event.resubmitted))
    return new_entry((unparsed, PROBE_TYPE, text, event.received_at_ms / 1000, _FIXED_BYTES + len(text), "", ""))
