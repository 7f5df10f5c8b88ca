"""Histograms and snapshots: within 1 %, added up, set apart from an earlier one, through JSON, over children."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.child.vitals import round_to_binary_fraction
from stream_router.telemetry.histogram import RELATIVE_ERROR, SMALLEST_MS, Histogram
from stream_router.telemetry.merged import SNAPSHOTS, Merger
from stream_router.telemetry.metrics_catalogue import COUNTERS, STAGE_LATENCY, TIME
from stream_router.telemetry.snapshot import Snapshot
from tests.snapshots import merged, snapshot, write_snapshots

DELIVERED = COUNTERS["delivered"].name
WHOLE_WAY = ("received_to_accepted",)
NAMES = st.sampled_from(["a", "b"])
LABELS = st.tuples(st.sampled_from(["x", "y,|\n"]), st.sampled_from(["", "z"]))
NUMBERS = st.dictionaries(NAMES, st.dictionaries(LABELS, st.integers(0, 10**12), min_size=1), max_size=2)
TIMES_MS = st.lists(st.floats(0, 10**7), max_size=20)


def histogram(times_ms: list[float]) -> Histogram:
    result = Histogram()
    result.record(times_ms)
    return result


@st.composite
def snapshots(draw: Any) -> Snapshot:
    histograms = draw(st.dictionaries(NAMES, st.dictionaries(LABELS, TIMES_MS.map(histogram), max_size=2), max_size=2))
    return Snapshot(draw(st.floats(0, 2e9)), draw(NUMBERS), draw(NUMBERS), histograms, {"state": "ready"})


def counted(snapshot: Snapshot) -> Iterator[tuple[Any, ...]]:
    """What was counted, of what is not 0."""
    for name, rows in snapshot.counts.items():
        yield from ((name, labels, count) for labels, count in rows.items() if count)
    for name, histograms in snapshot.histograms.items():
        yield from ((name, labels, str(item.to_dict()["buckets"])) for labels, item in histograms.items() if item.count)


@given(snapshots())
@settings(max_examples=40)
def test_it_goes_through_json_whole(candidate: Snapshot) -> None:
    """A child writes it, a supervisor reads it: labels may hold anything."""
    assert Snapshot.from_dict(json.loads(json.dumps(candidate.to_dict()))).to_dict() == candidate.to_dict()


@given(snapshots(), snapshots())
@settings(max_examples=60)
def test_what_is_added_is_what_was_counted_since(candidate: Snapshot, other: Snapshot) -> None:
    """Sums over children and differences over time are each other's opposite; nothing is averaged."""
    total = Snapshot()
    total.add(candidate)
    before = Snapshot.from_dict(total.to_dict())
    total.add(other)
    assert set(counted(total.since(before))) == set(counted(other))


def test_counts_and_histograms_of_all_shards_are_added_up_and_of_two_children_the_newer_one_speaks() -> None:
    """Percentiles come from the sum: of 1 to 900, 1 to 40 and 1 to 60 ms, not from averages."""
    result = merged(snapshot("a", 1, 900), snapshot("b", 3, 40, at=9.0), snapshot("b", 2, 60, at=8.0))
    latency = result.totals.histogram(STAGE_LATENCY.name, WHOLE_WAY)
    assert (result.totals.count(DELIVERED), latency.count, latency.largest_ms) == (1000, 1000, 900)
    assert latency.percentile(60) == pytest.approx(500, rel=0.011)
    assert [(shard.shard_id, shard.pid) for shard in result.shards] == [("a", 1), ("b", 3)]


SAID = st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 50), st.booleans())


