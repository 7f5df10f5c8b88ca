"""The one snapshot of a program's numbers: added up, set apart from an earlier one, through JSON, into CloudWatch."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from stream_router.telemetry import cloudwatch, prometheus
from stream_router.telemetry.cloudwatch import Whose
from stream_router.telemetry.cloudwatch_sender import WAITING_MAX, Sender
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import DURATION, RECEIVER, RECEIVER_IN_CLOUDWATCH, REQUESTS
from stream_router.telemetry.snapshot import Numbers, Snapshot

NAMES = st.sampled_from(["a", "b"])
LABELS = st.tuples(st.sampled_from(["x", "y,|\n"]), st.sampled_from(["", "z"]))
NUMBERS = st.dictionaries(NAMES, st.dictionaries(LABELS, st.integers(0, 10**12), min_size=1), max_size=2)
TIMES_MS = st.lists(st.floats(0, 10**7), max_size=20)


def histogram(times_ms: list[float]) -> Histogram:
    made = Histogram()
    made.record(times_ms)
    return made


@st.composite
def snapshots(draw: Any) -> Snapshot:
    histograms = draw(st.dictionaries(NAMES, st.dictionaries(LABELS, TIMES_MS.map(histogram), max_size=2), max_size=2))
    return Snapshot(draw(st.floats(0, 2e9)), draw(NUMBERS), draw(NUMBERS), histograms, {"state": "ready"})


def counted(snapshot: Snapshot) -> dict[str, Any]:
    """What was counted, of what is not 0."""
    told = snapshot.to_dict()
    counts = {name: sorted(row for row in rows if row[-1]) for name, rows in told["counts"].items()}
    histograms = {
        name: sorted((row[:-1], row[-1]["buckets"]) for row in rows if row[-1]["buckets"])
        for name, rows in told["histograms"].items()
    }
    return {
        name: rows
        for name, rows in (*counts.items(), *((f"h {name}", rows) for name, rows in histograms.items()))
        if rows
    }


@given(snapshots())
def test_it_goes_through_json_whole(one: Snapshot) -> None:
    """A child writes it, a supervisor reads it: labels may hold anything."""
    assert Snapshot.from_dict(json.loads(json.dumps(one.to_dict()))).to_dict() == one.to_dict()


@given(snapshots(), snapshots())
def test_what_is_added_is_what_was_counted_since(one: Snapshot, other: Snapshot) -> None:
    """Sums over children and differences over time are each other's opposite; nothing is averaged."""
    total = Snapshot()
    total.add(one)
    before = Snapshot.from_dict(total.to_dict())
    total.add(other)
    assert counted(total.since(before)) == counted(other)


@pytest.mark.parametrize("data", [{}, {"at": 1, "counts": [], "gauges": {}, "histograms": {}, "states": {}}])
def test_what_is_no_snapshot_is_refused(data: dict[str, Any]) -> None:
    """A file that another program wrote is passed over by who reads it."""
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Snapshot.from_dict(data)


def taken(at_s: float, answers: dict[tuple[str, str, str], int], **gauges: float) -> Snapshot:
    told: Numbers = {f"receiver_{name}": {(): value} for name, value in gauges.items()}
    counts: Numbers = {REQUESTS.name: dict(answers.items())}
    return Snapshot(at_s, counts, told, {DURATION.name: {(): histogram([5.0] * len(answers))}})


def test_cloudwatch_hears_what_happened_since_by_class_of_status() -> None:
    """Zeros too, but for what is seldom; a gauge as an alarm wants it, and of what is not known nothing."""
    before = taken(10.0, {("default", "202", "stored"): 5, ("a", "401", "stale"): 1})
    now = taken(
        *(70.0, {("default", "202", "stored"): 7, ("a", "401", "stale"): 2, ("a", "503", "busy"): 1}),
        stream_up=0.0,
        tls_certificate_end_timestamp_seconds=100.0,
    )
    told = {
        one.metric.cloudwatch.name: list(one.values)
        for one in cloudwatch.series(now, before, RECEIVER_IN_CLOUDWATCH)
        if one.metric.cloudwatch and one.metric.kind != "histogram"
    }
    assert told == {
        "Answered2xxCount": [2.0],
        "Answered4xxCount": [1.0],
        "Answered5xxCount": [1.0],
        "Answered401Count": [1.0],
        "RecordsFailedCount": [0.0],
        "SpillDamagedCount": [0.0],
        "StreamDown": [1.0],
        "CertificateRemainingSeconds": [30.0],
    }
    nothing = [one.metric.cloudwatch for one in cloudwatch.series(now, now, RECEIVER_IN_CLOUDWATCH)]
    assert not any(told is not None and told.name == "Answered401Count" for told in nothing)


def test_prometheus_shows_a_counter_of_which_nothing_was_counted_and_no_unknown_gauge() -> None:
    """`rate` needs its first sample; `absent` tells what is not known from 0."""
    text = prometheus.page(taken(1.0, {}), RECEIVER, "receive").decode()
    assert "\nstream_router_receiver_events_stored_total 0.0\n" in text
    assert "\nstream_router_receiver_stream_up" not in text
    assert 'stream_router_build_info{program="receive"' in text


class CloudWatch:
    """Keeps what it took; `trouble` is raised instead, while there is one."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.trouble: Exception | None = None

    def put_metric_data(self, **request: Any) -> None:
        if self.trouble:
            raise self.trouble
        self.taken.append(request)

    def sum(self, name: str) -> float:
        data = [datum for request in self.taken for datum in request["MetricData"]]
        return sum(sum(one["Values"]) for one in data if one["MetricName"] == name and len(one["Dimensions"]) == 2)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "PutMetricData")


@pytest.mark.parametrize(
    ("trouble", "kept"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), True),
        (refused("AccessDenied"), True),
        (refused("Throttling"), True),
        (refused("InvalidParameterValue"), False),
    ],
)
def test_counts_are_sent_once_whatever_cloudwatch_does(
    trouble: Exception, kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What does not get through goes later, stamped as it was; what is refused for its content is given up."""
    service, at = CloudWatch(), [taken(0.0, {})]
    send = Sender(service, Whose("eu-central-1", "app"), lambda: at[0], RECEIVER_IN_CLOUDWATCH)
    service.trouble = trouble
    for minute in (1, 2):
        at[0] = taken(60.0 * minute, {("default", "202", "stored"): minute})
        send()
    service.trouble = None
    at[0] = taken(180.0, {("default", "202", "stored"): 3})
    send()
    assert service.sum("Answered2xxCount") == (3.0 if kept else 1.0)
    assert len({datum["Timestamp"] for request in service.taken for datum in request["MetricData"]}) == (
        3 if kept else 1
    )
    assert len(caplog.records) == (1 if kept else 2)


def test_what_waits_for_a_cloudwatch_that_never_answers_is_bounded() -> None:
    """Some hours of it; then the oldest goes."""
    service, at = CloudWatch(), [taken(0.0, {})]
    send = Sender(service, Whose("eu-central-1", "app"), lambda: at[0], RECEIVER_IN_CLOUDWATCH)
    service.trouble = EndpointConnectionError(endpoint_url="http://x")
    for minute in range(1, WAITING_MAX + 50):
        at[0] = taken(60.0 * minute, {("default", "202", "stored"): minute})
        send()
    service.trouble = None
    send()
    assert len(service.taken) <= WAITING_MAX + 1
