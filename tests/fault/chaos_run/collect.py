"""Reads what a run left behind into evidence: the fake AWS's ledger, and the stream itself."""

import base64
from collections.abc import Iterator
from typing import Any

import orjson

from tests.fakeaws.process import FakeAwsProcess
from tests.fault.chaos_run.evidence import Delivery, Evidence, Letter, Record
from tests.fault.chaos_run.world import SPILL_QUEUE, STREAM, ChaosWorld

ENDS = ("PutEvents", "SendMessageBatch")
TOOK = {"accepted": True, "accepted_then_dropped": False}
"""The verdicts of what was taken, and whether the caller got an answer."""


def read_ledger(world: ChaosWorld, evidence: Evidence) -> None:
    """Deliveries, refusals (of dead letters too) and dead letters, in the order in which they happened."""
    for line in world.fake_aws.lines():
        if line["index"] < 0 or not _is_end(line):
            continue
        at, event_id, is_answered = line["time"] / 1000, line.get("eventId", ""), TOOK.get(line["verdict"])
        if is_answered is None:
            evidence.refusals.append((at, event_id, line.get("code", "")))
        elif line["operation"] == "PutEvents":
            evidence.deliveries.append(Delivery(at, event_id, is_answered, orjson.loads(line["payload"])))
        else:
            letter = orjson.loads(line["payload"])
            data = base64.b64decode(letter["record"]["data"])
            evidence.letters.append(Letter(at, event_id, is_answered, letter["reason"], data))


def _is_end(line: dict[str, Any]) -> bool:
    """Return whether a line tells of an event or of a dead letter, and not of what the receiver puts into its spill."""
    return line["operation"] in ENDS and line["target"].rpartition("/")[2] != SPILL_QUEUE


class Settled:
    """The events that are settled by now: follows the ledger."""

    def __init__(self, fake_aws: FakeAwsProcess) -> None:
        self._fake_aws = fake_aws
        self._seen = 0
        self._ids: set[str] = set()

    def look(self) -> set[str]:
        """Read on."""
        new = self._fake_aws.lines_from(self._seen)
        self._seen += len(new)
        ends = (line for line in new if line["verdict"] in TOOK and _is_end(line))
        self._ids |= {line.get("eventId", "") for line in ends}
        return self._ids


def read_stream(world: ChaosWorld) -> list[Record]:
    """Every record of every shard, ended ones too."""
    return [record for shard in world.shards() for record in _read_shard(world.kinesis, shard["ShardId"])]


def _read_shard(kinesis: Any, shard: str) -> Iterator[Record]:
    named = {"StreamName": STREAM, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(**named)["ShardIterator"]
    while iterator:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=2_000)
        for record in answer["Records"]:
            ids = tuple(orjson.loads(line)["id"] for line in record["Data"].split(b"\n"))
            arrived = record["ApproximateArrivalTimestamp"].timestamp()
            yield Record(shard, int(record["SequenceNumber"]), ids, arrived)
        if not answer["Records"] and not answer.get("MillisBehindLatest"):
            return
        iterator = answer.get("NextShardIterator")
