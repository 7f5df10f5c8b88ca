"""The real programs in trouble, seen from everywhere: /status, /history, /metrics through the alert rules, CloudWatch,
`top`, the page. A hold of a minute, and shards that nobody reads.

The long lane: it takes some minutes, and uses `promtool` and Chromium where they are installed.
"""

import json
import os
import shutil
import signal
import subprocess
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

from tests.chromium import PROGRAM as CHROMIUM
from tests.chromium import Chromium
from tests.constants import METRICS_EVERY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import PROGRAM, REGION, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(420)]

RULES = Path(__file__).parents[2] / "deploy/observability/prometheus/rules.yaml"
EVERY_S = 5.0
HOLD_S = 65.0
FIRES_WITHIN_S = 60.0
UNREAD_WITHIN_S = 120.0
AWS = boto3.Session("test", "test", region_name=REGION)


class Watcher:
    """Scrapes the consumer's admin port every EVERY_S, on a thread, until closed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.begun = time.monotonic()
        self.metrics: list[str] = []
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self.ready: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self.metrics.append(httpx.get(f"{self.url}/metrics").text)
            self.statuses.append((time.monotonic(), httpx.get(f"{self.url}/status").json()))
            self.ready.add(httpx.get(f"{self.url}/readyz").status_code)
            due = self.begun + len(self.metrics) * EVERY_S
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def during(self, begin: float, end: float) -> list[tuple[float, dict[str, Any]]]:
        return [(at, status) for at, status in self.statuses if begin <= at <= end]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger") as fake:
        yield fake


def test_a_hold_of_a_minute_is_seen_in_every_view(
    make_world: Callable[..., World], bus: FakeAwsProcess, tmp_path: Path
) -> None:
    """Lag grows with the clock, headroom shrinks, the reason is named, it stays ready; the alert fires; it ends."""
    world = make_world(**with_constants({METRICS_EVERY_S: 5}))
    world.start_stack()
    world.run_setup()
    own = {"AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url, "STREAM_ROUTER_RULE": "none"}
    world.consumer = world.start("consume", PROGRAM, "consume", **own)
    world.receiver = world.start("receive", PROGRAM, "receive")
    url = f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}"
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    world.post_many(20, 10)
    until(lambda: httpx.get(f"{url}/status").json()["totals"]["counters"].get("delivered", 0) >= 20, 60, "events flow")
    until(lambda: httpx.get(f"{url}/status").json()["state"] == "caught up", 60, "it is caught up")

    watcher = Watcher(url)
    traffic = threading.Thread(target=world.post_many, args=(int(20 * (HOLD_S + 30)), 20), daemon=True)
    traffic.start()
    time.sleep(15)
    begin = time.monotonic()
    bus.plan({"rules": [{"fault": "outage", "operation": "PutEvents", "from_s": 0, "to_s": HOLD_S}]})
    time.sleep(20)
    views = _views(url, tmp_path)
    end = begin + HOLD_S
    time.sleep(max(0.0, end - time.monotonic()))
    traffic.join()
    until(lambda: httpx.get(f"{url}/status").json()["state"] == "caught up", 60, "it has caught up")
    time.sleep(EVERY_S + 1)
    watcher.close()

    held = watcher.during(begin + 15, end - 1)
    assert len(held) >= 8
    for at, status in held:
        assert status["state"] == "holding", status["reason"]
        assert "PutEvents" in status["reason"] or "bus" in status["reason"], status["reason"]
        assert status["lag"]["oldestUnsettledAgeS"] == pytest.approx(at - begin, abs=6)
    headrooms = [status["lag"]["retentionHeadroomS"] for _, status in held]
    assert headrooms == sorted(headrooms, reverse=True)
    assert headrooms[0] - headrooms[-1] == pytest.approx(held[-1][0] - held[0][0], abs=3)
    assert watcher.ready == {200}
    _seen_in(views, held)
    assert _of_cloudwatch(world, "OldestUnsettledAgeSeconds", "Maximum") == pytest.approx(HOLD_S, abs=15)
    assert _of_cloudwatch(world, "RetentionHeadroomSeconds", "Minimum") == pytest.approx(168 * 3600 - HOLD_S, abs=15)
    assert _of_cloudwatch(world, "HoldingShards", "Maximum") >= 1
    hour = httpx.get(f"{url}/history").json()
    rows = [dict(zip(hour["columns"], row, strict=True)) for row in hour["rows"]]
    assert max(row["holdingShards"] for row in rows) >= 1
    assert max(row["lagS"] or 0 for row in rows) == pytest.approx(HOLD_S, abs=15)
    assert any(row["deliveredPerS"] == 0 and row["p99"] is None for row in rows)
    if shutil.which("promtool"):
        _alerts(watcher, begin, tmp_path)


def _of_cloudwatch(world: World, metric: str, statistic: Any) -> float:
    """Of the last ten minutes, of this application."""
    client = AWS.client("cloudwatch", endpoint_url=world.environment["AWS_ENDPOINT_URL"])
    now = datetime.now(UTC)
    dimensions: Any = {"SourceSystem": "NICE_CXone", "Region": REGION, "Application": "cxone-event-router"}
    answer = client.get_metric_statistics(
        Namespace="CXoneEventRouter",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=[statistic],
    )
    points: Any = answer["Datapoints"]
    return float((max if statistic == "Maximum" else min)(point[statistic] for point in points))


def _views(url: str, folder: Path) -> dict[str, Any]:
    """What `top` and the page show now."""
    done = subprocess.run([PROGRAM, "top", "--json", "--url", url], check=True, capture_output=True, text=True)
    (host,) = json.loads(done.stdout)["hosts"]
    views: dict[str, Any] = {"top": host["status"]}
    if CHROMIUM is not None:
        with Chromium(folder / "browser") as browser:
            browser.open(url)
            browser.until("Number(document.body.dataset.looks) >= 1")
            shown = "[...document.querySelectorAll('[data-path]')].map((e) => [e.dataset.path, e.dataset.value])"
            views["page"] = dict(browser.value(shown))
            assert browser.said == []
    return views


def _seen_in(views: dict[str, Any], held: list[tuple[float, dict[str, Any]]]) -> None:
    """The views say the same as /status, as of their moment."""
    low, high = held[0][1]["lag"]["oldestUnsettledAgeS"], HOLD_S + EVERY_S
    assert views["top"]["state"] == "holding"
    assert low <= views["top"]["lag"]["oldestUnsettledAgeS"] <= high
    if page := views.get("page"):
        assert page["state"] == "holding"
        assert page["reason"] in {status["reason"] for _, status in held}
        assert low <= float(page["lag.oldestUnsettledAgeS"]) <= high


def _alerts(watcher: Watcher, begin: float, folder: Path) -> None:
    """The rules on the run's own series: the alert on holding fires within a minute, and is over at the end."""
    count = len(watcher.metrics)
    series: dict[str, list[str]] = {}
    holding: list[dict[str, str]] = []
    for place, text in enumerate(watcher.metrics):
        holding.append({})
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = {**sample.labels, "job": "c", "instance": "i"}
                told = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
                series.setdefault(f"{sample.name}{{{told}}}", ["_"] * count)[place] = repr(sample.value)
                if sample.name == "stream_router_holding" and sample.value == 1:
                    holding[place][sample.labels["shard"]] = sample.labels["reason"]
    place = int((begin - watcher.begun + FIRES_WITHIN_S) / EVERY_S)
    fires = [
        {
            "exp_labels": {"severity": "warning", "job": "c", "instance": "i", "shard": shard},
            "exp_annotations": {
                "summary": f"{shard} holds: events of it wait",
                "description": f"Nothing is lost; it goes on by itself once the cause is mended. Reason: {reason}",
                "runbook": "docs/runbooks/holding.md",
            },
        }
        for shard, reason in holding[place].items()
    ]
    assert fires
    at = f"{int(place * EVERY_S)}s"
    quiet = ("StreamRouterDeadLetters", "StreamRouterRetention", "StreamRouterNoConsumer")
    test = {
        "interval": f"{EVERY_S:.0f}s",
        "input_series": [{"series": name, "values": _ends(values)} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": "StreamRouterHolding", "exp_alerts": fires},
            {"eval_time": f"{int((count - 1) * EVERY_S)}s", "alertname": "StreamRouterHolding", "exp_alerts": []},
            *({"eval_time": at, "alertname": name, "exp_alerts": []} for name in quiet),
        ],
    }
    file = folder / "run_test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _ends(values: list[str]) -> str:
    """A series that is gone from a scrape is marked stale, as Prometheus does it."""
    marked = [
        "stale" if value == "_" and place and values[place - 1] != "_" else value for place, value in enumerate(values)
    ]
    return " ".join(marked)


