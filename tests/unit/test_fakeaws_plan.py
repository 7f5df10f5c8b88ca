"""The fake AWS's fault plan by itself: triggers, and dice that repeat."""

from typing import Any

import pytest

from tests.fakeaws.call import Call, Item
from tests.fakeaws.plan import Plan


def call(*contents: str) -> Call:
    return Call([Item({}, content, len(content)) for content in contents])


def strikes(rule: dict[str, Any], calls: int = 1, seed: int = 0) -> list[bool]:
    """Whether a rule of whole calls strikes each of `calls` PutEvents."""
    plan = Plan({"rules": [{"fault": "call_error", **rule}]}, seed)
    return [bool(plan.call_faults("PutEvents", call("a", "marked"))) for _ in range(calls)]


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({}, [True, True, True, True]),
        ({"operation": "PutRecords"}, [False, False, False, False]),
        ({"after": 1, "next": 2}, [False, True, True, False]),
        ({"where": "marked", "next": 1}, [True, False, False, False]),
        ({"from_s": 100}, [False, False, False, False]),
        ({"to_s": 0}, [False, False, False, False]),
    ],
)
def test_a_rule_strikes_where_all_its_triggers_hold(rule: dict[str, Any], struck: list[bool]) -> None:
    """No trigger means every call of every operation."""
    assert strikes(rule, 4) == struck


def test_dice_repeat_with_their_seed_and_hit_their_rate() -> None:
    """The same seed strikes the same calls; another seed others; about a third of many calls is struck."""
    first, again, other = (strikes({"rate": 0.3}, 1000, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert 230 <= sum(first) <= 370


def test_faults_of_entries_count_entries() -> None:
    """`next: 2` strikes two entries, the first rule that strikes an entry wins."""
    rules = [{"fault": "entry_error", "next": 2}, {"fault": "sender_fault", "where": "m"}]
    struck = Plan({"rules": rules}, 0).entry_faults("PutEvents", call("a", "mb", "c", "m"))
    faults = [(item.content, rule.fault) for item, rule in struck]
    assert faults == [("a", "entry_error"), ("mb", "entry_error"), ("m", "sender_fault")]
