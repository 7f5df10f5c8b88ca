"""What the receiver sends to CloudWatch: what happened since, how it is now; nothing lost, nothing twice."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.telemetry.cloudwatch import Whose
from stream_router.telemetry.receiver import receiver_metrics_catalogue
from stream_router.telemetry.receiver.receiver_board import Board
from stream_router.telemetry.receiver.receiver_cloudwatch import WAITING_MAX, ReceiverMetrics
from stream_router.telemetry.receiver.receiver_stats import Stats


class CloudWatch:
    """Keeps what it is sent; `trouble` is raised instead."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.trouble: Exception | None = None

    def put_metric_data(self, **call: Any) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.append(call)

    def data(self, dimensions: int = 2) -> list[dict[str, Any]]:
        """Of all calls, with so many dimensions: of all applications, or of this one."""
        return [one for call in self.sent for one in call["MetricData"] if len(one["Dimensions"]) == dimensions]

    def sums(self) -> Counter[str]:
        """Each metric's sum over all calls."""
        sums: Counter[str] = Counter()
        for one in self.data():
            weighed = zip(one["Values"], one["Counts"], strict=True)
            sums[one["MetricName"]] += sum(value * count for value, count in weighed)
        return sums

    def latest(self) -> dict[str, float]:
        return {one["MetricName"]: one["Values"][0] for one in self.data() if one["Values"]}


class Bench:
    """Two workers' rows, and the sender that watches them."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0
        self.board = Board(2, ("", "crm"))
        self.workers = [Stats(sources=("", "crm")) for _ in range(2)]
        self.cloud = CloudWatch()
        whose = Whose("us-east-1", "router")
        self.send = ReceiverMetrics(self.cloud, whose, self.board, lambda: self.now, lambda: self.now)

    def minute(self) -> None:
        self.now += 60
        for number, worker in enumerate(self.workers):
            self.board.row(number)[:] = worker.row()
        self.send()

    def serve(self) -> None:
        for worker in self.workers:
            worker.up = worker.ready = worker.stream_up = 1


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.serve()
    return made


def test_before_a_worker_serves_nothing_is_claimed_of_it() -> None:
    """No readiness, no spill, no stream: an alarm on missing data sees a receiver that never came up."""
    bench = Bench()
    bench.send()
    states = {metric.cloudwatch.name for metric in receiver_metrics_catalogue.GAUGES.values() if metric.cloudwatch}
    assert not states & {one["MetricName"] for one in bench.cloud.data()}
    bench.serve()
    bench.minute()
    latest = bench.cloud.latest()
    assert (latest["ReceiverReady"], latest["StreamDown"], latest["SpillOldestAgeSeconds"]) == (2.0, 0.0, 0.0)


def test_each_count_is_sent_once_and_by_the_class_of_its_answer(bench: Bench) -> None:
    """Over both workers and all sources; a minute without any says 0."""
    one, two = bench.workers
    one.answers[""][202, "stored"] += 7
    two.answers["crm"][202, "seen_before"] += 1
    two.answers["crm"][401, "bad_signature"] += 2
    one.answers[""][503, "not_stored"] += 3
    one.events_stored, two.events_spilled, two.throttles = 70, 5, 4
    for _ in range(4):
        two.failed("ProvisionedThroughputExceededException")
    bench.minute()
    one.answers[""][202, "stored"] += 1
    bench.minute()
    bench.minute()
    assert {name: count for name, count in bench.cloud.sums().items() if count and name.endswith("Count")} == {
        "Answered2xxCount": 9,
        "Answered401Count": 2,
        "Answered4xxCount": 2,
        "Answered5xxCount": 3,
        "EventsStoredCount": 70,
        "EventsSpilledCount": 5,
        "RecordsFailedCount": 4,
        "RecordsThrottledCount": 4,
    }
    assert bench.cloud.latest()["Answered2xxCount"] == 0.0


def test_a_sender_that_is_not_verified_is_counted_apart_from_strangers(bench: Bench) -> None:
    """It may take a 401 as final; an address on the internet gets any number of 404. Without one there is no datum."""
    one = bench.workers[0]
    one.answers[""][404, "not_found"] += 50
    bench.minute()
    assert "Answered401Count" not in bench.cloud.latest()
    one.answers["crm"][401, "stale"] += 3
    bench.minute()
    bench.minute()
    assert bench.cloud.sums()["Answered401Count"] == 3
    assert [one["MetricName"] for one in bench.cloud.data()].count("Answered401Count") == 1


def test_the_spill_and_the_stream_are_as_the_worst_worker_has_them(bench: Bench) -> None:
    """Bytes of both are added up, the age is the oldest; the stream is down where one worker says so."""
    one, two = bench.workers
    one.spill_bytes, two.spill_bytes = 1_000, 500
    one.spill_oldest_age_seconds, two.spill_oldest_age_seconds = 12.5, 90.25
    two.stream_up, two.ready, two.spill_failing, two.spilled_events = 0, 0, 1, 40
    bench.minute()
    latest = bench.cloud.latest()
    assert {name: latest[name] for name in ("SpillBytes", "SpillOldestAgeSeconds", "SpilledEvents")} == {
        "SpillBytes": 1_500.0,
        "SpillOldestAgeSeconds": 90.25,
        "SpilledEvents": 40.0,
    }
    assert (latest["StreamDown"], latest["SpillFailing"], latest["ReceiverReady"]) == (1.0, 1.0, 1.0)
    bench.board.gone(0)
    bench.board.gone(1)
    bench.send()
    assert bench.cloud.latest()["ReceiverReady"] == 0.0
    down = [one["Timestamp"] for one in bench.cloud.data() if one["MetricName"] == "StreamDown"]
    assert len(down) == 1, "nobody serves: nobody knows of the stream"


def test_what_is_left_of_the_certificate_is_told_where_there_is_one(bench: Bench) -> None:
    """Of all workers' the one that ends first, below 0 once it has ended; without one no 0 is claimed."""
    name = "CertificateRemainingSeconds"
    bench.minute()
    assert name not in bench.cloud.latest()
    one, two = bench.workers
    one.tls_certificate_end_timestamp_seconds = bench.now + 60 + 90 * 24 * 3600.0
    two.tls_certificate_end_timestamp_seconds = bench.now + 60 + 90.5
    bench.minute()
    assert bench.cloud.latest()[name] == 90.5
    bench.minute()
    bench.minute()
    assert bench.cloud.latest()[name] == -29.5


