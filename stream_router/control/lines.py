"""Lines that a command writes, whether somebody still reads them or not.

A reader that went (`| head -1`, a terminal that was closed) stops no work and changes no exit status. Else a redrive
would end between an event that was published and its letter that is to be deleted, and a search by the status of "not
found".
"""

import contextlib
import os
from typing import TextIO


def write_line(stream: TextIO, text: str) -> None:
    """Write one line, at once; nowhere, where nobody reads any more."""
    write(stream, f"{text}\n")


def write(stream: TextIO, text: str) -> None:
    """The same of any text."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:  # what is buffered goes nowhere too, or Python itself would fail on it at its end
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def count_of(count: int, noun: str) -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
