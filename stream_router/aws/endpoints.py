"""Where each data-plane call goes: resolved as boto3 does it, the `AWS_ENDPOINT_URL*` variables included."""

from typing import NamedTuple

from botocore.config import Config
from botocore.httpsession import get_cert_path
from botocore.session import Session


class Target(NamedTuple):
    """One operation of one service: where it is sent and with which headers. Hashable: connections pool by it."""

    url: str
    service: str
    headers: tuple[str, ...]


def session(region: str) -> Session:
    """A botocore session in `region`; profile, credentials and configuration files are read as boto3 reads them."""
    made = Session()
    made.set_config_variable("region", region)
    return made


def endpoint_url(session: Session, service: str) -> str:
    """The URL that boto3 would send `service` calls to in this environment."""
    client = session.create_client(service, config=Config(signature_version="v4"))
    return str(client.meta.endpoint_url)


def json_target(url: str, service: str, operation: str, json_version: str) -> Target:
    """An awsJson operation, for example `AWSEvents.PutEvents` in version 1.1, at the endpoint `url`."""
    headers = (f"Content-Type: application/x-amz-json-{json_version}", f"X-Amz-Target: {operation}")
    return Target(url.rstrip("/") + "/", service, headers)


def put_events(session: Session) -> Target:
    """PutEvents on a classic bus."""
    return json_target(endpoint_url(session, "events"), "events", "AWSEvents.PutEvents", "1.1")


def put_records(session: Session) -> Target:
    """PutRecords on a Kinesis stream."""
    return json_target(endpoint_url(session, "kinesis"), "kinesis", "Kinesis_20131202.PutRecords", "1.1")


def send_message_batch(session: Session) -> Target:
    """SendMessageBatch to an SQS queue."""
    return json_target(endpoint_url(session, "sqs"), "sqs", "AmazonSQS.SendMessageBatch", "1.0")


def ca_bundle(session: Session) -> str:
    """The CA bundle that botocore would verify with: `AWS_CA_BUNDLE`, the profile's, else its own."""
    configured = session.get_config_variable("ca_bundle")
    return str(get_cert_path(configured or True))
