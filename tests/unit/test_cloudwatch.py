"""What CloudWatch is sent: what docs/contract.md names, within the service's limits, each count once."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from stream_router.telemetry.cloudwatch import NAMESPACE, MetricDimensions, Sender, requests
from stream_router.telemetry.metrics_catalogue import CONSUMER_IN_CLOUDWATCH, RECEIVER_IN_CLOUDWATCH, REQUESTS
from stream_router.telemetry.snapshot import Labels, Snapshot
from tests.snapshots import snapshot

SHAPE = ServiceModel(Loader().load_service_model("cloudwatch", "service-2")).operation_model("PutMetricData")
WHOSE = MetricDimensions("eu-west-1", "router")
WHOLE = [{"Name": "SourceSystem", "Value": "NICE_CXone"}, {"Name": "Region", "Value": "eu-west-1"}]


def test_a_request_is_what_the_contract_and_the_service_model_say() -> None:
    """Namespace, dimensions on each datum, Values and Counts of a distribution; the service's model accepts it."""
    now = snapshot("a", 1, 20, at=1767225600.1234, latencies_ms=[1.5, 20.0, 20.0])
    (request,) = requests(now, Snapshot(), CONSUMER_IN_CLOUDWATCH, WHOSE)
    validate_parameters({"Namespace": NAMESPACE, "MetricData": request}, SHAPE.input_shape)  # type: ignore[arg-type]
    assert NAMESPACE == "CXoneEventRouter"
    assert [datum["Dimensions"] for datum in request] == len(request) // 2 * [
        WHOLE,
        [*WHOLE, {"Name": "Application", "Value": "router"}],
    ]
    by_name = {datum["MetricName"]: datum for datum in request}
    latency = by_name["RoutingLatencyMilliseconds"]
    assert (latency["Counts"], latency["Timestamp"], latency["Unit"]) == ([1, 2], 1767225600.123, "Milliseconds")
    assert latency["Values"] == pytest.approx([1.5, 20.0], rel=0.01)
    sums = {name: item["Values"] for name, item in by_name.items()}
    assert (sums["RoutingSuccessCount"], sums["EntriesPerCall"]) == ([20.0], [10.0])
    assert sums["RoutingFailureCount"] == sums["DeadLetterCount"] == [1.0]
    assert (sums["DroppedCount"], "AuditFailureCount" in sums) == ([0.0], False), "of what is seldom nobody pays zeros"


def taken(at_s: float, *answers: tuple[str, int], **gauges: float) -> Snapshot:
    """A receiver's, of so many answers by status."""
    counts: dict[Labels, float] = {("default", code, ""): count for code, count in answers}
    return Snapshot(at_s, {REQUESTS.name: counts}, {f"receiver_{name}": {(): value} for name, value in gauges.items()})


def test_it_hears_what_happened_since_by_class_of_status() -> None:
    """Zeros too, but for what is seldom; a gauge as an alarm wants it, and of what is not known nothing."""
    before = taken(10.0, ("202", 5), ("401", 1))
    gauges = {"stream_up": 0.0, "tls_certificate_end_timestamp_seconds": 100.0}
    now = taken(70.0, ("202", 7), ("401", 2), ("503", 1), **gauges)
    (request,) = requests(now, before, RECEIVER_IN_CLOUDWATCH, WHOSE)
    assert {datum["MetricName"]: datum["Values"][0] for datum in request} == {
        "Answered2xxCount": 2.0,
        "Answered4xxCount": 1.0,
        "Answered5xxCount": 1.0,
        "Answered401Count": 1.0,
        "RecordsFailedCount": 0.0,
        "SpillDamagedCount": 0.0,
        "StreamDown": 1.0,
        "CertificateRemainingSeconds": 30.0,
    }
    assert not list(requests(Snapshot(), Snapshot(), CONSUMER_IN_CLOUDWATCH, WHOSE, zeros=False))


class CloudWatch:
    """Keeps what it took; `trouble` is raised instead, while there is one."""

    def __init__(self, trouble: Exception) -> None:
        self.taken: list[dict[str, Any]] = []
        self.trouble: Exception | None = trouble

    def put_metric_data(self, **request: Any) -> None:
        if self.trouble:
            raise self.trouble
        self.taken += request["MetricData"]


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
def test_counts_are_sent_once_whatever_cloudwatch_does(trouble: Exception, kept: bool) -> None:
    """What does not get through goes later, stamped as it was; what is refused for its content is given up."""
    service, at = CloudWatch(trouble), [taken(0.0)]
    send = Sender(service, WHOSE, lambda: at[0], RECEIVER_IN_CLOUDWATCH)
    for minute in (1, 2, 3):
        service.trouble = trouble if minute < 3 else None
        at[0] = taken(60.0 * minute, ("202", minute))
        send()
    answered = [
        datum for datum in service.taken if datum["MetricName"] == "Answered2xxCount" and len(datum["Dimensions"]) == 2
    ]
    minutes = (1, 2, 3) if kept else (3,)
    assert [(item["Timestamp"], item["Values"]) for item in answered] == [(60.0 * minute, [1.0]) for minute in minutes]
