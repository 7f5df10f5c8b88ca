"""Reads what came out: the events at the rule's target and the dead letters, straight from their queues."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from stream_router.aws.endpoints import json_target
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer

CALL_TIMEOUT_S = 20.0
LONG_POLL_S = 1


class Arrival(NamedTuple):
    """One event at the target: who it is, and when it was where (epoch ms; `at_target_ms` is the queue's own stamp)."""

    event_id: str
    correlation_id: str
    received_ms: float
    processed_ms: float
    at_target_ms: float


class QueueReader:
    """Empties one SQS queue over the libcurl transport: several calls in flight, everything read is deleted.

    `take` gets each message (body parsed) as soon as it is here. Pumped by its owner.
    """

    def __init__(self, transport: Transport, endpoint: str, queue_url: str, take: Callable[[Any, float], None]) -> None:
        self._transport = transport
        self._receive = json_target(endpoint, "sqs", "AmazonSQS.ReceiveMessage", "1.0")
        self._delete = json_target(endpoint, "sqs", "AmazonSQS.DeleteMessageBatch", "1.0")
        self._queue_url = queue_url
        self._take = take
        self._receiving = 0
        self.quiet = 0
        """Empty answers in a row."""

    def keep_reading(self, calls: int) -> None:
        """Have `calls` ReceiveMessage calls under way."""
        while self._receiving < calls:
            self._receiving += 1
            body = {
                "QueueUrl": self._queue_url,
                "MaxNumberOfMessages": 10,
                "WaitTimeSeconds": LONG_POLL_S,
                "VisibilityTimeout": 600,
                "AttributeNames": ["SentTimestamp"],
            }
            self._transport.start(self._receive, orjson.dumps(body), CALL_TIMEOUT_S, self._received)

    def _received(self, answer: Answer) -> None:
        self._receiving -= 1
        messages = orjson.loads(answer.body).get("Messages") or [] if answer.status == 200 else []
        self.quiet = 0 if messages or answer.status != 200 else self.quiet + 1
        for message in messages:
            self._take(orjson.loads(message["Body"]), float(message["Attributes"]["SentTimestamp"]))
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            body = orjson.dumps({"QueueUrl": self._queue_url, "Entries": entries})
            self._transport.start(self._delete, body, CALL_TIMEOUT_S, lambda _: None)


def arrival(event: dict[str, Any], sent_ms: float) -> Arrival:
    """What a message at the target says."""
    detail = event["detail"]
    received, processed = _epoch_ms(detail["receivedAt"]), _epoch_ms(detail["processedAt"])
    return Arrival(detail["eventId"], detail["correlationId"], received, processed, sent_ms)


def _epoch_ms(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() * 1000
