"""Which dead letters an operator means: a span that is none and an id in its other form."""

import pytest

from stream_router.control.dead_letters.queue.selection import is_meant, selection
from stream_router.errors import SettingsError

NOW_MS = 1_795_512_600_000
ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(("since", "until"), [("2h", "3h"), ("2h", "2h"), ("2099-01-01", ""), ("2099-01-01", "1h")])
def test_a_span_that_is_none_is_refused(since: str, until: str) -> None:
    """Else a redrive says "selected 0" and ends with 0, as if there were nothing to do."""
    with pytest.raises(SettingsError, match="--since"):
        selection("", "", since, until, "", NOW_MS)


@pytest.mark.parametrize(
    ("since", "until"), [("", ""), ("2h", ""), ("", "2h"), ("3h", "2h"), ("", "1970-01-01T00:01Z")]
)
def test_a_span_may_be_open_at_either_end(since: str, until: str) -> None:
    """Each filter is a choice."""
    assert selection("", "", since, until, "", NOW_MS).since_ms < NOW_MS


@pytest.mark.parametrize("typed", [ID, ID.upper(), f" {ID}", "01234567-89ab-cdef-0123-456789abcdef"])
def test_an_event_is_meant_by_either_of_its_names(typed: str) -> None:
    """Consumers log `correlationId`: the same digits, written as a UUID."""
    assert is_meant(typed, ID)
    assert not is_meant(typed, "f" * 32)


def test_an_id_that_a_producer_chose_is_meant_as_it_stands() -> None:
    """What others write into the stream may have ids of another form."""
    assert is_meant("Order-7", "Order-7")
