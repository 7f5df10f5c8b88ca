"""A stream whose events had every fate there is, under faults: two children over the fake AWS, whose ledger knows."""

import base64
import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests import command, dead_letters, kpl
from tests.daemon import Child, envelope, prove
from tests.dead_letters import PROGRAM, RULE, TYPES
from tests.fakeaws.process import FakeAwsProcess

STREAM, APPLICATION = "cxone-events", "cxone-event-router"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
FAULTS = [
    {"fault": "entry_error", "operation": "PutEvents", "code": "MalformedDetail", "where": "refuse-me"},
    {"fault": "entry_error", "operation": "PutEvents", "code": "InternalFailure", "rate": 0.03},
    {"fault": "reset", "operation": "PutEvents", "rate": 0.02},
    {"fault": "call_error", "operation": "PutEvents", "code": "ThrottlingException", "rate": 0.02},
    {"fault": "entry_error", "operation": "SendMessageBatch", "code": "InternalError", "rate": 0.03},
]
SHARDS = ("shardId-000000000000", "shardId-000000000001")
LINES = 7
"""Events of one record: fates stand beside each other."""


def line(number: int, fate: str) -> bytes:
    """One event's line; what its fate takes is in it. Its id is its number."""
    fields: dict[str, Any] = {"interactionId": f"int-{number}", "conversationId": f"{fate}-conv"}
    if fate in ("malformed", "gone"):
        return envelope(number, timestamp="yesterday", **fields)
    if fate == "unroutable":
        return envelope(number, eventType="unheard.of", **fields)
    if fate == "refused":
        return envelope(number, payload={"text": "refuse-me"}, **fields)
    if fate == "dropped":
        return envelope(number, eventType="typing.started", **fields)
    return envelope(number, eventType=TYPES[number // 3 % 3], **fields)


class EventWorld:
    """The world. `ids` has the ids by the fate that they were made for; the ledger says what became of them."""

    def __init__(self, fake_aws: FakeAwsProcess, folder: Path, count: int) -> None:
        self.fake_aws, self.folder, self.count = fake_aws, folder, count
        self.ids: dict[str, list[str]] = {}
        self.settings = {"STREAM_ROUTER_DROP_TYPES": "typing.started"}
        self._numbers = itertools.count(1)
        self.kinesis, self.dynamodb, self.sqs = (
            dead_letters.client(fake_aws, service) for service in ("kinesis", "dynamodb", "sqs")
        )
        self._fed: dict[str, int] = dict.fromkeys(SHARDS, 0)
        self.children: dict[str, Child] = {}

    def plan(self, **more: Any) -> None:
        settings = {"keep_records": True, "shards": 2, "shard_limits": False, "bus_rules": [RULE]}
        self.fake_aws.plan({**settings, **more})

    def put(self, *fates: str) -> None:
        """`count` events of each fate, mixed, several in a record, over both shards."""
        lines = []
        for _ in range(self.count):
            for fate in fates:
                number = next(self._numbers)
                self.ids.setdefault(fate, []).append(f"{number:032x}")
                lines.append(line(number, fate))
        self.put_records([b"\n".join(lines[at : at + LINES]) for at in range(0, len(lines), LINES)])

    def put_passed_over(self) -> None:
        """An aggregated record whose hash keys are no numbers: the KCL hands it to nobody."""
        self.ids["passed over"] = result = [f"{next(self._numbers):032x}" for _ in range(self.count)]
        datas = [(f"key-{n}", line(int(item, 16), "passed over")) for n, item in enumerate(result)]
        self.put_records([kpl.aggregated(datas, hash_keys=["no number"] * len(datas))])

    def put_records(self, datas: Sequence[bytes]) -> None:
        for at in range(0, len(datas), 400):
            records = [
                {"Data": data, "PartitionKey": "k", "ExplicitHashKey": str(n % 2 * 2**127)}
                for n, data in enumerate(datas[at : at + 400])
            ]
            assert not self.kinesis.put_records(StreamName=STREAM, Records=records)["FailedRecordCount"]

    def start(self) -> None:
        for shard in SHARDS:
            folder = self.folder / shard
            folder.mkdir()
            prove(folder)
            child = Child(self.fake_aws.url, folder, SQS_DLQ_URL=QUEUE, **self.settings)
            child.initialize(shard=shard)
            self.children[shard] = child

    def feed(self) -> None:
        """What is new goes to the children, as the KCL hands it over; until it is settled."""
        for shard, child in self.children.items():
            new = [item for item in self.kept(shard) if int(item["sequenceNumber"]) > self._fed[shard]]
            for at in range(0, len(new), 100):
                child.begin(new[at : at + 100])
                child.done("processRecords")
            if new:
                self._fed[shard] = child.sequence = int(new[-1]["sequenceNumber"])
                child.settle(120)

    def kept(self, shard: str) -> list[dict[str, Any]]:
        """The records of a shard, as the daemon writes them, but those that the KCL passes over."""
        return [
            {
                "action": "record",
                "data": base64.b64encode(record["Data"]).decode(),
                "partitionKey": "k",
                "sequenceNumber": record["SequenceNumber"],
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": int(record["ApproximateArrivalTimestamp"].timestamp() * 1000),
            }
            for record in dead_letters.records(self.kinesis, STREAM, shard)
            if not record["Data"].startswith(kpl.MAGIC)
        ]

    def write_leases(self) -> None:
        """The children's checkpoints, where the KCL would have them; and rows that are no leases."""
        for shard, child in self.children.items():
            sequence, sub = child.checkpoints[-1]
            self.put_lease(shard, str(sequence), int(sub or 0))
        leader = {"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "12345"}}
        self.dynamodb.put_item(TableName=APPLICATION, Item=leader)

    def put_lease(self, shard: str, checkpoint: str, sub: int = 0) -> None:
        row = {
            "leaseKey": {"S": shard},
            "checkpoint": {"S": checkpoint},
            "checkpointSubSequenceNumber": {"N": str(sub)},
            "entityType": {"S": "LEASE"},
        }
        self.dynamodb.put_item(TableName=APPLICATION, Item=row)

    def leases(self) -> dict[str, str]:
        """The checkpoints as the table has them."""
        rows = self.dynamodb.get_paginator("scan").paginate(TableName=APPLICATION).build_full_result()["Items"]
        return {row["leaseKey"]["S"]: row["checkpoint"]["S"] for row in rows}

    def purge_letters(self, ids: Iterable[str]) -> None:
        """Take these letters out of the queue, as a redrive or a purge would."""
        wanted = set(ids)
        until = time.monotonic() + 60
        while wanted:
            assert time.monotonic() < until, f"{len(wanted)} letters are not there"
            answer = self.sqs.receive_message(QueueUrl=QUEUE, MaxNumberOfMessages=10, VisibilityTimeout=20)
            for message in answer.get("Messages", []):
                identity = json.loads(message["Body"])["origin"]["eventId"]
                handle = {"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}
                if identity in wanted:
                    wanted.discard(identity)
                    self.sqs.delete_message_batch(QueueUrl=QUEUE, Entries=[handle])
        self.fake_aws.queues(show_all=True)

    def close(self) -> None:
        for child in self.children.values():
            child.__exit__()

    def environment(self, **more: str) -> dict[str, str]:
        """What a command reads."""
        return dead_letters.environment(self.fake_aws, **{"SQS_DLQ_URL": QUEUE, **self.settings, **more})

    def run(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """`stream-router …` to its end."""
        return command.run(self.environment(**more), *words, timeout_s=170)

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """The same, begun by the console script."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([PROGRAM, *words], env=self.environment(), **pipes)

    def until(self, is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait for it; fail where it does not come."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def truth(self) -> dict[str, set[str]]:
        """The fates by the ledger: accepted, letters that are there, letters that were taken out, undelivered."""
        accepted = {
            check_result["eventId"]
            for check_result in self.fake_aws.lines("PutEvents")
            if check_result["verdict"].startswith("accepted")
        }
        letters = {event["eventId"] for event in self.fake_aws.lines("SendMessageBatch", "accepted")}
        queues = {
            name: [json.loads(message["body"]) for message in there] for name, there in self.fake_aws.queues().items()
        }
        there = {letter["origin"]["eventId"] for letter in queues.get("dead-letters", [])}
        undelivered = {event["detail"]["eventId"] for event in queues.get(f"{STREAM}-undelivered", [])}
        truth = {"accepted": accepted - undelivered, "letters": there, "gone": letters - there}
        return truth | {"undelivered": undelivered}


def parse_fates(output: str) -> dict[str, str]:
    """What `find` says of each event: its verdict."""
    result: dict[str, str] = {}
    identity = ""
    for item in output.splitlines():
        if not item.startswith(" "):
            identity = item.split("  ")[0]
        elif item.startswith("  verdict"):
            result[identity] = item.removeprefix("  verdict").strip()
    return result
