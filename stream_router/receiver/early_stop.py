"""A stop that comes before the receiver serves: there is nothing to drain, so it ends at once, with 0."""

import contextlib
import os
import signal
import sys


def arm() -> None:
    """From here on SIGTERM and SIGINT end the process with 0, and SIGHUP never does."""
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end(_signal: int, _frame: object) -> None:
    """End without an exception, which could be lost in a finaliser (the receiver would serve on), or become an error.

    `type()` makes one of everything that `__set_name__` raises (until Python 3.12), and classes are made all the time.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A write that was interrupted cannot be entered again; a stream may be closed, or its reader gone.
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            stream.flush()
    os._exit(0)
