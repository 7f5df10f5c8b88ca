"""Snapshots of many children as one truth: exact sums that never fall, and only shards that are here."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.consumer.child.vitals import in_binary
from stream_router.telemetry.merged import ENDED_KEPT, Child, Merger, read_snapshots, snapshot_file
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, STAGE_LATENCY, TIME
from stream_router.telemetry.snapshot import Snapshot
from tests.told import snapshot

DELIVERED, DEAD, RETRIED = (COUNTERS[name].name for name in ("delivered", "dead_lettered", "retried"))


def test_counts_and_histograms_of_all_shards_are_added_up() -> None:
    """Percentiles come from the sum: of 1 to 900 ms and 1 to 100 ms, not from two averages."""
    merged = Merger(lambda _: True).merge([snapshot("a", 1, 900), snapshot("b", 2, 100)])
    totals = merged.totals
    assert (totals.count(DELIVERED), totals.total(RETRIED), totals.count(DEAD, ("malformed_json",))) == (1000, 4, 2)
    assert totals.counts[ENTRIES_PER_CALL.name] == {("10",): 100}
    latency = totals.histogram(STAGE_LATENCY.name, ("received_to_accepted",))
    assert latency.count == 1000
    assert latency.percentile(50) == pytest.approx(400, rel=0.011)
    assert latency.largest_ms == 900


def test_a_shard_that_moved_away_is_forgotten_and_what_it_counted_is_not() -> None:
    """Its child is gone: no gauge of it, but the sum stays, also when its file is gone."""
    alive = {1, 2}
    merger = Merger(alive.__contains__)
    both = [snapshot("a", 1, 10, gauges={"window_bytes": 7}), snapshot("b", 2, 20)]
    assert [shard.shard_id for shard in merger.merge(both).shards] == ["a", "b"]
    alive.remove(1)
    merged = merger.merge(both[1:])
    assert [shard.shard_id for shard in merged.shards] == ["b"]
    assert merged.totals.count(DELIVERED) == 30


def test_who_has_a_dead_childs_process_id_is_not_that_child() -> None:
    """The kernel gives ids anew, to threads too: the shard is another host's, and its lag would grow here for ever."""
    alive = {1}
    merger = Merger(alive.__contains__)
    assert merger.merge([snapshot("a", 1, 10)]).shards
    alive.clear()
    assert not merger.merge([snapshot("a", 1, 10)]).shards
    alive.add(1)
    assert not merger.merge([snapshot("a", 1, 10)]).shards
    assert merger.merge([snapshot("a", 1, 2, at=99.0)]).shards, "a later child that has its process id"


def test_of_two_children_of_a_shard_the_newer_one_speaks() -> None:
    """For a moment the old child may still be there."""
    merged = Merger(lambda _: True).merge([snapshot("a", 2, 5, at=9.0), snapshot("a", 1, 7, at=8.0)])
    assert [(shard.pid, shard.told.at_s) for shard in merged.shards] == [(2, 9.0)]
    assert merged.totals.count(DELIVERED) == 12


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2]), st.integers(0, 50)), max_size=30))
def test_no_sum_ever_falls(steps: list[tuple[str, int, int]]) -> None:
    """Whatever children do, also one that has its predecessor's process id and begins at zero."""
    merger, files, last = Merger(lambda _: True), dict[tuple[str, int], Snapshot](), 0.0
    for shard, pid, delivered in steps:
        files[shard, pid] = snapshot(shard, pid, delivered)
        now = merger.merge(files.values()).totals.count(DELIVERED)
        assert now >= last
        last = now


@pytest.mark.parametrize(
    "broken", [{}, [], {"states": {"shard": "a"}}, snapshot("a", 1, 1).to_dict() | {"histograms": {"x": [[{}]]}}, "{"]
)
def test_what_is_no_snapshot_is_passed_over(broken: Any, tmp_path: Path) -> None:
    """A file of another version, or a torn one, takes nothing from the others."""
    for shard, told in (("a", broken), ("b", snapshot("b", 2, 3).to_dict())):
        file = snapshot_file(tmp_path, shard, 1)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(told.encode() if isinstance(told, str) else orjson.dumps(told))
    read = [*read_snapshots(tmp_path), Snapshot(states={"pid": 3}), Snapshot(states={"shard": "c", "pid": "x"})]
    assert Merger(lambda _: True).merge(read).totals.count(DELIVERED) == 3


def test_what_a_child_says_of_its_shard_is_kept_as_it_is() -> None:
    """Gauges that it knows, why it holds, retries by code."""
    told = snapshot("a", 1, 1, gauges={"window_bytes": 7.0}, holding="bus", retries={"Throttled": 3})
    merged = Merger(lambda _: True).merge([told])
    assert (merged.shards[0].told.gauge("window_bytes"), merged.shards[0].holding) == (7.0, "bus")
    assert merged.totals.counts[RETRIED] == {("Throttled",): 3}


def test_children_that_ended_long_ago_can_be_let_go_of_and_their_counts_stay() -> None:
    """The latest that ended are kept, whoever lives is, and who spoke within the last minute may yet speak."""
    alive = {7}
    merger = Merger(alive.__contains__)
    ended = [snapshot("a", 1000 + n, 10, at=float(n)) for n in range(ENDED_KEPT + 5)]
    here = [*ended, snapshot("a", 7, 10, at=0.0), snapshot("b", 2000, 10, at=500.0)]
    merger.merge(here)
    gone = merger.gone(before_s=440.0)
    assert gone == [("a", 1000 + n) for n in range(6)]
    for child in gone:
        merger.let_go(child)
    left = [one for one in here if (one.states["shard"], one.states["pid"]) not in gone]
    for _ in range(2):
        merged = merger.merge(left)
        assert merged.totals.count(DELIVERED) == 10 * len(here)
        assert merged.totals.histogram(STAGE_LATENCY.name, ("received_to_accepted",)).count == 10 * len(here)
    assert merger.gone(before_s=440.0) == []


def test_times_do_not_fall_by_a_rounding_as_children_are_let_go_of() -> None:
    """Whatever the order in which they are added up: a counter that falls began anew to Prometheus, all of it new."""
    merger = Merger(lambda _: False)
    ended = [snapshot("a", n, 0, times_s={"holding": in_binary(held)}) for n, held in ((1, 0.1), (2, 0.2), (3, 0.3))]
    before = merger.merge(ended).totals
    for number in (3, 2):
        merger.let_go(Child("a", number))
    after = merger.merge(ended[:1]).totals
    assert after.count(TIME.name, ("holding",)) == before.count(TIME.name, ("holding",)) == pytest.approx(0.6, rel=0.01)
