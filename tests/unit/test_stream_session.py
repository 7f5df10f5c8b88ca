"""A command's reading of the stream: who hears Ctrl-C, and what is said of a consumer that stays behind."""

import threading

from stream_router.control.stream.session import Stops


def test_a_reading_that_begins_after_ctrl_c_hears_of_it() -> None:
    """`find` and `reconcile` look at the queues first; who asks them to stop then means the reading too."""
    stops, before, after = Stops(), threading.Event(), threading.Event()
    stops.also(before)
    stops._ask()
    stops.also(after)
    assert before.is_set()
    assert after.is_set()
