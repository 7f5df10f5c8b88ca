"""What time it is by AWS's clock, once one of its answers told it."""

import os
import time

import pytest

from stream_router.aws.served_time import ServedTime

AT_S = 1_795_809_600
DATE = "Fri, 27 Nov 2026 20:00:00 GMT"


def test_nothing_is_claimed_before_an_answer_told_it() -> None:
    """An answer without a date, or with none that can be read, tells nothing."""
    served = ServedTime()
    for date in ("", "yesterday"):
        served.hear(date)
        assert served.now_s is None
    served.hear(DATE)
    assert served.now_s == pytest.approx(AT_S, abs=5)


def test_what_one_process_heard_those_know_that_were_forked_with_it() -> None:
    """A virtual machine goes on after a pause that its clocks know nothing of: to a worker every delivery is stale, so
    it puts nothing into the stream, and would never hear better. Its parent does, from CloudWatch, each minute."""
    served = ServedTime()
    served.hear("Fri, 27 Nov 2026 19:00:00 GMT")
    if not (pid := os.fork()):
        served.hear(DATE)
        os._exit(0)
    os.waitpid(pid, 0)
    assert served.now_s == pytest.approx(AT_S, abs=5)


def test_it_goes_on_with_the_machines_own_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a sleep counts too, and that nobody sets."""
    served = ServedTime()
    served.hear(DATE)
    begun_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "clock_gettime", lambda _: begun_s + 3_600)
    assert served.now_s == pytest.approx(AT_S + 3_600, abs=5)
