"""Sample events, as this product publishes them. `setup` and the target check test the rule's pattern with them."""

import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from stream_router import envelope
from stream_router.errors import SettingsError
from stream_router.event_id import event_id
from stream_router.model import SOURCE, Entry, Record
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.process import iso


def sample_entries(region: str, event_types: Sequence[str], now_ms: int) -> list[Entry]:
    """Return an entry of each type, built by the transform from a default body. Raises SettingsError if that fails."""
    transform = Transform(TransformConfig(region, tuple(event_types)), lambda: float(now_ms))
    return [_build_sample(transform, event_type, now_ms) for event_type in event_types]


def _build_sample(transform: Transform, event_type: str, now_ms: int) -> Entry:
    """Return the entry of one sample event. Raises SettingsError if the transform makes no entry of this type."""
    body = orjson.dumps(
        {
            "interactionId": "stream-router-sample",
            "conversationId": "stream-router-sample",
            "eventType": event_type,
            "timestamp": _utc(now_ms / 1000),
            "payload": {"probe": True},
        }
    )
    identity = event_id("sample", None, 0, body)
    record = Record(envelope.seal(identity, "content", now_ms, body), 1)
    transformed = transform(envelope.open_record(record)[0])
    if not isinstance(transformed, Entry):
        raise SettingsError(
            "STREAM_ROUTER_EVENT_TYPES", f"no event of type {event_type} can be emitted ({transformed})"
        )
    return transformed


def as_delivered(entry: Entry, account: str, region: str) -> dict[str, Any]:
    """Return the event that EventBridge would deliver for an entry, with all fields that TestEventPattern requires."""
    return {
        "version": "0",
        "id": str(uuid.UUID(entry.event.event_id)),
        "account": account,
        "region": region,
        "source": SOURCE,
        "time": _utc(entry.time_s),
        "resources": [],
        "detail-type": entry.detail_type,
        "detail": orjson.loads(entry.detail),
    }


def _utc(epoch_s: float) -> str:
    """Return a time in EventBridge's format, to the second."""
    return f"{iso(epoch_s * 1000)[:19]}Z"
