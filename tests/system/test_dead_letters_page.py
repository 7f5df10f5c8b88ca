"""docs/dead-letters.md, tried line by line on the embedded stack."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import queues
from tests.system.test_tutorial import SHELL_BLOCK, Reader

PAGE = (Path(__file__).parents[2] / "docs" / "dead-letters.md").read_text("utf-8")

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    made.blocks = [(found[1], found[2].splitlines()) for found in SHELL_BLOCK.finditer(PAGE)]
    yield made
    for terminal in reversed(made.terminals.values()):
        terminal.close()


def test_the_page_from_its_first_command_to_its_last(reader: Reader, tmp_path: Path) -> None:
    """Dead letters are counted, mended by a setting and by hand, redriven; EventBridge's own ones too."""
    stack = reader.type_next()
    reader.env_file = stack.wait_for(r"in each other terminal, first: \. (\S+)$")[1]
    stack.wait_for("STREAM_ROUTER_WEBHOOK_SECRETS=")
    reader.type_next().wait_for("the receiver serves")
    reader.type_next().wait_for("shard taken up")
    hand = reader.type_next()
    hand.wait_for("202 accepted")
    # The page's reader looks again where the consumer has not come so far.
    listing = reader.blocks[0]
    reader.type_next()
    while "5" not in hand.wait_for(r"looked at \d+")[0]:
        reader.blocks.insert(0, listing)
        reader.type_next()
    hand.wait_for("5  unroutable  UnroutableEventType  order.created")
    reader.type_next()
    hand.wait_for(r"5  a dead letter: unroutable \(UnroutableEventType\)")
    reader.type_next()
    hand.wait_for("5  published  order.created")
    reader.terminals["terminal 3"].interrupt()
    consumer = reader.type_next()
    consumer.wait_for("shard taken up")
    reader.type_next()
    hand.wait_for("^put back on the stream 5;")
    events = _drain(reader, "local-target", 5)
    reader.type_next()
    hand.wait_for("202 accepted")
    _until_depth(reader, "cxone-events-dead-letters", 2)
    reader.type_next()
    hand.wait_for("exported 2 dead letters to letters.jsonl")
    hand.wait_for("2 edited")
    hand.wait_for("^put back on the stream 2;")
    events += _drain(reader, "local-target", 2)
    reader.type_next()
    hand.wait_for("looked at 0")
    assert not reader.blocks
    assert (tmp_path / "letters.jsonl").stat().st_mode & 0o777 == 0o600
    assert [event["eventType"] for event in events] == ["order.created"] * 7
    assert len({event["eventId"] for event in events}) == 7
    assert sum("replayed" in event["metadata"] for event in events) == 2
    _redrive_undelivered(reader, hand, events[0])


def _redrive_undelivered(reader: Reader, hand: Any, detail: dict[str, Any]) -> None:
    """What EventBridge would put there, put there by hand: the embedded stack's target takes everything."""
    sqs = _sqs(reader)
    body = {
        "version": "0", "id": "1", "account": "000000000000", "time": "2026-11-25T10:00:00Z", "region": "us-east-1",
        "resources": [], "source": "nice.cxone.webhook", "detail-type": detail["eventType"], "detail": detail,
    }  # fmt: skip
    said = {
        "ERROR_CODE": "NO_PERMISSIONS",
        "RULE_ARN": "arn:aws:events:us-east-1:0:rule/r",
        "TARGET_ARN": "arn:aws:sqs:x",
    }
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    url = sqs.get_queue_url(QueueName="cxone-events-undelivered")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body), MessageAttributes=attributes)
    hand.type("stream-router dlq list --undelivered")
    hand.wait_for("1  NO_PERMISSIONS  order.created")
    hand.type("stream-router dlq redrive --undelivered")
    hand.wait_for(r"every rule of the bus that matches gets these events again")
    hand.wait_for("^put back on the stream 1;")
    assert _drain(reader, "local-target", 1) == [detail]


def _sqs(reader: Reader) -> Any:
    session: Any = boto3.session.Session("test", "test", region_name="us-east-1")
    return session.client("sqs", endpoint_url=reader.stack_url)


def _until_depth(reader: Reader, queue: str, wanted: int) -> None:
    sqs, deadline = _sqs(reader), time.monotonic() + 60
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    name = "ApproximateNumberOfMessages"
    while int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _drain(reader: Reader, queue: str, count: int) -> list[dict[str, Any]]:
    """The Details of what arrives there, so many."""
    sqs = _sqs(reader)
    details: list[dict[str, Any]] = []
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    deadline = time.monotonic() + 60
    while len(details) < count and time.monotonic() < deadline:
        details += [body["detail"] for body in queues.drain(sqs, url)]
    return details
