"""One run of a real child, seen from everywhere: each view's percentiles are those of the ledger, to within 1 %."""

import json
import math
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.status import ConsumerStatus, admin_port
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_check import TargetStateMachine
from stream_router.local import report
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.cloudwatch import MetricDimensions, Sender
from stream_router.telemetry.metrics_catalogue import CONSUMER_IN_CLOUDWATCH, COUNTERS
from stream_router.telemetry.snapshot import Snapshot
from tests.chromium import PROGRAM as CHROMIUM
from tests.chromium import Chromium
from tests.daemon import Child, envelope, prove
from tests.environment import QUEUE
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import PROGRAM

EVENTS = 6_000
STAGE = "received_to_accepted"
PERCENTS = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
NEARLY = 0.0105
"""1 %, and what the ledger's moment of an answer is before the child's: milliseconds, of a minute at least."""

SETTINGS = Consumer(aws_region="us-east-1", sqs_dlq_url=QUEUE)


def nearest_rank(values: npt.NDArray[np.float64], percent: float) -> float:
    """numpy's `inverted_cdf` takes 99.9 % of 6,000 for a little more than the 5,994th."""
    return float(np.sort(values)[math.ceil(percent * len(values) / 100 - 1e-6) - 1])


class Seen(NamedTuple):
    """The exact latencies (ms), and where to look."""

    exact: npt.NDArray[np.float64]
    url: str
    status: ConsumerStatus

    def is_right(self, quantiles: dict[str, Any]) -> None:
        """Each percentile by its name; the nearest rank, as the product has it."""
        for name, percent in PERCENTS.items():
            assert float(quantiles[name]) == pytest.approx(nearest_rank(self.exact, percent), rel=NEARLY), name
        if "max" in quantiles:
            assert float(quantiles["max"]) == pytest.approx(float(self.exact.max()), rel=0.001)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Events that were received a minute to an hour ago go through a child; its supervisor's admin port is open."""
    folder, dice = tmp_path_factory.mktemp("run"), random.Random(11)
    received_ms: dict[str, int] = {}

    def event(number: int) -> bytes:
        ago_ms = min(3.6e6, 60_000 * math.exp(abs(dice.gauss(0.0, 1.2))))
        line = json.loads(envelope(number))
        line["receivedAt"] = received_ms[line["id"]] = int(time.time() * 1000 - ago_ms)
        return json.dumps(line).encode()

    with FakeAwsProcess(folder / "ledger", None, 0, "--payloads") as fake_aws, StateDir(folder / "state") as state:
        prove(state.path)
        vitals = Vitals()
        vitals.record_daemon_start(1)
        status = ConsumerStatus(SETTINGS, state, vitals, TargetStateMachine())
        status.observe()
        with Child(fake_aws.url, state.path) as child:
            child.initialize()
            for first in range(0, EVENTS, 1000):
                child.process_batch(
                    b"\n".join(map(event, range(record, record + 10))) for record in range(first, first + 1000, 10)
                )
            child.settle()
            until = time.monotonic() + 10
            while status.snapshot().total(COUNTERS["delivered"].name) < EVENTS:
                assert time.monotonic() < until
                time.sleep(0.05)
            accepted = fake_aws.lines("PutEvents", "accepted")
            exact = np.array([line["time"] - received_ms[line["eventId"]] for line in accepted])
            assert len(exact) == EVENTS
            port = admin_port("127.0.0.1:0", None, "", vitals, status)
            port.start()
            yield Seen(exact, f"http://{port.address}", status)
            port.close()


def test_status_top_and_demo_have_them(seen: Seen) -> None:
    """Since the start, and of the last five minutes; over the admin port, and as `demo` reports them."""
    status = httpx.get(f"{seen.url}/status").json()
    for part in ("totals", "recent"):
        latency = status[part]["latenciesMs"][STAGE]
        assert latency["count"] == EVENTS
        seen.is_right(latency)
    done = subprocess.run([PROGRAM, "top", "--json", "--url", seen.url], check=True, capture_output=True, text=True)
    (host,) = json.loads(done.stdout)["hosts"]
    seen.is_right(host["status"]["recent"]["latenciesMs"][STAGE])
    seen.is_right(report.figures_of_status(status["totals"])["latencyMs"][STAGE.replace("_", " ")])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install Debian's package `chromium`")
def test_the_page_has_them(seen: Seen, tmp_path: Path) -> None:
    """In its elements, in a real browser."""
    with Chromium(tmp_path) as browser:
        browser.open(seen.url)
        browser.until("Number(document.body.dataset.looks) >= 1")
        cells = dict(
            browser.value("[...document.querySelectorAll('[data-path]')].map((e) => [e.dataset.path, e.dataset.value])")
        )
        seen.is_right({name: cells[f"recent.latenciesMs.{STAGE}.{name}"] for name in (*PERCENTS, "max")})
        assert browser.messages == []


def test_prometheus_has_them_within_one_bucket(seen: Seen) -> None:
    """Each bound has as many events below it as lie below it less or more 1 %; so no percentile is a bucket off."""
    families = text_string_to_metric_families(httpx.get(f"{seen.url}/metrics").text)
    (family,) = [path for path in families if path.name == "stream_router_stage_latency_seconds"]
    bounds = {
        float(sample.labels["le"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["stage"] == STAGE
    }
    exact_s = seen.exact / 1000
    for bound, count in bounds.items():
        assert (exact_s <= bound * (1 - NEARLY)).sum() <= count <= (exact_s <= bound * (1 + NEARLY)).sum()


def test_cloudwatch_has_them(seen: Seen) -> None:
    """From the values and counts that it is sent, over several calls: none has more than 150 values of a metric."""
    calls: list[list[dict[str, Any]]] = []
    client = SimpleNamespace(put_metric_data=lambda **call: calls.append(call["MetricData"]))
    taken = iter((Snapshot(), seen.status.snapshot()))
    Sender(client, MetricDimensions("us-east-1", "router"), lambda: next(taken), CONSUMER_IN_CLOUDWATCH)()
    assert len(calls) > 1
    assert max(len(item["Values"]) for call in calls for item in call) == 150
    own = [
        datum
        for call in calls
        for datum in call
        if datum["MetricName"] == "RoutingLatencyMilliseconds" and len(datum["Dimensions"]) == 3
    ]
    values = [value for item in own for value in np.repeat(item["Values"], item["Counts"]).tolist()]
    assert len(values) == EVENTS
    seen.is_right({name: nearest_rank(np.array(values), at) for name, at in PERCENTS.items()})
