"""Processes of this host as the kernel shows them: who is whose child, and how to leave none behind (Linux)."""

import contextlib
import ctypes
import os
import select
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

LOOK_EVERY_S = 0.05
"""Where the kernel cannot tell when a process ends."""

_ENDED = ("", "Z", "X")


def adopt_orphans() -> None:
    """From now on, a descendant whose parent dies becomes this process's child, so that it can be seen and ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(parent: int) -> list[int]:
    """The process ids of the direct children of `parent`; zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        letter, parent_of = _stat(folder.name)
        if parent_of == str(parent) and letter != "Z":
            found.append(int(folder.name))
    return found


def state(pid: int) -> str:
    """The kernel's letter for what a process does: `T` stopped by a signal, `t` by a debugger; "" where it is gone."""
    return _stat(pid)[0]


def _stat(pid: int | str) -> tuple[str, str]:
    """A process's state and its parent's id; both "" where it is gone."""
    with contextlib.suppress(OSError):
        # The name, in brackets, may hold anything, brackets and spaces too.
        letter, parent = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        return letter, parent
    return "", ""


def send(pids: list[int], signal_number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def end_orphans(patience_s: float) -> int:
    """Wait until the adopted children are gone, and kill those that are not after `patience_s`; how many were killed.

    To be called when every child that this process started itself has been waited for.
    """
    await_end(children(os.getpid()), patience_s)
    killed = 0
    while stubborn := children(os.getpid()):
        send(stubborn, signal.SIGKILL)
        killed += len(stubborn)
        await_end(stubborn, patience_s)
        _reap()
    _reap()
    return killed


def await_end(pids: list[int], patience_s: float) -> None:
    """Return when every one of the processes has ended, at the latest after `patience_s`."""
    deadline = time.monotonic() + patience_s
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        except (OSError, AttributeError):  # an old kernel, a sandbox, or a Python that was built on an old kernel
            while state(pid) not in _ENDED and time.monotonic() < deadline:
                time.sleep(LOOK_EVERY_S)
            continue
        try:
            select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(fd)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