@given(st.lists(SAID, max_size=12))
def test_no_sum_ever_falls_and_none_counts_twice(steps: list[tuple[str, int, int, bool]]) -> None:
    """Children speak and die, in any order: each one's last word stays in the sum, and its file goes with it.

    Times too, whatever the order in which they are added up: a counter that falls began anew to Prometheus.
    """
    with TemporaryDirectory() as folder:
        state, alive, last = Path(folder), set[int](), (0.0, 0.0)
        merger = Merger(state, alive.__contains__)
        output: dict[int, int] = {}
        for number, (shard, at, more, dies) in enumerate(steps):
            pid = 10 * number + at
            output[pid] = more
            alive.add(pid)
            write_snapshots(state, snapshot(shard, pid, more, times_s={"holding": round_to_binary_fraction(more / 10)}))
            if dies:
                alive.clear()
            totals = merger.merge().totals
            now = (totals.count(DELIVERED), totals.count(TIME.name, ("holding",)))
            assert now[0] == sum(output.values())
            assert now >= last
            last = now
            assert {int(file.stem.partition(".")[2]) for file in (state / SNAPSHOTS).iterdir()} == alive


def test_a_shard_that_moved_away_is_forgotten_and_what_it_counted_is_not(tmp_path: Path) -> None:
    """Also where the folder lets nothing be removed; what is not a snapshot takes nothing from the others."""
    alive = {1, 2}
    merger = Merger(tmp_path, alive.__contains__)
    write_snapshots(tmp_path, snapshot("a", 1, 10), snapshot("b", 2, 20))
    for name, torn in (("c.2", "{"), ("d.2", "{}"), ("e.2", "[1]"), ("no-pid", "{}")):
        (tmp_path / SNAPSHOTS / f"{name}.json").write_text(torn)
    assert [shard.shard_id for shard in merger.merge().shards] == ["a", "b"]
    alive.remove(1)
    (tmp_path / SNAPSHOTS / "a.1.json").unlink()
    (tmp_path / SNAPSHOTS / "a.1.json").mkdir()  # neither read nor removed
    for _ in range(2):
        result = merger.merge()
        assert ([shard.shard_id for shard in result.shards], result.totals.count(DELIVERED)) == (["b"], 30)


LATENCIES = st.lists(st.floats(SMALLEST_MS, 1e9), min_size=1, max_size=300)
PERCENTS = st.sampled_from([0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0])


@given(values=LATENCIES, percent=PERCENTS)
@settings(max_examples=300)
def test_every_percentile_is_within_one_percent_of_the_exact_one(values: list[float], percent: float) -> None:
    """Whatever the values are, from a microsecond to eleven days; the oracle is the value at the rank of the sorted."""
    exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]
    assert histogram(values).percentile(percent) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(candidate=LATENCIES, two=LATENCIES)
def test_a_sum_of_histograms_is_the_histogram_of_all_values_and_holds_each_once(
    candidate: list[float], two: list[float]
) -> None:
    """Merged shards give the same percentiles as if one histogram had seen everything; JSON loses nothing."""
    both, together = histogram(candidate), histogram(candidate + two)
    both.merge(histogram(two))
    assert Histogram.from_dict(both.to_dict()).to_dict() == together.to_dict()
    assert both.since(histogram(candidate)).values_counts() == histogram(two).values_counts()
    values, counts = both.values_counts()
    assert (sum(counts), values) == (len(candidate) + len(two), sorted(set(values)))


def test_no_values_and_unreal_ones() -> None:
    """Clocks that disagree give negative latencies; they must not vanish from the counts, nor raise."""
    assert (Histogram().percentile(99), Histogram().values_counts()) == (0.0, ([], []))
    odd = histogram([-5.0, math.nan, 0.0, math.inf, 1e300])
    assert (odd.count, odd.percentile(50)) == (5, 0.0)
    assert math.isfinite(odd.percentile(100))


@pytest.mark.parametrize("percent", [50.0, 90.0, 95.0, 99.0, 99.9])
@pytest.mark.parametrize("total", [1000, 20_000])
def test_the_rank_of_a_percentile_is_exact(percent: float, total: int) -> None:
    """99.9 % of 1,000 values is the 999th, not the last: no rounding of floats moves the rank."""
    rank = -(-int(percent * 10) * total // 1000)
    assert histogram([1.0] * rank + [1e6] * (total - rank)).percentile(percent) == pytest.approx(1.0, rel=0.0101)
