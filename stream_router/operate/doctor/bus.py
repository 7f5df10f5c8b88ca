"""The bus, our rule on it, and what becomes of events that the rule's targets refuse."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from stream_router import limits
from stream_router.checks import Finding, ask, ok, skipped, warn, wrong
from stream_router.consumer.supervisor.watches.rule_check import RuleCheck
from stream_router.errors import ABSENT
from stream_router.operate import arns
from stream_router.operate.doctor.world import CONSUME, SETUP, Check, Subject, World
from stream_router.operate.resources import held
from stream_router.settings.common import NO_RULE

BUS, RULE, UNDELIVERED = "STREAM_ROUTER_EVENT_BUS", "STREAM_ROUTER_RULE", "STREAM_ROUTER_TARGET_DLQ_ARN"


def _bus(world: World) -> Iterator[Finding]:
    settings, is_v2 = world.settings, limits.is_v2_bus(world.settings.event_bus)
    bus = settings.event_bus
    missing = ("there is no such event bus in this region", "name another, or make it with `stream-router setup`")

    def describe() -> Any:
        if is_v2:
            return world.client("eventbridgev2").describe_event_bus(EventBusArn=bus)
        return world.client("events").describe_event_bus(Name=bus)

    no, has = ask("SR120", BUS, "the event bus", describe, dict.fromkeys(ABSENT, missing))
    if no:
        yield no
        return
    state = str(has.get("State", "ACTIVE"))
    if is_v2 and state not in ("ACTIVE", "RUNNING"):
        yield wrong("SR120", BUS, f"the bus is {state}", str(has.get("StateReason") or "see the console"))
    else:
        yield ok("SR120", f"{bus} ({'v2' if is_v2 else 'classic'})")
    yield _key(world, has)
    if is_v2 or settings.rule == NO_RULE:
        why = "a v2 bus has subscribers instead of rules: SR003 judges ours"
        yield skipped("SR130", why if is_v2 else "the rules are others' (STREAM_ROUTER_RULE=none)")
        return
    events = world.client("events")
    check = RuleCheck(events, settings.rule, bus, settings.aws_region, settings.event_type_list)
    no, faults = ask("SR130", RULE, "the rule", check, {})
    if no:
        yield no
        return
    if faults:
        cures = "; ".join(dict.fromkeys(fault.cure for fault in faults))
        yield wrong("SR130", RULE, "; ".join(fault.problem for fault in faults) + ": events go nowhere", cures)
    elif faults is None or check.unjudged:
        says = f"rule {settings.rule}, or a part of it, may not be looked at"
        yield warn("SR130", RULE, says, "grant events:DescribeRule, ListTargetsByRule and TestEventPattern")
    else:
        yield ok("SR130", f"{settings.rule} takes {', '.join(settings.event_type_list)}")
    yield from _targets(world, events)


def _key(world: World, bus: Any) -> Finding:
    """A bus under a key that cannot be used takes events, answers success, and loses them."""
    key = bus.get("KmsKeyIdentifier") or bus.get("EncryptionConfiguration", {}).get("KmsKeyIdentifier")
    if not key:
        return ok("SR121", "AWS's own key")
    gone = dict.fromkeys(ABSENT, ("its key is gone", "give the bus another key"))
    no, answer = ask("SR121", BUS, "the bus's key", lambda: world.client("kms").describe_key(KeyId=key), gone)
    if no:
        return no
    state = answer["KeyMetadata"]["KeyState"]
    if state != "Enabled":
        return wrong("SR121", BUS, f"its key is {state}: events cannot be encrypted", "enable the key, or give another")
    return ok("SR121", f"{key} is enabled")


def _targets(world: World, events: Any) -> Iterator[Finding]:
    """What a target refuses goes to a dead-letter queue, where it waits; without one it is lost."""
    named = {"Rule": world.settings.rule, "EventBusName": world.settings.event_bus}
    no, targets = ask(*("SR143", RULE, "its targets"), lambda: events.list_targets_by_rule(**named)["Targets"], {})
    if no or not targets:
        yield no or skipped("SR143", "waits for SR130")
        return
    waiting = 0
    for target in targets:
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if not queue:
            says = f"{target['Arn']} has no dead-letter queue: what it refuses is lost"
            yield wrong("SR143", UNDELIVERED, says, SETUP)
            continue
        name = queue.rsplit(":", 1)[-1]
        gone = dict.fromkeys(ABSENT, (f"queue {name} is not there: what the target refuses is lost", SETUP))
        no, count = ask("SR143", UNDELIVERED, f"queue {name}", partial(_held, world, queue), gone)
        yield no or ok("SR143", f"{name} keeps what {target['Arn'].rsplit(':', 1)[-1]} refuses")
        if count:
            waiting += count
            says = f"{count} events in {name}: the target refused them"
            yield warn("SR145", UNDELIVERED, says, "`stream-router dlq list --undelivered` says why")
    if not waiting:
        yield ok("SR145", "nothing was refused by a target")


def _held(world: World, queue: str) -> int:
    arn, sqs = arns.parse(queue, UNDELIVERED), world.client("sqs")
    url = sqs.get_queue_url(QueueName=arn.resource, QueueOwnerAWSAccountId=arn.account)["QueueUrl"]
    return held(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


BUS_AND_RULE = Subject(
    {
        "SR120": Check("event bus", CONSUME, "holding"),
        "SR121": Check("its key", CONSUME, "holding"),
        "SR130": Check("rule", CONSUME, "rule-unmatched"),
        "SR143": Check("targets' dead letters", CONSUME),
        "SR145": Check("undelivered events", CONSUME, "undelivered"),
    },
    _bus,
)
