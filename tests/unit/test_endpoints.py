"""Where calls of the data plane go: where botocore's own would, and which of it is AWS."""

import pytest

from stream_router.aws import endpoints
from stream_router.aws.endpoints import CallEndpoint
from tests.environment import set_environment

pytestmark = pytest.mark.usefixtures("empty_environment")

REGION, GOV = "us-east-1", "us-gov-west-1"
V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/orders/abcdefghijklmnopqrstuvwxy"
OPERATIONS = {
    "kinesis": ("PutRecords", "Kinesis_20131202.PutRecords", "1.1"),
    "events": ("PutEvents", "AWSEvents.PutEvents", "1.1"),
    "sqs": ("SendMessageBatch", "AmazonSQS.SendMessageBatch", "1.0"),
    "dynamodb": ("GetItem", "DynamoDB_20120810.GetItem", "1.0"),
    "cloudwatch": ("PutMetricData", "GraniteServiceVersion20100801.PutMetricData", "1.0"),
}


def _url(region: str, service: str) -> str:
    return endpoints.find_endpoint(endpoints.create_session(region), service, OPERATIONS[service][0]).url


@pytest.mark.parametrize("service", OPERATIONS)
def test_a_call_goes_to_its_service_in_the_region(service: str) -> None:
    """Under the name and in the version of AWS's own model."""
    operation, name, version = OPERATIONS[service]
    host = {"cloudwatch": "monitoring"}.get(service, service)
    assert endpoints.find_endpoint(endpoints.create_session("eu-central-1"), service, operation) == CallEndpoint(
        f"https://{host}.eu-central-1.amazonaws.com/",
        host,
        (f"Content-Type: application/x-amz-json-{version}", f"X-Amz-Target: {name}"),
    )


@pytest.mark.parametrize(
    ("region", "service", "dual_stack", "host"),
    [
        (REGION, "kinesis", "false", "kinesis-fips.us-east-1.amazonaws.com"),
        (GOV, "dynamodb", "false", "dynamodb.us-gov-west-1.amazonaws.com"),
        (GOV, "events", "true", "events.us-gov-west-1.api.aws"),
    ],
)
def test_with_fips_a_call_goes_to_the_host_that_boto3_sends_to(
    monkeypatch: pytest.MonkeyPatch, region: str, service: str, dual_stack: str, host: str
) -> None:
    """A client's own endpoint is by an older table, which names hosts that there are not."""
    set_environment(monkeypatch, {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": dual_stack})
    assert _url(region, service) == f"https://{host}/"
    assert "s3-fips.aws-global" not in endpoints.find_put_object_endpoint(endpoints.create_session(REGION), "b").url


def test_a_v2_bus_and_an_endpoint_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of the bus's account; what is set is taken with its path, of a service's own variable first."""
    path = "service/AWSEventsV2/operation/PutEvents"
    v2_endpoint = endpoints.find_v2_endpoint(endpoints.create_session(REGION), V2_BUS, "PutEvents")
    assert (v2_endpoint.url, v2_endpoint.service) == (
        f"https://123456789012.eventsv2.us-east-1.amazonaws.com/{path}",
        "events",
    )
    for base in ("http://127.0.0.1:4566", "http://127.0.0.1:4566/base/"):
        set_environment(monkeypatch, {"AWS_ENDPOINT_URL": base, "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"})
        base = base.removesuffix("/")  # noqa: PLW2901
        assert {_url(REGION, service) for service in ("kinesis", "events")} == {f"{base}/"}
        assert _url(REGION, "sqs") == "http://127.0.0.1:1/"
        assert endpoints.find_put_object_endpoint(endpoints.create_session(REGION), "b").url == f"{base}/b/"
        assert endpoints.find_v2_endpoint(endpoints.create_session(REGION), V2_BUS, "PutEvents").url == f"{base}/{path}"


@pytest.mark.parametrize("region", [REGION, GOV, "cn-north-1", "eusc-de-east-1", "us-iso-east-1"])
def test_aws_s_own_endpoint_is_known_in_every_partition(region: str) -> None:
    """Else it would pass for an emulator, of which other things are asked."""
    assert endpoints.is_aws(_url(region, "kinesis"))
