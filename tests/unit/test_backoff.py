"""How far apart tries are: each delay is a share of a bound that grows with every failure, up to the longest."""

import pytest

from stream_router.pipeline.delivery.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "own_s", "call_s"),
    [(1, 0.25, 0.1), (2, 1.0, 0.2), (3, 4.0, 0.4), (4, 10.0, 0.8), (6, 10.0, 2.0), (100_000, 10.0, 2.0)],
)
def test_the_longest_delay_grows_from_the_first_to_a_bound(failures: int, own_s: float, call_s: float) -> None:
    """Full jitter: from nothing up to it. A million failures of a long outage overflow nothing."""
    backoff = Backoff()
    assert backoff.after_own(failures, lambda: 1.0) == pytest.approx(own_s)
    assert backoff.after_call(failures, lambda: 1.0) == pytest.approx(call_s)
    assert backoff.after_own(failures, lambda: 0.5) == pytest.approx(own_s / 2)
    assert backoff.after_call(failures, lambda: 0.0) == 0.0
