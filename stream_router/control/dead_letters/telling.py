"""How the commands on dead letters talk: what was found on standard output, progress and troubles on standard error."""

import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream_router.control.lines import write_line
from stream_router.log import plain
from stream_router.process import of_a_stop

PLAIN_EVERY_S = 10.0
"""How often progress is a line where nobody sees a bar."""


class Interrupt:
    """Ctrl-C, SIGTERM and a closed terminal, heard and not obeyed at once: what is in flight is finished.

    A Ctrl-C after that ends at once; another signal does not, since a closed terminal sends several.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in of_a_stop():
            signal.signal(number, self._heard)

    def __call__(self) -> bool:
        return self.asked

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.asked = True
        with contextlib.suppress(OSError):  # past the buffer, in which the signal may have come
            os.write(2, b"finishing what is in flight; one more Ctrl-C ends at once\n")


class Bar:
    """Progress on standard error: a bar on a terminal, else a line now and then. Use it with `with`."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        console = Console(stderr=True)
        self._what = what
        self._clock = clock
        self._said_at = clock()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            with contextlib.suppress(OSError):
                self._bar.stop()

    def at(self, done: int, total: int | None, more: str = "") -> None:
        """So many of so many, and what else there is to say."""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._what}{more}")
        elif (now := self._clock()) - self._said_at >= PLAIN_EVERY_S:
            self._said_at = now
            warn(f"{self._what}: {done}{f' of {total}' if total else ''}{more}")


def say(text: str) -> None:
    """One line of what was found."""
    write_line(sys.stdout, text)


def warn(text: str) -> None:
    """One line of what is wrong."""
    write_line(sys.stderr, text)


def tell_copies(copies: int) -> None:
    """Say of messages that are counted with a letter that was in hand, where there are any."""
    if copies:
        are = "message is a copy" if copies == 1 else "messages are copies"
        say(f"{copies:,} {are} of a letter that is in the queue once more: one event, one line, settled together")


def counted(title: str, counts: Mapping[str, int] | Counter[str]) -> None:
    """A count and, below it, what it is made of, the most first."""
    say(f"{title} {sum(counts.values()):,}")
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        say(f"  {count:>7,}  {plain(name)}")
