"""Who restarts a daemon when nobody reads a shard, when, and why: real daemons, a stream and a lease table in trouble.

Each test prints a table of what the consumers logged; nothing is ever lost.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from stream_router.consumer.supervisor.stuck import MAX_DELAY_S, STUCK_S, UNHEALTHY_AFTER_S
from tests import supervised
from tests.background import Background
from tests.fault.chaos_run.proxy import Trouble, Wires
from tests.ports import free_port
from tests.system.test_takeover import APPLICATION, Workers
from tests.system.world import PROGRAM, World, until, webhook
from tests.table_proxy import IN_USE, Body, Forward, TableProxy

pytestmark = [pytest.mark.system, pytest.mark.timeout(1100)]

STREAM = "cxone-events"
READ_WITHIN_S = 60.0
"""From the start of a consumer, or from the end of the trouble, until each shard is read, on a loaded machine."""

TOLD = {
    *("daemon-restart-planned", "hang-killed", "daemon-ended", "consumer-hangs", "consumer-hangs-no-more"),
    *("shards-unread", "shards-read-again", "stream-unasked", "shards-stuck-workers-full"),
}
"""Lines of a consumer's log that the printed table has."""

Line = dict[str, Any]


class Fleet(Workers):
    """Consumers `one` and `two`; `trouble(operation, request, forward)` answers their calls to DynamoDB."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.refuses = False
        self.trouble: Callable[[str, Body, Forward], tuple[int, Body]] = lambda _, __, forward: forward()
        self.proxy = TableProxy(world.port, self._answer)
        self.wires = Wires()
        self.kinesis = self.wires.proxy("kinesis", world.port)
        self.admin: dict[str, str] = {}
        self.begun_s = time.time()

    def _answer(self, operation: str, asked: Body, forward: Forward) -> tuple[int, Body]:
        if self.refuses:
            return 500, {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "away"}
        return self.trouble(operation, asked, forward)

    def begin(self, name: str, *command: str, **more: str) -> None:
        """Start a consumer whose DynamoDB and Kinesis are the proxies."""
        self.admin[name] = f"127.0.0.1:{free_port()}"
        self.processes[name] = self.world.start(
            name,
            *(command or (PROGRAM, "consume")),
            **{
                "STREAM_ROUTER_STATE_DIR": str(self.world.folder / f"state-{name}"),
                "STREAM_ROUTER_ADMIN_LISTEN": self.admin[name],
                "STREAM_ROUTER_WORKER": name,
                "AWS_ENDPOINT_URL_DYNAMODB": self.proxy.url,
                "AWS_ENDPOINT_URL_KINESIS": f"http://127.0.0.1:{self.kinesis.port}",
                **more,
            },
        )

    def lines(self, name: str, *events: str) -> list[Line]:
        """The lines of a consumer's log that are of these events, with seconds since `begun_s`."""
        result = []
        for text in (self.world.folder / f"{name}.log").read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("event") in events:
                    line["at_s"] = datetime.fromisoformat(line["time"]).timestamp() - self.begun_s
                    result.append(line)
        return result

    def planned(self, name: str) -> list[Line]:
        return self.lines(name, "daemon-restart-planned")

    def health(self, name: str) -> int:
        """The status of a consumer's `/healthz`; 0 if it does not answer."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{self.admin[name]}/healthz", timeout=5.0).status_code
        return 0

    def jvm_of(self, name: str) -> int:
        status = httpx.get(f"http://{self.admin[name]}/status", timeout=5.0).json()
        return int(status["daemon"]["pid"])

    def report(self, title: str, feed: "Feed") -> str:
        rows = [f"\n  {title}: {len(feed.sent)} events sent, {len(feed.sent - feed.came)} lost, {feed.copies} copies"]
        for name in self.processes:
            rows += [
                f"  {line['at_s']:6.0f} s  {name:4} {line['event']:24} {line['message'][:110]}"
                for line in self.lines(name, *TOLD)
            ]
        return "\n".join(rows) + "\n"

    def close(self) -> None:
        """End the programs before the proxies that they use."""
        self.world.close()
        self.wires.close()
        self.proxy.close()


class Feed(Background):
    """Puts an event into each shard every second, on a thread, and takes what comes out at the target."""

    def __init__(self, world: World) -> None:
        self.world = world
        shards = world.kinesis.list_shards(StreamName=STREAM)["Shards"]
        self.keys = {shard["ShardId"]: shard["HashKeyRange"]["StartingHashKey"] for shard in shards}
        self.sent, self.came = set[int](), set[int]()
        self.copies = 0
        self.latest: dict[str, float] = dict.fromkeys(self.keys, 0.0)
        """When an event of each shard came out last, in monotonic seconds."""
        super().__init__()

    def run(self) -> None:
        number = 0
        while not self.stopped.wait(1.0):
            records = []
            for shard, key in self.keys.items():
                number += 3  # of a type that the rule passes
                body = webhook(number, payload={"shard": shard, "n": number})
                records.append({"Data": body, "PartitionKey": "p", "ExplicitHashKey": key})
                self.sent.add(number)
            self.world.kinesis.put_records(StreamName=STREAM, Records=records)
            self.take()

    def take(self) -> None:
        for event in self.world.drain(self.world.target):
            payload = event["detail"]["payload"]
            self.copies += payload["n"] in self.came
            self.came.add(payload["n"])
            self.latest[payload["shard"]] = time.monotonic()

    def read_since(self, since: float, within_s: float, kind: str) -> float:
        """Seconds until an event of each shard has come out after `since` (monotonic)."""
        until(lambda: min(self.latest.values()) > since, within_s, kind)
        return time.monotonic() - since

    def all_came(self, within_s: float) -> None:
        """Wait for each event, with the thread ended."""

        def are_there() -> bool:
            self.take()
            return self.came >= self.sent

        until(are_there, within_s, "every event came out")


@pytest.fixture
def make_fleet(make_world: Callable[..., World]) -> Iterator[Callable[[int], Fleet]]:
    """Makes a fleet over a stream of some shards, not started yet."""
    fleets: list[Fleet] = []

    def make(shards: int) -> Fleet:
        world = make_world(STREAM_ROUTER_SHARDS=str(shards))
        world.start_stack()
        world.run_setup()
        fleets.append(Fleet(world))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


def show(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(text)


class RefusedOnce:
    """DynamoDB that refuses the first UpdateTable, as AWS does while another change of the table is under way."""

    def __init__(self) -> None:
        self.updates = 0

    def __call__(self, operation: str, _: Body, forward: Forward) -> tuple[int, Body]:
        self.updates += operation == "UpdateTable"
        if operation == "UpdateTable" and self.updates == 1:
            return 400, IN_USE
        return forward()


def table_of_an_older_kcl(world: World) -> None:
    """A lease table without the index that the KCL needs since 3.0, with a row of each shard."""
    dynamodb = world._client("dynamodb")
    dynamodb.create_table(
        TableName=APPLICATION,
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for shard in world.kinesis.list_shards(StreamName=STREAM)["Shards"]:
        row = {
            "leaseKey": {"S": shard["ShardId"]},
            "leaseCounter": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "startingHashKey": {"S": shard["HashKeyRange"]["StartingHashKey"]},
            "endingHashKey": {"S": shard["HashKeyRange"]["EndingHashKey"]},
        }
        dynamodb.put_item(TableName=APPLICATION, Item=row)


def test_a_daemon_whose_lease_coordinator_failed_is_restarted_at_once(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of an older KCL has no index, and its one UpdateTable is refused: left alone it would read nothing."""
    fleet = make_fleet(2)
    table_of_an_older_kcl(fleet.world)
    fleet.trouble = RefusedOnce()
    with Feed(fleet.world) as feed:
        begun = time.monotonic()
        fleet.begin("one")
        took_s = feed.read_since(begun, READ_WITHIN_S, "each shard is read")
    feed.all_came(30)
    (line,) = fleet.planned("one")
    assert (line["level"], line["cause"]) == ("WARNING", "not_initialized")
    assert fleet.health("one") == 200
    show(capsys, fleet.report(f"UpdateTable refused once, shards read after {took_s:.0f} s", feed))


