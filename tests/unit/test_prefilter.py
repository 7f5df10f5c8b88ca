"""Which events are searched at all: those with one value that may be private among all that no rule names."""

import pytest

from stream_router.pipeline.masking.detectors.prefilter import suspicious


@pytest.mark.parametrize("private", ["4111 1111 1111 1111", "a@b.example", 4111111111111111, "call +49 30 901820"])
def test_one_value_that_may_be_private_is_enough(private: object) -> None:
    """Wherever it stands among others: were all to be so, one harmless field would switch the search off."""
    assert suspicious([private])
    assert suspicious(["harmless", private, 1, "x"])
    assert suspicious([private, "harmless"])


@pytest.mark.parametrize("values", [[], ["harmless"], ["x", 1, True, ""]])
def test_harmless_values_cost_no_search(values: list[object]) -> None:
    """Most events have nothing to look for."""
    assert not suspicious(values)
