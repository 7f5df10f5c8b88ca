"""Single keys from the terminal, without Enter; the terminal is as before when it is left."""

import contextlib
import os
import select
import sys
import termios
import tty
from typing import Self


class Keys:
    """Reads keys while it is entered. Where standard input is no terminal there are none, and `wait` only waits."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[object] | None = None

    def __enter__(self) -> Self:
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None and self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)  # type: ignore[arg-type] # its own list

    def wait(self, timeout_s: float) -> str:
        """The next key, "" where none came within the time; `q` where the terminal is gone."""
        if self._fd is None:
            select.select([], [], [], timeout_s)
            return ""
        ready, _, _ = select.select([self._fd], [], [], timeout_s)
        if not ready:
            return ""
        try:
            return os.read(self._fd, 1).decode("ascii", "replace") or "q"
        except OSError:
            return "q"
