"""The loop that teams write today: pydantic, a dict, boto3's `put_events`, ten entries a call. Prints CPU per event.

`python -m benchmarks.peers.boto3_loop URL EVENTS`
"""

import sys
import time
from typing import Any

import boto3
import orjson
from pydantic import BaseModel

from benchmarks import events

BATCH = 10


class Event(BaseModel):
    interactionId: str  # noqa: N815 - the sender's name
    conversationId: str  # noqa: N815 - the sender's name
    eventType: str  # noqa: N815 - the sender's name
    timestamp: str
    payload: dict[str, Any]


def transform(text: bytes) -> dict[str, Any]:
    event = Event.model_validate_json(text)
    detail = {
        "correlationId": "6f1c7f0e-7d6b-4d0b-9f6e-1a2b3c4d5e6f",
        "eventSource": "cxone.webhook",
        "eventType": event.eventType,
        "originalEventId": event.interactionId,
        "conversationId": event.conversationId,
        "eventTimestamp": event.timestamp,
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": event.payload,
        "metadata": {"enrichmentPipeline": "x", "complianceTag": "unmasked", "region": "us-east-1"},
    }
    return {
        "Source": "nice.cxone.webhook",
        "DetailType": event.eventType,
        "Detail": orjson.dumps(detail).decode(),
        "EventBusName": "default",
    }


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    client = session.client("events", endpoint_url=url)
    texts = [events.body(number) for number in range(count)]
    client.put_events(Entries=[transform(texts[0])])
    cpu, wall = time.process_time(), time.perf_counter()
    for at in range(0, count, BATCH):
        answer = client.put_events(Entries=[transform(text) for text in texts[at : at + BATCH]])
        assert not answer["FailedEntryCount"]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(orjson.dumps({"cpuUs": cpu / count * 1e6, "wallUs": wall / count * 1e6}).decode())


if __name__ == "__main__":
    main()
