"""What the operators' commands have in common on a terminal: lines, times as typed, and a stop."""

import contextlib
import os
import queue
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from stream_router.errors import SettingsError
from stream_router.log import plain
from stream_router.process import heard_by, iso, of_a_stop

# --- lines


def write_line(stream: TextIO, text: str) -> None:
    """Write one line, at once. Where nobody reads any more (`| head -1`, a closed terminal) it goes nowhere.

    That stops no work and changes no exit status: a redrive would else end between a record and its message.
    """
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:  # what is buffered goes nowhere too, or Python itself would fail on it at its end
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def warn(text: str) -> None:
    """One line beside the result: on standard error, where progress goes too."""
    write_line(sys.stderr, text)


def count_of(count: int, noun: str) -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h"


def readable(data: bytes) -> str:
    """Return an event, as every command shows one: in its own bytes, for any terminal.

    Laid out by a parser it would show a rounded number, and one of two equal keys.
    """
    return plain(data.decode("utf-8", "replace"), keeps="\n\t")


def print_line(text: str) -> None:
    """One line of the result, on standard output; what others wrote drives no terminal."""
    write_line(sys.stdout, plain(text))


def print_tally(title: str, counts: Counter[str]) -> None:
    """Print a count and its parts, the largest first; nothing if it is 0."""
    if counts:
        print_line(f"{title} {counts.total():,}")
    for name, count in counts.most_common():
        print_line(f"  {count:>7,}  {name}")


# --- times as an operator types them

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment_ms(text: str, option: str, now_ms: int) -> int:
    """Epoch ms of a moment: `2026-11-24T09:30:00Z` (UTC where no zone is given), or `90m`, `2h`, `3d` ago.

    Raises SettingsError with one line that names the option.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            found_ms = now_ms - int(ago[1]) * _MS[ago[2]]
        else:
            moment = datetime.fromisoformat(text.strip())
            found_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        iso(found_ms)  # every command writes its span, and that has no form for a year before 1970 or after 9999
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option}: is no moment since 1970; give one as 2026-11-24T09:30:00Z, or as 90m, 2h, 3d for so long ago"
        ) from None
    return found_ms


def check_span(since_ms: int, until_ms: int) -> None:
    """Raise SettingsError where the span has no time in it."""
    if since_ms >= until_ms:
        raise SettingsError("--since: is not before --until, or is in the future; give an earlier moment")


# --- a stop


class Stop:
    """Whether the operator asked the command to end. What is under way then is finished, and what is left is said."""

    def __init__(self) -> None:
        self.asked = False
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self, *_: Any) -> None:
        """Ask for it. A signal's handler may: unlike an Event's `set`, this holds no lock that a wait holds too."""
        if not self.asked:
            self.asked = True
            self._wakeups.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks; whether somebody did."""
        if not self.asked and seconds > 0:
            with contextlib.suppress(queue.Empty):
                self._wakeups.get(timeout=seconds)
        return self.asked


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and a closed terminal ask for a stop while the block runs."""
    stop = Stop()
    with heard_by(stop.ask, *of_a_stop()):
        yield stop
