"""Checks around stream and bus: the record distribution, the bus's own dead letters, its owner, quotas."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from stream_router import limits
from stream_router.checks import STREAM, CheckVerdict, Finding, ok, skipped, try_call, warn, wrong
from stream_router.operate import arns, setup
from stream_router.operate.doctor.bus import BUS
from stream_router.operate.doctor.world import BOTH, CONSUME, SETUP, Check, Subject, World
from stream_router.operate.resources import (
    AUTO_DISTRIBUTION,
    count_messages,
    count_rules,
    describe_auto_distribution,
    describe_pattern_excess,
    pattern_text,
)

ORDERING, EVENT_TYPES = "STREAM_ROUTER_ORDERING", "STREAM_ROUTER_EVENT_TYPES"

QUOTA_WARN_SHARE = 0.9
"""Share of the quota of rules from which on the number of a bus's rules is reported."""

A_V2_BUS = "a v2 bus has subscribers instead of rules"


def _check_surroundings(world: World) -> Iterator[Finding]:
    yield _check_record_distribution(world)
    if limits.is_v2_bus(world.settings.event_bus):
        yield skipped("SR122", "a v2 bus has no dead-letter queue of its own")
        yield _check_owner(world)
        yield skipped("SR131", A_V2_BUS)
        return
    yield from _check_bus_dead_letters(world)
    yield _check_owner(world)
    yield from _check_quotas(world)


def _check_record_distribution(world: World) -> Finding:
    """Check that Kinesis distributes records by the hash keys that the receiver sets, so that order is kept."""
    name = world.settings.stream
    kinesis = world.client("kinesis")
    failed_check, answer = try_call(
        "SR108", STREAM, "the stream", lambda: kinesis.describe_stream_summary(StreamName=name), ("", "")
    )
    if failed_check:
        return skipped("SR108", "waits for SR101") if failed_check.verdict is CheckVerdict.WRONG else failed_check
    summary = answer["StreamDescriptionSummary"]
    if summary.get("RecordDistributionStrategy") != AUTO_DISTRIBUTION:
        return ok("SR108", "by partition and hash key")
    problem, cure = describe_auto_distribution(name, summary["StreamARN"])
    if world.consume and world.consume.ordering == "conversation":
        return wrong("SR108", ORDERING, problem, cure)
    return warn("SR108", STREAM, problem, cure)


def _check_bus_dead_letters(world: World) -> Iterator[Finding]:
    """Check that a bus under a customer's key has a dead-letter queue, and that nothing waits there."""
    events = world.client("events")
    request = {"Name": world.settings.event_bus}
    failed_check, bus = try_call("SR122", BUS, "the event bus", lambda: events.describe_event_bus(**request), ("", ""))
    if failed_check:
        yield skipped("SR122", "waits for SR120") if failed_check.verdict is CheckVerdict.WRONG else failed_check
        return
    queue = bus.get("DeadLetterConfig", {}).get("Arn")
    if not queue and not bus.get("KmsKeyIdentifier"):
        yield ok("SR122", "AWS's own key needs none")
        return
    if not queue:
        observation = (
            "the bus has no dead-letter queue: PutEvents succeeds while its key cannot be used, and events are lost"
        )
        yield warn("SR122", BUS, observation, f"set STREAM_ROUTER_KMS_KEY and {SETUP}")
        return
    name = queue.rsplit(":", 1)[-1]
    absence = (f"queue {name} does not exist: events that the bus cannot encrypt are lost", SETUP)
    failed_check, count = try_call("SR122", BUS, f"queue {name}", partial(_count_messages_in, world, queue), absence)
    if failed_check:
        yield failed_check
    elif count:
        observation = f"{count} events in {name}: the bus could not use its key"
        yield warn(
            "SR122", BUS, observation, "see SR121; then `stream-router replay --since WHEN` publishes them again"
        )
    else:
        yield ok("SR122", f"{name} is empty")


def _count_messages_in(world: World, queue: str) -> int:
    """Return the number of messages in a queue."""
    arn, sqs = arns.parse(queue, BUS), world.client("sqs")
    url = sqs.get_queue_url(QueueName=arn.resource, QueueOwnerAWSAccountId=arn.account)["QueueUrl"]
    return count_messages(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


def _check_owner(world: World) -> Finding:
    """Check whether the bus is of this account: only its owner can let another account read bus and rules."""
    bus = world.settings.event_bus
    if not bus.startswith("arn:"):
        return ok("SR123", "a bus of this account")
    failed_check, home = try_call("SR123", BUS, "this account", partial(setup.find_home, world.clients))
    if failed_check:
        return failed_check
    owner = bus.split(":")[4]
    if owner == home.account:
        return ok("SR123", "a bus of this account")
    cure = (
        "publish to a bus of your own, whose rule has that bus as target; else see docs/operations.md, "
        '"A bus of another account"'
    )
    trusts = world.consume is not None and world.consume.bus_proof == "trust"
    if trusts:
        observation = (
            f"the bus is of account {owner}, and nothing proves that it is there or that a rule takes our events"
        )
    else:
        observation = (
            f"the bus is of account {owner}: `consume` runs only if its owner lets this account look at bus and rule"
        )
    return warn("SR123", BUS, observation, cure)


def _check_quotas(world: World) -> Iterator[Finding]:
    """Check our pattern's length and the bus's number of rules against AWS's default quotas."""
    settings = world.settings
    cure = "have the quota raised (Service Quotas, EventBridge), or name fewer event types"
    if excess := describe_pattern_excess(settings.event_type_list):
        yield wrong("SR131", EVENT_TYPES, *excess)
        return
    length = len(pattern_text(settings.event_type_list))
    is_below_quota = True
    if length > limits.EVENT_PATTERN_QUOTA_CHARS:
        is_below_quota = False
        observation = (
            f"the pattern has {length:,} characters, AWS's default quota is {limits.EVENT_PATTERN_QUOTA_CHARS:,}"
        )
        yield warn("SR131", EVENT_TYPES, observation, cure)
    rules_quota = limits.rules_of_a_bus(settings.aws_region)
    count: Any
    failed_check, count = try_call(
        "SR131", BUS, "its rules", partial(count_rules, world.client("events"), settings.event_bus)
    )
    if failed_check:
        yield failed_check
    elif count >= QUOTA_WARN_SHARE * rules_quota:
        observation = f"the bus has {count} of {rules_quota} rules (AWS's default quota)"
        yield warn("SR131", BUS, observation, "have the quota raised (Service Quotas, EventBridge), or remove rules")
    elif is_below_quota:
        yield ok(
            "SR131", f"{length:,} of {limits.EVENT_PATTERN_QUOTA_CHARS:,} characters, {count} of {rules_quota} rules"
        )


SURROUNDINGS = Subject(
    {
        "SR108": Check("record distribution", BOTH),
        "SR122": Check("bus's dead letters", CONSUME, "undelivered"),
        "SR123": Check("owner of the bus", CONSUME),
        "SR131": Check("quotas of bus and rule", CONSUME),
    },
    _check_surroundings,
)
