"""What `dlq show --undelivered --payload` shows of an event: masked as what would be published."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_router.operate.queue import Message
from stream_router.operate.undelivered import Undelivered
from stream_router.pipeline.masking import policy_file
from tests.events import BODY, entry


def shown(detail: dict[str, Any], source: str = "nice.cxone.webhook", policy: str = "default") -> dict[str, Any]:
    """The Detail of an event in EventBridge's own dead-letter queue, as it is shown."""
    body = orjson.dumps({"source": source, "detail-type": "t", "detail": detail}).decode()
    one = Undelivered(Message({"MessageId": "m", "ReceiptHandle": "r", "Body": body}, 0.0))
    transform: Any = SimpleNamespace(policy=policy_file.load(policy, None))
    found: dict[str, Any] = orjson.loads(one.masked(transform, body.encode()))
    return found


def sent(**more: Any) -> dict[str, Any]:
    detail: dict[str, Any] = orjson.loads(entry({**BODY, "payload": {"motto": "canary"}, **more}).detail)
    return detail


def test_all_that_came_from_the_sender_is_masked() -> None:
    """The payload, the ids and what stood beside the default shape's fields; what we wrote ourselves stays."""
    detail = sent(customerName="canary", conversationId="canary@x.example")
    assert b"canary" in orjson.dumps(detail["extensions"])
    found = shown(dict(detail))
    assert b"canary" not in orjson.dumps(found)
    assert found["eventId"] == detail["eventId"]
    assert found["metadata"] == detail["metadata"]


def test_an_event_whose_payload_lies_in_s3_is_masked_too() -> None:
    """It has the reference in the payload's place."""
    detail = sent(customerName="canary")
    del detail["payload"]
    found = shown({**detail, "payloadRef": {"bucket": "b"}})
    assert b"canary" not in orjson.dumps(found)
    assert found["payloadRef"] == {"bucket": "b"}
    assert "payload" not in found


@pytest.mark.parametrize("source", ["nice.cxone.webhook", "shop.orders"])
def test_of_anybody_elses_event_everything_is_masked(source: str) -> None:
    """Its fields are not ours, whatever they are called: the whole of it is taken for a payload."""
    assert b"canary" not in orjson.dumps(shown({"payload": "canary", "buyer": {"motto": "canary"}}, source))
