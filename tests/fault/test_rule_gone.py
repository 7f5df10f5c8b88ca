"""A rule that takes no events, under load and with the real daemon: it is said, nothing is lost, nobody has to help."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.background import Background
from tests.daemon import envelope
from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.fakeaws_world import started, table
from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(600)]

RATE = 200
RULES_WORK_AFTER_S = 20.0
"""What AWS may take, after a change, until events meet it."""

NARROWED = {"source": ["nice.cxone.webhook"], "detail-type": ["agent.status.changed"]}
FAULTS: dict[str, list[dict[str, Any]]] = {
    "deleted": [],
    "disabled": [{**RULE, "State": "DISABLED"}],
    "robbed of its target": [{**RULE, "Targets": []}],
    "narrowed": [{**RULE, "EventPattern": NARROWED}],
}


def plan(rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bus_rules": rules, "bus_rules_delay_s": RULES_WORK_AFTER_S}


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", plan([RULE])) as fake_aws:
        yield fake_aws


class Feed(Background):
    """Puts events into the stream at RATE, until closed; `sent` are their ids."""

    def __init__(self, world: World) -> None:
        self.sent: set[str] = set()
        self._world = world
        super().__init__()

    def run(self) -> None:
        number = 0
        while not self.stopped.wait(0.1):
            numbers = range(number, number + RATE // 10)
            number += len(numbers)
            records = [{"Data": b"\n".join(map(envelope, numbers)), "PartitionKey": f"bucket-{number}"}]
            self._world.kinesis.put_records(StreamName="cxone-events", Records=records)
            self.sent |= {f"{item:032x}" for item in numbers}


def log_lines(world: World, event: str) -> list[dict[str, Any]]:
    """The consumer's lines of this event."""
    result = []
    for line in (world.folder / "consume.log").read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):
            result.append(json.loads(line))
    return [line for line in result if isinstance(line, dict) and line.get("event") == event]


def at_the_target(bus: FakeAwsProcess) -> set[str]:
    return {line["eventId"] for line in bus.lines("PutEvents", "accepted")}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_takes_nothing_for_a_minute_costs_no_event(
    make_world: Callable[..., World], bus: FakeAwsProcess, fault: str
) -> None:
    """Said within ten seconds, nothing published while it is known, and all at the target once it is right again."""
    world = started(make_world, bus)
    with Feed(world) as feed:
        until(lambda: len(at_the_target(bus)) > 5 * RATE, 60, "events flow")
        begun = time.monotonic()
        bus.plan(plan(FAULTS[fault]))
        until(lambda: bool(log_lines(world, "rule-unmatched")), 10, "it is said")
        time.sleep(2.0)
        held_from_ms = time.time() * 1000
        time.sleep(max(0.0, begun + 60.0 - time.monotonic()))
        assert not [line for line in bus.lines("PutEvents") if line["time"] > held_from_ms]
        bus.plan(plan([RULE]))
        right_again = time.monotonic()
        until(lambda: bool(log_lines(world, "rule-proven-again")), 75, "it counts again")
        assert time.monotonic() - right_again > 55
    until(lambda: feed.sent <= at_the_target(bus), 120, "all is at the target")
    assert bus.lines("PutEvents", "void"), "the gap was real"


def test_a_rule_that_is_missing_at_the_start_is_waited_for(
    make_world: Callable[..., World], bus: FakeAwsProcess
) -> None:
    """No daemon is started, no shard taken; a minute after the rule is there everything is at the target."""
    bus.plan(plan([]))
    endpoints = {f"AWS_ENDPOINT_URL_{name}": bus.url for name in ("EVENTBRIDGE", "SQS", "CLOUDWATCH")}
    world = make_world(**endpoints, SQS_DLQ_URL=f"{bus.url}/123456789012/dead-letters")
    world.start_stack()
    world.kinesis.create_stream(StreamName="cxone-events", ShardCount=2)
    assert table(world)
    world.consumer = world.start("consume", PROGRAM, "consume")
    until((world.folder / "consume.log").exists, 10, "it starts")
    until(lambda: bool(log_lines(world, "consumer-starts")), 30, "it starts")
    until(lambda: bool(log_lines(world, "rule-unmatched")), 10, "it is said")
    with Feed(world) as feed:
        time.sleep(10.0)
        assert not bus.lines("PutEvents")
        bus.plan(plan([RULE]))
        until(lambda: bool(at_the_target(bus)), 180, "events flow")
    until(lambda: feed.sent <= at_the_target(bus), 120, "all is at the target")
    assert not bus.lines("PutEvents", "void")


def test_a_rule_that_is_deleted_while_nothing_flows_costs_no_event(
    make_world: Callable[..., World], bus: FakeAwsProcess
) -> None:
    """An idle consumer checks once a minute; a first event is checked at once, and sent again if no rule took it."""
    world = started(make_world, bus)
    until(lambda: bus.stats()["calls"].get("DescribeRule", 0) >= 1, 60, "the rule is checked")
    time.sleep(10.0)
    idle_from = bus.stats()["calls"]
    time.sleep(130.0)
    checks = bus.stats()["calls"]["DescribeRule"] - idle_from["DescribeRule"]
    assert 1 <= checks <= 3
    put(world, 0)
    until(lambda: bool(at_the_target(bus)), 10, "the first event is at the target")
    until(lambda: bus.stats()["calls"]["DescribeRule"] > idle_from["DescribeRule"] + checks, 7, "it is checked")
    until(lambda: any(int(checkpoint) > 0 for checkpoint in checkpoints(world)), 10, "it is checkpointed")
    bus.plan(plan([]))
    put(world, 1)
    until(lambda: bool(bus.lines("PutEvents", "void")), 10, "the second event is void")
    until(lambda: bool(log_lines(world, "rule-unmatched")), 10, "it is reported")
    bus.plan(plan([RULE]))
    until(lambda: f"{1:032x}" in at_the_target(bus), 180, "the second event is at the target")


def put(world: World, number: int) -> None:
    """Put one event into the stream."""
    records = [{"Data": envelope(number), "PartitionKey": f"bucket-{number}"}]
    world.kinesis.put_records(StreamName="cxone-events", Records=records)


def checkpoints(world: World) -> list[str]:
    """The checkpoints of the lease table that are sequence numbers."""
    rows = table(world).scan(TableName="cxone-event-router")["Items"]
    result = [row["checkpoint"]["S"] for row in rows if "checkpoint" in row]
    return [text for text in result if text.isdecimal()]
