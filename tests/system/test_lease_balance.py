"""Who gets which lease: not by CPU, and not by a clock that is some seconds behind. Real daemons.

On ECS the KCL takes the CPU figures of the task's metadata service, here a small server on loopback.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream_router.consumer import lease_table
from stream_router.consumer.lease_table import build_lease_row
from stream_router.leases import list_shards
from stream_router.operate.doctor.host import SKEW_WARN_S
from tests.ports import free_port
from tests.system.world import PROGRAM, SHIPPED, World, until
from tests.table_proxy import Body, Forward, TableProxy

pytestmark = [pytest.mark.system, pytest.mark.timeout(470)]

APPLICATION = "cxone-event-router"
LOCAL = SHIPPED.parent / "local.properties"
BALANCED_WITHIN_S = 90.0
"""The leader balances every third assignment, so every 3 s with these properties; a busy machine takes longer."""


class TaskMetadata:
    """ECS's task metadata service of one container, whose CPU utilization is always the same."""

    def __init__(self, percent: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _metadata_handler(percent))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v4/0123456789abcdef"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _metadata_handler(percent: int) -> type[BaseHTTPRequestHandler]:
    container = {"DockerId": "c", "Limits": {"CPU": 2}}
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 1000 + percent}, "system_cpu_usage": 1100, "online_cpus": 1},
        "precpu_stats": {"cpu_usage": {"total_usage": 1000}, "system_cpu_usage": 1000},
    }
    pages: dict[str, Any] = {"stats": stats, "task": {"Containers": [container]}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = json.dumps(pages.get(self.path.rpartition("/")[2], container)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    return Handler


class Pair:
    """Two workers, `one` and `two`, each with half of the leases."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.start_stack()
        world.run_setup()
        self.dynamodb = world._client("dynamodb")
        self.shards = list(list_shards(world.kinesis, "cxone-events"))
        lease_table.create_table(self.dynamodb, APPLICATION)

    def seed(self, *owners: str) -> None:
        """Put a lease for each shard into the table; they belong to the owners in turn, or to nobody."""
        for number, shard in enumerate(self.shards):
            owner = {"leaseOwner": {"S": owners[number % len(owners)]}} if owners else {}
            self.dynamodb.put_item(TableName=APPLICATION, Item={**build_lease_row(shard), **owner})

    def start(self, name: str, **more: str) -> None:
        self.world.start(
            *(name, PROGRAM, "consume"),
            STREAM_ROUTER_STATE_DIR=str(self.world.folder / f"state-{name}"),
            STREAM_ROUTER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
            STREAM_ROUTER_WORKER=name,
            **more,
        )

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.dynamodb.scan(TableName=APPLICATION, ConsistentRead=True)["Items"]
        return rows

    def owners(self) -> dict[str, str]:
        """The owner of each shard's lease; the one that gives it away while it is handed over."""
        ours = {shard.shard_id for shard in self.shards}
        return {
            row["leaseKey"]["S"]: row.get("checkpointOwner", row.get("leaseOwner", {"S": ""}))["S"]
            for row in self.rows()
            if row["leaseKey"]["S"] in ours
        }

    def reports(self) -> set[str]:
        """The workers that have reported to the leader."""
        return {row["leaseKey"]["S"] for row in self.rows() if "lut" in row}


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    """What is closed after the test."""
    things: list[Any] = []
    yield things
    for thing in things:
        thing.close()


@pytest.mark.parametrize("idle_s", [30, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.parametrize("by_cpu", [False, True])
def test_cpu_moves_no_lease(
    make_world: Callable[..., World], closing: list[Any], tmp_path: Path, idle_s: int, by_cpu: bool
) -> None:
    """60 % of CPU here, 30 % there, nothing to do. With the KCL's default, leases move: so the figures are read."""
    own = tmp_path / "own.properties"
    # Eight seeded leases wait until both daemons have started.
    text = f"{SHIPPED.read_text()}\n{LOCAL.read_text()}\nfailoverTimeMillis = 20000\n"
    own.write_text(text.replace("disableWorkerMetrics = true", f"disableWorkerMetrics = {str(not by_cpu).lower()}"))
    pair = Pair(make_world(STREAM_ROUTER_SHARDS="8", STREAM_ROUTER_PROPERTIES=str(own)))
    pair.seed("one", "two")
    before = pair.owners()
    for name, percent in (("one", 60), ("two", 30)):
        closing.append(TaskMetadata(percent))
        pair.start(name, ECS_CONTAINER_METADATA_URI_V4=closing[-1].url)
    until(lambda: len(pair.world.children()) == 8, 60, "eight shards are read")
    until(lambda: pair.reports() == {"one", "two"}, 30, "both report")
    if by_cpu:
        until(lambda: pair.owners() != before, BALANCED_WITHIN_S, "a lease moves")
        return
    end = time.monotonic() + idle_s
    while time.monotonic() < end:
        assert pair.owners() == before
        time.sleep(0.5)


class SlowClock:
    """A proxy's rule: the worker behind it reports with a clock that is some seconds behind."""

    def __init__(self, behind_s: int) -> None:
        self._behind_s = behind_s
        self.reports = 0

    def __call__(self, operation: str, asked: Body, forward: Forward) -> tuple[int, Body]:
        names = asked.get("ExpressionAttributeNames", {})
        if operation == "UpdateItem" and "lut" in names.values():
            self.reports += 1
            for key, value in asked["ExpressionAttributeValues"].items():
                if "lut" in key.lower():
                    value["N"] = str(int(value["N"]) - self._behind_s)
        return forward()


@pytest.mark.long
def test_a_clock_that_is_behind_gets_shards(
    make_world: Callable[..., World], closing: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to what `doctor` (SR013) warns of, and a second more: the leader takes the worker for a living one."""
    behind_s = int(os.environ.get("BEHIND_S", SKEW_WARN_S + 1))
    pair = Pair(make_world(STREAM_ROUTER_SHARDS="8"))
    pair.world.use_shipped_properties()
    rule = SlowClock(behind_s)
    closing.append(TableProxy(pair.world.port, rule))
    pair.start("one")
    until(lambda: any("leader" in row["leaseKey"]["S"].lower() for row in pair.rows()), 60, "one leads")
    pair.start("two", AWS_ENDPOINT_URL_DYNAMODB=closing[-1].url)
    until(lambda: rule.reports >= 3, 90, "two reports")
    pair.seed()
    until(lambda: set(pair.owners().values()) == {"one", "two"}, 60, f"both have shards: {pair.owners()}")
    with capsys.disabled():
        sys.stdout.write(f"\n  a clock {behind_s} s behind: {sorted(pair.owners().values())}\n")
