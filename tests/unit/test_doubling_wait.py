"""Waits double up to their bound, however often something fails, and chance spreads them."""

import pytest

from stream_router.process import full_jitter_s, half_jitter_s, longest_wait_s


@pytest.mark.parametrize(("failures", "longest_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (100_000, 30.0)])
def test_the_wait_doubles_up_to_its_bound(failures: int, longest_s: float) -> None:
    """A failure that lasts for days overflows nothing."""
    assert longest_wait_s(failures, 0.5, 30.0) == longest_s


def test_chance_takes_all_of_the_wait_or_half_of_it() -> None:
    """Full jitter begins at once, half jitter never before half the wait."""
    assert [full_jitter_s(2, 1.0, 9.0, chance) for chance in (0.0, 0.5, 1.0)] == [0.0, 2.0, 4.0]
    assert [half_jitter_s(2, 1.0, 9.0, chance) for chance in (0.0, 0.5, 1.0)] == [2.0, 3.0, 4.0]
