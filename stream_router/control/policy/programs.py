"""What `receive` and `consume` ask of AWS: the calls of our own, and those of the KCL."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic import SecretStr

from stream_router import limits
from stream_router.aws.secret_store import PREFIXES
from stream_router.control.arns import Home
from stream_router.control.policy.needs import Need, need
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver
from stream_router.settings.sources import Posted, plain, read
from stream_router.telemetry.cloudwatch import NAMESPACE

OWNER_INDEX = "LeaseOwnerToLeaseKeyIndex"
OLDER_TABLES = ("CoordinatorState", "WorkerMetricStats")
"""Names of the KCL (amazon-kinesis-client 3.5.1)."""


def receive(settings: Receiver, home: Home, key: str | None) -> Iterator[Need]:
    """PutRecords, metrics, and whatever of AWS holds a secret. `key` is the stream's own KMS key, where it has one."""
    yield need("kinesis", "PutRecords", home.stream(settings.stream))
    yield _metrics(NAMESPACE)
    if key:
        yield need("kms", "GenerateDataKey", key)
    yield from secrets_of(settings, home)
    yield from kept((settings.admin_token,), home)


def secrets_of(settings: Receiver, home: Home) -> Iterator[Need]:
    """Of the secrets by which the receiver knows senders those that AWS holds."""
    posted = [source for source in read(settings.config) if isinstance(source, Posted) and source.secrets]
    return kept((settings.webhook_secrets, *(source.secrets for source in posted)), home)


def keys_of(settings: Consumer, home: Home) -> Iterator[Need]:
    """Of the consumer's secrets those that AWS holds."""
    return kept((settings.masking_key, settings.audit_key, settings.admin_token), home)


def kept(secrets: Iterable[SecretStr | None], home: Home) -> Iterator[Need]:
    """What reads those that AWS holds."""
    for reference in map(plain, secrets):
        if reference.startswith(PREFIXES):
            yield _secret(reference, home)


def _secret(reference: str, home: Home) -> Need:
    store, _, name = reference.partition(":")
    if store == "ssm":
        # One that another account shares is named by its ARN. Behind either may stand a version or a label, as in
        # NAME:3, which is no part of the ARN.
        whole = name if name.startswith("arn:") else home.arn("ssm", f"parameter/{name.removeprefix('/')}")
        return need("ssm", "GetParameter", ":".join(whole.split(":")[:6]))
    # A secret's ARN ends with six characters that its name does not have.
    whole = name if name.startswith("arn:") else home.arn("secretsmanager", f"secret:{name}-??????")
    return need("secretsmanager", "GetSecretValue", whole)


class Kcl(NamedTuple):
    """What of the daemon's properties decides what it calls."""

    fan_out: bool = False
    metrics: bool = True


def consume(settings: Consumer, home: Home, key: str | None, kcl: Kcl) -> Iterator[Need]:
    """The KCL's calls to Kinesis and DynamoDB, and the child's and the supervisor's to the rest."""
    stream = home.stream(settings.stream)
    yield need("kinesis", "DescribeStreamSummary ListShards GetShardIterator GetRecords", stream)
    if kcl.fan_out:
        yield need("kinesis", "RegisterStreamConsumer", stream)
        consumers = f"{stream}/consumer/{settings.application}:*"
        yield need("kinesis", "DescribeStreamConsumer SubscribeToShard", consumers)
    yield from _lease_table(home.table(settings.application))
    yield from _bus(settings, home)
    yield need("sqs", "SendMessage GetQueueAttributes", home.queue_of(settings.sqs_dlq_url))
    yield _metrics(*((NAMESPACE, settings.application) if kcl.metrics else (NAMESPACE,)))
    if settings.offload_bucket:
        bucket = f"arn:{home.partition}:s3:::{settings.offload_bucket}"
        yield need("s3", "ListBucket", bucket)
        yield need("s3", "PutObject", f"{bucket}/*")
    if key:
        yield need("kms", "Decrypt GenerateDataKey", key)
    yield from keys_of(settings, home)


def _metrics(*namespaces: str) -> Need:
    return need("cloudwatch", "PutMetricData", "*", condition=("StringEquals", "cloudwatch:namespace", namespaces))


def _lease_table(table: str) -> Iterator[Need]:
    """What KCL 3.5.1 does with its one table; it looks whether the two of older versions are there."""
    yield need("dynamodb", "CreateTable UpdateTable DescribeTable Scan GetItem PutItem UpdateItem DeleteItem", table)
    yield need("dynamodb", "Query", f"{table}/index/{OWNER_INDEX}")
    yield need("dynamodb", "DescribeTable", *(f"{table}-{name}" for name in OLDER_TABLES))


def _bus(settings: Consumer, home: Home) -> Iterator[Need]:
    bus = home.bus(settings.event_bus)
    describe = "" if settings.bus_proof == "trust" else " DescribeEventBus"
    yield need("events", f"PutEvents{describe}", bus)
    if settings.rule != NO_RULE and not limits.is_v2_bus(settings.event_bus):
        rule = home.rule(settings.event_bus, settings.rule)
        yield need("events", "DescribeRule ListTargetsByRule", rule)
        yield need("events", "TestEventPattern", "*")
