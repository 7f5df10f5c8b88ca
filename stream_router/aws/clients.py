"""Clients of the control plane, created on first use, with standard retries and time-outs. They send no events."""

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.session import Session

from stream_router.aws import credentials, endpoints

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

RETRIES_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    connect_timeout=5,
    read_timeout=20,
    user_agent_extra="stream-router",
)

NO_RETRIES_CONFIG = RETRIES_CONFIG.merge(Config(retries={"total_max_attempts": 1}, max_pool_connections=64))
"""Configuration for callers that pace and retry calls themselves, so that botocore does not retry as well."""


class Clients:
    """Clients of the control plane in one region, each created on first use. They read the settings that boto3 reads.

    `endpoint_url` overrides every endpoint, as for the embedded stack; without it the `AWS_ENDPOINT_URL*` variables
    take effect. If a variable or a file is wrong, SettingsError is raised at construction or at a client's first use.
    """

    kinesis: "KinesisClient"
    kinesis_without_retries: "KinesisClient"
    """Client that tries each call once, for callers with many threads."""
    events: "EventBridgeClient"
    events_v2: Any
    """Client without type stubs: none exist for it yet."""
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"
    cloudwatch: "CloudWatchClient"
    s3: Any
    """Client without type stubs: they are not installed."""
    sts: "STSClient"

    def __init__(
        self,
        region: str,
        endpoint_url: str | None = None,
        session: Session | None = None,
        config: Config = RETRIES_CONFIG,
    ) -> None:
        self.region = region
        self._config = config
        self._endpoint_url = endpoint_url
        self._session = session or endpoints.create_session(region)
        self._boto3 = boto3.session.Session(botocore_session=self._session)

    def __getattr__(self, name: str) -> Any:
        """Create the client of this name and return it. Python calls this only for a name that is not set yet."""
        if name not in Clients.__annotations__:
            raise AttributeError(name)
        services = {"kinesis_without_retries": "kinesis", "events_v2": "eventbridgev2"}
        service = services.get(name, name)
        config = NO_RETRIES_CONFIG if name == "kinesis_without_retries" else self._config
        credentials.find_in_chain(self._session)  # raises CredentialsError now, instead of an error at the first call
        with endpoints.translate_errors(service):
            create: Any = self._boto3.client  # its overloads accept literal names only
            client = create(service, config=config, endpoint_url=self._endpoint_url)
            endpoints.check_url(client.meta.endpoint_url)
        setattr(self, name, client)
        return client

    @property
    def partition(self) -> str:
        """Partition of the region, such as aws, aws-cn or aws-us-gov."""
        with endpoints.translate_errors("sts"):
            return str(self._session.get_partition_for_region(self.region))
