"""The main job, on real parts: receiver, Kinesis API, KCL daemon, its children, EventBridge rule, SQS."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.world import World, original, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

DETAIL = {
    "correlationId", "eventId", "eventSource", "eventType", "originalEventId", "conversationId", "eventTimestamp",
    "receivedAt", "processedAt", "sourceSystem", "routingVersion", "payload", "metadata",
}  # fmt: skip


def test_webhooks_come_out_at_the_target_and_garbage_in_the_dead_letters(make_world: Callable[..., World]) -> None:
    """Every accepted event arrives exactly as the contract says it looks; what cannot be one is buried, and why."""
    world = make_world()
    world.start_all()
    sent = world.post_many(60, rate=100)
    assert world.post("broken", b'{"interactionId":').status_code == 400
    assert world.http.post("/v1/events", content=webhook(0)).status_code == 401
    garbage = b"\xff\xfenot JSON at all"
    stray = webhook(1, eventType="agent.lunch.started")
    for data in (garbage, stray):
        world.kinesis.put_record(StreamName="cxone-events", PartitionKey="x", Data=data)

    arrived: list[dict[str, Any]] = []
    letters: list[dict[str, Any]] = []

    def settled() -> bool:
        arrived.extend(world.drain(world.target))
        letters.extend(world.drain(world.dead_letters))
        return len(arrived) >= len(sent) and len(letters) >= 2

    until(settled, 60, "everything came out")
    world.consumer.terminate()
    assert world.consumer.wait(30) == 0
    world.receiver.terminate()
    assert world.receiver.wait(15) == 0
    assert not world.drain(world.target), "nothing came twice"

    assert {event["detail"]["eventId"] for event in arrived} == sent.keys()
    for event in arrived:
        _looks_right(event, json.loads(sent[event["detail"]["eventId"]]))
    assert {letter["reason"]: original(letter) for letter in letters} == {
        "malformed_json": garbage,
        "unroutable": stray,
    }


def _looks_right(event: dict[str, Any], body: dict[str, Any]) -> None:
    """An event at the target, against the body that was posted."""
    detail = event["detail"]
    assert event["source"] == "nice.cxone.webhook"
    assert event["detail-type"] == detail["eventType"] == body["eventType"]
    assert detail.keys() == DETAIL
    assert detail["correlationId"].replace("-", "") == detail["eventId"]
    assert detail["originalEventId"] == body["interactionId"]
    assert detail["conversationId"] == body["conversationId"]
    assert detail["eventTimestamp"] == "2026-11-24T09:30:00.123Z"
    assert detail["payload"] == body["payload"]
    assert detail["eventSource"] == "cxone.webhook"
    assert detail["metadata"]["complianceTag"] == "unmasked"
    assert detail["receivedAt"] <= detail["processedAt"]
