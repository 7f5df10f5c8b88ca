"""The fake AWS's fault plan by itself: triggers, dice that repeat, and documents that are wrong."""

from typing import Any

import pytest

from tests.fakeaws import detail
from tests.fakeaws.call import Call, Item
from tests.fakeaws.plan import Plan, PlanError
from tests.fakeaws.state.shards import HASH_KEYS, Shard, Shards


def call(*contents: str) -> Call:
    return Call([Item({}, content, len(content)) for content in contents])


def strikes(rule: dict[str, Any], calls: int = 1, operation: str = "PutEvents", seed: int = 0) -> list[bool]:
    """Whether a rule of whole calls strikes each of `calls` calls."""
    plan = Plan({"rules": [{"fault": "call_error", **rule}]}, seed)
    return [bool(plan.call_faults(operation, call("a", "marked"))) for _ in range(calls)]


def test_a_rule_without_triggers_always_strikes() -> None:
    """No trigger means every call of every operation."""
    assert strikes({}, 3) == [True] * 3


def test_a_rule_strikes_only_its_operation() -> None:
    """`operation` names one; `*` is all."""
    assert strikes({"operation": "PutRecords"}) == [False]
    assert strikes({"operation": "*"}) == [True]


def test_next_and_after_count_calls() -> None:
    """After two calls are let through the next three are struck."""
    assert strikes({"after": 2, "next": 3}, 7) == [False, False, True, True, True, False, False]


def test_where_looks_into_the_content() -> None:
    """A marker somewhere in the call is enough; without it the rule does not even count."""
    assert strikes({"where": "marked"}) == [True]
    assert strikes({"where": "absent", "next": 1}, 2) == [False, False]


def test_a_window_opens_and_closes() -> None:
    """`from_s` in the future and `to_s` in the past strike nothing."""
    assert strikes({"from_s": 100}) == [False]
    assert strikes({"to_s": 0}) == [False]
    assert strikes({"from_s": 0, "to_s": 100}) == [True]


def test_dice_repeat_with_their_seed_and_hit_their_rate() -> None:
    """The same seed strikes the same calls; another seed others; about a third of many calls is struck."""
    first, again, other = (strikes({"rate": 0.3}, 1000, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert 230 <= sum(first) <= 370


def test_faults_of_entries_count_entries() -> None:
    """`next: 2` strikes two entries, the first rule that strikes an entry wins."""
    rules = [
        {"fault": "entry_error", "code": "First", "next": 2},
        {"fault": "entry_error", "code": "Second", "where": "m"},
    ]
    struck = Plan({"rules": rules}, 0).entry_faults("PutEvents", call("a", "b", "c", "m"))
    assert [(item.content, rule.parameters["code"]) for item, rule in struck] == [
        ("a", "First"),
        ("b", "First"),
        ("m", "Second"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"rules": [{"fault": "flood"}]},
        {"rules": [{"fault": "reset", "colour": "red"}]},
        {"rules": [{}]},
        {"ruels": []},
    ],
)
def test_a_wrong_plan_is_refused(document: dict[str, Any]) -> None:
    """A misspelt plan must not look like a calm one."""
    with pytest.raises(PlanError):
        Plan(document, 0)


def test_ids_of_a_kinesis_record_are_found() -> None:
    """Envelopes give their `id`, foreign lines their `eventId`, garbage nothing."""
    data = b'{"v":1,"id":"a","body":{"id":"x"}}\n{broken\n{"eventId":"b"}\n[1]\n{"id":7}'
    assert detail.ids_in_record(data) == ["a", "b"]


def test_records_fall_into_equal_ranges_of_hash_keys() -> None:
    """An explicit hash key decides, else the MD5 of the partition key, as on AWS."""
    shards = Shards(4, limited=False)
    keys = [0, 2**126 - 1, 2**126, 2**127, 2**128 - 1]
    assert [shards.of(Item({"ExplicitHashKey": str(key)}, b"", 0)) for key in keys] == [0, 0, 1, 2, 3]
    by_key = Item({}, b"", 0)
    by_key.key = "a"  # MD5 0cc175b9…
    assert shards.of(by_key) == 0
    by_key.key = "c"  # MD5 4a8a08f0…
    assert shards.of(by_key) == 1


def test_a_shard_takes_a_thousand_records_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a second's budget it takes none; half a second later it takes half as many."""
    now = [100.0]
    monkeypatch.setattr("tests.fakeaws.state.shards.time.monotonic", lambda: now[0])
    shard = Shard(0, 0, HASH_KEYS - 1)
    assert [shard.takes(10) for _ in range(1_500)] == [True] * 1_000 + [False] * 500
    now[0] += 0.5
    assert sum(shard.takes(10) for _ in range(1_500)) == 500
