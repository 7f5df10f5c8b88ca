"""The search's work grows with its text, whatever a sender writes: operations are counted, not seconds."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.pipeline.masking.search import EVENT_WORK_MAX, TEXT_DIGITS_MAX, LuhnSums, Search

PIECES = [
    *"04159",
    *" .-/_()[]@+:;,x\n",
    "00",
    "+49",
    "4111",
    "AA11",
    "DE89",
    "::",
    "a@",
    "1.1.1.1",
    "ext ",
    "٤",
    "\uff08",
]
"""Digits, separators, and the beginnings of all that is searched for."""

OPERATIONS_PER_CHARACTER = 2_000
"""Lines of Python that one character may cost, libphonenumber's included; measured: up to 600 with two regions."""


def operations_of(work: Callable[[], object]) -> int:
    """Return how many lines of Python `work` runs, in whatever module."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@settings(max_examples=60, deadline=None)
def test_twice_the_text_is_twice_the_work(unit: str) -> None:
    """For any short unit that is repeated, which is how a text is made expensive."""
    half, whole = (unit * (size // len(unit) + 1) for size in (400, 800))
    searched = Search(("DE", "GB"))
    searched.text(whole)  # libphonenumber reads its tables at their first use
    searched.begin()
    of_half, of_whole = (operations_of(lambda text=text: searched.text(text)) for text in (half, whole))  # type: ignore[misc]
    assert of_whole <= 2.5 * of_half + 5_000
    assert of_whole <= OPERATIONS_PER_CHARACTER * len(whole)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@settings(max_examples=100, deadline=None)
def test_an_event_is_searched_within_its_bounds(unit: str) -> None:
    """However many texts an event has, no more digits and beginnings are searched than the bounds allow."""
    searched = Search(("DE",))
    text = unit * (2_000 // len(unit))
    digits = sum(map(str.isdecimal, text))
    read = sum(searched.text(text)[1] != ["redact"] for _ in range(40))
    assert read * digits <= EVENT_WORK_MAX
    assert not read or digits <= TEXT_DIGITS_MAX


@given(st.text("0123456789", min_size=1, max_size=60), st.data())
def test_luhn_sums_are_those_of_the_standard(digits: str, data: st.DataObject) -> None:
    """Of each piece, compared with the plain way: double every second digit from the right, add the digits."""
    begin = data.draw(st.integers(0, len(digits) - 1))
    end = data.draw(st.integers(begin + 1, len(digits)))
    values = [int(digit) for digit in reversed(digits[begin:end])]
    total = sum(values[::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])
    assert LuhnSums(digits).is_valid(begin, end) == (total % 10 == 0)
