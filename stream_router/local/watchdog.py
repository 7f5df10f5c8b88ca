"""`python watchdog.py MARK FOLDER`: waits until its standard input closes, then ends every process that carries MARK.

Its input is a pipe that only the demo holds, so it notices the demo's end however that comes, kill -9 included. Finds
the processes by their environment: sessions, groups and parents of theirs do not matter. Standard library only.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

GONE_S = 5.0


def main() -> None:
    """Wait, then end what is left, then remove the demo's folder if the demo did not say (a line `keep`) to keep it."""
    mark, folder = sys.argv[1], sys.argv[2]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    said = sys.stdin.read()
    end_all(f"STREAM_ROUTER_DEMO={mark}".encode())
    if "keep" not in said:
        shutil.rmtree(folder, ignore_errors=True)


def end_all(marked: bytes) -> int:
    """Kill every process with `marked` in its environment, until none is left; how many were killed."""
    killed = 0
    deadline = time.monotonic() + GONE_S
    while (found := carrying(marked)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.05)
    return killed


def carrying(marked: bytes) -> list[int]:
    """The processes, but this one, whose environment holds `marked`; those that have ended do not count."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if place.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            if marked in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


if __name__ == "__main__":
    main()
