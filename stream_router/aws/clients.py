"""boto3 clients of the control plane, made when asked for, with standard retries and time-outs. No event goes here."""

import functools
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from stream_router.aws import credentials
from stream_router.aws.endpoints import check_url, refusals

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    connect_timeout=5,
    read_timeout=20,
    user_agent_extra="stream-router",
)

READS = CONFIG.merge(Config(retries={"total_max_attempts": 1}, max_pool_connections=64))
"""For calls that their owner paces and repeats: a retry of botocore's own would be a read too many."""


class Clients:
    """The control plane in one region. Endpoints and credentials are read as boto3 reads them.

    `endpoint_url` overrides every endpoint (the embedded stack); without it the `AWS_ENDPOINT_URL*` variables hold.
    Raises SettingsError, at construction or when a client is first asked for, where a variable or a file is wrong.
    """

    def __init__(self, region: str, endpoint_url: str | None = None, session: boto3.Session | None = None) -> None:
        self.region = region
        self._endpoint_url = endpoint_url
        with refusals("sts"):
            self._session = session or boto3.Session(region_name=region)

    @property
    def partition(self) -> str:
        """The partition of the region: aws, aws-cn, aws-us-gov."""
        with refusals("sts"):
            return str(self._session.get_partition_for_region(self.region))

    def _make(self, service: str, config: Config = CONFIG) -> Any:
        # boto3's own overloads want a literal; the properties below give each client its type.
        make: Any = self._session.client
        credentials.find(self._session)
        with refusals(service):
            client = make(service, config=config, endpoint_url=self._endpoint_url)
            check_url(client.meta.endpoint_url)
            return client

    @functools.cached_property
    def kinesis(self) -> "KinesisClient":
        """Kinesis Data Streams."""
        return self._make("kinesis")  # type: ignore[no-any-return]

    @functools.cached_property
    def kinesis_reads(self) -> "KinesisClient":
        """Kinesis Data Streams, each call tried once; for many threads."""
        return self._make("kinesis", READS)  # type: ignore[no-any-return]

    @functools.cached_property
    def events(self) -> "EventBridgeClient":
        """EventBridge, classic."""
        return self._make("events")  # type: ignore[no-any-return]

    @functools.cached_property
    def events_v2(self) -> Any:
        """EventBridge, v2 (no type stubs exist for it yet)."""
        return self._make("eventbridgev2")

    @functools.cached_property
    def sqs(self) -> "SQSClient":
        """SQS."""
        return self._make("sqs")  # type: ignore[no-any-return]

    @functools.cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """DynamoDB: the KCL's lease table."""
        return self._make("dynamodb")  # type: ignore[no-any-return]

    @functools.cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch metrics."""
        return self._make("cloudwatch")  # type: ignore[no-any-return]

    @functools.cached_property
    def service_quotas(self) -> Any:
        """Service Quotas (no type stubs installed)."""
        return self._make("service-quotas")

    @functools.cached_property
    def sts(self) -> "STSClient":
        """STS: who we are."""
        return self._make("sts")  # type: ignore[no-any-return]
