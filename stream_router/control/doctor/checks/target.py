"""Checks of the rule's targets: EventBridge gets in, tries again as it should, and has where to put what it cannot."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.checks.finding import MAY_NOT_ASK, Finding, Verdict, silence
from stream_router.control.doctor.checks import key_policy
from stream_router.control.doctor.checks.bus import is_v2
from stream_router.control.doctor.checks.iam_policy import denial, lets_in
from stream_router.control.doctor.say import SETUP, ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import ABSENT, NOT_SPOKEN, SettingsError, code_of
from stream_router.operate import arns, setup
from stream_router.operate.resources import held
from stream_router.settings.common import NO_RULE

TARGET, ROLE, UNDELIVERED = "EVENTBRIDGE_TARGET_ARN", "EVENTBRIDGE_TARGET_FILE", "STREAM_ROUTER_TARGET_DLQ_ARN"
DENIES = "statement {} of its policy denies EventBridge"
EXCEPT = (
    'take it out, or add "BoolIfExists": {"aws:PrincipalIsAWSService": "false"} to its condition; `setup` adds an '
    "Allow only, which a Deny outweighs"
)


def each(world: World, code: str, judge: Callable[[World, Any], Finding | None], well: str) -> Finding:
    """`judge` of every target of the rule: the worst that it finds, or that all is well.

    What may not be looked at is a warning, what no emulator speaks is passed over.
    """
    if is_v2(world) or world.settings.rule == NO_RULE:
        return skipped(code, "there is no rule of ours")
    targets = world.maybe(world.targets)
    if not targets:
        return skipped(code, "waits for SR132")
    found = [finding for target in targets if (finding := _judged(world, code, judge, target))]
    order = (Verdict.WRONG, Verdict.UNKNOWN, Verdict.WARNING, Verdict.SKIPPED)
    return next((one for verdict in order for one in found if one.verdict is verdict), None) or ok(code, well)


def _judged(world: World, code: str, judge: Callable[[World, Any], Finding | None], target: Any) -> Finding | None:
    try:
        return judge(world, target)
    except SettingsError as error:
        return wrong(code, TARGET, str(error), "correct it")
    except ClientError as error:
        return _refused(code, target["Arn"], code_of(error))
    except BotoCoreError as error:
        where, cure = silence(error)
        return Finding(code, TARGET, Verdict.UNKNOWN, f"{target['Arn']} gave no answer{where}", cure)


def _refused(code: str, arn: str, said: str) -> Finding:
    if said in ABSENT or said == "NotFound":  # SNS's
        return wrong(code, TARGET, f"{arn}: {said}, so it is not there, or lets nobody in", "make it, or let it in")
    if said in MAY_NOT_ASK:
        return warn(code, TARGET, f"{arn} may not be looked at ({said})", "grant it, or be sure of it")
    if said in NOT_SPOKEN:
        return skipped(code, "this emulator does not speak of it")
    return Finding(code, TARGET, Verdict.UNKNOWN, f"{arn} could not be asked for ({said})", "ask again later")


def _rule_arn(world: World) -> str:
    return str(world.rule().get("Arn") or world.home().rule(world.settings.event_bus, world.settings.rule))


def lets_eventbridge_in(world: World) -> Finding:
    """SR140: each target is there, and its own policy lets EventBridge in for our rule."""
    return each(world, "SR140", _lets_in, "each lets EventBridge in")


def _lets_in(world: World, target: Any) -> Finding | None:
    arn = arns.parse(target["Arn"], TARGET)
    if target.get("RoleArn") and (arn.service != "sqs" or arn.account != _rule_arn(world).split(":")[4]):
        return None  # by its role: SR141
    looks: dict[str, tuple[Callable[[], Iterator[Any]], str]] = {
        "sqs": (lambda: _queue_policies(world, arn), "sqs:SendMessage"),
        "lambda": (lambda: _function_policies(world, target["Arn"]), "lambda:InvokeFunction"),
        "sns": (lambda: _topic_policies(world, target["Arn"]), "sns:Publish"),
        "logs": (lambda: _log_policies(world), "logs:PutLogEvents"),
    }
    if arn.service not in looks:
        return None
    look, action = looks[arn.service]
    policies = list(look())
    for policy in policies:
        if said := denial(policy, action, _rule_arn(world)):
            says = f"{target['Arn']}: {DENIES.format(said)}: all ends in its dead-letter queue"
            return wrong("SR140", TARGET, says, EXCEPT)
    if any(lets_in(policy, action, _rule_arn(world)) for policy in policies):
        return _key_shut(world, arn, target["Arn"])
    says = f"{target['Arn']} does not let EventBridge in for this rule: all ends in its dead-letter queue"
    return wrong("SR140", TARGET, says, f"{SETUP}: it opens a queue, and prints the command for a function")


def _key_shut(world: World, arn: arns.Arn, text: str) -> Finding | None:
    """Of a queue or a topic: whether its key keeps EventBridge out where its policy lets it in."""
    if arn.service not in ("sqs", "sns"):
        return None
    has = _queue(world, arn) if arn.service == "sqs" else _topic(world, text)
    why, cure = key_policy.trouble(world, has.get("KmsMasterKeyId"), _rule_arn(world))
    return wrong("SR140", TARGET, f"{text} {why}: all ends in its dead-letter queue", cure) if why else None


def _queue(world: World, arn: arns.Arn) -> dict[str, str]:
    return world.queue_attributes(world.queue_url(arn.resource, arn.account))


def _topic(world: World, arn: str) -> dict[str, str]:
    ask = world.client("sns").get_topic_attributes
    return world.once(f"topic {arn}", lambda: dict(ask(TopicArn=arn)["Attributes"]))


def _queue_policies(world: World, arn: arns.Arn) -> Iterator[Any]:
    yield _queue(world, arn).get("Policy")


def _function_policies(world: World, arn: str) -> Iterator[Any]:
    yield world.client("lambda").get_policy(FunctionName=arn)["Policy"]


def _topic_policies(world: World, arn: str) -> Iterator[Any]:
    yield _topic(world, arn).get("Policy")


def _log_policies(world: World) -> Iterator[Any]:
    for page in world.client("logs").get_paginator("describe_resource_policies").paginate():
        yield from (policy.get("policyDocument") for policy in page.get("resourcePolicies", []))


def role(world: World) -> Finding:
    """SR141: each role that a target is reached with is there, and EventBridge may take it."""
    return each(world, "SR141", _role, "each role, where one is needed, is EventBridge's to take")


def _role(world: World, target: Any) -> Finding | None:
    if not (arn := target.get("RoleArn")):
        return None
    found = world.client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
    policy = found.get("AssumeRolePolicyDocument")
    if lets_in(policy, "sts:AssumeRole", _rule_arn(world)):
        return None
    return wrong("SR141", ROLE, f"{arn} cannot be taken by EventBridge", "let events.amazonaws.com assume it")


def dead_letters(world: World) -> Finding:
    """SR143: each target has a dead-letter queue, without which what it refuses is lost, and commands look at it."""
    return each(world, "SR143", _has_queue, "each has one")


def _has_queue(world: World, target: Any) -> Finding | None:
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    if not queue:
        return wrong("SR143", UNDELIVERED, f"{target['Arn']} has no dead-letter queue: what it refuses is lost", SETUP)
    if queue == (world.maybe(lambda: _looked_at(world)) or queue):
        return None
    says = f"{target['Arn']}: what it refuses goes to {queue}, where `find` and `dlq` do not look"
    return warn("SR143", UNDELIVERED, says, f"set it to that queue, or {SETUP}")


def _looked_at(world: World) -> str:
    """The queue's ARN; "" where settings or stream are wrong, which is another check's. Raises SettingsError too."""
    if (settings := world.setup) is None or not world.stream():
        return ""
    setup.look(settings)
    return settings.target_dlq_arn or world.home().queue(arns.undelivered_name(settings.stream))


def takes_dead_letters(world: World) -> Finding:
    """SR144: that queue is there, and takes what EventBridge sends; where it does not, events are lost in silence."""
    return each(world, "SR144", _takes, "EventBridge may send to each")


def _takes(world: World, target: Any) -> Finding | None:
    text = target.get("DeadLetterConfig", {}).get("Arn")
    if not text:
        return None
    arn = arns.parse(text, UNDELIVERED)
    try:
        has = _queue(world, arn)
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        says = f"queue {arn.resource} is not there: what the target refuses is lost"
        return wrong("SR144", UNDELIVERED, says, SETUP)
    return _closed(world, arn, has.get("Policy")) or _key_closed(world, arn, has.get("KmsMasterKeyId"))


def _closed(world: World, queue: arns.Arn, policy: str | None) -> Finding | None:
    if said := denial(policy, "sqs:SendMessage", _rule_arn(world)):
        says = f"queue {queue.resource}: {DENIES.format(said)}: what the target refuses is lost"
        return wrong("SR144", UNDELIVERED, says, EXCEPT)
    if not lets_in(policy, "sqs:SendMessage", _rule_arn(world)):
        says = f"queue {queue.resource} does not let EventBridge in: what the target refuses is lost"
        return wrong("SR144", UNDELIVERED, says, SETUP)
    return None


def _key_closed(world: World, queue: arns.Arn, key: str | None) -> Finding | None:
    why, cure = key_policy.trouble(world, key, _rule_arn(world))
    says = f"queue {queue.resource} {why}: what it sends there is lost"
    return wrong("SR144", UNDELIVERED, says, cure) if why else None


def waiting(world: World) -> Finding:
    """SR145: nothing waits in those queues."""
    return each(world, "SR145", _waits, "nothing was refused by a target")


def _waits(world: World, target: Any) -> Finding | None:
    text = target.get("DeadLetterConfig", {}).get("Arn")
    if not text:
        return None
    arn = arns.parse(text, UNDELIVERED)
    has = world.maybe(lambda: _queue(world, arn))
    if has is None:
        return skipped("SR145", "waits for SR144")
    if not (count := held(has)):
        return None
    says = f"{count} events in {arn.resource}: the target refused them"
    return warn("SR145", UNDELIVERED, says, "`stream-router dlq list --undelivered` says why")
