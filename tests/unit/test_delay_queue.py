"""Where items are that are not ready: what is on the wire, and what waits for its next try."""

from collections import deque

import pytest

from stream_router.pipeline.delivery.delay_queue import Flight, Later, take_at


def test_what_ended_is_on_the_wire_no_more_and_counts_for_good() -> None:
    """Calls and bytes of all time are what CloudWatch is told; the rest is what is under way now."""
    flight = Flight()
    assert (flight.calls, flight.items, flight.bytes, flight.all_calls, flight.all_bytes) == (0, 0, 0, 0, 0)
    flight.starts(10, 5_000)
    flight.starts(3, 700)
    assert (flight.calls, flight.items, flight.bytes, flight.all_calls, flight.all_bytes) == (2, 13, 5_700, 2, 5_700)
    flight.ends(10, 5_000)
    assert (flight.calls, flight.items, flight.bytes, flight.all_calls, flight.all_bytes) == (1, 3, 700, 2, 5_700)


def test_an_item_is_due_at_its_time_and_the_latest_is_first() -> None:
    """So that whoever puts them before a queue one by one has the earliest in front."""
    later: Later[str] = Later()
    for at, item in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2")):
        later.put(at, item)
    assert len(later) == 4
    assert later.wait_s(0.25) == 0.75
    assert later.due(0.99) == ()
    assert list(later.due(2.0)) == ["b", "a2", "a"]
    assert later.wait_s(5.0) == 0.0
    later.put(2.5, "d")
    assert later.drain() == ["d", "c"]
    assert len(later) == 0


@pytest.mark.parametrize(
    ("at", "taken", "left"), [(0, "abc", "de"), (1, "bcd", "ae"), (2, "cde", "ab"), (3, "ade", "bc"), (4, "abe", "cd")]
)
def test_what_stands_anywhere_is_taken_in_the_queues_order(at: int, taken: str, left: str) -> None:
    """Behind the last item the first one follows."""
    queue = deque("abcde")
    assert take_at(at, queue, lambda found: [found.popleft() for _ in range(3)]) == list(taken)
    assert queue == deque(left)