@pytest.mark.long
def test_a_worker_that_leads_and_assigns_nothing_is_restarted_after_three_minutes(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """As above, with a supervisor that does not hear the daemon's line: whatever the reason is, the rule ends it."""
    fleet = make_fleet(2)
    table_of_an_older_kcl(fleet.world)
    fleet.trouble = RefusedOnce()
    with Feed(fleet.world) as feed:
        begun = time.monotonic()
        fleet.begin("one", sys.executable, supervised.__file__, "consume", OWN_CHILD="1", **{supervised.DEAF: "1"})
        took_s = feed.read_since(begun, STUCK_S + MAX_DELAY_S + READ_WITHIN_S + 30, "each shard is read")
    feed.all_came(30)
    (line,) = fleet.planned("one")
    assert line["cause"] == "shards_stuck"
    assert took_s > STUCK_S
    show(capsys, fleet.report(f"no word of the failed start, shards read after {took_s:.0f} s", feed))


@pytest.mark.long
def test_a_lease_that_is_not_handed_over_restarts_the_daemon_once_and_makes_the_consumer_ill(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """A foreign worker is to hand one shard over, and only renews its lease, for ever; the other shard is read on."""
    fleet = make_fleet(2)
    world = fleet.world
    world.seed_leases()
    over = threading.Event()
    stuck, well = sorted(shard["ShardId"] for shard in world.kinesis.list_shards(StreamName=STREAM)["Shards"])

    def renew() -> None:
        counter = 100
        while not over.wait(0.5):
            counter += 1
            fleet.table.update_item(
                Key={"leaseKey": stuck},
                UpdateExpression="SET leaseOwner = :owner, checkpointOwner = :before, leaseCounter = :counter",
                ExpressionAttributeValues={":owner": "one", ":before": "foreign", ":counter": counter},
            )

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    with Feed(world) as feed:
        fleet.begin("one")
        until(lambda: feed.latest[well] > 0, READ_WITHIN_S, "the other shard is read")
        fleet.begun_s, begun = time.time(), time.monotonic()
        until(lambda: bool(fleet.lines("one", "shards-unread")), 90, "the shard counts as unread")
        assert fleet.health("one") == 200
        until(lambda: bool(fleet.planned("one")), STUCK_S + MAX_DELAY_S + 30, "it is restarted")
        until(lambda: fleet.health("one") == 503, UNHEALTHY_AFTER_S - STUCK_S + 30, "it is ill")
        ill_s = time.monotonic() - begun
        time.sleep(60)
        assert len(fleet.planned("one")) == 1
        assert time.monotonic() - feed.latest[well] < 10, "the other shard is read"
        over.set()
        renewing.join()
        feed.read_since(time.monotonic(), READ_WITHIN_S, "both shards are read")
        until(lambda: fleet.health("one") == 200, 30, "it is well")
    feed.all_came(60)
    show(capsys, fleet.report(f"hand-over never finished; ill after {ill_s:.0f} s", feed))


def two_that_read(fleet: Fleet, feed: Feed) -> None:
    """Start both consumers as shipped, and wait until both have leases and one of them leads."""
    fleet.world.seed_leases()
    fleet.world.use_shipped_properties()
    begun = time.monotonic()
    for name in ("one", "two"):
        fleet.begin(name)
    feed.read_since(begun, 150, "each shard is read")
    until(lambda: bool(fleet.owned_by("one")) and bool(fleet.owned_by("two")), 120, "both have leases")
    until(lambda: fleet.leader() in fleet.processes, 60, "one of them leads")


@contextlib.contextmanager
def nothing_is_lost(fleet: Fleet, title: str, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Run two consumers under a steady feed; the block makes trouble and ends it. Print the table of what happened."""
    with Feed(fleet.world) as feed:
        two_that_read(fleet, feed)
        fleet.begun_s = time.time()
        yield
        took_s = feed.read_since(time.monotonic(), 240, "each shard is read again")
    feed.all_came(120)
    show(capsys, fleet.report(f"{title}; all shards read {took_s:.0f} s after its end", feed))
    assert all(fleet.health(name) == 200 for name in fleet.processes)


@pytest.mark.long
def test_a_leader_whose_daemon_is_stopped_is_replaced_by_its_own_supervisor(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGSTOP for five minutes: after three the hang watch kills it. Nobody else's daemon is restarted for it."""
    fleet = make_fleet(4)
    with nothing_is_lost(fleet, "the leader's daemon stopped for 300 s", capsys):
        leader = fleet.leader()
        jvm = fleet.jvm_of(leader)
        os.kill(jvm, signal.SIGSTOP)
        time.sleep(300)
        with contextlib.suppress(ProcessLookupError):
            os.kill(jvm, signal.SIGCONT)
    (other,) = fleet.processes.keys() - {leader}
    ends = len(fleet.lines(leader, "hang-killed")) + len(fleet.planned(leader))
    assert ends == 1, "the stopped daemon was ended once"
    assert len(fleet.planned(other)) <= 1


@pytest.mark.long
def test_a_lease_table_that_refuses_for_five_minutes_restarts_nobody(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by the rule nor by the hang watch."""
    fleet = make_fleet(4)
    with nothing_is_lost(fleet, "the lease table away for 300 s", capsys):
        fleet.refuses = True
        time.sleep(300)
        fleet.refuses = False
    assert not any(fleet.lines(name, "daemon-restart-planned", "hang-killed") for name in fleet.processes)


@pytest.mark.long
def test_a_stream_that_is_away_for_ten_minutes_restarts_nobody(
    make_fleet: Callable[[int], Fleet], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by the rule nor by the hang watch."""
    fleet = make_fleet(4)
    with nothing_is_lost(fleet, "the stream away for 600 s", capsys):
        fleet.kinesis.trouble = Trouble(refuse=True)
        fleet.wires.cut(fleet.kinesis)
        time.sleep(600)
        fleet.kinesis.trouble = Trouble()
    assert not any(fleet.lines(name, "daemon-restart-planned", "hang-killed") for name in fleet.processes)
