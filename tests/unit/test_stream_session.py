"""A command's reading of the stream: who hears Ctrl-C, and what is said of a consumer that stays behind."""

import threading

import pytest

from stream_router.control.stream.session import Stops, span_of


def test_a_reading_that_begins_after_ctrl_c_hears_of_it() -> None:
    """`find` looks at the queues first; who asks it to stop then means the reading too."""
    stops, before, after = Stops(), threading.Event(), threading.Event()
    stops.also(before)
    stops._ask()
    stops.also(after)
    assert before.is_set()
    assert after.is_set()


def test_a_second_signal_while_the_first_is_passed_on_waits_for_no_lock() -> None:
    """systemd ends a login session with SIGTERM and SIGHUP at once; the lock that the first holds would stay held."""
    stops = Stops()

    class PassedOn(threading.Event):
        """One in whose `set` the next signal comes, as its lock is held."""

        holds = False

        def set(self) -> None:
            assert not self.holds
            self.holds = True
            stops._ask()
            super().set()
            self.holds = False

    stops.asked, reading = PassedOn(), PassedOn()
    stops.also(reading)
    stops._ask()
    assert stops.asked.is_set()
    assert reading.is_set()


def test_an_until_in_the_future_is_said_to_be_read_to_now(capsys: pytest.CaptureFixture[str]) -> None:
    """By this machine's clock: one that is slow would leave out, unsaid, what came last."""
    now_ms = 1_764_000_000_000
    assert span_of("2025-11-24T15:00Z", "2025-11-24T16:00Z", now_ms) == (now_ms - 3_600_000, now_ms)
    assert capsys.readouterr().err == ""
    assert span_of("2025-11-24T15:00Z", "2025-11-24T16:05Z", now_ms) == (now_ms - 3_600_000, now_ms)
    assert capsys.readouterr().err == (
        "note: --until is in the future by this machine's clock: read up to now, 2025-11-24T16:00:00.000Z\n"
    )
