"""Lines that a command writes where nobody reads any more, and the signals of a terminal that went."""

import os
import signal
import sys

import pytest

from stream_router.control.lines import write_line
from stream_router.control.stream.session import Stops, say
from stream_router.log import plain


def test_a_search_whose_reader_went_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`find ID 2>&1 | head -1` does not end with 1: that says that the event was never received."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody:
        monkeypatch.setattr(sys, "stderr", nobody)
        say("reading")
        say("reading more")
        write_line(nobody, "found")


def test_a_terminal_that_is_closed_stops_a_reading_as_ctrl_c_does() -> None:
    """A replay over ssh finishes what is in flight, and writes where to go on into its log."""
    stops = Stops()
    with stops.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        assert stops.asked.wait(5)  # another thread of this process may be the one that the kernel interrupts


def test_nohup_stays_nohup() -> None:
    """`nohup stream-router replay` goes on without its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stops = Stops()
    try:
        with stops.listening():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stops.asked.is_set()


def test_what_others_wrote_drives_no_terminal() -> None:
    """A message of somebody else's in a queue: no escape sequence of it is written, and no line of its own."""
    assert plain("x\nredriven 99 \x1b[2J \x9b31m \u202eë") == "x�redriven 99 �[2J �31m �ë"
