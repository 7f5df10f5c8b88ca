"""Ties a process's life to its parent's: the kernel kills it as soon as the parent is gone (Linux).

`python die_with_parent.py PARENT COMMAND…` becomes COMMAND, so tied. It is a program of its own, since the call has to
be made between fork and exec, where a threaded Python must not run code. It is started by its path, without
site-packages, so it uses only the standard library. A shard's child is not tied like this: it watches its parent
itself, to note before it goes that its end is no crash.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to(parent: int) -> None:
    """Be killed when `parent`, which forked this process, dies. Raises SystemExit where it is dead already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Tie this process to the parent that the command line names, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    tie_to(parent)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
