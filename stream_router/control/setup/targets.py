"""The kinds of target that may stand behind the rule, and the needs of each."""

from typing import NamedTuple

from stream_router.control import arns
from stream_router.control.setup_error import WrongSettingError


class Kind(NamedTuple):
    """A kind of target: how it is called, whether EventBridge needs a role to reach it, what else must be true."""

    name: str
    needs_role: bool
    hint: str = ""
    http: bool = False
    """Whether HttpParameters mean anything: only for an API (botocore model `events`, Target)."""


_LET_IN = "its resource policy must let events.amazonaws.com in, with this rule as aws:SourceArn"
_SMALL = (
    "it takes events of at most 262,144 bytes{}, the bus takes larger ones: these end in the target's dead-letter queue"
)
"""Source: docs/facts.md, "EventBridge". What a target gets is some 200 bytes longer than its entry counts."""
_KEEPS_NOTHING = (
    "Lambda tries an event that its code fails twice more and then drops it, and no queue of ours gets it: "
    "give the function an on-failure destination (docs/tutorial.md)"
)

KINDS = {
    ("sqs", ""): Kind("SQS queue", needs_role=False),
    ("lambda", "function:"): Kind("Lambda function", needs_role=False, hint=_LET_IN),
    ("sns", ""): Kind(
        "SNS topic",
        needs_role=False,
        hint=f"{_LET_IN}; {_SMALL.format(' (unless its MaximumMessageSize was raised)')}",
    ),
    ("logs", "log-group:"): Kind("log group", needs_role=False, hint=_LET_IN),
    ("states", "stateMachine:"): Kind("state machine", needs_role=True, hint=_SMALL.format("")),
    ("kinesis", "stream/"): Kind("Kinesis stream", needs_role=True),
    ("firehose", "deliverystream/"): Kind("Firehose stream", needs_role=True),
    ("events", "event-bus/"): Kind("event bus", needs_role=True),
    ("events", "api-destination/"): Kind("API destination", needs_role=True, http=True),
    ("execute-api", ""): Kind("API Gateway stage", needs_role=True, http=True),
}


def kind_of(arn_text: str, role: str | None, region: str) -> Kind:
    """The kind of target that an ARN names, for a rule in `region`.

    Raises WrongSettingError where it cannot be one, or lacks the role it needs.
    """
    arn = arns.parse(arn_text, "EVENTBRIDGE_TARGET_ARN")
    if not (len(arn.account) == 12 and arn.account.isdigit()):
        raise WrongSettingError("EVENTBRIDGE_TARGET_ARN: names no account; an account's number has 12 digits")
    kind = next(
        (
            kind
            for (service, prefix), kind in KINDS.items()
            if arn.service == service and arn.resource.startswith(prefix)
        ),
        None,
    )
    if kind is None:
        raise WrongSettingError(f"EVENTBRIDGE_TARGET_ARN: {arn.service} is no target; give one of: {_names()}")
    if arn.service in ("sqs", "sns") and arn.resource.endswith(".fifo"):
        raise WrongSettingError(
            f"EVENTBRIDGE_TARGET_ARN: {arn.resource} is FIFO and needs a message group per event; give a standard one"
        )
    if arn.region != region and arn.service != "events":
        raise WrongSettingError(
            f"EVENTBRIDGE_TARGET_ARN: is in {arn.region}, the rule in {region}; only a bus may be elsewhere"
        )
    if kind.needs_role and not role:
        raise WrongSettingError(
            f"STREAM_ROUTER_TARGET_ROLE_ARN: is not set; give the role with which EventBridge reaches the {kind.name}"
        )
    return kind


def is_foreign(arn_text: str, rule_arn: str) -> bool:
    """Whether a target is in another account than its rule: EventBridge reaches it with a role, whatever its kind."""
    return arns.parse(arn_text, "EVENTBRIDGE_TARGET_ARN").account != arns.parse(rule_arn, "STREAM_ROUTER_RULE").account


def role_of(arn_text: str, role: str | None, region: str, rule_arn: str) -> str | None:
    """The role that the target is attached with; None for one whose own policy lets EventBridge in.

    There a role may fail the delivery (EventBridge's user guide, "Using resource-based policies"). Raises as `kind_of`.
    """
    return role if kind_of(arn_text, role, region).needs_role or is_foreign(arn_text, rule_arn) else None


def permission(kind: Kind, arn: str, rule_arn: str) -> list[str]:
    """What must be true, or be known, of the target beside its being there; for a function the command, too."""
    if kind is not KINDS["lambda", "function:"]:
        return [f"target {kind.name}: {kind.hint}"] if kind.hint else []
    name = rule_arn.rsplit("/", 1)[-1].replace(".", "-")
    command = (
        f"aws lambda add-permission --function-name {arn} --statement-id stream-router-{name} "
        f"--action lambda:InvokeFunction --principal events.amazonaws.com --source-arn {rule_arn}"
    )
    return [
        f"target {kind.name}: {kind.hint}; unless it does already, run:",
        command,
        f"target {kind.name}: {_KEEPS_NOTHING}",
    ]


def _names() -> str:
    return ", ".join(kind.name for kind in KINDS.values())
