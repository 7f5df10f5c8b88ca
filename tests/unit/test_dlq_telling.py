"""How the commands on dead letters talk where nobody listens any more."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from stream_router.control.dead_letters.telling import PLAIN_EVERY_S, Bar, Interrupt, say, warn

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HEARD}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who started these tests may ignore it
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_that_went_stops_no_work(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`dlq redrive 2>&1 | head -1`: the redrive goes on to its end, and deletes what it published."""
    reads, writes = os.pipe()
    os.close(reads)
    now = 0.0
    with os.fdopen(writes, "w") as nobody:
        monkeypatch.setattr(sys, name, nobody)
        bar = Bar("redriven", lambda: now)
        say("found")
        warn("trouble")
        now = PLAIN_EVERY_S
        bar.at(1, 2)
        say("found more")


def test_a_terminal_that_is_closed_is_a_first_ctrl_c() -> None:
    """An ssh session that breaks: what is in flight is finished, and the rest is given back."""
    asked = Interrupt()
    os.kill(os.getpid(), signal.SIGHUP)
    assert asked()


def test_a_signal_that_is_ignored_stays_so() -> None:
    """`nohup stream-router dlq redrive` goes on without its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = Interrupt()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not asked()
