"""Dead letters of every form in a fake AWS's queue, and what its stream and its ledger say of a redrive."""

import base64
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import orjson
from botocore.config import Config

from stream_router import limits
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import seal
from stream_router.event_id import event_id
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.sinks.dead_letters.message import LetterMessage, LetterWriter
from tests import command
from tests.fakeaws.process import FakeAwsProcess

RUN_WITHIN_S = 170
PROGRAM = str(Path(sys.executable).parent / "stream-router")
QUEUE_NAME = "cxone-events-dead-letters"
QUEUE = f"https://sqs.us-east-1.amazonaws.com/123456789012/{QUEUE_NAME}"
V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/router/abcdefghijklmnopqrstuvwxy"
TYPES = ("interaction.created", "conversation.updated", "agent.status.changed")
RULE = {
    "Name": "cxone-webhook-router",
    "EventPattern": {
        "source": ["nice.cxone.webhook"],
        "detail-type": list(TYPES),
        "detail": {"eventSource": [{"prefix": "cxone"}]},
    },
    "Targets": ["arn:aws:sqs:us-east-1:123456789012:out"],
}
FORMS = ("base64", "entry", "minimal", "s3", *("base64", "entry", "minimal") * 2, "gzip", "parts")
BEGUN_MS = 1_764_000_000_000


class Made(NamedTuple):
    """One letter that was put into the queue: its event's id, how many messages it has."""

    event_id: str
    messages: int
    conversation_id: str


class Letters:
    """Makes letters whose events are good: they died in an outage."""

    def __init__(self, fake_aws: FakeAwsProcess) -> None:
        self._sqs, self._s3 = client(fake_aws, "sqs"), client(fake_aws, "s3")
        self._writer = LetterWriter("cxone-events", "shardId-000000000000", lambda: BEGUN_MS + 6e4, ordered=False)
        self._number = 0
        self._dice = random.Random(11)

    def put(self, count: int, forms: Sequence[str] = FORMS, **changes: Any) -> list[Made]:
        """Put `count` letters of these forms, in turn; `changes` go into each body of the events."""
        result, batch = [], list[LetterMessage]()
        for _ in range(count):
            item, messages = self._one(forms[self._number % len(forms)], changes)
            result.append(item)
            batch += messages
            if len(batch) >= 200:
                self.send(batch)
                batch = []
        self.send(batch)
        return result

    def _one(self, form: str, changes: dict[str, Any]) -> tuple[Made, list[LetterMessage]]:
        self._number += 1
        number = self._number
        text = self._dice.randbytes(700_000 if form == "parts" else 20).hex() if form != "gzip" else "again " * 200_000
        body = {
            "interactionId": f"i-{number}",
            "conversationId": f"c-{number % 37}",
            "eventType": TYPES[number % 3],
            "timestamp": "2026-11-24T10:30:00.123+01:00",
            "payload": {"n": number, "text": text if form not in ("gzip", "parts") else "short", "name": "Zoë"},
            **changes,
        }
        raw_body = orjson.dumps(body)
        identity = event_id("hmac", f"d-{number}", 0, raw_body)
        # What makes a letter large is white space and added fields: the event itself still fits a call.
        added = orjson.dumps({"filler": text}) if form in ("gzip", "parts") else b""
        raw = seal(identity, "delivery", BEGUN_MS + number, raw_body, b"," + added[1:-1] if added else b"")
        kind, code = str(body["eventType"]), "ThrottlingException"
        event = Event(Record(raw, 10**20 + number), 0, raw, identity, "delivery", BEGUN_MS + number, None)
        letter = DeadLetter(event, Reason.OUTAGE, code, "accepted nothing", 9, raw=raw, event_type=kind)
        result = Made(identity, 1, str(body["conversationId"]))
        if form == "entry":
            entry = Entry(event, kind, b"{}", BEGUN_MS / 1000, 100, "")
            return result, self._writer.write(letter._replace(entry=entry))
        if form == "s3":
            key = f"dead-letters/{number}-0-0"
            self._s3.put_object(Bucket="bucket", Key=key, Body=raw)
            return result, self._writer.write(letter._replace(location=f"s3://bucket/{key}"))
        messages = self._writer.write_parts(letter, minimal=form == "minimal") if form in ("parts", "minimal") else None
        messages = messages or self._writer.write(letter)
        return result._replace(messages=len(messages)), messages

    def send(self, messages: Iterable[LetterMessage]) -> None:
        """Put messages into the queue, as few calls as SQS allows."""
        batch: list[dict[str, Any]] = []
        room = limits.SQS_MESSAGE_BYTES
        for message in messages:
            if len(batch) == 10 or message.size_bytes > room:
                self._flush(batch)
                batch, room = [], limits.SQS_MESSAGE_BYTES
            entry: dict[str, Any] = {"Id": str(len(batch)), "MessageBody": message.body}
            if message.attributes:
                entry["MessageAttributes"] = {
                    name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
                }
            batch.append(entry)
            room -= message.size_bytes
        self._flush(batch)

    def _flush(self, batch: list[dict[str, Any]]) -> None:
        if batch:
            answer = self._sqs.send_message_batch(QueueUrl=QUEUE, Entries=batch)
            assert not answer.get("Failed"), answer


