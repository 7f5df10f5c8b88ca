"""Reads SQS queues of an emulator empty."""

import json
from typing import Any


def drain(sqs: Any, url: str) -> list[dict[str, Any]]:
    """The bodies of all messages that are in the queue now, taken out."""
    bodies: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [json.loads(message["Body"]) for message in messages]
        handles = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    return bodies
