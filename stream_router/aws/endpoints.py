"""Where each data-plane call goes: resolved as boto3 does it, the `AWS_ENDPOINT_URL*` variables included."""

import contextlib
import functools
import ssl
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, InvalidRegionError, ProfileNotFound, UnknownRegionError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader
from botocore.session import Session

from stream_router import limits
from stream_router.errors import SettingsError


class Target(NamedTuple):
    """One operation of one service: where it is sent and with which headers. Hashable: connections pool by it."""

    url: str
    service: str
    headers: tuple[str, ...]
    method: str = "POST"


def session(region: str) -> Session:
    """A botocore session in `region`; profile, credentials and configuration files are read as boto3 reads them.

    Raises SettingsError where the profile or the files cannot be used.
    """
    made = Session()
    made.set_config_variable("region", region)
    with refusals("kinesis"):
        made.get_scoped_config()
    return made


_VARIABLES = {"events": "EVENTBRIDGE", "secretsmanager": "SECRETS_MANAGER", "service-quotas": "SERVICE_QUOTAS"}
"""How botocore calls a service in the name of its endpoint's variable, where that is not the service's own name."""


@contextlib.contextmanager
def refusals(service: str) -> Iterator[None]:
    """Makes one line for the operator of what botocore raises where the environment for `service` cannot be used."""
    try:
        yield
    except (InvalidRegionError, UnknownRegionError):
        raise SettingsError("AWS_REGION: is no region's name; set AWS_REGION, for example us-east-1") from None
    except ProfileNotFound as error:
        named = error.kwargs.get("profile")
        raise SettingsError(f"AWS_PROFILE: there is no profile {named!r}; name another, or unset it") from None
    except BotoCoreError as error:
        raise SettingsError(
            f"AWS configuration: cannot be used ({type(error).__name__}); check AWS_PROFILE and its file"
        ) from None
    except ValueError:
        name = _VARIABLES.get(service) or service.upper()
        raise SettingsError(
            f"AWS_ENDPOINT_URL_{name} or AWS_ENDPOINT_URL: is no URL; give https://HOST, or unset it"
        ) from None


def client(session: Session, service: str, config: Config | None = None) -> Any:
    """A botocore client; nothing is sent. Raises SettingsError where the environment cannot be used."""
    with refusals(service):
        made: Any = session.create_client(service, config=config)
        check_url(made.meta.endpoint_url)
        return made


def check_url(url: str) -> None:
    """Raises ValueError for what botocore would trip over at the first call only."""
    parts = urlsplit(url)
    _ = parts.port  # raises for a port that is none
    if parts.scheme not in ("http", "https"):
        raise ValueError(url)


_ASKS_FOR_NOTHING = {
    "kinesis": "list_streams",
    "events": "list_event_buses",
    "sqs": "list_queues",
    "dynamodb": "list_tables",
    "s3": "list_buckets",
    "cloudwatch": "list_metrics",
}
"""An operation of each service that needs no argument."""


def endpoint_url(session: Session, service: str) -> str:
    """The URL that boto3 would send `service` calls to in this environment.

    A client's own `endpoint_url` is by an older table than the one that its calls follow: with FIPS or dual-stack
    endpoints it names hosts that there are not.
    """
    made = client(session, service, _UNSIGNED)
    told = str(made.meta.endpoint_url)
    with refusals(service):
        sent_to = urlsplit(_sent_to(made, getattr(made, _ASKS_FOR_NOTHING[service])))
    return told if sent_to.netloc == urlsplit(told).netloc else f"{sent_to.scheme}://{sent_to.netloc}"


