"""The consumer's `/metrics`: read back by Prometheus's own parser, equal to what was merged."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_router.telemetry.consumer_page import BUCKETS_S, Facts, page
from stream_router.telemetry.merged_shards import Merged, ShardMerger
from tests.unit.test_merged_shards import snapshot

WELL = Facts(daemon_up=True, daemon_restarts=2, rule_matched=True, bus_unasked_s=0.0)
Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(merged: Merged, facts: Facts = WELL) -> dict[Sample, float]:
    text = page(merged, facts, now_s=11.0).decode()
    return {
        (sample.name.removeprefix("stream_router_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def merged() -> Merged:
    told: dict[str, Any] = {
        "gauges": {"window_bytes": 7, "calls_in_flight": 3},
        "holding": "the bus refuses everything",
    }
    return ShardMerger(lambda _: True).merge([snapshot("a", 1, 900, **told), snapshot("b", 2, 100)])


def test_counters_carry_the_contracts_names() -> None:
    """Delivered, dead letters by reason, retries by code."""
    found = samples(merged())
    assert found["events_delivered_total", ()] == 1000
    assert found["dead_letters_total", (("reason", "malformed_json"),)] == 2
    assert found["retries_total", (("code", ""),)] == 4
    assert found["daemon_restarts_total", ()] == 2
    assert found["rule_matched", ()] == 1


def test_gauges_are_those_of_the_shards_that_tell_them() -> None:
    """A shard that tells nothing has no sample; every shard has its hold and the age of what it said."""
    found = samples(merged())
    assert found["window_bytes", (("shard", "a"),)] == 7
    assert ("window_bytes", (("shard", "b"),)) not in found
    assert found["holding", (("reason", "the bus refuses everything"), ("shard", "a"))] == 1
    assert found["holding", (("reason", ""), ("shard", "b"))] == 0
    assert found["snapshot_age_seconds", (("shard", "a"),)] == 10


@pytest.mark.parametrize(("known", "expected"), [(True, 1.0), (False, 0.0), (None, None)])
def test_a_rule_that_is_not_known_has_no_sample(known: bool | None, expected: float | None) -> None:
    """Neither matched nor unmatched: an alert on 0 must not fire, one on absence may."""
    assert samples(merged(), WELL._replace(rule_matched=known)).get(("rule_matched", ())) == expected


def test_the_classic_buckets_are_exact_but_for_one_fine_bucket() -> None:
    """Each cumulative count lies between those of the exact values at the bound less and more 1 %."""
    found = samples(merged())
    exact_s = [n / 1000 for n in range(1, 901)] + [n / 1000 for n in range(1, 101)]
    stage = ("stage", "received_to_accepted")
    for bound in BUCKETS_S:
        count = found["stage_latency_seconds_bucket", (("le", str(bound)), stage)]
        below, above = (sum(value <= bound * factor for value in exact_s) for factor in (0.989, 1.011))
        assert below <= count <= above
    assert found["stage_latency_seconds_bucket", (("le", "+Inf"), stage)] == 1000
    assert found["stage_latency_seconds_count", (stage,)] == 1000
    assert found["stage_latency_seconds_sum", (stage,)] == pytest.approx(sum(exact_s), rel=0.01)
    assert len(BUCKETS_S) == 24


def test_an_empty_worker_has_a_page() -> None:
    """Before the first snapshot: zeros, and no series of a shard."""
    found = samples(ShardMerger(lambda _: True).merge([]))
    assert found["events_delivered_total", ()] == 0
    assert not [name for name, labels in found if "shard" in dict(labels)]


def test_names_are_as_prometheus_wants_them() -> None:
    """One prefix, lower case, a help for each; counters end in _total, and nothing else does."""
    text = page(merged(), WELL, 11.0).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert kinds
    assert set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)) == kinds.keys()
    for name, kind in kinds.items():
        assert re.fullmatch(r"stream_router_[a-z0-9_]+", name)
        assert name.endswith("_total") == (kind == "counter")
