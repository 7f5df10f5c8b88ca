"""What the operators' commands have in common on a terminal: lines, JSON for people, times as typed, and a stop."""

import contextlib
import os
import queue
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from stream_router.errors import SettingsError
from stream_router.log import plain
from stream_router.process import heard_by, iso, of_a_stop

# --- lines


def write_line(stream: TextIO, text: str) -> None:
    """Write one line, at once. Where nobody reads any more (`| head -1`, a closed terminal) it goes nowhere.

    That stops no work and changes no exit status: a redrive would else end between a record and its message.
    """
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


def say(text: str) -> None:
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


# --- JSON for people

_MOST_LEVELS = 254
"""As orjson's own layout: a line that begins with a thousand blanks is read by nobody."""

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def readable(data: bytes) -> str:
    """An event, as every command shows one: one member a line where it is JSON, else its text; for any terminal.

    A parser would show a rounded number, and one of two equal keys: this shows what stands there. Of an escaped letter
    it shows the letter.
    """
    try:
        orjson.loads(data)
        text = "".join(_laid_out([_shown(word) for word in _WORD.findall(data.decode())]))
    except ValueError:
        text = data.decode("utf-8", "replace")
    return plain(text, keeps="\n\t")


def _shown(word: str) -> str:
    return orjson.dumps(orjson.loads(word)).decode() if "\\" in word else word


def _laid_out(words: list[str]) -> Iterator[str]:
    depth = 0
    for before, word in zip(["", *words], words, strict=False):
        if word in "}]":
            depth -= 1
        if before and word not in ",:" and before != ":" and before + word not in ("{}", "[]"):
            yield "\n" + "  " * depth
        yield ": " if word == ":" else word
        if word in "{[":
            depth += 1
        if depth > _MOST_LEVELS:
            raise ValueError("it nests too deep")


# --- times as an operator types them

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment_ms(text: str, option: str, now_ms: int) -> int:
    """Epoch ms of a moment: `2026-11-24T09:30:00Z` (UTC where no zone is given), or `90m`, `2h`, `3d` ago.

    Raises SettingsError with one line that names the option.
    """
    found_ms = _found_ms(text.strip(), option, now_ms)
    try:
        iso(found_ms)
    except ValueError:
        raise SettingsError(
            f"{option}: is before 1970 or after 9999; give a moment that the stream or the queue can hold"
        ) from None
    return found_ms


def _found_ms(text: str, option: str, now_ms: int) -> int:
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _MS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{option}: is no moment; give one as 2026-11-24T09:30:00Z, or as 90m, 2h, 3d for so long ago"
        ) from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def check_span(since_ms: int, until_ms: int) -> None:
    """Raises SettingsError where the span has no time in it."""
    if since_ms >= until_ms:
        raise SettingsError("--since: is not before --until, or is in the future; give an earlier moment")


# --- a stop


class Stop:
    """Whether the operator asked the command to end. What is under way then is finished, and what is left is said."""

    def __init__(self) -> None:
        self.asked = False
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self, *_: Any) -> None:
        """Ask for it. A signal's handler may: unlike an Event's `set`, this holds no lock that a wait holds too."""
        if not self.asked:
            self.asked = True
            self._told.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks; whether somebody did."""
        if not self.asked and seconds > 0:
            with contextlib.suppress(queue.Empty):
                self._told.get(timeout=seconds)
        return self.asked


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and a closed terminal ask for a stop while the block runs."""
    stop = Stop()
    with heard_by(stop.ask, *of_a_stop()):
        yield stop
