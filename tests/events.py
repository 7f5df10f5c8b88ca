"""What tests of the transform share: settings without the environment, events as they come, entries as they leave."""

from typing import Any

import orjson

from stream_router.consumer.transform_config import transform_config
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Dropped, Entry, Event, Record, Transformed
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.settings.consumer import Consumer

IDENTITY = "0123456789abcdef0123456789abcdef"
RECEIVED_MS = 1_795_512_601_007
NOW_MS = 1_795_512_602_999.4
BODY: dict[str, Any] = {
    "interactionId": "int-1",
    "conversationId": "conv-1",
    "eventType": "conversation.updated",
    "timestamp": "2026-11-24T10:30:00.123+01:00",
    "payload": {"queue": "München", "n": 9_007_199_254_740_993},
}


def consumer(**changes: Any) -> Consumer:
    """Settings without the environment."""
    value = {"aws_region": "eu-central-1", "sqs_dlq_url": "https://sqs.invalid/q", **changes}
    return Consumer.model_validate(value)


def config_of(**changes: Any) -> TransformConfig:
    """What such settings mean to the transform."""
    return transform_config(consumer(**changes))


def event(body: object) -> Event:
    """The event of a sealed body; bytes are taken as they are."""
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    (result,) = open_record(Record(seal(IDENTITY, "delivery", RECEIVED_MS, text), 1))
    assert isinstance(result, Event)
    return result


def dead_of(outcome: Event) -> DeadLetter:
    """The dead letter of an event that the bus refused."""
    return DeadLetter(outcome, Reason.REFUSED, "Code", "why")


def transform(body: object, **changes: Any) -> Entry | DeadLetter | Dropped:
    """One body through a transform made for it."""
    return Transform(config_of(**changes), lambda: NOW_MS)(event(body))


def entry(body: object, **changes: Any) -> Entry:
    """The same, of which an entry must come."""
    result = transform(body, **changes)
    assert isinstance(result, Entry), result
    return result


def door(data: bytes, **changes: Any) -> list[Transformed]:
    """All that comes of a record's bytes, opened and sent through a transform made for it."""
    route = Transform(config_of(**changes), lambda: NOW_MS)
    return [route(result) for result in open_record(Record(data, 1, 0, RECEIVED_MS))]


def sent(data: bytes, **changes: Any) -> dict[str, Any]:
    """The Detail of a record that holds one good event."""
    (result,) = door(data, **changes)
    assert isinstance(result, Entry), result
    detail: dict[str, Any] = orjson.loads(result.detail)
    return detail


def code_of(created: Transformed | Event) -> str:
    """Why it is not an entry: a dead letter's code, or that it is dropped; "" of what is well."""
    return created.code if isinstance(created, DeadLetter) else "dropped" if isinstance(created, Dropped) else ""