def test_shards_that_nobody_reads_show_within_two_minutes(make_world: Callable[..., World]) -> None:
    """The daemon is stopped (SIGSTOP): its leases stand still; then a lease is deleted: no owner."""
    world = make_world()
    world.start_all()
    url = f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}"

    def status() -> dict[str, Any]:
        told: dict[str, Any] = httpx.get(f"{url}/status", timeout=5).json()
        return told

    def unread() -> set[tuple[str, str]]:
        return {(one["shard"], one["why"]) for one in status()["unreadShards"] or []}

    until(lambda: status()["unreadShards"] == [], 150, "the stream was looked at twice")
    jvm = world.jvm()
    os.kill(jvm, signal.SIGSTOP)
    try:
        until(lambda: len(unread()) == 2, UNREAD_WITHIN_S, "both show")
        assert {why for _, why in unread()} == {"lease does not move"}
        assert status()["state"] == "shards unread"
        assert "stream_router_unread_shards 2.0" in httpx.get(f"{url}/metrics", timeout=5).text.splitlines()
        shard = min(unread())[0]
        leases = AWS.client("dynamodb", endpoint_url=world.environment["AWS_ENDPOINT_URL"])
        leases.delete_item(TableName="cxone-event-router", Key={"leaseKey": {"S": shard}})
        until(lambda: (shard, "no owner") in unread(), UNREAD_WITHIN_S, "the deleted lease shows")
    finally:
        os.kill(jvm, signal.SIGCONT)
