"""The real programs in trouble, seen through the admin port: a hold of a minute, and shards that nobody reads."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.constants import METRICS_EVERY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import PROGRAM, REGION, World, until, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

HELD_S = 60.0
PER_S = 5.0
DRAINED_PER_S = 10
UNREAD_WITHIN_S = 120.0
NEARLY_S = 3.0
"""A lag as small is that of an ordinary moment: snapshots are up to two seconds old."""


class Watched(World):
    """A world whose consumer's admin port is looked at."""

    @property
    def admin(self) -> str:
        return f"http://{self.environment['STREAM_ROUTER_ADMIN_LISTEN']}"

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = httpx.get(f"{self.admin}/status", timeout=5).json()
        return told

    def gauge(self, name: str) -> dict[str, float]:
        """By shard."""
        text = httpx.get(f"{self.admin}/metrics", timeout=5).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return {sample.labels.get("shard", ""): sample.value for sample in families[f"stream_router_{name}"].samples}

    def cloudwatch(self, metric: str, statistic: Any) -> float | None:
        """Of the last ten minutes, of this application; None where there is no data."""
        client = boto3.Session("test", "test", region_name=REGION).client(
            "cloudwatch", endpoint_url=self.environment["AWS_ENDPOINT_URL"]
        )
        now = datetime.now(UTC)
        answer = client.get_metric_statistics(
            Namespace="CXoneEventRouter",
            MetricName=metric,
            Dimensions=[
                {"Name": "SourceSystem", "Value": "NICE_CXone"},
                {"Name": "Region", "Value": REGION},
                {"Name": "Application", "Value": "cxone-event-router"},
            ],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=[statistic],
        )
        points: Any = answer["Datapoints"]
        return max((point[statistic] for point in points), default=None)

    def ready(self) -> int:
        return httpx.get(f"{self.admin}/readyz", timeout=5).status_code


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(**settings: str) -> Watched:
        made.append(Watched(tmp_path, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def posting(world: World, stop: threading.Event) -> threading.Thread:
    """PER_S events a second until `stop`."""

    def post() -> None:
        number = 0
        with contextlib.suppress(httpx.TransportError):  # the world has ended: the test tells why
            while not stop.wait(1 / PER_S):
                assert world.post(f"d-{number}", webhook(number)).status_code == 202
                number += 1

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    return thread


def test_a_hold_of_a_minute_shows_everywhere_and_the_time_to_catch_up_is_right(
    make: Callable[..., Watched], tmp_path: Path
) -> None:
    """Lag grows with the clock, headroom shrinks, readiness stays, the reason is named; then catch-up within 30 %."""
    with FakeAwsProcess(tmp_path / "ledger") as fake_aws:
        rate = {
            "STREAM_ROUTER_MAX_SHARD_RATE": str(DRAINED_PER_S),
            "STREAM_ROUTER_SHARDS": "1",
            **with_constants({METRICS_EVERY_S: 10}),
        }
        world = make(**rate)
        world.start_stack()
        world.run_setup()
        world.start("consume", PROGRAM, "consume", AWS_ENDPOINT_URL_EVENTBRIDGE=fake_aws.url)
        world.start("receive", PROGRAM, "receive")
        until(world.is_ready, 30, "the receiver is ready")
        until(lambda: len(world.children()) == 1, 90, "a child runs")
        until(lambda: world.status()["state"] == "caught up", 60, "it is caught up")
        fake_aws.plan({"rules": [{"fault": "call_error", "operation": "PutEvents", "code": "AccessDeniedException"}]})
        stop = threading.Event()
        thread = posting(world, stop)
        began = time.time()
        _while_it_holds(world, began)
        fake_aws.plan({})
        _while_it_catches_up(world)
        stop.set()
        thread.join()


def _while_it_holds(world: Watched, began: float) -> None:
    week_s = 168 * 3600
    while time.time() - began < HELD_S:
        time.sleep(5)
        status, held_s = world.status(), time.time() - began
        (shard,) = status["shards"]
        lag = status["lag"]
        assert lag["oldestUnsettledAgeS"] == pytest.approx(held_s, abs=2.5)
        assert lag["retentionHeadroomS"] == pytest.approx(week_s - held_s, abs=2.5)
        assert world.gauge("oldest_unsettled_age_seconds")[shard["shard"]] == pytest.approx(held_s, abs=2.5)
        assert world.gauge("retention_headroom_seconds")[shard["shard"]] == pytest.approx(week_s - held_s, abs=2.5)
        assert not lag["caughtUp"]
        assert world.ready() == 200
        if held_s > 12:
            assert (status["state"], shard["state"]) == ("holding", "holding")
            assert "accepts nothing: AccessDeniedException" in shard["reason"]
            assert sum(world.gauge("holding").values()) == 1
    assert shard["timeShares"]["holding"] > 0.8
    assert (world.cloudwatch("OldestUnsettledAgeSeconds", "Maximum") or 0) > HELD_S - 20
    assert world.cloudwatch("RetentionHeadroomSeconds", "Minimum") == pytest.approx(week_s - HELD_S, abs=20)
    assert world.cloudwatch("HoldingShards", "Maximum") == 1


def _while_it_catches_up(world: Watched) -> None:
    """What is drained is twice of what comes: the estimates of the middle, against when it was so."""
    estimates: list[tuple[float, float]] = []
    until_s = time.monotonic() + 3 * HELD_S
    while (status := world.status())["lag"]["oldestUnsettledAgeS"] > NEARLY_S:
        assert time.monotonic() < until_s, status["lag"]
        if status["lag"]["catchUpS"] is not None:
            # Looked at until three seconds are left: so much less of the estimate is to be waited for.
            age_s = status["lag"]["oldestUnsettledAgeS"]
            estimates.append((time.monotonic(), status["lag"]["catchUpS"] * (age_s - NEARLY_S) / age_s))
        time.sleep(2)
    over = time.monotonic()
    middle = [(over - at, said) for at, said in estimates if 15 < over - at < 0.6 * HELD_S]
    assert len(middle) >= 3, estimates
    for really_s, said_s in middle:
        assert said_s == pytest.approx(really_s, rel=0.3, abs=4)


def test_shards_that_nobody_reads_show_within_two_minutes(make: Callable[..., Watched]) -> None:
    """The daemon is stopped (SIGSTOP): its leases stand still; then a lease is deleted: no owner. It lives on: over."""
    world = make()
    world.start_all()
    until(lambda: world.status()["unreadShards"] == [], 150, "the stream was looked at twice")
    jvm = world.jvm()
    os.kill(jvm, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        until(lambda: len(world.status()["unreadShards"] or []) == 2, UNREAD_WITHIN_S, "both show")
        took_s = time.monotonic() - stopped
        status = world.status()
        assert {one["why"] for one in status["unreadShards"]} == {"lease does not move"}
        assert status["state"] == "shards unread"
        assert took_s < UNREAD_WITHIN_S
        session = boto3.Session("test", "test", region_name=REGION)
        table = session.resource("dynamodb", endpoint_url=world.environment["AWS_ENDPOINT_URL"]).Table(
            "cxone-event-router"
        )
        shard = status["unreadShards"][0]["shard"]
        table.delete_item(Key={"leaseKey": shard})
        until(
            lambda: (shard, "no owner") in {(one["shard"], one["why"]) for one in world.status()["unreadShards"] or []},
            UNREAD_WITHIN_S,
            "the deleted lease shows",
        )
        assert world.gauge("unread_shards")[""] == 2
    finally:
        os.kill(jvm, signal.SIGCONT)
