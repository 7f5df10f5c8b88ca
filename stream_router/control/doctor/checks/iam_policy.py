"""Reads a resource's policy: whether it lets EventBridge in for our rule. An approximation that errs towards yes."""

import fnmatch
import json
from collections.abc import Callable, Iterator
from typing import Any

SERVICE = "events.amazonaws.com"
_OF_SERVICE = {
    "aws:principalisawsservice": "true",
    "aws:principalservicename": SERVICE,
    "aws:securetransport": "true",
}
_ABSENT = frozenset(
    {
        *("aws:sourcevpce", "aws:sourcevpc", "aws:sourcevpcarn", "aws:vpcsourceip", "aws:sourceip"),
        *("aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn"),
    }
)
"""A call that a service makes of its own bears none of these ("global condition context keys" of IAM)."""


def statements(policy: str | dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The statements of a policy, which may be text, a document, or none."""
    document = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    found = document.get("Statement", []) if isinstance(document, dict) else []
    yield from found if isinstance(found, list) else [found]


def lets_in(policy: str | dict[str, Any] | None, action: str, rule_arn: str) -> bool:
    """Whether EventBridge may do `action` on behalf of the rule. What it does not know counts in favour."""
    allows = [one for one in _of_eventbridge(policy, action, rule_arn) if one.get("Effect") != "Deny"]
    return bool(allows) and denial(policy, action, rule_arn) is None


def denial(policy: str | dict[str, Any] | None, action: str, rule_arn: str) -> str | None:
    """The `Sid` (or a word for it) of a statement that denies EventBridge `action`, which no Allow outweighs."""
    for statement in _of_eventbridge(policy, action, rule_arn):
        if statement.get("Effect") == "Deny":
            return str(statement.get("Sid") or "without a Sid")
    return None


def _of_eventbridge(policy: Any, action: str, rule_arn: str) -> Iterator[dict[str, Any]]:
    """The statements that are about EventBridge's `action`, their conditions met. The source is the rule's account."""
    has = {**_OF_SERVICE, "aws:sourcearn": rule_arn, "aws:sourceaccount": rule_arn.split(":")[4]}
    for statement in statements(policy):
        if not _names_eventbridge(statement.get("Principal")) or not _is_in(action, statement.get("Action")):
            continue
        unknown = statement.get("Effect") != "Deny"
        if all(_met(*one, has, unknown) for one in _conditions(statement.get("Condition", {}))):
            yield statement


def _listed(value: Any) -> list[str]:
    return (
        [_text(one) for one in value] if isinstance(value, list) else [_text(value)] if value not in (None, "") else []
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names_eventbridge(principal: Any) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    return SERVICE in _listed(principal.get("Service")) or "*" in _listed(principal.get("AWS"))


def _is_in(action: str, actions: Any) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in _listed(actions))


def _conditions(condition: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            yield operator.lower().rpartition(":")[2], key.lower(), _listed(wanted)


def _met(operator: str, key: str, wanted: list[str], has: dict[str, str], unknown: bool) -> bool:
    """One condition by IAM's rules; `unknown` where nobody can tell.

    A key that is not there meets an operator that negates, and one that ends with `IfExists`.
    """
    if key not in has and key not in _ABSENT:
        return unknown
    if operator == "null":
        return ("true" in wanted) is (key in _ABSENT)
    negates = "not" in operator
    if key in _ABSENT:
        return negates or operator.endswith("ifexists")
    return _equals(operator)(has[key], wanted) is not negates


def _equals(operator: str) -> Callable[[str, list[str]], bool]:
    if operator.startswith("string") and "like" not in operator and "ignorecase" not in operator:
        return lambda value, wanted: value in wanted
    return lambda value, wanted: any(fnmatch.fnmatchcase(value.lower(), one.lower()) for one in wanted)
