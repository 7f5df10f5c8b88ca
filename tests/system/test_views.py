"""The real programs in trouble, seen from everywhere: /status, /history, /metrics, CloudWatch, log, audit.

A hold, and shards that nobody reads. That `top` and the page show what /status says is proved beside them.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_router.telemetry.verdict import START_S
from tests.constants import METRICS_EVERY_S, with_constants
from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.fakeaws_world import started, table
from tests.system.world import World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(420)]

HOLD_S = 45.0
RETENTION_S = 24 * 3600
REFUSED = {"operation": "PutEvents", "fault": "call_error", "code": "AccessDeniedException"}
UNREAD_WITHIN_S = 120.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}, 0, "--payloads") as fake:
        yield fake


def asked(world: World, path: str) -> httpx.Response:
    return httpx.get(f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}{path}", timeout=5)


def status(world: World) -> dict[str, Any]:
    page: dict[str, Any] = asked(world, "/status").json()
    return page


def delivered(world: World) -> float:
    """By a consumer that is caught up; else 0."""
    page = status(world)
    return float(page["totals"]["counters"]["delivered"] if page["code"] == "well" else 0)


def test_a_hold_is_seen_in_every_view_and_said_once_with_its_cure(
    make_world: Callable[..., World], bus: FakeAwsProcess, tmp_path: Path
) -> None:
    """Lag grows with the clock, headroom shrinks, the reason is named, it stays ready; and it ends."""
    own = {"STREAM_ROUTER_AUDIT_DIR": str(tmp_path / "audit"), **with_constants({METRICS_EVERY_S: 5})}
    world = started(make_world, bus, **own)
    world.post_many(20, 10)
    until(lambda: delivered(world) >= 20, 60, "events flow, and it is caught up")
    audited = [json.loads(line) for file in (tmp_path / "audit").iterdir() for line in file.read_bytes().splitlines()]
    assert {line["dataRetentionPolicy"] for line in audited} == {"stream 24h, dead letters 336h"}
    quiet = (world.folder / "consume.log").stat().st_size
    bus.plan({"bus_rules": [RULE], "rules": [REFUSED]})
    began = time.monotonic()
    world.post_many(60, 10)
    until(lambda: status(world)["code"] == "holding", 30, "it holds")
    held: list[tuple[float, dict[str, Any]]] = []
    while (at := time.monotonic()) < began + HOLD_S:
        held.append((at - began, status(world)))
        assert asked(world, "/readyz").status_code == 200
        time.sleep(1.0)
    samples = asked(world, "/metrics").text.splitlines()
    assert any(
        sample.startswith('stream_router_holding{reason="destination"') and sample.endswith(" 1.0")
        for sample in samples
    )
    bus.plan({"bus_rules": [RULE]})
    until(lambda: delivered(world) >= 60, 60, "it has caught up")
    for seconds, verdict in held:
        assert (verdict["code"], "AccessDeniedException" in verdict["reason"]) == ("holding", True)
        assert verdict["lag"]["oldestUnsettledAgeS"] == pytest.approx(seconds, abs=6)
        assert verdict["lag"]["retentionHeadroomS"] == pytest.approx(RETENTION_S - seconds, abs=6)
    out = len(bus.lines("PutEvents", "accepted"))
    until(lambda: sum(in_cloudwatch(bus).get("RoutingSuccessCount", [])) == out, 30, "CloudWatch has all")
    verdict = in_cloudwatch(bus)
    assert max(verdict["OldestUnsettledAgeSeconds"]) > HOLD_S - 10
    assert min(verdict["RetentionHeadroomSeconds"]) == pytest.approx(RETENTION_S - HOLD_S, abs=30)
    assert max(verdict["HoldingShards"]) >= 1
    hour = asked(world, "/history").json()
    rows = [dict(zip(hour["columns"], row, strict=True)) for row in hour["rows"]]
    assert max(row["holdingShards"] for row in rows) >= 1
    assert any(row["deliveredPerS"] == 0 and row["p99"] is None for row in rows)
    with (world.folder / "consume.log").open() as log:
        log.seek(quiet)
        bad = [line for line in map(json.loads, log) if line["level"] in ("WARNING", "ERROR")]
    assert Counter(line["event"] for line in bad).keys() == {"holding", "verdict"}
    (verdict,) = [line for line in bad if line["event"] == "verdict"]
    assert verdict["code"] == "holding"
    holds = [line for line in bad if line["event"] == "holding"]
    assert len(holds) <= 2, "one a shard"
    assert "default accepts nothing" in holds[0]["message"]
    assert holds[0]["message"].endswith("; grant it (stream-router setup --policy)")


def in_cloudwatch(bus: FakeAwsProcess) -> dict[str, list[float]]:
    """Every value that CloudWatch took of this application, by metric."""
    result: dict[str, list[float]] = {}
    for line in bus.lines("PutMetricData", "accepted"):
        datum = json.loads(line["payload"])
        if len(datum["Dimensions"]) == 3:
            result.setdefault(datum["MetricName"], []).extend(datum["Values"])
    return result


def test_shards_that_nobody_reads_show_within_two_minutes(
    make_world: Callable[..., World], bus: FakeAwsProcess
) -> None:
    """The daemon is stopped (SIGSTOP): its leases stand still; then a lease is deleted: no owner."""
    world = started(make_world, bus)

    def unread() -> set[tuple[str, str]]:
        return {(item["shard"], item["why"]) for item in status(world)["unreadShards"] or []}

    until(lambda: status(world)["unreadShards"] == [], 150, "the stream was looked at twice")
    jvm = world.jvm()
    os.kill(jvm, signal.SIGSTOP)
    try:
        until(lambda: len(unread()) == 2, UNREAD_WITHIN_S, "both show")
        assert {why for _, why in unread()} == {"lease does not move"}
        # The state is `starting` until all shards were seen with an owner once, for two minutes at most.
        until(lambda: status(world)["code"] == "shards-unread", START_S, "the verdict names it")
        assert "stream_router_unread_shards 2.0" in asked(world, "/metrics").text.splitlines()
        shard = min(unread())[0]
        table(world).delete_item(TableName="cxone-event-router", Key={"leaseKey": {"S": shard}})
        until(lambda: (shard, "no owner") in unread(), UNREAD_WITHIN_S, "the deleted lease shows")
    finally:
        os.kill(jvm, signal.SIGCONT)
