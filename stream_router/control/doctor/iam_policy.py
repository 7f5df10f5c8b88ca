"""Reads a resource's policy: whether it lets EventBridge in for our rule. An approximation that errs towards yes."""

import fnmatch
import json
from collections.abc import Iterator
from typing import Any

SERVICE = "events.amazonaws.com"


def statements(policy: str | dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The statements of a policy, which may be text, a document, or none."""
    document = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    found = document.get("Statement", []) if isinstance(document, dict) else []
    yield from found if isinstance(found, list) else [found]


def lets_in(policy: str | dict[str, Any] | None, action: str, source_arn: str, account: str) -> bool:
    """Whether EventBridge may do `action` on behalf of the rule. Conditions that it does not know count as met."""
    allowed = False
    for statement in statements(policy):
        if not _names_eventbridge(statement.get("Principal")) or not _is_in(action, statement.get("Action")):
            continue
        if not _met(statement.get("Condition", {}), source_arn, account):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _names_eventbridge(principal: Any) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    return SERVICE in _listed(principal.get("Service")) or "*" in _listed(principal.get("AWS"))


def _is_in(action: str, actions: Any) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in _listed(actions))


def _met(condition: dict[str, Any], source_arn: str, account: str) -> bool:
    """What of a condition speaks of the source; an operator that negates is not understood, and so met."""
    real = {"aws:sourcearn": source_arn, "aws:sourceaccount": account}
    for operator, keys in condition.items():
        if "not" in operator.lower():
            continue
        for key, wanted in keys.items():
            has = real.get(key.lower())
            if has and not any(fnmatch.fnmatchcase(has, one) for one in _listed(wanted)):
                return False
    return True
