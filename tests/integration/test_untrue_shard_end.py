"""Where Kinesis says once that it does not know a shard the KCL ends that shard: the child does not."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router.model import SOURCE
from tests import queues, supervised
from tests.daemon import envelope
from tests.daemon_world import World
from tests.scripted_ministack import script_answer

UNKNOWN = {"__type": "ResourceNotFoundException", "message": "told"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    result = World(tmp_path, "tests.scripted_ministack")
    result.environment |= {supervised.OWN_CHILD: "yes", "STREAM_ROUTER_CHECKPOINT_S": "1"}
    yield result
    result.close()


class Target:
    """A queue behind a rule for every event of ours."""

    def __init__(self, world: World) -> None:
        self._sqs, events = world.client("sqs"), world.client("events")
        self._url = self._sqs.create_queue(QueueName="target")["QueueUrl"]
        rule = {"Name": "cxone-webhook-router", "EventPattern": json.dumps({"source": [SOURCE]})}
        events.put_rule(**rule)
        arn = "arn:aws:sqs:us-east-1:000000000000:target"
        events.put_targets(Rule=rule["Name"], Targets=[{"Id": "1", "Arn": arn}])
        self.arrived: list[str] = []

    def has(self, *numbers: int) -> bool:
        """Whether these events arrived."""
        self.arrived += [event["detail"]["eventId"] for event in queues.drain(self._sqs, self._url)]
        return {f"{number:032x}" for number in numbers} <= set(self.arrived)


def put(world: World, *numbers: int) -> set[str]:
    """The last sequence number of each shard."""
    records = [{"Data": envelope(n), "PartitionKey": f"key-{n}"} for n in numbers]
    answer = world.kinesis.put_records(StreamName="cxone-events", Records=records)
    return set({record["ShardId"]: record["SequenceNumber"] for record in answer["Records"]}.values())


def checkpoints(world: World) -> set[str]:
    rows: list[dict[str, Any]] = world.client("dynamodb").scan(TableName="cxone-event-router")["Items"]
    return {row["checkpoint"]["S"] for row in rows if row["leaseKey"]["S"].startswith("shardId")}


def test_a_shard_that_kinesis_does_not_know_once_is_read_on(world: World) -> None:
    """Its child asks what comes after its last record, and leaves: no SHARD_END, and nothing comes from the start."""
    target = Target(world)
    process = world.consume()
    last = put(world, *range(20))
    world.until(lambda: target.has(*range(20)), 60, "the first events")
    world.until(lambda: checkpoints(world) == last, 10, "their checkpoints")
    script_answer(world.answers, "GetRecords", 400, UNKNOWN)
    world.until(lambda: "the KCL ended a shard that is open" in world.lines(), 30, "a shard's untrue end")
    put(world, *range(20, 40))
    world.until(lambda: target.has(*range(40)), 60, "the events after it")
    assert "SHARD_END" not in checkpoints(world)
    assert len(target.arrived) == 40
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