def client(fake_aws: FakeAwsProcess, service: str) -> Any:
    session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    return session.client(service, endpoint_url=fake_aws.url, config=Config(retries={"total_max_attempts": 5}))


def records(kinesis: Any, stream: str, shard: str) -> Iterator[dict[str, Any]]:
    """All records of a shard that are kept, in order. The plan has to keep them."""
    where = {"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    answer = {"NextShardIterator": kinesis.get_shard_iterator(**where)["ShardIterator"], "MillisBehindLatest": 1}
    while answer["MillisBehindLatest"]:
        answer = kinesis.get_records(ShardIterator=answer["NextShardIterator"])
        yield from answer["Records"]


def environment(fake_aws: FakeAwsProcess, **more: str) -> dict[str, str]:
    """What a command reads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STREAM_ROUTER_", "SQS_"))}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": fake_aws.url,
        "SQS_DLQ_URL": QUEUE,
        **more,
    }


def run(fake_aws: FakeAwsProcess, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`stream-router dlq …` to its end."""
    return command.run(environment(fake_aws, **more), "dlq", *words, timeout_s=RUN_WITHIN_S)


def start(fake_aws: FakeAwsProcess, *words: str, **more: str) -> "subprocess.Popen[str]":
    """The same, begun by the console script."""
    return subprocess.Popen(
        [PROGRAM, "dlq", *words],
        env=environment(fake_aws, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(fake_aws: FakeAwsProcess) -> list[dict[str, Any]]:
    """The bodies that are still in the queue."""
    return [orjson.loads(message["body"]) for message in fake_aws.queues().get(QUEUE_NAME, [])]


class Put(NamedTuple):
    """One line on the stream: whose event, what an operator's command says of itself, and the line that it holds."""

    event_id: str
    kind: str
    resubmitted: str
    body: bytes
    record: str


def on_stream(fake_aws: FakeAwsProcess) -> list[Put]:
    """Every line that is on the stream, shard by shard in order. The plan has to keep records."""
    kinesis, result = client(fake_aws, "kinesis"), []
    for shard in kinesis.list_shards(StreamName="cxone-events")["Shards"]:
        for record in records(kinesis, "cxone-events", shard["ShardId"]):
            for value in map(orjson.loads, record["Data"].split(b"\n")):
                kind = value.get("kind", "")
                body = base64.b64decode(value["body"]) if kind == "line" else orjson.dumps(value["body"])
                result.append(Put(value["id"], kind, value.get("resubmitted", ""), body, record["SequenceNumber"]))
    return result


def assert_stored_before_deleted(fake_aws: FakeAwsProcess) -> int:
    """For each message that was deleted the ledger has its event's record before it. How many were deleted."""
    stored: set[str] = set()
    deleted = 0
    for line in fake_aws.lines():
        operation, verdict = line["operation"], line["verdict"]
        if operation == "PutRecords" and verdict == "accepted":
            stored.update(line.get("eventIds") or [line.get("eventId", "")])
        elif operation == "DeleteMessageBatch" and verdict in ("accepted", "accepted_then_dropped"):
            deleted += 1
            assert line["eventId"] in stored, f"{line['eventId']} was deleted and is not on the stream"
    return deleted
