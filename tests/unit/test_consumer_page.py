"""The consumer's `/metrics`: read back by Prometheus's own parser, equal to what was merged."""

import re
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_router.model import Reason
from stream_router.receiver.stats import Stats
from stream_router.receiver.status import BUCKETS_S as RECEIVER_BUCKETS_S
from stream_router.telemetry import prometheus
from stream_router.telemetry.metrics_catalogue import CONSUMER, RECEIVER, SHARD, STAGES
from stream_router.telemetry.shards.consumer_page import BUCKETS_S, Facts, page
from stream_router.telemetry.shards.merged_shards import Merged, ShardMerger
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


def test_what_was_never_counted_is_0_and_not_missing() -> None:
    """`rate` and `increase` do not see the first of a series that begins with it: a lone dead letter, or event."""
    found = samples(ShardMerger(lambda _: True).merge([]))
    for reason in Reason:
        assert found["dead_letters_total", (("reason", reason.value),)] == 0
    for stage in STAGES:
        assert found["stage_latency_seconds_count", (("stage", stage),)] == 0


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


def test_what_hangs_has_a_sample_and_nothing_else_has() -> None:
    """Of a child by its shard, of the daemon with none; no 0 is told of what nobody judged."""
    found = samples(merged(), WELL._replace(hangs=[("", "stopped"), ("a", "silent")]))
    hanging = {labels: value for (name, labels), value in found.items() if name == "hanging"}
    assert hanging == {(("reason", "stopped"), ("shard", "")): 1.0, (("reason", "silent"), ("shard", "a")): 1.0}


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


def receiver_page_text() -> str:
    stats = Stats(("", "expert"))
    stats.latencies_s += [n / 1000 for n in range(1, 901)]
    known = {metric.name.removeprefix("receiver_"): 1.0 for metric in RECEIVER}
    snapshot = stats.snapshot(known, {"InternalFailure": 1})
    return prometheus.page(snapshot, RECEIVER, RECEIVER_BUCKETS_S, "receive").decode()


def test_every_family_stands_in_the_catalogue_and_every_one_of_it_is_shown() -> None:
    """A metric that is only in the table, or only on a page, is a promise that nobody keeps."""
    told: dict[str, Any] = {"gauges": dict.fromkeys(SHARD, 1.0), "holding": "bytes", "breaker": "open"}
    one = ShardMerger(lambda _: True).merge([snapshot("a", 1, 900, timeS={"work": 1.25}, **told)])
    facts = WELL._replace(daemon_memory_bytes=1, unread_shards=0, catch_up_s=1.0, hangs=[("a", "silent")])
    for text, table in ((page(one, facts, 11.0).decode(), CONSUMER), (receiver_page_text(), RECEIVER)):
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        assert kinds == {metric.full_name: metric.kind for metric in table}
        with_samples = {family.name for family in text_string_to_metric_families(text) if family.samples}
        assert with_samples == {metric.full_name.removesuffix("_total") for metric in table}
    assert 'stream_router_child_time_seconds_total{activity="work"} 1.25\n' in page(one, facts, 11.0).decode()


def test_a_receiver_s_percentiles_are_within_one_percent() -> None:
    """The snapshot holds the fine histogram; the sum is that of its buckets."""
    samples = [
        sample
        for family in text_string_to_metric_families(receiver_page_text())
        for sample in family.samples
        if family.name == "stream_router_receiver_request_duration_seconds"
    ]
    by_bound = {sample.labels["le"]: sample.value for sample in samples if "le" in sample.labels}
    assert len(by_bound) == 25
    assert by_bound["0.1"] == pytest.approx(100, abs=2)
    (total,) = [sample.value for sample in samples if sample.name.endswith("_sum")]
    assert total == pytest.approx(sum(range(1, 901)) / 1000, rel=0.01)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
def test_promtool_finds_nothing() -> None:
    """Prometheus's own linter of names and units, over both pages."""
    for text in (page(merged(), WELL, 11.0).decode(), receiver_page_text()):
        ran = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
