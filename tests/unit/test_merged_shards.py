"""Snapshots of many children as one truth: exact sums that never fall, and only shards that are here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.shards.merged_shards import ENDED_KEPT, ShardMerger


def snapshot(shard: str, pid: int, delivered: int, *, at: float = 1.0, **more: Any) -> dict[str, Any]:
    """A child's snapshot, whose latencies are 1 ms, 2 ms, … up to what it has delivered."""
    histogram = Histogram()
    histogram.record([float(n + 1) for n in range(delivered)])
    return {
        "shardId": shard,
        "pid": pid,
        "at": at,
        "counters": {"delivered": delivered, "retried": 2},
        "deadLetters": {"malformed_json": 1},
        "entriesPerCall": {"10": delivered // 10},
        "latenciesMs": {"received_to_accepted": histogram.to_dict()},
        **more,
    }


def test_counts_and_histograms_of_all_shards_are_added_up() -> None:
    """Percentiles come from the sum: of 1 to 900 ms and 1 to 100 ms, not from two averages."""
    merged = ShardMerger(lambda _: True).merge([snapshot("a", 1, 900), snapshot("b", 2, 100)])
    totals = merged.totals
    assert (totals.counters["delivered"], totals.retries[""], totals.dead_letters["malformed_json"]) == (1000, 4, 2)
    assert totals.entries_per_call == {10: 100}
    latency = totals.latencies["received_to_accepted"]
    assert latency.count == 1000
    assert latency.percentile(50) == pytest.approx(400, rel=0.011)
    assert latency.largest_ms == 900


def test_a_shard_that_moved_away_is_forgotten_and_what_it_counted_is_not() -> None:
    """Its child is gone: no gauge of it, but the sum stays, also when its file is gone."""
    alive = {1, 2}
    merger = ShardMerger(alive.__contains__)
    both = [snapshot("a", 1, 10, gauges={"window_bytes": 7}), snapshot("b", 2, 20)]
    assert [shard.shard_id for shard in merger.merge(both).shards] == ["a", "b"]
    alive.remove(1)
    merged = merger.merge(both[1:])
    assert [shard.shard_id for shard in merged.shards] == ["b"]
    assert merged.totals.counters["delivered"] == 30


def test_who_has_a_dead_childs_process_id_is_not_that_child() -> None:
    """The kernel gives ids anew, to threads too: the shard is another host's, and its lag would grow here for ever."""
    alive = {1}
    merger = ShardMerger(alive.__contains__)
    assert merger.merge([snapshot("a", 1, 10)]).shards
    alive.clear()
    assert not merger.merge([snapshot("a", 1, 10)]).shards
    alive.add(1)
    assert not merger.merge([snapshot("a", 1, 10)]).shards
    assert merger.merge([snapshot("a", 1, 2, at=99.0)]).shards, "a later child that has its process id"


def test_of_two_children_of_a_shard_the_newer_one_speaks() -> None:
    """For a moment the old child may still be there."""
    merged = ShardMerger(lambda _: True).merge([snapshot("a", 2, 5, at=9.0), snapshot("a", 1, 7, at=8.0)])
    assert [(shard.pid, shard.at_s) for shard in merged.shards] == [(2, 9.0)]
    assert merged.totals.counters["delivered"] == 12


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2]), st.integers(0, 50)), max_size=30))
def test_no_sum_ever_falls(steps: list[tuple[str, int, int]]) -> None:
    """Whatever children do, also one that has its predecessor's process id and begins at zero."""
    merger, files, last = ShardMerger(lambda _: True), dict[tuple[str, int], dict[str, Any]](), 0
    for shard, pid, delivered in steps:
        files[shard, pid] = snapshot(shard, pid, delivered)
        now = merger.merge(files.values()).totals.counters["delivered"]
        assert now >= last
        last = now


@pytest.mark.parametrize(
    "broken",
    [{}, [], {"shardId": "a"}, snapshot("a", 1, 1) | {"latenciesMs": {"x": {}}}, snapshot("a", 1, 1) | {"pid": "x"}],
)
def test_what_is_no_snapshot_is_passed_over(broken: Any) -> None:
    """A file of another version, or a torn one, takes nothing from the others."""
    merged = ShardMerger(lambda _: True).merge([broken, snapshot("b", 2, 3)])
    assert merged.totals.counters["delivered"] == 3


def test_what_a_child_says_of_its_shard_is_kept_as_it_is() -> None:
    """Gauges that it knows, why it holds, retries by code where it tells them."""
    gauges = {"window_bytes": 7, "checkpoint_age_seconds": None}
    told: dict[str, Any] = {"gauges": gauges, "holding": "bus", "retries": {"Throttled": 3}}
    merged = ShardMerger(lambda _: True).merge([snapshot("a", 1, 1, **told)])
    assert (merged.shards[0].gauges, merged.shards[0].holding) == ({"window_bytes": 7.0}, "bus")
    assert merged.totals.retries == {"Throttled": 3}


def test_children_that_ended_long_ago_can_be_let_go_of_and_their_counts_stay() -> None:
    """The latest that ended are kept, whoever lives is, and who spoke within the last minute may yet speak."""
    alive = {7}
    merger = ShardMerger(alive.__contains__)
    ended = [snapshot("a", 1000 + n, 10, at=float(n)) for n in range(ENDED_KEPT + 5)]
    here = [*ended, snapshot("a", 7, 10, at=0.0), snapshot("b", 2000, 10, at=500.0)]
    merger.merge(here)
    gone = merger.gone(before_s=440.0)
    assert gone == [("a", 1000 + n) for n in range(6)]
    for child in gone:
        merger.let_go(child)
    left = [one for one in here if (one["shardId"], one["pid"]) not in gone]
    for _ in range(2):
        merged = merger.merge(left)
        assert merged.totals.counters["delivered"] == 10 * len(here)
        assert merged.totals.latencies["received_to_accepted"].count == 10 * len(here)
    assert merger.gone(before_s=440.0) == []


def test_times_do_not_fall_by_a_rounding_as_children_are_let_go_of() -> None:
    """A sum in another order may be less in its last digit: to Prometheus a counter that began anew, all of it new."""
    merger = ShardMerger(lambda _: False)
    ended = [snapshot("a", n, 0, timeS={"holding": held}) for n, held in ((1, 0.1), (2, 0.2), (3, 0.3))]
    before = merger.merge(ended).totals
    for number in (3, 2):
        merger.let_go(("a", number))
    after = merger.merge(ended[:1]).totals
    assert after.times_ms["holding"] == before.times_ms["holding"] == 600
