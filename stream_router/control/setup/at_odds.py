"""Settings that are each well formed, and do not go together: what `setup` would make of them would lose events."""

from urllib.parse import urlsplit

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.control import arns
from stream_router.control.arns import Home
from stream_router.control.setup import targets
from stream_router.control.setup.marks import TAG
from stream_router.control.setup_error import WrongSettingError
from stream_router.settings.operators import Setup

TARGET, ROLE, UNDELIVERED = "EVENTBRIDGE_TARGET_ARN", "STREAM_ROUTER_TARGET_ROLE_ARN", "STREAM_ROUTER_TARGET_DLQ_ARN"


def look(settings: Setup) -> None:
    """What the settings alone can tell. Raises WrongSettingError."""
    if TAG in settings.tag_map:
        raise WrongSettingError(f"STREAM_ROUTER_TAGS: has {TAG}, by which `teardown` knows its own; take it out")
    host = f".{urlsplit(settings.sqs_dlq_url or '').hostname or ''}"
    if endpoints.is_aws(settings.sqs_dlq_url or "") and f".{settings.aws_region}." not in host:
        raise WrongSettingError(
            "SQS_DLQ_URL: the queue is in another region than AWS_REGION; unset it, and setup makes one"
        )
    if settings.target_role_arn:
        role = arns.parse(settings.target_role_arn, ROLE)
        if role.service != "iam" or not role.resource.startswith("role/"):
            raise WrongSettingError(f"{ROLE}: is no role; an ARN of one looks like arn:aws:iam::123456789012:role/name")
    if settings.target_dlq_arn and arns.parse(settings.target_dlq_arn, UNDELIVERED).region != settings.aws_region:
        raise WrongSettingError(f"{UNDELIVERED}: the queue is not in AWS_REGION, where the rule is; name one there")


def check(settings: Setup, home: Home, dead_letters: str, undelivered: str) -> None:
    """That target, stream and queues are different things; the queues by ARN. Raises WrongSettingError."""
    if limits.is_v2_bus(settings.event_bus):
        return
    taken = {
        home.stream(settings.stream): "the stream itself, so each event would come round again without end",
        home.bus(settings.event_bus): "the rule's own bus, so each event would come round again without end",
        dead_letters: "our dead-letter queue, where events would pass for dead letters",
        undelivered: "its own dead-letter queue, so what it refuses would be lost",
    }
    if settings.target_arn:
        if why := taken.get(settings.target_arn):
            raise WrongSettingError(f"{TARGET}: is {why}; name another target")
        if (partition := arns.parse(settings.target_arn, TARGET).partition) != home.partition:
            raise WrongSettingError(f"{TARGET}: is in partition {partition}, the rule in {home.partition}; correct it")
        _check_account(settings, home.rule(settings.event_bus, settings.rule))
    if dead_letters == undelivered:
        named = UNDELIVERED if settings.target_dlq_arn else "SQS_DLQ_URL"
        raise WrongSettingError(
            f"{named}: is one queue for dead letters and for what the target refuses; unset it, and setup makes two"
        )


def _check_account(settings: Setup, rule_arn: str) -> None:
    assert settings.target_arn
    if not settings.target_role_arn and targets.is_foreign(settings.target_arn, rule_arn):
        of_rule = arns.parse(rule_arn, "STREAM_ROUTER_RULE").account
        raise WrongSettingError(
            f"{ROLE}: is not set, and the target is in another account; give a role of account {of_rule} that may send "
            "to it, and let that role in at the target"
        )
