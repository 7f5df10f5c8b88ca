"""`python die_with_parent.py PARENT COMMAND…`: becomes COMMAND, which is killed as soon as process PARENT is gone.

A program of its own, since the call has to be made between fork and exec, where a threaded Python must not run code.
Uses only the standard library: it is started by its path, without site-packages.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, look whether it is too late already, become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
