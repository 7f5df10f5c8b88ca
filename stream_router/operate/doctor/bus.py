"""Checks of the bus, the rule and its targets, of dead letters, and of what `setup` would change."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from stream_router import checks, limits
from stream_router.checks import (
    CHECK_LATER,
    NOT_PERMITTED,
    QUEUE,
    CheckVerdict,
    Finding,
    ok,
    report_error,
    report_problem,
    skipped,
    try_call,
    unknown,
    warn,
    wrong,
)
from stream_router.consumer.target_check import AwsTargetCheck, TargetBroken, TargetOk
from stream_router.errors import SettingsError
from stream_router.operate import arns, setup, target_access
from stream_router.operate.doctor.world import CONSUME, GRANT, SETUP, Check, Subject, World
from stream_router.operate.resources import SetupError, count_messages
from stream_router.operate.setup import TARGET
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import Setup
from stream_router.settings.reading import read

BUS, RULE, UNDELIVERED = "STREAM_ROUTER_EVENT_BUS", "STREAM_ROUTER_RULE", "STREAM_ROUTER_TARGET_DLQ_ARN"


def _check_bus(world: World) -> Iterator[Finding]:
    """Check bus and rule with the target check that `consume` repeats."""
    settings = world.settings
    answer = AwsTargetCheck(settings)()
    if not isinstance(answer, TargetOk):
        # The result is of the bus or of the rule. The rule is checked only after the bus was found in order.
        if isinstance(answer, TargetBroken):
            is_bus = answer.part == "bus"
        else:
            is_bus = answer.operation in ("", "DescribeEventBus")
        at = ("SR120", BUS) if is_bus else ("SR130", RULE)
        if not is_bus:
            yield ok("SR120", settings.event_bus)
        if isinstance(answer, TargetBroken):
            yield wrong(
                *at,
                answer.problem if is_bus else f"{answer.problem}: events go nowhere, and `consume` holds",
                answer.cure,
            )
            return
        observation = f"{answer.operation or 'the bus'} could not be called ({answer.code})"
        if answer.code in NOT_PERMITTED:
            yield warn(*at, observation, GRANT)
        else:
            yield unknown(*at, observation, CHECK_LATER)
        return
    yield ok("SR120", settings.event_bus)
    yield _check_key(world)
    if settings.rule == NO_RULE:
        yield skipped("SR130", "the rules are others' (STREAM_ROUTER_RULE=none)")
        return
    skipped_operations = f"; not judged: {', '.join(answer.skipped_operations)}" if answer.skipped_operations else ""
    yield ok("SR130", f"{settings.rule} takes {', '.join(settings.event_type_list)}{skipped_operations}")
    if limits.is_v2_bus(settings.event_bus):
        yield skipped("SR143", "a v2 bus has subscribers instead of rules: SR003 judges ours")
        return
    yield from _check_targets(world)


def _check_key(world: World) -> Finding:
    """Check the bus's key: with an unusable key PutEvents succeeds, and the events are lost."""
    bus = world.settings.event_bus

    def describe() -> Any:
        if limits.is_v2_bus(bus):
            return world.client("eventbridgev2").describe_event_bus(EventBusArn=bus)
        return world.client("events").describe_event_bus(Name=bus)

    failed_check, description = try_call("SR121", BUS, "the event bus", describe)
    if failed_check:
        return failed_check
    key = description.get("KmsKeyIdentifier") or description.get("EncryptionConfiguration", {}).get("KmsKeyIdentifier")
    if not key:
        return ok("SR121", "AWS's own key")
    absence = ("its key is gone", "give the bus another key")
    failed_check, answer = try_call(
        "SR121", BUS, "the bus's key", lambda: world.client("kms").describe_key(KeyId=key), absence
    )
    if failed_check:
        return failed_check
    state = answer["KeyMetadata"]["KeyState"]
    if state != "Enabled":
        return wrong("SR121", BUS, f"its key is {state}: events cannot be encrypted", "enable the key, or give another")
    return ok("SR121", f"{key} is enabled")


def _check_targets(world: World) -> Iterator[Finding]:
    """Check that each target has a dead-letter queue, since without one its failed events are lost.

    Report the events that are in these queues, and then the targets' policies.
    """
    request = {"Rule": world.settings.rule, "EventBusName": world.settings.event_bus}
    events = world.client("events")
    failed_check, targets = try_call(
        "SR143", RULE, "its targets", lambda: events.list_targets_by_rule(**request)["Targets"]
    )
    if failed_check or not targets:
        yield failed_check or skipped("SR143", "the rule has no target")
        return
    undelivered_count = 0
    for target in targets:
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if not queue:
            observation = f"{target['Arn']} has no dead-letter queue: events that it refuses are lost"
            yield wrong("SR143", UNDELIVERED, observation, SETUP)
            continue
        name = queue.rsplit(":", 1)[-1]
        absence = (f"queue {name} does not exist: events that the target refuses are lost", SETUP)
        failed_check, count = try_call(
            "SR143", UNDELIVERED, f"queue {name}", partial(_count_messages_in, world, queue), absence
        )
        yield failed_check or ok("SR143", f"{name} keeps what {target['Arn'].rsplit(':', 1)[-1]} refuses")
        if count:
            undelivered_count += count
            observation = f"{count} events in {name}: the target refused them"
            yield warn("SR145", UNDELIVERED, observation, "`stream-router dlq list --undelivered` says why")
    if not undelivered_count:
        yield ok("SR145", "nothing was refused by a target")
    yield from _check_access(world, targets)


