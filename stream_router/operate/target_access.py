"""Check whether the resource policy of a rule's target lets EventBridge deliver to it.

EventBridge needs a resource policy for queues, topics and functions, and a role for most other
targets ("Using resource-based policies for Amazon EventBridge", EventBridge user guide). A role's
own rights are not judged.
"""

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from stream_router.aws_error_codes import ABSENT, code_of

ACTIONS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}
"""Action of EventBridge at a target, by service, for the services that need a resource policy."""

EVENTBRIDGE = "events.amazonaws.com"
SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount"}
"""Condition keys whose values are known: the rule's ARN and account.

Values of other keys cannot be judged here.
"""

Policy = Mapping[str, Any]
ClientOf = Callable[[str], Any]
"""Function that returns a boto3 client of a service."""


def denies_eventbridge(target: Mapping[str, Any], rule_arn: str, client_of: ClientOf) -> bool | None:
    """Return whether the target's policy keeps EventBridge out.

    Return None if no policy decides: the target's service needs none, or the target has a role.

    Raises ClientError or BotoCoreError if the policy cannot be read.
    """
    arn = str(target["Arn"])
    service = arn.split(":")[2]
    if service not in ACTIONS or target.get("RoleArn"):
        return None
    return not allows(_read_policy(service, arn, client_of), ACTIONS[service], rule_arn)


def _read_policy(service: str, arn: str, client_of: ClientOf) -> Policy:
    """Read the resource policy of a queue, topic or function; {} if it has none."""
    if service == "sqs":
        _, _, _, _, account, name = arn.split(":")
        sqs = client_of("sqs")
        url = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        text = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
    elif service == "sns":
        text = client_of("sns").get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy")
    else:
        try:
            text = client_of("lambda").get_policy(FunctionName=arn)["Policy"]
        except ClientError as error:  # Lambda answers ResourceNotFoundException for a function without a policy as well
            if code_of(error) not in ABSENT:
                raise
            text = None
    policy: Policy = json.loads(text or "{}")
    return policy


def allows(policy: Policy, action: str, rule_arn: str) -> bool:
    """Return whether the policy lets EventBridge do `action` for this rule.

    A condition that cannot be judged counts as met in an Allow and as not met in a Deny. So False is certain, and True
    may be wrong.
    """
    statements = policy.get("Statement") or []
    if isinstance(statements, dict):  # IAM accepts a single statement without a list
        statements = [statements]
    relevant = [statement for statement in statements if _applies(statement, action)]
    if any(
        statement["Effect"] == "Deny" and _conditions_hold(statement, rule_arn, unknown=False) for statement in relevant
    ):
        return False
    return any(
        statement["Effect"] == "Allow" and _conditions_hold(statement, rule_arn, unknown=True) for statement in relevant
    )


def _applies(statement: Policy, action: str) -> bool:
    """Return whether a statement, apart from its conditions, is about EventBridge doing this action."""
    principal = statement.get("Principal")
    services = ["*"] if principal == "*" else [*_to_list((principal or {}).get("Service"))]
    if principal != "*" and "*" in _to_list((principal or {}).get("AWS")):
        services.append("*")
    actions = (str(listed_action).lower() for listed_action in _to_list(statement.get("Action")))
    is_ours = EVENTBRIDGE in services or "*" in services
    return is_ours and any(fnmatchcase(action.lower(), pattern) for pattern in actions)


def _conditions_hold(statement: Policy, rule_arn: str, *, unknown: bool) -> bool:
    """Return whether all conditions hold for this rule.

    `unknown` is the result of a condition that cannot be judged: of another key than SOURCE_KEYS, or another operator.
    """
    account = rule_arn.split(":")[4]
    for operator, conditions in (statement.get("Condition") or {}).items():
        is_comparison = operator.lower().removesuffix("ifexists") in (
            "arnequals",
            "arnlike",
            "stringequals",
            "stringlike",
        )
        for key, wanted in conditions.items():
            if not is_comparison or key.lower() not in SOURCE_KEYS:
                holds = unknown
            else:
                value = rule_arn if key.lower() == "aws:sourcearn" else account
                holds = any(fnmatchcase(value, str(pattern)) for pattern in _to_list(wanted))
            if not holds:
                return False
    return True


def _to_list(value: Any) -> list[Any]:
    """Return a value of a policy as a list, since IAM accepts a single value without a list; [] for None."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
