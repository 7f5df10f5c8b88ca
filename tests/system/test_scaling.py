"""Adding capacity: four consumers share what two had; and a rolling restart.

The bus answers after 100 ms and each child may have one call of one entry under way, so that the bus binds, not this
machine: 10 events a second and shard at most, whichever consumer has it. A long test, minutes.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.constants import CALLS_IN_FLIGHT, with_constants
from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.ports import free_port
from tests.system.world import PROGRAM, REGION, World, event_id, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(400)]

SHARDS = 8
STREAM, APPLICATION = "cxone-events", "cxone-event-router"
BUS = {"rules": [{"operation": "PutEvents", "fault": "delay", "ms": 100}], "bus_rules": [RULE]}
DOWN = {**BUS, "rules": [{"operation": "PutEvents", "fault": "call_error", "code": "InternalException", "rate": 1.0}]}
BALANCED_WITHIN_S = 180.0
ROLLED, ROLLED_RATE = 2_000, 20.0
CHECKPOINT_S = 5.0
"""STREAM_ROUTER_CHECKPOINT_S: what is above the last checkpoint may come again where a stop does not drain in time."""


class Fleet:
    """Consumers of one stream, what was put into each shard, and what the bus has accepted."""

    def __init__(self, world: World, bus: FakeAwsProcess) -> None:
        self.world, self.bus = world, bus
        session = boto3.Session("test", "test", region_name=REGION)
        self.table = session.resource("dynamodb", endpoint_url=f"http://127.0.0.1:{world.port}").Table(APPLICATION)
        listed = world.kinesis.list_shards(StreamName=STREAM)["Shards"]
        self.keys = [shard["HashKeyRange"]["StartingHashKey"] for shard in listed]
        self.sent: set[str] = set()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0

    def start(self, name: str) -> None:
        self.processes[name] = self.world.start(
            name,
            PROGRAM,
            "consume",
            AWS_ENDPOINT_URL_EVENTBRIDGE=self.bus.url,
            STREAM_ROUTER_STATE_DIR=str(self.world.folder / f"state-{name}"),
            STREAM_ROUTER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
            STREAM_ROUTER_WORKER=name,
            STREAM_ROUTER_MAX_ENTRIES="1",
            **with_constants({CALLS_IN_FLIGHT: 1}),
        )

    def start_two(self) -> None:
        """Two consumers, which have shared all shards."""
        for name in ("one", "two"):
            self.start(name)
        self.until_all_work()

    def until_all_work(self) -> None:
        """Until every consumer has a shard, and every shard a child."""

        def shared() -> bool:
            owned = self.owned().values()
            return sum(owned) == SHARDS and min(owned) > 0

        until(shared, 150, "all share the shards")
        until(lambda: len(self.world.children()) == SHARDS, 60, "a child for each shard")

    def is_fair(self) -> bool:
        """Whether no consumer is idle, and none has more than 1.5 times the mean."""
        owned = self.owned().values()
        return sum(owned) == SHARDS and min(owned) > 0 and max(owned) <= 1.5 * SHARDS / len(owned)

    def stop(self, name: str) -> int:
        """SIGTERM: it drains and leaves. Its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(60)

    def put(self) -> None:
        """An event into each shard."""
        records = []
        for key in self.keys:
            self._number += 3
            body = webhook(self._number)
            self.sent.add(event_id("stream", "", 0, body))
            records.append({"Data": body, "PartitionKey": "p", "ExplicitHashKey": key})
        answer = self.world.kinesis.put_records(StreamName=STREAM, Records=records)
        assert answer["FailedRecordCount"] == 0

    def accepted(self) -> set[str]:
        """What the bus has accepted."""
        return {line["eventId"] for line in self.bus.lines("PutEvents", "accepted")}

    def refused(self) -> set[str]:
        """What a bus that is down did not take."""
        return {line["eventId"] for line in self.bus.lines("PutEvents", "refused")}

    def owned(self) -> dict[str, int]:
        """How many shards each consumer that runs has."""
        rows: list[dict[str, Any]] = self.table.scan(ConsistentRead=True)["Items"]
        owners = [row.get("leaseOwner") for row in rows if str(row["leaseKey"]).startswith("shardId-")]
        return {name: owners.count(name) for name in self.processes}


class Trickle:
    """Two events a second into each shard, until it is stopped."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._over = fleet, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.5):
            self._fleet.put()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def fleet(make_world: Callable[..., World], tmp_path: Path) -> Iterator[Fleet]:
    world = make_world(STREAM_ROUTER_SHARDS=str(SHARDS))
    world.start_stack()
    world.run_setup()
    world.seed_leases()
    world.use_shipped_properties()
    with FakeAwsProcess(tmp_path / "ledger", BUS) as bus:
        yield Fleet(world, bus)


def test_four_consumers_share_the_shards_of_two_and_lose_nothing(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a join none is idle or has over 1.5 times the mean, within three minutes; nothing is lost."""
    fleet.start_two()
    with Trickle(fleet):
        joined = time.monotonic()
        for name in ("three", "four"):
            fleet.start(name)
        until(fleet.is_fair, BALANCED_WITHIN_S, "none is idle, none has more than 1.5 times the mean")
        balanced_s = time.monotonic() - joined
        time.sleep(10)
        left = [fleet.stop(name) for name in ("one", "three")]
        time.sleep(10)
    until(lambda: fleet.sent <= fleet.accepted(), 120, "every event is delivered")
    every = [line["eventId"] for line in fleet.bus.lines("PutEvents", "accepted")]
    with capsys.disabled():
        sys.stdout.write(
            f"\n  four consumers have fair shares after {balanced_s:.0f} s; sent {len(fleet.sent)}, "
            f"lost {len(fleet.sent - set(every))}, copies {len(every) - len(set(every))}\n"
        )
    assert left == [0, 0]
    assert not fleet.world.drain(fleet.world.dead_letters)


def test_a_rolling_restart_loses_nothing(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Both consumers one after the other, then the receiver, under load: each drains, and copies are few.

    The second one stops while the bus is down, so that events are under way at its last checkpoint.
    """
    fleet.start_two()
    world, sent = fleet.world, dict[str, bytes]()
    receiver = world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    traffic = threading.Thread(target=lambda: sent.update(world.post_many(ROLLED, ROLLED_RATE)))
    traffic.start()
    ends = []
    for name in ("one", "two"):
        if name == "two":
            fleet.bus.plan(DOWN)
            until(lambda: len(fleet.refused()) > SHARDS, 30, "events wait")
        ends.append(fleet.stop(name))
        fleet.bus.plan(BUS)
        fleet.start(name)
        fleet.until_all_work()
    receiver.terminate()
    ends.append(receiver.wait(30))
    world.start("receive", PROGRAM, "receive")
    ongoing = traffic.is_alive()
    traffic.join()
    until(lambda: sent.keys() <= fleet.accepted(), 120, "every event is delivered")
    every = [line["eventId"] for line in fleet.bus.lines("PutEvents", "accepted")]
    copies = len(every) - len(set(every))
    with capsys.disabled():
        lost = len(sent.keys() - set(every))
        sys.stdout.write(f"\n  rolled under load: {len(sent)} sent, lost {lost}, copies {copies}\n")
    assert ends == [0, 0, 0]
    assert ongoing, "the load lasted as long as the restarts"
    assert len(sent) == ROLLED
    assert set(every) == sent.keys()
    assert copies <= ROLLED_RATE * CHECKPOINT_S
    assert not world.drain(world.dead_letters)
