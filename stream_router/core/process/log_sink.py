"""Lines to stderr that hold nobody up: where whoever reads them stands still, lines are left out, and counted."""

import os
import select
from typing import TextIO

PATIENCE_MS = 100
"""How long a line waits for a reader that was reading until now; once one was waited for in vain, none waits."""


class LogSink:
    """Writes whole lines. A pipe that is full (a log driver that hangs, say) would stop the program for as long.

    It has no lock: a process that is forked while another thread held one could never log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stuck = self._torn = False
        self._left_out = 0
        try:
            self._fd = stream.fileno()
        except (OSError, ValueError):
            self._fd = -1

    def write(self, line: str) -> bool:
        """Write it with a line end; False where it was left out. Raises nothing."""
        try:
            written = self._written(line + "\n")
        except (OSError, ValueError):
            written = False  # nobody is there any more who reads
        self._left_out += not written
        return written

    def left_out(self) -> int:
        """How many lines were left out since this was asked last."""
        count, self._left_out = self._left_out, 0
        return count

    def _written(self, text: str) -> bool:
        if self._fd < 0:
            self._stream.write(text)
            self._stream.flush()
            return True
        data = b"\n" * self._torn + text.encode("utf-8", "backslashreplace")
        # A pipe that says that it takes something takes as much as this at once.
        for at in range(0, len(data), select.PIPE_BUF):
            piece = data[at : at + select.PIPE_BUF]
            while piece:
                if not self._takes():
                    return False
                piece = piece[os.write(self._fd, piece) :]
                self._torn = True
        self._torn = False
        return True

    def _takes(self) -> bool:
        writable = select.poll()
        writable.register(self._fd, select.POLLOUT)
        self._stuck = not writable.poll(0 if self._stuck else PATIENCE_MS)
        return not self._stuck
