"""SQS queues as they should be: 14 days, encrypted, messages up to 1 MiB, open to EventBridge where it must send."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stream_router import limits
from stream_router.control.arns import Arn, Home
from stream_router.control.setup.marks import Marks, told
from stream_router.control.setup.steps import Steps
from stream_router.control.setup_error import WrongSettingError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RETENTION_S = 14 * 24 * 3600
"""The longest that SQS keeps a message (its default is 4 days). Source: API of SetQueueAttributes, 2026-11."""

WANTED = {"MessageRetentionPeriod": str(RETENTION_S), "MaximumMessageSize": str(limits.SQS_MESSAGE_BYTES)}
ENCRYPTION = {"SqsManagedSseEnabled": "true"}

_SID = "EventBridge-"
"""What the Sids of our statements begin with."""


def ensure_queue(sqs: "SQSClient", name: str, policy: dict[str, Any] | None, steps: Steps, marks: Marks) -> str | None:
    """Make the queue, or bring the one there up to what is wanted. Its URL; None where it is only planned."""
    url = find_queue(sqs, name)
    if url is None:
        attributes = {**WANTED, **_encryption(marks.key), **({"Policy": json.dumps(policy)} if policy else {})}
        made = steps.create(
            f"queue {name}: 14 days, encrypted"
            + (f" with {marks.key}" if marks.key else "")
            + (", open to EventBridge for this rule" if policy else "")
            + f" ({told(marks.tags)})",
            sqs.create_queue,
            QueueName=name,
            Attributes=attributes,
            tags=marks.tags,
        )
        return str(made["QueueUrl"]) if made else None
    complete_queue(sqs, url, name, policy, steps, marks)
    return url


def _encryption(key: str | None) -> dict[str, str]:
    return {"KmsMasterKeyId": key} if key else ENCRYPTION


def find_queue(sqs: "SQSClient", name: str, account: str | None = None) -> str | None:
    """The URL of a queue by its name, None where there is none (or none that we may see)."""
    owner = {"QueueOwnerAWSAccountId": account} if account else {}
    try:
        return sqs.get_queue_url(QueueName=name, **owner)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return None


def complete_queue(
    sqs: "SQSClient", url: str, name: str, policy: dict[str, Any] | None, steps: Steps, marks: Marks
) -> None:
    """Set what an existing dead-letter queue lacks; what is right is left alone, other statements of its policy too."""
    has = attributes_of(sqs, url)
    ours = _ensure_tags(sqs, url, name, marks, steps)
    lacks = _lacks(has, marks.key if ours else None)
    if lacks:
        steps.change(
            f"queue {name}: {_told(has, lacks)}",
            sqs.set_queue_attributes,
            QueueUrl=url,
            Attributes=lacks,
        )
    else:
        steps.right(f"queue {name}: 14 days, encrypted")
    if policy:
        ensure_policy(sqs, url, name, policy, steps)


def verify_queue(sqs: "SQSClient", url: str, name: str, steps: Steps) -> None:
    """Say what a dead-letter queue of another account lacks: SQS lets its owner alone see tags and set anything."""
    has = attributes_of(sqs, url)
    if lacks := _lacks(has, None):
        steps.problem(f"queue {name}: {_told(has, lacks)}; it is another account's, have it set there")
    else:
        steps.right(f"queue {name}: 14 days, encrypted, another account's")


def _told(has: dict[str, str], lacks: dict[str, str]) -> str:
    return ", ".join(f"{key} {has.get(key, 'none')} -> {value}" for key, value in lacks.items())


def _lacks(has: dict[str, str], key: str | None) -> dict[str, str]:
    missing = {name: value for name, value in WANTED.items() if int(has.get(name, "0")) < int(value)}
    encrypted = has.get("SqsManagedSseEnabled") == "true" or bool(has.get("KmsMasterKeyId"))
    if not encrypted or (key and has.get("KmsMasterKeyId") != key):
        missing |= _encryption(key)
    return missing


def _ensure_tags(sqs: "SQSClient", url: str, name: str, marks: Marks, steps: Steps) -> bool:
    """Give a queue of ours the tags that it lacks; whether it is ours."""
    has = tags_of(sqs, url)
    if missing := marks.missing(has):
        steps.change(f"queue {name}: tags + {told(missing)}", sqs.tag_queue, QueueUrl=url, Tags=missing)
    return marks.ours(has)


def tags_of(sqs: "SQSClient", url: str) -> dict[str, str]:
    """The queue's tags."""
    return dict(sqs.list_queue_tags(QueueUrl=url).get("Tags", {}))


