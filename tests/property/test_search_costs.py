"""What a search may cost, in operations that are counted: whatever an event holds, the limits bound them."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.pipeline.masking import search
from stream_router.pipeline.masking.search import TextSearch

LIMITS = {"MAX_DIGITS": 200, "MAX_SIGNS": 2_000, "MAX_TRIES": 100}
"""A twentieth of the real ones, so that drawn events pass them."""

PER_SIGN, PER_TRY, PER_TEXT, PER_CHAR = 100, 300, 200, 4
"""Operations that a sign, a library's check, a text and a character of it may cost: a card may begin at any digit and
has up to 19 groups; a check of libphonenumber is some 200 calls; what is not ASCII is folded."""

ALPHABETS = st.sampled_from(
    [
        *("0123456789", "4 ", "1 -/.()", "0123456789 -/.()+", "@a. ", "+(1 ", "12:", "af0:. ", "AZ09 ", "DE89 3704-"),
        *("0 1/2-", "(1)[2]", "1 ext#x;=", "\u0661\u200b4 ", "\uff11\uff20a", "a@:([1"),
    ]
)
EXPENSIVE = ("4 ", "1 - ", "1 / ", "030901820 ", "ZA43", "a::a ", "a@", "4111 1111 ", "1.2.3.4 ", "((1", "(1) ")
"""Units that took most CPU of all that were measured (`python -m benchmarks.hostile`)."""
UNITS = st.sampled_from(EXPENSIVE) | ALPHABETS.flatmap(lambda signs: st.text(signs, min_size=1, max_size=14))
TEXTS = st.tuples(UNITS, st.sampled_from([1, 50, 400, 20_000]))
"""A unit, and about how many characters of it a text has."""
EVENTS = st.tuples(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from([1, 30]))
"""Texts, and how often an event has them."""


class Operations:
    """The number of lines that ran in the search, and of functions that were called from it, at any depth."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what runs inside."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        self.count += 1
        return self._line if frame.f_code.co_filename == search.__file__ else None

    def _line(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        self.count += event == "line"
        return self._line


@given(event=EVENTS, regions=st.sampled_from([(), ("DE",), ("DE", "GB", "US")]))
@settings(max_examples=100, deadline=None)
def test_the_limits_bound_the_operations_of_an_event(
    event: tuple[list[tuple[str, int]], int], regions: tuple[str, ...]
) -> None:
    """Whatever texts an event has, and however many."""
    drawn, times = event
    texts = [unit * max(1, chars // len(unit)) for unit, chars in drawn] * times
    with ExitStack() as patched:
        for name, limit in LIMITS.items():
            patched.enter_context(patch.object(search, name, limit))
        searched = TextSearch(regions)
        operations = Operations()
        with operations.counted():
            for text in texts:
                searched.text(text)
    most = PER_SIGN * LIMITS["MAX_SIGNS"] + PER_TRY * LIMITS["MAX_TRIES"]
    folded_chars = sum(len(text) for text in texts if not text.isascii())
    assert operations.count <= most + PER_TEXT * len(texts) + PER_CHAR * folded_chars


@given(unit=UNITS, regions=st.sampled_from([(), ("DE",), ("DE", "GB", "US")]))
@settings(max_examples=50, deadline=None)
def test_a_text_of_too_many_digits_is_redacted_before_it_is_searched(unit: str, regions: tuple[str, ...]) -> None:
    """A text above MAX_DIGITS costs a few operations, spends nothing of the event's, and leaves nothing."""
    searched = TextSearch(regions)
    operations = Operations()
    text = "7" * (search.MAX_DIGITS + 1) + unit
    with operations.counted():
        masked = searched.text(text)
    assert masked == ("[REDACTED]", ["redact"])
    assert operations.count <= PER_TEXT + PER_CHAR * len(text)
    assert searched.text("ring 7 or a@example.com") == ("ring 7 or [EMAIL]", ["email"])
