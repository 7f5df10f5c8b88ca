"""What the commands that look and mend ask of AWS: `doctor` and its probe, `dlq`, those that read the stream."""

from collections.abc import Iterator

from stream_router import limits
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.policy.needs import Need, need
from stream_router.control.policy.programs import keys_of, secrets_of
from stream_router.control.setup.setup import dead_letters_name, undelivered_name
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import DeadLetters, Queue, Setup
from stream_router.settings.receiver import Receiver

PROBE_PREFIX = "stream-router-probe-"
"""What the rule and the queue of `doctor --end-to-end` begin with: the operator's rights name them by it."""


def doctor(receiver: Receiver, consumer: Consumer, setup: Setup | None, queue: Queue, home: Home) -> Iterator[Need]:
    """Every check, and `--end-to-end`; `setup` is None where the rules are others'."""
    stream = home.stream(consumer.stream)
    yield need("kinesis", "DescribeStreamSummary ListShards GetShardIterator GetRecords PutRecords", stream)
    yield need("dynamodb", "Scan", home.table(consumer.application))
    yield need("servicequotas", "GetServiceQuota", "*")
    yield need("cloudwatch", "GetMetricData", "*")
    yield from secrets_of(receiver, home)
    yield from keys_of(consumer, home)
    if consumer.offload_bucket:
        yield need("s3", "ListBucket GetLifecycleConfiguration", f"arn:{home.partition}:s3:::{consumer.offload_bucket}")
    if queue.kms_key:
        yield need("kms", "DescribeKey GetKeyPolicy GenerateDataKey Decrypt", queue.kms_key)
    dead = home.queue_of(queue.sqs_dlq_url or dead_letters_name(consumer.stream))
    yield need("sqs", "GetQueueAttributes", dead)
    yield need("events", "DescribeEventBus", home.bus(consumer.event_bus))
    if not limits.is_v2_bus(consumer.event_bus):
        yield from _rules(consumer, setup, home)


def dead_letters(consumer: DeadLetters, setup: Setup | None, queue: Queue, home: Home) -> Iterator[Need]:
    """Every `dlq` command, `--undelivered` too; `setup` is None where the rules are others'."""
    dead = home.queue_of(queue.sqs_dlq_url or dead_letters_name(consumer.stream))
    undelivered = consumer.target_dlq_arn or home.queue(undelivered_name(consumer.stream))
    actions = "GetQueueAttributes ReceiveMessage ChangeMessageVisibility DeleteMessage SendMessage"
    yield need("sqs", actions, dead, undelivered)
    yield need("sqs", "GetQueueUrl", undelivered)
    yield need("events", "PutEvents DescribeEventBus", home.bus(consumer.event_bus))
    if consumer.offload_bucket:
        yield need("s3", "GetObject PutObject", f"arn:{home.partition}:s3:::{consumer.offload_bucket}/*")
    if queue.kms_key:
        yield need("kms", "GenerateDataKey Decrypt", queue.kms_key)
    if not limits.is_v2_bus(consumer.event_bus) and consumer.rule != NO_RULE and setup is not None:
        bus = consumer.event_bus
        yield need("events", "ListRules TestEventPattern", "*")
        yield need("events", "DescribeRule", home.rule(bus, consumer.rule))
        yield need("events", "ListTargetsByRule", home.rule(bus, "*"))


def stream(consumer: Consumer, home: Home) -> Iterator[Need]:
    """`find`, `replay`, `shards`. For a reshard AWS knows no resource."""
    there = home.stream(consumer.stream)
    yield need("kinesis", "DescribeStreamSummary ListShards GetShardIterator GetRecords", there)
    yield need("kinesis", "UpdateShardCount", "*")
    yield need("dynamodb", "Scan", home.table(consumer.application))
    yield need("cloudwatch", "GetMetricStatistics", "*")


def _rules(consumer: Consumer, setup: Setup | None, home: Home) -> Iterator[Need]:
    bus = consumer.event_bus
    yield need("events", "ListRules TestEventPattern", "*")
    yield need("events", "PutRule PutTargets RemoveTargets DeleteRule", home.rule(bus, f"{PROBE_PREFIX}*"))
    yield need("sqs", "CreateQueue ReceiveMessage DeleteQueue", home.queue(f"{PROBE_PREFIX}*"))
    if consumer.rule == NO_RULE or setup is None:
        return
    yield need("events", "DescribeRule", home.rule(bus, consumer.rule))
    yield need("events", "ListTargetsByRule", home.rule(bus, "*"))  # of other rules that get our events too
    undelivered = setup.target_dlq_arn or home.queue(undelivered_name(consumer.stream))
    yield need("sqs", "GetQueueUrl GetQueueAttributes", undelivered)
    if setup.target_arn:
        yield from _target(setup.target_arn, setup.target_role_arn)


def _target(arn: str, role: str | None) -> Iterator[Need]:
    """What tells whether EventBridge gets into the target."""
    asked = {"sqs": "GetQueueUrl GetQueueAttributes", "lambda": "GetPolicy", "sns": "GetTopicAttributes"}
    service = arns.parse(arn, "EVENTBRIDGE_TARGET_ARN").service
    if service in asked:
        yield need(service, asked[service], arn)
    elif service == "logs":
        yield need("logs", "DescribeResourcePolicies", "*")
    if role:
        yield need("iam", "GetRole", role)
