"""The long form of what tests/unit/test_folding.py asks of ids and times."""

import random

import pytest

from benchmarks.odd_forms import damaged


@pytest.mark.long
@pytest.mark.timeout(900)
def test_no_id_or_time_among_a_million_of_each_is_damaged() -> None:
    """UUIDs, DFO thread ids and ISO times, alone and in a sentence: a search of everything changes none of them."""
    assert damaged(random.Random(1913), 1_000_000) == {"uuid": 0, "dfo thread id": 0, "iso time": 0}
