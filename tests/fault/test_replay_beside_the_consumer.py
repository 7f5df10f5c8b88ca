"""`replay` while the real consumer works: what comes out again, and what it costs the events that come meanwhile."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from stream_router.fakeaws.process import FakeAwsProcess
from stream_router.local import leases
from tests.dead_letters import RULE
from tests.system.conftest import make_world
from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

RATE, SECONDS = 40, 25
REPLAYED = 600
MOST = 1.5

__all__ = ["make_world"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}, 1, "--payloads", "--delay-ms", "20") as fake_aws:
        yield fake_aws


def started(make_world: Callable[..., World], bus: FakeAwsProcess) -> World:
    """Receiver and consumer; stream and leases in ministack, the bus and the queues in the fake AWS."""
    endpoints = {f"AWS_ENDPOINT_URL_{name}": bus.url for name in ("EVENTBRIDGE", "SQS", "CLOUDWATCH")}
    world = make_world(**endpoints, SQS_DLQ_URL=f"{bus.url}/123456789012/dead-letters")
    world.start_stack()
    world.kinesis.create_stream(StreamName="cxone-events", ShardCount=2)
    leases.seed(world.kinesis, table(world), "cxone-events", "cxone-event-router")
    world.consumer = world.start("consume", PROGRAM, "consume")
    world.receiver = world.start("receive", PROGRAM, "receive")
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    return world


def table(world: World) -> Any:
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{world.port}")


def checkpoints(world: World) -> dict[str, int]:
    rows = table(world).scan(TableName="cxone-event-router")["Items"]
    found = {row["leaseKey"]["S"]: row.get("checkpoint", {}).get("S", "") for row in rows}
    return {name: int(at) for name, at in found.items() if at.isdecimal()}


def details(bus: FakeAwsProcess, since_ms: float) -> list[tuple[float, dict[str, Any]]]:
    """What was accepted since, and when (epoch ms)."""
    lines = [line for line in bus.lines("PutEvents", "accepted") if line["time"] >= since_ms]
    return [(line["time"], json.loads(line["payload"])) for line in lines]


def p99_ms(events: list[tuple[float, dict[str, Any]]]) -> float:
    """Received to accepted."""
    from datetime import datetime

    took = sorted(at - datetime.fromisoformat(one["receivedAt"]).timestamp() * 1000 for at, one in events)
    return took[int(len(took) * 0.99)]


def test_the_hour_comes_out_again_and_the_consumer_keeps_its_latency(
    make_world: Callable[..., World],
    bus: FakeAwsProcess,
    tmp_path: Path,
) -> None:
    """Every event of the span once, none of another, mended and marked; no checkpoint goes back; p99 at most 1.5x."""
    world = started(make_world, bus)
    world.post_many(20, rate=20)
    time.sleep(2)
    since = int(time.time() * 1000)
    hour = world.post_many(REPLAYED, rate=60)
    time.sleep(2)
    end = int(time.time() * 1000)
    until(lambda: {one["eventId"] for _, one in details(bus, since)} >= hour.keys(), 60, "the hour is delivered")

    before_ms = time.time() * 1000
    world.post_many(RATE * SECONDS, rate=RATE)
    time.sleep(6)  # a checkpoint
    before = p99_ms([one for one in details(bus, before_ms) if one[1]["eventId"] not in hour])
    at = checkpoints(world)

    mended = tmp_path / "mended.toml"
    mended.write_text('[metadata]\nmended = "yes"\n')
    words = ["replay", "--since", iso(since), "--until", iso(end), "--rate", "30"]
    environment = {**world.environment, "STREAM_ROUTER_CONFIG": str(mended)}
    begun_ms = time.time() * 1000
    replay = subprocess.Popen(
        [PROGRAM, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    meanwhile = world.post_many(RATE * SECONDS, rate=RATE)
    out, err = replay.communicate(timeout=120)
    assert replay.returncode == 0, out + err
    until(
        lambda: {one["eventId"] for _, one in details(bus, begun_ms)} >= meanwhile.keys(), 60, "the rest is delivered"
    )
    found = details(bus, begun_ms)
    after = p99_ms([one for one in found if "replayed" not in one[1]["metadata"]])
    print(f"p99 received to accepted: {before:.0f} ms before, {after:.0f} ms while replay runs")  # noqa: T201
    again = [one for _, one in found if "replayed" in one["metadata"]]
    assert Counter(one["eventId"] for one in again) == Counter(hour.keys())
    assert {one["metadata"]["mended"] for one in again} == {"yes"}
    assert all("mended" not in one["metadata"] for _, one in found if "replayed" not in one["metadata"])
    now = checkpoints(world)
    assert all(now[name] >= number for name, number in at.items())
    assert after <= MOST * before


def iso(epoch_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_ms // 1000)) + f".{epoch_ms % 1000:03d}Z"
