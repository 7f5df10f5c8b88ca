"""Terminal functions of the operators' commands: lines, times as typed, and a stop."""

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
from stream_router.process import handle_signals, iso, stop_signals

# --- lines


def write_line(stream: TextIO, text: str) -> None:
    """Write one line and flush it. Drop it if nobody reads any more (`| head -1`, a closed terminal).

    A dropped line stops no work and changes no exit status. Otherwise a redrive could end after it stored a record, and
    before it deleted the record's message.
    """
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except OSError:  # The stream goes to /dev/null from now on, or Python would fail to flush its buffer at exit.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def warn(text: str) -> None:
    """Print a line on standard error: a warning or progress, which is not part of the result."""
    write_line(sys.stderr, text)


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun: `1 dead letter`, `2 dead letters`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_duration(seconds: float) -> str:
    """Return a duration in words: in s below two minutes, in min below two hours, else in h. The least is `1 s`."""
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h"


def readable(data: bytes) -> str:
    """Return an event's text without control characters that could drive a terminal.

    The event is not parsed: a parser would round numbers and drop one of two equal keys.
    """
    return plain(data.decode("utf-8", "replace"), keep="\n\t")


def print_line(text: str) -> None:
    """Print a line of the result on standard output, without control characters."""
    write_line(sys.stdout, plain(text))


def print_tally(title: str, counts: Counter[str]) -> None:
    """Print a total and its parts, the largest first; nothing if there are none."""
    if counts:
        print_line(f"{title} {counts.total():,}")
    for name, count in counts.most_common():
        print_line(f"  {count:>7,}  {name}")


# --- times as an operator types them

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_time_ms(text: str, option: str, now_ms: int) -> int:
    """Return a moment as epoch ms: `2026-11-24T09:30:00Z` (UTC if no zone is given), or `90m`, `2h`, `3d` ago.

    Raises SettingsError with one line that names the option.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            moment_ms_ = now_ms - int(ago[1]) * _MS[ago[2]]
        else:
            moment = datetime.fromisoformat(text.strip())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            moment_ms_ = round(moment.timestamp() * 1000)
        iso(moment_ms_)  # every command prints its span, and `iso` has no form for years before 1970 or after 9999
    except (ValueError, OverflowError):
        raise SettingsError(
            option, "is not a time since 1970", "give a time as 2026-11-24T09:30:00Z, or an age as 90m, 2h or 3d"
        ) from None
    return moment_ms_


def check_span(since_ms: int, until_ms: int) -> None:
    """Raise SettingsError if the span is empty."""
    if since_ms >= until_ms:
        raise SettingsError("--since", "is not before --until, or is in the future", "give an earlier moment")


# --- a stop


class Stop:
    """Request to end a command early.

    The command that sees it finishes the call in progress, and then reports what is done and what is left.
    """

    def __init__(self) -> None:
        self.requested = False
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()

    def request(self, *_: Any) -> None:
        """Request the stop; also callable from a signal handler.

        So the stop is no `threading.Event`: its `set` takes a lock that `wait` may hold in the thread that the signal
        interrupted, and would wait for ever. SimpleQueue.put is reentrant.
        """
        if not self.requested:
            self.requested = True
            self._wakeups.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds` or until a stop is requested. Return whether one was requested."""
        if not self.requested and seconds > 0:
            with contextlib.suppress(queue.Empty):
                self._wakeups.get(timeout=seconds)
        return self.requested


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Yield a Stop that Ctrl-C, SIGTERM and a closed terminal request while the block runs."""
    stop = Stop()
    with handle_signals(stop.request, *stop_signals()):
        yield stop
