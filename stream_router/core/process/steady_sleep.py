"""Sleeps that last as long as they should, whatever becomes of the clock."""

import threading
import time

LOOK_EVERY_S = 0.25
"""How late a wake-up is heard."""


def stopped_after(seconds: float, stop: threading.Event) -> bool:
    """Sleep so long, to the end, then tell whether `stop` was set: for threads that nobody waits for.

    `stop.wait(seconds)` is no such sleep where Python was built without `sem_clockwait` (glibc before 2.30, as RHEL 8
    has it, musl, portable builds): it reckons by the wall clock there, and lasts an hour longer where that is set back
    by an hour.
    """
    time.sleep(seconds)
    return stop.is_set()


def rest(seconds: float, wake: threading.Event) -> None:
    """Sleep so long, or until `wake` is set."""
    until = time.monotonic() + seconds
    while not wake.is_set() and (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_EVERY_S))
