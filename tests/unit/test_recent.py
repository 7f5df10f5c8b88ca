"""What was so lately: rates, percentiles of five minutes, shares that sum to 1, the time to catch up."""

from typing import Any

import pytest

from stream_router.telemetry.merged import Merged, Merger
from stream_router.telemetry.metrics_catalogue import STAGE_LATENCY
from stream_router.telemetry.recent import Age, Recent
from tests.told import snapshot


def merged(delivered: int, values_ms: list[float], **more: Any) -> Merged:
    return Merger(lambda _: True).merge([snapshot("a", 1, delivered, latencies_ms=values_ms, **more)])


def test_rates_are_means_of_the_last_minute() -> None:
    """Before there is anything to compare with they are unknown; an hour ago says nothing."""
    recent = Recent()
    assert recent.rates(0.0, merged(5, []).totals)["deliveredPerS"] is None
    for at in range(0, 3600, 10):
        recent.note(float(at), merged(at * 2, []), {})
    assert recent.rates(3600.0, merged(7200, []).totals)["deliveredPerS"] == pytest.approx(2.0)
    assert recent.rates(3660.0, merged(7200, []).totals)["deliveredPerS"] == pytest.approx(0.28, abs=0.03)


def test_percentiles_of_the_last_five_minutes_forget_what_was_before() -> None:
    """An hour of 10 ms, then five minutes of 1 s: all the latest are 1 s."""
    recent, values = Recent(), [10.0] * 1000
    recent.note(0.0, merged(1, values), {})
    for at in range(3600, 3900, 10):
        recent.note(float(at), merged(1, values), {})
        values = [*values, 1000.0]
    seconds, totals = recent.totals(3900.0, merged(1, values).totals)
    latency = totals.histogram(STAGE_LATENCY.name, ("received_to_accepted",))
    assert seconds == pytest.approx(300, abs=10)
    assert latency.count == 30
    assert latency.percentile(1) == pytest.approx(1000, rel=0.01)
    assert latency.largest_ms == 1000


def test_shares_sum_to_one_and_are_of_the_last_minute() -> None:
    """A child that waited for an hour and now only works: it works."""
    recent = Recent()
    recent.note(0.0, merged(1, [], times_s={"waiting": 3600.0}), {})
    recent.note(60.0, merged(1, [], times_s={"waiting": 3600.0}), {})
    (shard,) = merged(1, [], times_s={"waiting": 3600.0, "work": 45.0, "bus": 15.0}).shards
    assert recent.shares(120.0, shard) == {"waiting": 0, "work": 0.75, "bus": 0.25, "holding": 0, "deadLetters": 0}
    (silent,) = merged(1, []).shards
    assert recent.shares(120.0, silent) is None


@pytest.mark.parametrize("seen_from", [20.0, 30.0, 50.0])
def test_the_time_to_catch_up_is_that_of_the_present_speed(seen_from: float) -> None:
    """A lag that grows for a minute and then shrinks by 2 s a second: the growth before says nothing."""
    recent = Recent()

    def age(at: float) -> Age:
        return Age(1000.0 + at, 60.0 + at if at < 3 else 63.0 - 2 * (at - 3) if at < 34.5 else 0.0)

    for at in range(-60, 60, 10):
        if at <= seen_from:
            recent.note(float(at), merged(1, []), {"a": age(at)})
    really_s = 34.5 - seen_from
    if really_s > 0:
        assert recent.catch_up_s(seen_from, "a", age(seen_from)) == pytest.approx(really_s, rel=0.3)
    else:
        assert recent.catch_up_s(seen_from, "a", age(seen_from)) == 0.0


def test_a_lag_that_does_not_shrink_is_never_over() -> None:
    """Nor is one of which nothing is known, or one of a child that says nothing new."""
    recent = Recent()
    for at in range(0, 60, 10):
        recent.note(float(at), merged(1, []), {"a": Age(1000.0 + at, 10.0 + at), "still": Age(1000.0, 99.0)})
    assert recent.catch_up_s(60.0, "a", Age(1060.0, 70.0)) is None
    assert recent.catch_up_s(60.0, "still", Age(1000.0, 99.0)) is None
    assert recent.catch_up_s(60.0, "b", None) is None
    assert recent.catch_up_s(60.0, "new", Age(1060.0, 5.0)) is None
