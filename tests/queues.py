"""Reads SQS queues of an emulator empty."""

import json
from collections.abc import Iterator
from typing import Any


def batches(sqs: Any, url: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the bodies of the messages of each receive until the queue is empty. They are deleted first."""
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        handles = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=handles)
        yield [json.loads(message["Body"]) for message in messages]


def drain(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Return the bodies of all messages that are in the queue now, and delete them."""
    return [body for bodies in batches(sqs, url) for body in bodies]


def peek(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Return all messages that nobody holds, as SQS gives them, and show them to other readers again."""
    messages: list[dict[str, Any]] = []
    while batch := sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=300,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=["All"],
    ).get("Messages"):
        messages += batch
    for first in range(0, len(messages), 10):
        handles = [
            {"Id": str(at), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for at, message in enumerate(messages[first : first + 10])
        ]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=handles)
    return messages