def test_percentiles_of_the_answers_are_within_one_percent(bench: Bench) -> None:
    """Each minute's own, of both workers: distributions go as values and counts."""
    dice = np.random.default_rng(3)
    exact = np.exp(dice.normal(-4.0, 1.0, 8_000))
    for at in range(0, 8_000, 2_000):
        bench.workers[at // 2_000 % 2].latencies_s = exact[at : at + 2_000].tolist()
        bench.minute()
    values: list[float] = []
    for one in bench.cloud.data(3):
        if one["MetricName"] == "ReceiverLatencyMilliseconds":
            values += np.repeat(one["Values"], one["Counts"]).tolist()
            assert len(one["Values"]) <= 150
    assert len(values) == 8_000
    for percent in (50, 90, 99, 99.9):
        assert np.percentile(values, percent) == pytest.approx(np.percentile(exact * 1000, percent), rel=0.0101)


def test_every_datum_goes_twice_and_is_in_the_catalogue(bench: Bench) -> None:
    """With the contract's dimensions, and with the application besides."""
    bench.workers[0].latencies_s = [0.01]
    bench.workers[0].tls_certificate_end_timestamp_seconds = bench.now + 3600
    bench.workers[0].answers[""][401, "stale"] += 1
    bench.minute()
    whole, own = bench.cloud.data(2), bench.cloud.data(3)
    names = {one.cloudwatch.name for one in receiver_metrics_catalogue.IN_CLOUDWATCH if one.cloudwatch}
    assert {one["MetricName"] for one in whole} == {one["MetricName"] for one in own} == names
    assert own[0]["Dimensions"] == [
        {"Name": "SourceSystem", "Value": "NICE_CXone"},
        {"Name": "Region", "Value": "us-east-1"},
        {"Name": "Application", "Value": "router"},
    ]
    assert bench.cloud.sent[0]["Namespace"] == "CXoneEventRouter"


@pytest.mark.parametrize(
    "trouble",
    [
        ClientError({"Error": {"Code": "AccessDenied"}}, "PutMetricData"),
        EndpointConnectionError(endpoint_url="https://monitoring"),
    ],
)
def test_what_does_not_get_through_is_sent_again_with_its_own_time(
    bench: Bench, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Minutes of a dead CloudWatch come later, each count once; it is said, and nothing raises."""
    bench.cloud.trouble = trouble
    for _ in range(3):
        bench.workers[0].events_stored += 10
        bench.minute()
    assert "CloudWatch does not take the receiver's metrics" in caplog.text
    bench.cloud.trouble = None
    bench.minute()
    stored = [one for one in bench.cloud.data() if one["MetricName"] == "EventsStoredCount"]
    assert [one["Values"] for one in stored] == [[10.0]] * 3 + [[0.0]]
    assert [one["Timestamp"] for one in stored] == [bench.now - 180 + 60 * n for n in range(4)]


def test_a_cloudwatch_that_is_dead_for_long_takes_bounded_memory(bench: Bench) -> None:
    """The oldest minutes go."""
    bench.cloud.trouble = EndpointConnectionError(endpoint_url="https://monitoring")
    for _ in range(WAITING_MAX + 20):
        bench.minute()
    bench.cloud.trouble = None
    bench.minute()
    assert len(bench.cloud.sent) == WAITING_MAX


def test_a_request_that_is_refused_for_its_content_is_not_sent_for_ever(bench: Bench) -> None:
    """It would be refused for ever, and hold up the minutes behind it."""
    bench.cloud.trouble = ClientError({"Error": {"Code": "InvalidParameterValue"}}, "PutMetricData")
    bench.minute()
    bench.cloud.trouble = None
    bench.minute()
    assert len(bench.cloud.sent) == 1
