"""A new application begins to read within a minute, however AWS treats its lease table: real daemons behind a proxy.

AWS takes 15 to 20 minutes to add an index to a table, and refuses a second UpdateTable meanwhile. Emulators do it at
once, so the proxy plays both.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.system.world import PROGRAM, World, until, webhook
from tests.table_proxy import IN_USE, Body, Forward, TableProxy

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SHARDS = 4
READ_WITHIN_S = 40.0
"""What is promised of a first start. The KCL alone would wait up to 33 s at an empty table."""

STANDS_STILL_S = 120.0
"""A start that takes longer has stopped for good."""

INDEXES = "GlobalSecondaryIndexes"


class SlowTable:
    """The proxy's rule: what AWS does with a table that gets an index, in as many seconds as the test wants.

    `refuse` are the numbers of the UpdateTable calls that are refused, from 1. A table to which more than one worker
    wants to add the index shows none before `racers` of them have asked. An index is CREATING for `creating_s`.
    """

    def __init__(self, refuse: tuple[int, ...] = (), racers: int = 1, creating_s: float = 0.0) -> None:
        self.refuse, self.racers, self.creating_s = refuse, racers, creating_s
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._updates = 0
        self._index_since: float | None = None

    def __call__(self, operation: str, asked: Body, forward: Forward) -> tuple[int, Body]:
        with self._lock:
            self.calls.append(operation)
            if operation == "UpdateTable":
                self._updates += 1
                if self._updates in self.refuse:
                    return 400, IN_USE
        if operation == "UpdateTable" or (operation == "CreateTable" and INDEXES in asked):
            self._index_since = self._index_since or time.monotonic()
        status, answer = forward()
        if operation == "DescribeTable" and status == 200:
            self._slow(answer["Table"])
        return status, answer

    def _slow(self, table: Body) -> None:
        by_update = "UpdateTable" in self.calls
        if by_update and self._updates < self.racers:
            table.pop(INDEXES, None)
        if self._index_since is not None and time.monotonic() - self._index_since < self.creating_s:
            for index in table.get(INDEXES, []):
                index["IndexStatus"] = "CREATING"
            table["TableStatus"] = "UPDATING" if by_update else "CREATING"


class Fleet:
    """Consumers of a stream whose application has no lease table yet."""

    def __init__(self, world: World, rule: SlowTable) -> None:
        self.world, self.rule = world, rule
        world.start_stack()
        world.run_setup()
        self.proxy = TableProxy(world.port, rule)
        self.dynamodb = world._client("dynamodb")
        shards = world.kinesis.list_shards(StreamName="cxone-events")["Shards"]
        self.shards = {shard["ShardId"]: shard["HashKeyRange"]["StartingHashKey"] for shard in shards}
        self.admin: dict[str, str] = {}
        self.put(0)

    def put(self, number: int) -> None:
        """Put an event with this number into each shard."""
        for shard, key in self.shards.items():
            body = webhook(0, payload={"shard": shard, "number": number})
            self.world.kinesis.put_record(StreamName="cxone-events", Data=body, PartitionKey="p", ExplicitHashKey=key)

    def start(self, *names: str, **more: str) -> list[subprocess.Popen[bytes]]:
        for name in names:
            self.admin[name] = f"127.0.0.1:{free_port()}"
        return [
            self.world.start(
                *(name, PROGRAM, "consume"),
                AWS_ENDPOINT_URL_DYNAMODB=self.proxy.url,
                STREAM_ROUTER_STATE_DIR=str(self.world.folder / f"state-{name}"),
                STREAM_ROUTER_ADMIN_LISTEN=self.admin[name],
                STREAM_ROUTER_WORKER=name,
                **more,
            )
            for name in names
        ]

    def status(self, name: str) -> Any:
        """`/status`; all of it empty while nobody listens."""
        try:
            return httpx.get(f"http://{self.admin[name]}/status", timeout=5).json()
        except httpx.TransportError:
            return {"code": "", "reason": "", "daemon": {"pid": None}}

    def seems(self, name: str) -> tuple[str, str | None]:
        """State and reason."""
        status = self.status(name)
        return status["code"], status["reason"]

    def owners(self) -> set[str]:
        """The workers that own a shard's lease."""
        rows = self.dynamodb.scan(TableName="cxone-event-router", ConsistentRead=True)["Items"]
        shards = [row for row in rows if row["leaseKey"]["S"] in self.shards]
        return {row["leaseOwner"]["S"] for row in shards if "leaseOwner" in row}

    def are_both_reading(self, number: int) -> bool:
        """Whether both have leases, while something flows: the leader balances what flows."""
        self.put(number)
        return self.owners() == {"one", "two"}

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of a consumer's log that are JSON."""
        lines = (self.world.folder / f"{name}.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def health(self, name: str) -> int:
        return httpx.get(f"http://{self.admin[name]}/healthz", timeout=5).status_code

    def read_within(self, timeout_s: float, number: int = 0) -> float:
        """Seconds until each shard's event with this number came out at the target."""
        begun = time.monotonic()
        out: set[str] = set()

        def all_came() -> bool:
            payloads = [event["detail"]["payload"] for event in self.world.drain(self.world.target)]
            out.update(payload["shard"] for payload in payloads if payload["number"] == number)
            return out >= self.shards.keys()

        until(all_came, timeout_s, f"every shard is read, not {len(out)} of {len(self.shards)}")
        return time.monotonic() - begun


@pytest.fixture
def make_fleet(make_world: Callable[..., World]) -> Iterator[Callable[[SlowTable], Fleet]]:
    fleets: list[Fleet] = []

    def make(rule: SlowTable) -> Fleet:
        fleets.append(Fleet(make_world(STREAM_ROUTER_SHARDS=str(SHARDS)), rule))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.world.close()
        fleet.proxy.close()


def test_two_consumers_that_start_together_both_begin(
    make_fleet: Callable[[SlowTable], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second UpdateTable for the index would be refused, as on AWS: nobody needs one."""
    fleet = make_fleet(SlowTable(refuse=(2,), racers=2))
    fleet.start("one", "two")
    took_s = fleet.read_within(READ_WITHIN_S)
    until(lambda: fleet.are_both_reading(1), 60, "both have leases")
    note(capsys, f"two consumers of a new application: every shard read after {took_s:.0f} s")
    assert "UpdateTable" not in fleet.rule.calls


def test_one_consumer_whose_index_would_be_refused_begins(
    make_fleet: Callable[[SlowTable], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its only UpdateTable would be refused: it needs none."""
    fleet = make_fleet(SlowTable(refuse=(1,)))
    fleet.start("one")
    took_s = fleet.read_within(READ_WITHIN_S)
    note(capsys, f"one consumer of a new application: every shard read after {took_s:.0f} s")
    assert "UpdateTable" not in fleet.rule.calls


@pytest.mark.parametrize("creating_s", [15, pytest.param(60, marks=pytest.mark.long)])
def test_a_table_that_takes_long_is_waited_for(
    make_fleet: Callable[[SlowTable], Fleet], capsys: pytest.CaptureFixture[str], creating_s: int
) -> None:
    """No daemon runs before table and index are ACTIVE, `/status` says why, and a stop ends the wait with 0."""
    fleet = make_fleet(SlowTable(creating_s=creating_s))
    stopped, _ = fleet.start("one", "two")
    until(lambda: fleet.status("two")["reason"] == "the lease table is being created", 30, "two waits for the table")
    until(lambda: fleet.status("one")["code"] == "starting", 30, "one waits")
    assert fleet.status("two")["daemon"]["pid"] is None
    assert fleet.health("two") == 200
    stopped.terminate()
    assert stopped.wait(10) == 0
    took_s = fleet.read_within(creating_s + READ_WITHIN_S)
    note(capsys, f"a table that is ACTIVE after {creating_s} s: every shard read {took_s:.0f} s later")
    assert [line for line in fleet.log("two") if line.get("event") == "lease-table-ready"]


def test_the_index_of_an_older_table_is_left_to_the_kcl(
    make_fleet: Callable[[SlowTable], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon starts, `/status` names the index while AWS builds it, and then the shards are read."""
    fleet = make_fleet(SlowTable(creating_s=25))
    fleet.dynamodb.create_table(
        TableName="cxone-event-router",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    )
    fleet.start("one")
    waits = ("starting", "the lease table's index is being built")
    until(lambda: fleet.seems("one") == waits, 30, "the reason is shown")
    until(lambda: fleet.status("one")["daemon"]["pid"] is not None, 30, "the daemon runs")
    assert fleet.seems("one") == waits
    took_s = fleet.read_within(STANDS_STILL_S)  # the KCL looks for its index every 10 s
    note(capsys, f"the KCL adds the index, which is ACTIVE after 25 s: every shard read after {took_s:.0f} s")
    assert fleet.rule.calls.count("UpdateTable") == 1
    until(lambda: fleet.seems("one")[0] == "well", 30, "nothing is waited for any more")
    (line,) = [line for line in fleet.log("one") if line.get("state") == "without index"]
    assert "20 minutes" in line["message"]


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_many_starts_of_two_at_the_same_moment(
    make_fleet: Callable[[SlowTable], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each start has an application of its own, and so no lease table: all of them read every shard in time."""
    fleet, took_s = make_fleet(SlowTable(refuse=(2,), racers=2)), list[float]()
    for number in range(1, int(os.environ.get("LEASE_TABLE_STARTS", "50")) + 1):
        fleet.put(number)
        consumers = fleet.start("one", "two", STREAM_ROUTER_APPLICATION=f"start-{number}")
        took_s.append(fleet.read_within(STANDS_STILL_S, number))
        note(capsys, f"start {number}: every shard read after {took_s[-1]:.1f} s")
        for consumer in consumers:
            consumer.terminate()
        assert [consumer.wait(60) for consumer in consumers] == [0, 0]
    assert "UpdateTable" not in fleet.rule.calls
    note(capsys, f"{len(took_s)} starts: {min(took_s):.1f} to {max(took_s):.1f} s")
    assert max(took_s) <= READ_WITHIN_S


def note(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Show a measured time in the test's output."""
    with capsys.disabled():
        sys.stdout.write(f"\n  {text}\n")
