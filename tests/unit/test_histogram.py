"""The histogram's promises: percentiles within 1 %, counts exact, sums that add up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.telemetry.histogram import BUCKETS, RELATIVE_ERROR, SMALLEST_MS, Histogram

LATENCIES = st.lists(st.floats(SMALLEST_MS, 1e8), min_size=1, max_size=300)
PERCENTS = st.sampled_from([0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0])


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.record(values)
    return histogram


def nearest_rank(values: list[float], percent: float) -> float:
    """An oracle of its own: the value at the rank, from the sorted list."""
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


@given(values=LATENCIES, percent=PERCENTS)
@settings(max_examples=500)
def test_every_percentile_is_within_one_percent_of_the_exact_one(values: list[float], percent: float) -> None:
    """Whatever the values are, no percentile is further than 1 % from the exact nearest rank."""
    exact = nearest_rank(values, percent)
    assert filled(values).percentile(percent) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(values=LATENCIES)
@settings(max_examples=200)
def test_values_and_counts_hold_every_value_once(values: list[float]) -> None:
    """What goes to CloudWatch has as many counts as there were values, and distinct values in order."""
    found, counts = filled(values).values_counts()
    assert sum(counts) == len(values)
    assert found == sorted(set(found))


@given(one=LATENCIES, two=LATENCIES, percent=PERCENTS)
@settings(max_examples=200)
def test_a_sum_of_histograms_is_the_histogram_of_all_values(one: list[float], two: list[float], percent: float) -> None:
    """Merged shards give the same percentiles as if one histogram had seen everything."""
    merged = filled(one)
    merged.merge(filled(two))
    together = filled(one + two)
    assert merged.percentile(percent) == together.percentile(percent)
    assert merged.to_dict() == together.to_dict()


@given(values=LATENCIES)
@settings(max_examples=100)
def test_a_histogram_survives_being_written_down(values: list[float]) -> None:
    """to_dict and from_dict lose nothing."""
    histogram = filled(values)
    assert Histogram.from_dict(histogram.to_dict()).to_dict() == histogram.to_dict()


def test_an_empty_histogram_has_no_percentiles() -> None:
    """No values: 0.0, and nothing for CloudWatch."""
    assert Histogram().percentile(99) == 0.0
    assert Histogram().values_counts() == ([], [])


def test_negative_and_unreal_values_count_as_zero_or_as_the_top() -> None:
    """Clocks that disagree give negative latencies; they must not vanish from the counts, nor raise."""
    histogram = filled([-5.0, math.nan, 0.0, math.inf, 1e300])
    assert histogram.count == 5
    assert histogram.percentile(50) == 0.0
    assert math.isfinite(histogram.percentile(100))


def test_more_values_than_are_kept_waiting_are_all_counted() -> None:
    """The buffer of values that were not sorted yet empties itself."""
    histogram = Histogram()
    for _ in range(10):
        histogram.record([1.0] * 1000)
    assert histogram.count == 10_000
    assert histogram.largest_ms == 1.0


@given(values=LATENCIES)
@settings(max_examples=100)
def test_an_array_counts_as_its_values_do(values: list[float]) -> None:
    """Recorded at once or one by one: the same histogram."""
    at_once = Histogram()
    at_once.record(np.array(values))
    at_once.record(np.array([]))
    assert at_once.to_dict() == filled(values).to_dict()


def test_the_buckets_reach_from_a_microsecond_to_eleven_days() -> None:
    """Both ends are inside the promise."""
    assert filled([1e9]).percentile(100) == pytest.approx(1e9, rel=RELATIVE_ERROR)
    assert len(filled([1e9]).to_dict()["buckets"]) == 1
    assert max(int(bucket) for bucket in filled([1e9]).to_dict()["buckets"]) < BUCKETS


@pytest.mark.parametrize("percent", [50.0, 90.0, 95.0, 99.0, 99.9])
@pytest.mark.parametrize("total", [10, 1000, 20_000])
def test_the_rank_of_a_percentile_is_exact(percent: float, total: int) -> None:
    """99.9 % of 1,000 values is the 999th, not the last: no rounding of floats moves the rank."""
    values = [1.5**n if total == 10 else 1.0 for n in range(total)]
    rank = -(-int(percent * 10) * total // 1000)
    values[rank:] = [1e6] * (total - rank)
    histogram = Histogram()
    histogram.record(values)
    assert histogram.percentile(percent) == pytest.approx(values[rank - 1], rel=0.0101)
