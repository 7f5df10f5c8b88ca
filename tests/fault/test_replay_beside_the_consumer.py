"""`replay` while the real consumer works: what comes out again, and what it costs the events that come meanwhile."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.half_faked import started, table
from tests.system.conftest import make_world
from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

RATE, SECONDS = 40, 25
SLICES, SLICE_S = 12, 300
"""An hour is posted in slices; after each the whole stream is made five minutes older."""
OF_THE_HOUR, OF_ANOTHER = 50, 5
"""Events a slice: of the hour that is replayed, of the hours before and after it."""
MOST = 1.5

__all__ = ["make_world"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}, 1, "--payloads", "--delay-ms", "20") as fake_aws:
        yield fake_aws


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


def an_hour(world: World, a_slice: int) -> tuple[float, set[str]]:
    """Events whose arrivals lie spread over an hour that ends now: when the first was posted, and their ids."""
    begun = time.time()
    sent: set[str] = set()
    for _ in range(SLICES):
        sent |= world.post_many(a_slice, rate=100).keys()
        httpx.post(f"http://127.0.0.1:{world.port}/_age?seconds={SLICE_S}").raise_for_status()
    assert time.time() - begun < SLICE_S, "the hour's last slice is beyond its end"
    return begun, sent


def test_the_hour_comes_out_again_and_the_consumer_keeps_its_latency(
    make_world: Callable[..., World],
    bus: FakeAwsProcess,
) -> None:
    """The middle one of three hours, each event once, marked; no checkpoint goes back; p99 at most 1.5x."""
    world = started(make_world, bus, "tests.aged_stack")
    _, earlier = an_hour(world, OF_ANOTHER)
    begun, hour = an_hour(world, OF_THE_HOUR)
    _, later = an_hour(world, OF_ANOTHER)
    since = int((begun - 2 * SLICES * SLICE_S) * 1000)
    end = since + 3_600_000
    everything = earlier | hour | later
    until(lambda: {one["eventId"] for _, one in details(bus, 0)} >= everything, 60, "three hours are delivered")

    before_ms = time.time() * 1000
    world.post_many(RATE * SECONDS, rate=RATE)
    time.sleep(6)  # a checkpoint
    before = p99_ms([one for one in details(bus, before_ms) if one[1]["eventId"] not in hour])
    at = checkpoints(world)

    words = ["replay", "--since", iso(since), "--until", iso(end), "--rate", "30"]
    begun_ms = time.time() * 1000
    replay = subprocess.Popen(
        [PROGRAM, *words], env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    meanwhile = world.post_many(RATE * SECONDS, rate=RATE)
    out, err = replay.communicate(timeout=120)
    assert replay.returncode == 0, out + err
    wanted = meanwhile.keys() | hour
    until(lambda: {one["eventId"] for _, one in details(bus, begun_ms)} >= wanted, 60, "the rest is delivered")
    found = details(bus, begun_ms)
    after = p99_ms([one for one in found if "replayed" not in one[1]["metadata"]])
    print(f"p99 received to accepted: {before:.0f} ms before, {after:.0f} ms while replay runs")  # noqa: T201
    again = [one for _, one in found if "replayed" in one["metadata"]]
    assert Counter(one["eventId"] for one in again) == Counter(hour)
    now = checkpoints(world)
    assert all(now[name] >= number for name, number in at.items())
    assert after <= MOST * before


def iso(epoch_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_ms // 1000)) + f".{epoch_ms % 1000:03d}Z"
