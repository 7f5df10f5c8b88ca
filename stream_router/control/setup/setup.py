"""`stream-router setup`: creates or verifies what runs in AWS. Repeatable: a second run finds all right.

Order matters: the stream and our dead-letter queue first (the consumer needs them), then the bus, then the proof that
our events match, then rule and target.
"""

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.checks.finding import said
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.setup import at_odds, beside, queues, quotas, rule_match, rules, streams, targets
from stream_router.control.setup.marks import Marks
from stream_router.control.setup.steps import Say, Steps
from stream_router.control.setup_error import SetupError, WrongSettingError
from stream_router.errors import ABSENT, SettingsError, code_of
from stream_router.pipeline.sample_events import sample_entries
from stream_router.settings.operators import Setup

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""Source: SQS API reference, CreateQueue."""

WOULD_CHANGE = 2
"""Exit status of `--plan --exit-code` where something would be made or changed."""


def run(settings: Setup, *, plan: bool, exit_code: bool = False) -> int:
    """The command: one line for each thing, the SQS_DLQ_URL line last. 0, or 1 where something needs the operator.

    Everything is looked at before anything is made. With `plan` and `exit_code`: 2 where something would change.
    Raises SettingsError where a setting is at fault.
    """
    try:
        look(settings)
        clients = Clients(settings.aws_region)
        made = ensure(settings, clients, _say if plan else lambda _: None, plan=True)
        if not plan:
            made = ensure(settings, clients, _say, plan=False)
    except SettingsError:
        raise
    except (SetupError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"stream-router setup: {said(error, 'setup')}\n")
        return 1
    _say(made.steps.summary())
    if made.dead_letters_url:
        _say(f"SQS_DLQ_URL={made.dead_letters_url}")
    if made.steps.problems:
        return 1
    return WOULD_CHANGE if plan and exit_code and made.steps.changes else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def dead_letters_name(stream: str) -> str:
    """How `setup` calls our dead-letter queue."""
    return f"{stream}-dead-letters"


def undelivered_name(stream: str) -> str:
    """How it calls EventBridge's own dead-letter queue of the target."""
    return f"{stream}-undelivered"


class Made(NamedTuple):
    """What was done, and the URL of our dead-letter queue (None where it is only planned)."""

    steps: Steps
    dead_letters_url: str | None


def look(settings: Setup) -> None:
    """Everything that the settings alone can tell. Raises WrongSettingError."""
    rules.pattern_text(settings.event_type_list)
    sample_entries(settings.aws_region, settings.event_type_list, 0)
    at_odds.look(settings)
    if settings.sqs_dlq_url and settings.sqs_dlq_url.endswith(".fifo"):
        raise WrongSettingError(
            "SQS_DLQ_URL: must be a standard queue, dead letters have no order; unset it, setup makes one"
        )
    if settings.target_arn:
        targets.kind_of(settings.target_arn, settings.target_role_arn, settings.aws_region)
    _look_at_names(settings)
    if settings.target_dlq_arn:
        given = arns.parse(settings.target_dlq_arn, "STREAM_ROUTER_TARGET_DLQ_ARN")
        if given.service != "sqs" or given.resource.endswith(".fifo"):
            raise WrongSettingError("STREAM_ROUTER_TARGET_DLQ_ARN: must be a standard SQS queue; give one, or unset it")


def _look_at_names(settings: Setup) -> None:
    """A stream's name takes more characters, and other ones, than that of a queue that is called after it."""
    made = {"SQS_DLQ_URL": "" if settings.sqs_dlq_url else dead_letters_name(settings.stream)}
    if not (settings.target_dlq_arn or limits.is_v2_bus(settings.event_bus)):
        made["STREAM_ROUTER_TARGET_DLQ_ARN"] = undelivered_name(settings.stream)
    for variable, name in made.items():
        if name and not QUEUE_NAME.fullmatch(name):
            raise WrongSettingError(
                f"{variable}: is not set, and {name} is no queue's name; name one that is there, or have "
                "STREAM_ROUTER_STREAM of at most 67 of A-Z a-z 0-9 _ -"
            )


def ensure(settings: Setup, clients: Clients, say: Say, *, plan: bool) -> Made:
    """Bring everything to what it should be; the steps say what was changed.

    Raises SetupError, with the cure, where something stands in the way; botocore's errors where AWS does.
    """
    look(settings)
    steps = Steps(say, apply=not plan)
    try:
        return _ensure(settings, clients, steps)
    except BaseException:  # Ctrl-C too
        steps.broken_off()
        raise


def _ensure(settings: Setup, clients: Clients, steps: Steps) -> Made:
    marks = marks_of(settings)
    home = Home(clients.partition, clients.region, clients.sts.get_caller_identity()["Account"])
    own = home.queue_of(settings.sqs_dlq_url or dead_letters_name(settings.stream))
    at_odds.check(settings, home, own, settings.target_dlq_arn or home.queue(undelivered_name(settings.stream)))
    if not limits.is_v2_bus(settings.event_bus):
        quotas.check(settings, clients, rules.pattern_text(settings.event_type_list))
    shards = streams.ensure_stream(clients.kinesis, settings.stream, settings.shards, steps, marks)
    streams.tell_buckets(shards, settings.buckets, steps)
    dead_letters = ensure_dead_letters(settings, clients.sqs, home, steps, marks)
    if limits.is_v2_bus(settings.event_bus):
        _verify_v2_bus(settings, clients, steps)
    else:
        _ensure_routing(settings, clients, home, steps, marks)
    if marks.key:
        _tell_key_policy(marks.key, steps)
    return Made(steps, dead_letters)


