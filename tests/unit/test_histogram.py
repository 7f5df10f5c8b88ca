"""The histogram's promises: percentiles within 1 %, counts exact, sums that add up."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.telemetry.histogram import RELATIVE_ERROR, SMALLEST_MS, Histogram

LATENCIES = st.lists(st.floats(SMALLEST_MS, 1e9), min_size=1, max_size=300)
PERCENTS = st.sampled_from([0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0])


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.record(values)
    return histogram


@given(values=LATENCIES, percent=PERCENTS)
@settings(max_examples=300)
def test_every_percentile_is_within_one_percent_of_the_exact_one(values: list[float], percent: float) -> None:
    """Whatever the values are, from a microsecond to eleven days; the oracle is the value at the rank of the sorted."""
    exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]
    assert filled(values).percentile(percent) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(one=LATENCIES, two=LATENCIES)
def test_a_sum_of_histograms_is_the_histogram_of_all_values_and_holds_each_once(
    one: list[float], two: list[float]
) -> None:
    """Merged shards give the same percentiles as if one histogram had seen everything; JSON loses nothing."""
    merged, together = filled(one), filled(one + two)
    merged.merge(filled(two))
    assert Histogram.from_dict(merged.to_dict()).to_dict() == together.to_dict()
    assert merged.since(filled(one)).values_counts() == filled(two).values_counts()
    values, counts = merged.values_counts()
    assert (sum(counts), values) == (len(one) + len(two), sorted(set(values)))


def test_no_values_and_unreal_ones() -> None:
    """Clocks that disagree give negative latencies; they must not vanish from the counts, nor raise."""
    assert (Histogram().percentile(99), Histogram().values_counts()) == (0.0, ([], []))
    histogram = filled([-5.0, math.nan, 0.0, math.inf, 1e300])
    assert (histogram.count, histogram.percentile(50)) == (5, 0.0)
    assert math.isfinite(histogram.percentile(100))


@pytest.mark.parametrize("percent", [50.0, 90.0, 95.0, 99.0, 99.9])
@pytest.mark.parametrize("total", [1000, 20_000])
def test_the_rank_of_a_percentile_is_exact(percent: float, total: int) -> None:
    """99.9 % of 1,000 values is the 999th, not the last: no rounding of floats moves the rank."""
    rank = -(-int(percent * 10) * total // 1000)
    assert filled([1.0] * rank + [1e6] * (total - rank)).percentile(percent) == pytest.approx(1.0, rel=0.0101)