def is_aws(url: str) -> bool:
    """Whether an endpoint is AWS's own; what is no URL is not."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host.endswith(_domains())


@functools.cache
def _domains() -> tuple[str, ...]:
    """What the hosts of every partition end with: aws, aws-cn, aws-us-gov, the European and the secret ones."""
    found = [partition["outputs"] for partition in Loader().load_data("partitions")["partitions"]]
    return tuple({f".{one[suffix]}" for one in found for suffix in ("dnsSuffix", "dualStackDnsSuffix")})


def json_target(url: str, service: str, operation: str, json_version: str) -> Target:
    """An awsJson operation, for example `AWSEvents.PutEvents` in version 1.1, at the endpoint `url`."""
    headers = (f"Content-Type: application/x-amz-json-{json_version}", f"X-Amz-Target: {operation}")
    return Target(url.rstrip("/") + "/", service, headers)


def put_events(session: Session) -> Target:
    """PutEvents on a classic bus."""
    return json_target(endpoint_url(session, "events"), "events", "AWSEvents.PutEvents", "1.1")


def put_records(session: Session) -> Target:
    """PutRecords on a Kinesis stream."""
    return kinesis(endpoint_url(session, "kinesis"), "PutRecords")


def kinesis(url: str, operation: str) -> Target:
    """An operation of Kinesis at its endpoint `url`."""
    return json_target(url, "kinesis", f"Kinesis_20131202.{operation}", "1.1")


def get_item(session: Session) -> Target:
    """GetItem from a DynamoDB table."""
    return json_target(endpoint_url(session, "dynamodb"), "dynamodb", "DynamoDB_20120810.GetItem", "1.0")


def send_message_batch(session: Session) -> Target:
    """SendMessageBatch to an SQS queue."""
    return json_target(endpoint_url(session, "sqs"), "sqs", "AmazonSQS.SendMessageBatch", "1.0")


def sqs(session: Session, operation: str) -> Target:
    """Another operation of SQS, for example ReceiveMessage."""
    return json_target(endpoint_url(session, "sqs"), "sqs", f"AmazonSQS.{operation}", "1.0")


def put_events_v2(session: Session, bus_arn: str) -> Target:
    """PutEvents on a v2 bus: rpc-v2-cbor, at the host that botocore derives from the bus's ARN."""
    return _v2_target(session, bus_arn, "PutEvents")


def describe_event_bus(session: Session, bus: str) -> Target:
    """DescribeEventBus of a classic or a v2 bus."""
    if limits.is_v2_bus(bus):
        return _v2_target(session, bus, "DescribeEventBus")
    return json_target(endpoint_url(session, "events"), "events", "AWSEvents.DescribeEventBus", "1.1")


def put_object(session: Session, bucket: str) -> Target:
    """PutObject into an S3 bucket, path style; the key is the call's path."""
    url = endpoint_url(session, "s3").rstrip("/")
    return Target(f"{url}/{bucket}/", "s3", ("Content-Type: application/octet-stream",), "PUT")


_V2_HEADERS = ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor")


class _CapturedError(Exception):
    """Ends botocore's call once its request is known: nothing is sent."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


_UNSIGNED = Config(signature_version=UNSIGNED)
"""Of clients that send nothing, and so need no credentials. One for all: `doctor` keeps clients by it."""


def _v2_target(session: Session, bus_arn: str, operation: str) -> Target:
    """The URL that botocore itself would send to: it derives host and path from the bus's ARN."""
    v2 = client(session, "eventbridgev2")
    if operation == "PutEvents":
        url = _sent_to(v2, v2.put_events, EventBusArn=bus_arn, Entries=[{"Source": "x", "DetailType": "x"}])
    else:
        url = _sent_to(v2, v2.describe_event_bus, EventBusArn=bus_arn)
    return Target(url, "events", _V2_HEADERS)


def _sent_to(made: Any, operation: Callable[..., Any], **arguments: Any) -> str:
    """The URL of an operation's request. Of the client `made` nothing is sent, now or later."""
    made.meta.events.register("before-send", _capture, unique_id="captured")
    try:
        operation(**arguments)
    except _CapturedError as captured:
        return captured.url
    raise AssertionError("botocore sends without saying so")


def _capture(request: AWSPreparedRequest, **_: object) -> None:
    raise _CapturedError(str(request.url))


def ca_bundle(session: Session) -> str:
    """The CA bundle that botocore would verify with: `AWS_CA_BUNDLE`, the profile's, else its own.

    Raises SettingsError where it is no file of certificates that can be read.
    """
    configured = session.get_config_variable("ca_bundle")
    path = str(get_cert_path(configured or True))
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        raise SettingsError("AWS_CA_BUNDLE: is no readable PEM file of certificates; name one, or unset it") from None
    return path