def marks_of(settings: Setup) -> Marks:
    """The tags and the key of what these settings' `setup` makes."""
    return Marks(settings.stream, settings.tag_map, settings.kms_key)


def _tell_key_policy(key: str, steps: Steps) -> None:
    """`setup` changes no key's policy: its owner must let EventBridge use it, or its dead letters are lost."""
    rights = "kms:GenerateDataKey and kms:Decrypt, for a bus of ours kms:DescribeKey too"
    steps.note(f"the policy of {key} must let the service events.amazonaws.com use {rights}")


def ensure_dead_letters(settings: Setup, sqs: "SQSClient", home: Home, steps: Steps, marks: Marks) -> str | None:
    """Our own dead-letter queue: the one that SQS_DLQ_URL names, else `<stream>-dead-letters`. Its URL."""
    if not settings.sqs_dlq_url:
        return queues.ensure_queue(sqs, dead_letters_name(settings.stream), None, steps, marks)
    name = settings.sqs_dlq_url.rsplit("/", 1)[-1]
    try:
        if home.is_elsewhere(home.queue_of(settings.sqs_dlq_url)):
            queues.verify_queue(sqs, settings.sqs_dlq_url, name, steps)
        else:
            queues.complete_queue(sqs, settings.sqs_dlq_url, name, None, steps, marks)
    except sqs.exceptions.QueueDoesNotExist:
        raise WrongSettingError(f"SQS_DLQ_URL: queue {name} does not exist; unset it, and setup makes one") from None
    return settings.sqs_dlq_url


_NO_V2_BUS = ABSENT | {"InvalidInputException", "ValidationException"}
"""What says that the ARN is wrong; whatever else AWS refuses with says nothing of it."""


def _verify_v2_bus(settings: Setup, clients: Clients, steps: Steps) -> None:
    """A v2 bus has subscribers instead of rules and targets, and its owner makes them: we only see that it is there."""
    try:
        clients.events_v2.describe_event_bus(EventBusArn=settings.event_bus)
    except ClientError as error:
        code = code_of(error)
        if code not in _NO_V2_BUS:
            raise
        raise WrongSettingError(
            f"STREAM_ROUTER_EVENT_BUS: there is no such v2 bus ({code}); correct the ARN, or make the bus"
        ) from None
    steps.right(f"event bus {settings.event_bus} (v2)")
    steps.note("a v2 bus has subscribers instead of a rule and a target: make one with this filter pattern:")
    steps.note(rules.pattern_text(settings.event_type_list))


def _ensure_routing(settings: Setup, clients: Clients, home: Home, steps: Steps, marks: Marks) -> None:
    """Bus, rule, target, the target's dead-letter queue, on a classic bus."""
    bus = settings.event_bus
    pattern = rules.pattern_text(settings.event_type_list)
    rule_arn = home.rule(bus, settings.rule)
    rules.ensure_bus(clients.events, bus, steps, marks)
    _prove(settings, clients, home, pattern, steps)
    rules.ensure_rule(clients.events, bus, settings.rule, pattern, steps, marks)
    for line in beside.notes(clients.events, bus, settings.rule):
        steps.note(line)
    undelivered = _ensure_undelivered(settings, clients.sqs, home, rule_arn, steps, marks)
    if not settings.target_arn:
        steps.note("EVENTBRIDGE_TARGET_ARN is not set: no target was attached to the rule")
        return
    arn = arns.parse(settings.target_arn, "EVENTBRIDGE_TARGET_ARN")
    kind = targets.kind_of(settings.target_arn, settings.target_role_arn, home.region)
    if arn.service == "sqs":
        queues.open_to_eventbridge(clients.sqs, arn, "EVENTBRIDGE_TARGET_ARN", rule_arn, steps, home)
    role = targets.role_of(settings.target_arn, settings.target_role_arn, home.region, rule_arn)
    if settings.target_role_arn and not role:
        steps.note(f"STREAM_ROUTER_TARGET_ROLE_ARN is not used: a {kind.name} lets EventBridge in by its own policy")
    wanted: dict[str, Any] = {
        "Arn": settings.target_arn,
        "RetryPolicy": rules.RETRY_POLICY,
        "DeadLetterConfig": {"Arn": undelivered},
        **({"RoleArn": role} if role else {}),
    }
    rules.ensure_target(clients.events, bus, settings.rule, wanted, kind, steps)
    for line in targets.permission(kind, settings.target_arn, rule_arn):
        steps.note(line)


def _prove(settings: Setup, clients: Clients, home: Home, pattern: str, steps: Steps) -> None:
    """With --plan nothing may be sent, but TestEventPattern changes nothing."""
    try:
        how = rule_match.prove(
            clients, home, settings.event_bus, pattern, settings.event_type_list, may_send=steps.apply
        )
    except rule_match.NothingProvedError as error:
        steps.note(str(error))
    else:
        steps.right(f"an event of each of our {len(settings.event_type_list)} types matches the rule ({how})")


def _ensure_undelivered(
    settings: Setup, sqs: "SQSClient", home: Home, rule_arn: str, steps: Steps, marks: Marks
) -> str:
    """EventBridge's own dead-letter queue of the target, which it may send to. Its ARN."""
    if settings.target_dlq_arn:
        given = arns.parse(settings.target_dlq_arn, "STREAM_ROUTER_TARGET_DLQ_ARN")
        queues.open_to_eventbridge(sqs, given, "STREAM_ROUTER_TARGET_DLQ_ARN", rule_arn, steps, home)
        return settings.target_dlq_arn
    name = undelivered_name(settings.stream)
    arn = home.queue(name)
    queues.ensure_queue(sqs, name, queues.eventbridge_policy(arn, rule_arn), steps, marks)
    return arn
