"""A stop that comes before a program works: there is nothing to drain, so it ends at once, with 0.

Unarmed, a program that is process 1 (of a container) would not hear it at all: the kernel gives process 1 no signal
that it has not asked for. It would begin to work after the stop, and be killed in the middle of it.
"""

import contextlib
import os
import signal
import sys


def arm(*, through_hangups: bool = False) -> None:
    """From here on SIGTERM and SIGINT end the process with 0; SIGHUP never does where it is to go on through it.

    Whoever started it may have ignored SIGCHLD, or blocked signals, and hands both on: then the kernel tells nobody how
    a child ended, and a stop is not heard.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, _end)
    if through_hangups:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # last: what was held back comes now


def _end(_signal: int, _frame: object) -> None:
    """End without an exception, which could be lost in a finaliser (the program would go on), or become an error.

    `type()` makes one of everything that `__set_name__` raises (until Python 3.12), and classes are made all the time.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A write that was interrupted cannot be entered again; a stream may be closed, or its reader gone.
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            stream.flush()
    os._exit(0)
