"""The long form of tests/unit/test_numbers.py."""

import random
from decimal import Decimal

import pytest

from tests.unit.test_numbers import PLAIN, arrived, drawn_any, refusal_of, refused


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_million_numbers_of_up_to_forty_digits_keep_their_value() -> None:
    """Whole ones, with a point, with an exponent: the same decimal value, or a refusal that is true."""
    draw = random.Random(13)
    for _ in range(10_000):
        numbers = [drawn_any(draw) for _ in range(100)]
        kept = [number for number in numbers if refusal_of(number) is None]
        assert arrived(PLAIN, kept) == [Decimal(number) for number in kept]
        for number in numbers:
            if why := refusal_of(number):
                assert refused(PLAIN, number) == why, number
