"""What a program asks of AWS, as data: which actions, on which resources. Written once, printed as an IAM policy."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Need(NamedTuple):
    """Actions on resources (ARNs, or `*` where AWS knows no resource), under a condition where there is one."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: tuple[str, str, tuple[str, ...]] | None = None
    """Operator, key, values."""


def need(
    service: str, actions: str, *resources: str, condition: tuple[str, str, tuple[str, ...]] | None = None
) -> Need:
    """`actions` of one service, separated by spaces."""
    return Need(tuple(f"{service}:{action}" for action in actions.split()), resources, condition)


def document(needs: Iterable[Need]) -> dict[str, Any]:
    """The policy: one statement for each set of resources, each action in it once."""
    merged: dict[tuple[Any, ...], set[str]] = {}
    for one in needs:
        merged.setdefault((one.resources, one.condition), set()).update(one.actions)
    statements = [_statement(sorted(actions), *key) for key, actions in merged.items()]
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(
    actions: list[str], resources: tuple[str, ...], condition: tuple[str, str, tuple[str, ...]] | None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Action": actions,
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }
    if condition:
        operator, key, values = condition
        made["Condition"] = {operator: {key: values[0] if len(values) == 1 else list(values)}}
    return made
