"""Processes of this host as Linux shows them in /proc: children, orphans, signals."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

ORPHAN_POLL_INTERVAL_S = 0.05
"""Seconds between two checks whether adopted processes have ended. They cannot be waited for with a timeout."""


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parent dies, so that it can see and end them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(parent: int) -> list[int]:
    """Return the process ids of the direct children of `parent`, without zombies."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The process name, in brackets, may itself contain brackets and spaces.
            letter, parent_of = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if parent_of == str(parent) and letter != "Z":
                pids.append(int(folder.name))
    return pids


def send(pids: list[int], signal_number: signal.Signals) -> None:
    """Send a signal to each of these processes that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def end_orphans(timeout_s: float) -> int:
    """Wait until the adopted children have ended, kill the rest after `timeout_s`, and return the number of those.

    Call this once every child that this process started itself has been waited for.
    """
    killed, deadline = set[int](), time.monotonic() + timeout_s
    while orphans := children(os.getpid()):
        if time.monotonic() >= deadline:
            send(orphans, signal.SIGKILL)
            killed |= {*orphans}
        time.sleep(ORPHAN_POLL_INTERVAL_S)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return len(killed)