def ensure_policy(sqs: "SQSClient", url: str, name: str, policy: dict[str, Any], steps: Steps) -> None:
    """See that the queue's policy holds our statements; those of others stay as they are."""
    current = json.loads(attributes_of(sqs, url).get("Policy") or "{}")
    merged = merge(current, policy)
    if merged == current:
        steps.right(f"queue {name}: open to EventBridge for this rule")
        return
    steps.change(
        f"queue {name}: policy + let EventBridge send for this rule",
        sqs.set_queue_attributes,
        QueueUrl=url,
        Attributes={"Policy": json.dumps(merged)},
    )


def merge(current: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """`current` with our statement in place of what we wrote before for the same rule, under whichever Sid."""
    (wanted,) = ours["Statement"]
    statements = current.get("Statement") or []
    listed = statements if isinstance(statements, list) else [statements]
    kept = [statement for statement in listed if not _replaces(wanted, statement)]
    if [s for s in listed if _replaces(wanted, s)] == [wanted]:
        return current
    return {**ours, **current, "Statement": [*kept, wanted]}


def _replaces(wanted: dict[str, Any], statement: dict[str, Any]) -> bool:
    sid = str(statement.get("Sid", ""))
    return sid == wanted["Sid"] or (sid.startswith(_SID) and statement.get("Condition") == wanted["Condition"])


def eventbridge_policy(queue_arn: str, rule_arn: str) -> dict[str, Any]:
    """Lets EventBridge send to the queue, for this rule only. The hash keeps apart rules whose names look alike."""
    name = "".join(c if c.isalnum() else "-" for c in rule_arn.rsplit(":", 1)[-1])
    statement = {
        "Sid": f"{_SID}{name}-{hashlib.sha256(rule_arn.encode()).hexdigest()[:8]}",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def open_to_eventbridge(sqs: "SQSClient", arn: Arn, variable: str, rule_arn: str, steps: Steps, home: Home) -> None:
    """See that a queue that someone else made, and `variable` names, takes what EventBridge sends for this rule.

    Of one in another account it is only said. Raises WrongSettingError where the queue is not to be found.
    """
    if not home.owns(arn):
        whose = f"queue {arn.resource} is account {arn.account}'s"
        steps.note(f"{whose}: its policy must let EventBridge in for {rule_arn}")
        return
    url = find_queue(sqs, arn.resource, arn.account)
    if url is None:
        raise WrongSettingError(
            f"{variable}: queue {arn.resource} does not exist in account {arn.account}; make it, or correct the ARN"
        )
    text = f"arn:{arn.partition}:sqs:{arn.region}:{arn.account}:{arn.resource}"
    ensure_policy(sqs, url, arn.resource, eventbridge_policy(text, rule_arn), steps)


def held(attributes: Mapping[str, str]) -> int:
    """How many messages a queue holds by its attributes: those that somebody reads, or that are delayed, as well."""
    return sum(int(attributes.get(f"ApproximateNumberOfMessages{kind}", "0")) for kind in ("", "NotVisible", "Delayed"))


def attributes_of(sqs: "SQSClient", url: str) -> dict[str, str]:
    """All attributes of a queue."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(key): value for key, value in found.get("Attributes", {}).items()}
