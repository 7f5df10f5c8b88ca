"""Processes of this host as the kernel shows them: who is whose child, and how to leave none behind (Linux)."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

LOOK_EVERY_S = 0.05
"""A process that is not ours to wait for is looked at so often."""


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose parent dies, so that it can see and end them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(parent: int) -> list[int]:
    """Return the process ids of the direct children of `parent`, without zombies."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold anything, brackets and spaces too.
            letter, parent_of = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if parent_of == str(parent) and letter != "Z":
                pids.append(int(folder.name))
    return pids


def send(pids: list[int], signal_number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def end_orphans(patience_s: float) -> int:
    """Wait until the adopted children are gone, and kill those that are not after `patience_s`; how many were killed.

    To be called when every child that this process started itself has been waited for.
    """
    killed, deadline = set[int](), time.monotonic() + patience_s
    while left := children(os.getpid()):
        if time.monotonic() >= deadline:
            send(left, signal.SIGKILL)
            killed |= {*left}
        time.sleep(LOOK_EVERY_S)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return len(killed)
