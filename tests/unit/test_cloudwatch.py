"""PutMetricData requests: what docs/contract.md, "CloudWatch", names, within the limits that botocore's model has."""

from typing import Any

import orjson
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from stream_router.telemetry import cloudwatch
from stream_router.telemetry.metrics_catalogue import ENTRIES_PER_CALL, STAGES

MODEL = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"))
WHOSE = cloudwatch.Whose("us-east-1", "router")
LATENCY = STAGES["received_to_accepted"]


def read(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(body) for body in bodies]


def whole(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The data without the dimension Application: each metric once."""
    return [datum for datum in request["MetricData"] if len(datum["Dimensions"]) == 2]


def test_a_request_is_what_the_contract_and_the_service_model_say() -> None:
    """Namespace, dimensions on each datum, Values and Counts; the service's model accepts the request."""
    [body] = cloudwatch.bodies(
        [cloudwatch.Series(LATENCY, [1.5, 20.0], [3, 1])], WHOSE._replace(region="eu-west-1"), 1767225600.123
    )
    request = orjson.loads(body)
    assert request["Namespace"] == "CXoneEventRouter"
    datum, of_application = request["MetricData"]
    assert datum["MetricName"] == "RoutingLatencyMilliseconds"
    assert datum["Values"] == [1.5, 20.0]
    assert datum["Counts"] == [3, 1]
    assert datum["Dimensions"] == [
        {"Name": "SourceSystem", "Value": "NICE_CXone"},
        {"Name": "Region", "Value": "eu-west-1"},
    ]
    assert of_application["Dimensions"][2:] == [{"Name": "Application", "Value": "router"}]
    assert of_application | {"Dimensions": datum["Dimensions"]} == datum
    shape = MODEL.operation_model("PutMetricData").input_shape
    assert shape is not None
    validate_parameters(request, shape)


def test_a_wide_distribution_goes_over_several_requests_and_loses_no_value() -> None:
    """No request has more than 150 distinct values of a metric; all requests together have every value and count."""
    values = [float(number) for number in range(401)]
    counts = [number % 7 + 1 for number in range(401)]
    wide = cloudwatch.Series(LATENCY, values, counts)
    small = cloudwatch.Series(ENTRIES_PER_CALL, [10.0], [5])
    requests = read(cloudwatch.bodies([wide, small], WHOSE, 0.0))
    assert len(requests) == 3
    found: list[tuple[float, int]] = []
    for request in requests:
        of_metric = [datum for datum in whole(request) if datum["MetricName"] == "RoutingLatencyMilliseconds"]
        assert len(of_metric) == 1
        assert len(of_metric[0]["Values"]) <= 150
        found += zip(of_metric[0]["Values"], of_metric[0]["Counts"], strict=True)
    assert found == list(zip(values, counts, strict=True))
    assert sum(len(whole(request)) for request in requests) == 4


def test_no_request_is_larger_or_fuller_than_cloudwatch_takes() -> None:
    """At most 1,000 data and 1 MB a request, however many metrics there are."""
    many = [cloudwatch.Series(ENTRIES_PER_CALL, [float(number)] * 150, [1] * 150) for number in range(2_500)]
    bodies = cloudwatch.bodies(many, WHOSE, 1767225600.0)
    assert all(len(body) <= 1_000_000 for body in bodies)
    sizes = [len(request["MetricData"]) for request in read(bodies)]
    assert max(sizes) <= 1_000
    assert sum(sizes) == 5_000


def test_nothing_measured_is_no_request() -> None:
    """A metric without values is left out; if all are, nothing is sent."""
    assert cloudwatch.bodies([cloudwatch.Series(LATENCY, [], [])], WHOSE, 0.0) == []
