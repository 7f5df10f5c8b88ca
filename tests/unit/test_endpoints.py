"""Where calls of the data plane go: where boto3's own would, and which of it is AWS."""

from urllib.parse import urlsplit

import pytest

from stream_router.aws import endpoints

REGION, GOV, CHINA = "us-east-1", "us-gov-west-1", "cn-north-1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


def _host(region: str, service: str) -> str:
    return urlsplit(endpoints.endpoint_url(endpoints.session(region), service)).hostname or ""


@pytest.mark.parametrize("service", ["kinesis", "events", "sqs", "dynamodb", "s3", "cloudwatch"])
def test_an_endpoint_is_the_service_s_own_in_the_region(service: str) -> None:
    """Without credentials too: none is needed to know it."""
    assert _host("eu-central-1", service).endswith(".eu-central-1.amazonaws.com")


@pytest.mark.parametrize(
    ("region", "service", "dual_stack", "host"),
    [
        (REGION, "s3", "false", "s3-fips.us-east-1.amazonaws.com"),
        (REGION, "kinesis", "false", "kinesis-fips.us-east-1.amazonaws.com"),
        (GOV, "dynamodb", "false", "dynamodb.us-gov-west-1.amazonaws.com"),
        (GOV, "events", "true", "events.us-gov-west-1.api.aws"),
    ],
)
def test_with_fips_a_call_goes_to_the_host_that_boto3_sends_to(
    monkeypatch: pytest.MonkeyPatch, region: str, service: str, dual_stack: str, host: str
) -> None:
    """A client's own endpoint is by an older table, which names hosts that there are not: s3-fips.aws-global."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    assert _host(region, service) == host


@pytest.mark.parametrize("service", ["kinesis", "sqs", "s3", "cloudwatch"])
def test_an_endpoint_that_is_set_is_taken_as_it_stands(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """Its path too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/base")
    assert endpoints.endpoint_url(endpoints.session(REGION), service) == "http://127.0.0.1:4566/base"


@pytest.mark.parametrize("region", [REGION, GOV, CHINA, "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1"])
@pytest.mark.parametrize("dual_stack", ["false", "true"])
def test_aws_s_own_endpoint_is_known_in_every_partition(
    monkeypatch: pytest.MonkeyPatch, region: str, dual_stack: str
) -> None:
    """Else it would pass for an emulator, of which other things are asked."""
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    assert endpoints.is_aws(endpoints.endpoint_url(endpoints.session(region), "kinesis"))
