"""The bus, our rule on it, and what becomes of events that the rule's targets refuse."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from stream_router import limits
from stream_router.checks import LATER, MAY_NOT_ASK, Finding, Verdict, ask, ok, skipped, warn, wrong
from stream_router.consumer.target_proof import No, Question, Unasked
from stream_router.errors import ABSENT
from stream_router.operate import arns
from stream_router.operate.doctor.world import CONSUME, SETUP, Check, Subject, World
from stream_router.operate.resources import held
from stream_router.settings.common import NO_RULE

BUS, RULE, UNDELIVERED = "STREAM_ROUTER_EVENT_BUS", "STREAM_ROUTER_RULE", "STREAM_ROUTER_TARGET_DLQ_ARN"


def _bus(world: World) -> Iterator[Finding]:
    """By the same question that `consume` asks all the time."""
    settings = world.settings
    answer = Question(settings)()
    if isinstance(answer, No):
        if answer.of == "bus":
            yield wrong("SR120", BUS, answer.problem, answer.cure)
            return
        yield ok("SR120", settings.event_bus)
        yield wrong("SR130", RULE, f"{answer.problem}: events go nowhere, and `consume` holds", answer.cure)
        return
    if isinstance(answer, Unasked):
        is_bus = answer.operation in ("", "DescribeEventBus")
        code, setting = ("SR120", BUS) if is_bus else ("SR130", RULE)
        says = f"{answer.operation or 'the bus'} could not be asked ({answer.code})"
        denied = answer.code in MAY_NOT_ASK
        cure = "grant what `stream-router setup --policy operate` prints" if denied else LATER
        if not is_bus:
            yield ok("SR120", settings.event_bus)
        yield Finding(code, setting, Verdict.WARNING if denied else Verdict.UNKNOWN, says, cure)
        return
    yield ok("SR120", settings.event_bus)
    yield _key(world)
    if settings.rule == NO_RULE:
        yield skipped("SR130", "the rules are others' (STREAM_ROUTER_RULE=none)")
        return
    unjudged = f"; not judged: {', '.join(answer.unjudged)}" if answer.unjudged else ""
    yield ok("SR130", f"{settings.rule} takes {', '.join(settings.event_type_list)}{unjudged}")
    if limits.is_v2_bus(settings.event_bus):
        yield skipped("SR143", "a v2 bus has subscribers instead of rules: SR003 judges ours")
        return
    yield from _targets(world)


def _key(world: World) -> Finding:
    """A bus under a key that cannot be used takes events, answers success, and loses them."""
    bus = world.settings.event_bus

    def describe() -> Any:
        if limits.is_v2_bus(bus):
            return world.client("eventbridgev2").describe_event_bus(EventBusArn=bus)
        return world.client("events").describe_event_bus(Name=bus)

    no, has = ask("SR121", BUS, "the event bus", describe, {})
    if no:
        return no
    key = has.get("KmsKeyIdentifier") or has.get("EncryptionConfiguration", {}).get("KmsKeyIdentifier")
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


def _targets(world: World) -> Iterator[Finding]:
    """What a target refuses goes to a dead-letter queue, where it waits; without one it is lost."""
    named = {"Rule": world.settings.rule, "EventBusName": world.settings.event_bus}
    events = world.client("events")
    no, targets = ask("SR143", RULE, "its targets", lambda: events.list_targets_by_rule(**named)["Targets"], {})
    if no or not targets:
        yield no or skipped("SR143", "the rule has no target")
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
