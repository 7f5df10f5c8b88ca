"""What the operator's hands ask of AWS: `setup`, `teardown`, and the commands that look and mend."""

from collections.abc import Iterator

from stream_router import limits
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.policy.needs import Need, need
from stream_router.control.setup import targets
from stream_router.control.setup.setup import dead_letters_name, undelivered_name
from stream_router.settings.operators import Setup

_SET_UP_QUEUE = "GetQueueUrl GetQueueAttributes SetQueueAttributes ListQueueTags CreateQueue TagQueue"


def setup(settings: Setup, home: Home) -> Iterator[Need]:
    """Everything that `setup` makes or verifies, and nothing that deletes."""
    made = "DescribeStreamSummary ListTagsForStream AddTagsToStream CreateStream"
    stream = home.stream(settings.stream)
    yield need("kinesis", f"{made} IncreaseStreamRetentionPeriod", stream)
    # AWS asks for the stream and for the key; which key is alias/aws/kinesis nobody knows before.
    yield need("kinesis", "StartStreamEncryption", stream, settings.kms_key or home.arn("kms", "key/*"))
    if settings.sqs_dlq_url:
        given = home.queue_of(settings.sqs_dlq_url)
        changed = "" if home.is_elsewhere(given) else " SetQueueAttributes ListQueueTags TagQueue"
        yield need("sqs", f"GetQueueAttributes{changed}", given)
    else:
        yield need("sqs", _SET_UP_QUEUE, home.queue(dead_letters_name(settings.stream)))
    if settings.kms_key:
        yield need("kms", "DescribeKey", settings.kms_key)
    if limits.is_v2_bus(settings.event_bus):
        yield need("events", "DescribeEventBus", settings.event_bus)
        return
    yield from _routing(settings, home)


def _routing(settings: Setup, home: Home) -> Iterator[Need]:
    bus = home.bus(settings.event_bus)
    yield need("events", "DescribeEventBus", bus)
    if not bus.endswith("/default"):
        yield need("events", "ListTagsForResource TagResource", bus)
        if not settings.event_bus.startswith("arn:"):
            yield need("events", "CreateEventBus", bus)
        if settings.kms_key:
            yield need("events", "UpdateEventBus", bus)
    rule = home.rule(settings.event_bus, settings.rule)
    yield need("events", "DescribeRule PutRule ListTargetsByRule ListTagsForResource TagResource", rule)
    yield need("events", "TestEventPattern ListRules", "*")
    yield need("servicequotas", "GetServiceQuota", "*")
    if settings.target_dlq_arn:
        yield from _given_queue(settings.target_dlq_arn, "STREAM_ROUTER_TARGET_DLQ_ARN", home)
    else:
        yield need("sqs", _SET_UP_QUEUE, home.queue(undelivered_name(settings.stream)))
    if settings.target_arn:
        yield need("events", "PutTargets", rule)
        yield from _given_queue(settings.target_arn, "EVENTBRIDGE_TARGET_ARN", home)
        if settings.target_role_arn and (
            role := targets.role_of(settings.target_arn, settings.target_role_arn, home.region, rule)
        ):
            to_events = ("StringEquals", "iam:PassedToService", ("events.amazonaws.com",))
            yield need("iam", "PassRole", role, condition=to_events)


def _given_queue(arn: str, variable: str, home: Home) -> Iterator[Need]:
    """A queue that someone else made, and `variable` names, whose policy `setup` completes."""
    given = arns.parse(arn, variable)
    if given.service == "sqs" and home.owns(given):
        yield need("sqs", "GetQueueUrl GetQueueAttributes SetQueueAttributes", arn)


def teardown(settings: Setup, home: Home) -> Iterator[Need]:
    """What looks for the things of `setup`, and what deletes them."""
    stream = home.stream(settings.stream)
    looks = "DescribeStreamSummary ListTagsForStream ListStreamConsumers ListShards GetShardIterator GetRecords"
    yield need("kinesis", f"{looks} DeleteStream", stream)
    dead_letters = home.queue_of(settings.sqs_dlq_url or dead_letters_name(settings.stream))
    queues = [dead_letters]
    if not limits.is_v2_bus(settings.event_bus):
        bus = home.bus(settings.event_bus)
        rule = home.rule(settings.event_bus, settings.rule)
        yield need("events", "DescribeRule ListTargetsByRule ListTagsForResource RemoveTargets DeleteRule", rule)
        yield need("events", "DescribeEventBus", bus)
        if not bus.endswith("/default"):
            yield need("events", "ListTagsForResource DeleteEventBus", bus)
            yield need("events", "ListRules", "*")
        queues.append(settings.target_dlq_arn or home.queue(undelivered_name(settings.stream)))
    yield need("sqs", "GetQueueUrl ListQueueTags GetQueueAttributes ReceiveMessage DeleteQueue", *queues)
    if settings.kms_key:  # it reads the stream and the queues, to see that they hold nothing
        yield need("kms", "Decrypt", settings.kms_key)