def _check_access(world: World, targets: list[dict[str, Any]]) -> Iterator[Finding]:
    """Report each target whose resource policy refuses EventBridge.

    No other sign shows it to a publisher, since PutEvents succeeds all the same.
    """
    request = {"Name": world.settings.rule, "EventBusName": world.settings.event_bus}
    failed_check, rule = try_call("SR144", RULE, "the rule", lambda: world.client("events").describe_rule(**request))
    if failed_check:
        yield failed_check
        return
    all_targets_allow = True
    for target in targets:
        arn = target["Arn"]
        check_policy = partial(target_access.denies_eventbridge, target, rule["Arn"], world.client)
        absence = (f"the target {arn} does not exist: no event reaches it", "make it, or name another target")
        failed_check, is_denied = try_call("SR144", TARGET, f"the policy of {arn}", check_policy, absence)
        if is_denied:
            observation = f"the policy of {arn} does not let EventBridge in: no event reaches it"
            cure = f"{SETUP}, or allow {target_access.EVENTBRIDGE} there with {rule['Arn']} as aws:SourceArn"
            failed_check = wrong("SR144", TARGET, observation, cure)
        if failed_check:
            all_targets_allow = False
            yield failed_check
    if all_targets_allow:
        yield ok("SR144", "no target's policy keeps EventBridge out")


def _count_messages_in(world: World, queue: str) -> int:
    """Return the number of messages in the queue with this ARN."""
    arn, sqs = arns.parse(queue, UNDELIVERED), world.client("sqs")
    url = sqs.get_queue_url(QueueName=arn.resource, QueueOwnerAWSAccountId=arn.account)["QueueUrl"]
    return count_messages(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


BUS_AND_RULE = Subject(
    {
        "SR120": Check("event bus", CONSUME, "holding"),
        "SR121": Check("its key", CONSUME, "holding"),
        "SR130": Check("rule", CONSUME, "rule-unmatched"),
        "SR143": Check("targets' dead letters", CONSUME),
        "SR145": Check("undelivered events", CONSUME, "undelivered"),
        "SR144": Check("targets' policies", CONSUME, "undelivered"),
    },
    _check_bus,
)

# --- dead letters, which need a decision


def _check_letters(world: World) -> Iterator[Finding]:
    url = (world.queue.sqs_dlq_url if world.queue else "") or ""
    if not url:
        yield skipped("SR103", "waits for SR002")
    else:
        queue = checks.check_dead_letter_queue(world.session, url, world.settings.aws_region)
        yield queue
        yield (
            _check_waiting_letters(world, url)
            if queue.verdict is CheckVerdict.OK
            else skipped("SR153", "waits for SR103")
        )
    if world.consume is None:
        yield skipped("SR104", "waits for SR002")
    elif world.consume.offload_bucket:
        yield checks.check_bucket(world.session, world.consume.offload_bucket)
    else:
        yield skipped("SR104", "no bucket is set")


def _check_waiting_letters(world: World, url: str) -> Finding:
    """Check whether dead letters wait for a decision."""
    attributes = world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    if not (count := count_messages(attributes)):
        return ok("SR153", "none")
    hidden = int(attributes.get("ApproximateNumberOfMessagesNotVisible", "0"))
    observation = f"{count} wait" + (f" ({hidden} hidden, since a reader has them)" if hidden else "")
    return warn("SR153", QUEUE, observation, "`stream-router dlq list` says why, `dlq redrive` resubmits them")


LETTERS = Subject(
    {
        "SR103": Check("dead-letter queue", CONSUME, "holding"),
        "SR153": Check("dead letters", CONSUME, "dead-letters"),
        "SR104": Check("claim checks' bucket", CONSUME),
    },
    _check_letters,
)

# --- differences from what `setup` makes


def _check_deployment(world: World) -> Iterator[Finding]:
    """Report in one finding what `setup` would make or change. Changes nothing."""
    if world.settings.rule == NO_RULE:
        yield skipped("SR003", "the rules are others' (STREAM_ROUTER_RULE=none), so there is no setup to run")
        return
    try:
        wanted = setup.Deployment(read(Setup), world.clients)
        wanted.refresh()
    except SettingsError as error:
        yield from (report_problem("SR003", problem) for problem in error.problems)
        return
    except SetupError as error:
        yield warn("SR003", "setup", str(error), "`stream-router setup --plan` says more")
        return
    except Exception as error:  # noqa: BLE001 - any failed call of AWS is a finding
        yield report_error("SR003", "setup", "a part of it", error)
        return
    # The first two characters are the sign of the plan, `+ ` or `~ `.
    differing = [resource.status_line()[2:] for resource in wanted.resources if not resource.is_right]
    differs = "; ".join(text for text in (*differing, wanted.problem, wanted.describe_too_few_groups()) if text)
    cure = "`stream-router setup --plan` shows what `setup` would do"
    yield warn("SR003", "setup", differs, cure) if differs else ok("SR003", "all is as `setup` would make it")


DEPLOYMENT = Subject({"SR003": Check("as `setup` makes it", CONSUME)}, _check_deployment)
