"""Log lines on stderr: one line each, safe against any content of a message, and never with a payload.

They are JSON, or a readable form on a terminal. A line names its event where it is written, beside its other fields:
`log.warning("%s is down", name, extra={"event": "stream-down", "code": code})`. Searches and alarms use `event`; the
wording of the message may change. A line that nobody searches for has no event. docs/logs.md explains the events after
which an operator has something to do.
"""

import functools
import json
import logging
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TextIO

import orjson

from stream_router.process import iso

log = logging.getLogger(__name__)

Form = Callable[[Mapping[str, object]], str]
"""Function that formats a line's fields as text."""

READER_TIMEOUT_MS = 100
"""Milliseconds for which a line waits for a slow reader of the log.

After the first line that waited in vain, lines are dropped without waiting until the reader reads again.
"""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every LogRecord has. All others come from `extra`."""
_STANDARD_FIELDS = frozenset({"time", "level", "event", "logger", "message", "pid", "thread"})
_ESCAPED_BESIDES_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029]")
"""Characters that end a line or control a terminal, and that JSON itself does not escape."""
_COLOURS = {"ERROR": "\x1b[31m", "WARNING": "\x1b[33m", "DEBUG": "\x1b[2m"}


def is_name(text: str) -> bool:
    """Return whether a text looks like the name of an event type or a source. Other text may be private."""
    return _NAME.fullmatch(text) is not None


def plain(text: str, keep: str = "") -> str:
    """Return foreign text with every unprintable character replaced, except the characters in `keep`.

    The result can neither control a terminal nor look like a line of the log.
    """
    return "".join(char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text)


def start_logging(level: str, log_format: str = "json") -> None:
    """Send every log line of this process to stderr, from `level` up, in `log_format` (auto, json, text)."""
    _stderr.cache_clear()
    logging.basicConfig(level=level, handlers=[_Handler(choose_form(log_format))], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def write_to_stderr(line: str) -> bool:
    """Write a formatted line, and return whether it was written. A line is dropped if nobody reads the log."""
    return _stderr().write(line)


def choose_form(log_format: str) -> Form:
    """Return the function that formats lines. `auto` means text on a terminal, otherwise JSON.

    Text is coloured on a terminal, unless NO_COLOR is set (no-color.org).
    """
    is_terminal = sys.stderr.isatty()
    if log_format == "json" or (log_format == "auto" and not is_terminal):
        return as_json
    return functools.partial(as_text, colour=is_terminal and not os.environ.get("NO_COLOR"))


def as_json(line: Mapping[str, object]) -> str:
    """Return a line as JSON, with all characters escaped that end a line: no message can look like a second line."""
    return _ESCAPED_BESIDES_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", _to_json(line))


def as_text(line: Mapping[str, object], *, colour: bool = False) -> str:
    """Return a line for a person: time, level, message, and all other fields as `name=value`."""
    level = str(line.get("level", ""))
    start_colour, end_colour = (_COLOURS[level], "\x1b[0m") if colour and level in _COLOURS else ("", "")
    time_of_day = str(line.get("time", ""))[11:19]
    parts = [str(line.get("message", ""))]
    for key, value in line.items():
        if key not in _STANDARD_FIELDS:
            parts.append(f"{key}={value if isinstance(value, str) else _to_json(value)}")
    return f"{time_of_day} {start_colour}{level:<7}{end_colour}  {plain('  '.join(parts))}"


def _to_json(value: object) -> str:
    """Return a value as JSON, by the standard library if orjson refuses it.

    orjson refuses text that is not UTF-8, which an environment variable may hold, and integers beyond 64 bits.
    """
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str)


class LogLimiter:
    """Limiter of log lines about a lasting failure. A call returns whether to log now, which is true once a minute.

    `clock` returns monotonic seconds.
    """

    INTERVAL_S = 60.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged_at_s = -self.INTERVAL_S

    def __call__(self) -> bool:
        now_s = self._clock()
        if now_s - self._logged_at_s < self.INTERVAL_S:
            return False
        self._logged_at_s = now_s
        return True

    def reset(self) -> None:
        """Record that the failure is over, so that the next one is logged at once."""
        self._logged_at_s = -self.INTERVAL_S


class NameLogLimiter:
    """Limiter of log lines about names that senders chose. A call returns the text to log, or "" to log nothing.

    Each name is logged once, and at most MAX_NAMES names. Text without the form of a name may be private, so a
    placeholder is logged instead.
    """

    MAX_NAMES = 20

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, name: str) -> str:
        safe_name = name if is_name(name) else "(not shown: no name)"
        if safe_name in self._logged or len(self._logged) == self.MAX_NAMES:
            return ""
        self._logged.add(safe_name)
        return safe_name


class LogSink:
    """Output of whole lines. A line waits at most READER_TIMEOUT_MS, since a log driver that hangs must not stop us.

    There is no lock: a process that is forked while another thread holds the lock could never log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_reader_stuck = False
        self._is_line_unfinished = False
        self._dropped_count = 0
        # -1: the stream has no descriptor, as a stream in memory, and is written without a time limit.
        try:
            self._fd = stream.fileno()
        except (OSError, ValueError):
            self._fd = -1

    def write(self, line: str) -> bool:
        """Write a line and its line feed. Return False if the line was dropped. Raises nothing."""
        try:
            is_written = self._write_text(line + "\n")
        except (OSError, ValueError):
            is_written = False  # a full disk, or a reader that has ended
        if not is_written:
            self._dropped_count += 1
        return is_written

    def take_dropped_count(self) -> int:
        """Return the number of lines dropped since the last call."""
        count, self._dropped_count = self._dropped_count, 0
        return count

    def _write_text(self, text: str) -> bool:
        """Write a text in pieces. Return False as soon as the reader takes no further piece. Raises OSError."""
        if self._fd < 0:
            self._stream.write(text)
            self._stream.flush()
            return True
        data = text.encode("utf-8", "backslashreplace")
        if self._is_line_unfinished:  # an earlier line was cut off, so this one begins on a new line
            data = b"\n" + data
        # A pipe that is writable takes PIPE_BUF bytes without blocking (POSIX), more bytes perhaps not.
        for start in range(0, len(data), select.PIPE_BUF):
            piece = data[start : start + select.PIPE_BUF]
            while piece:
                if not self._is_writable():
                    return False
                piece = piece[os.write(self._fd, piece) :]
                self._is_line_unfinished = True
        self._is_line_unfinished = False
        return True

    def _is_writable(self) -> bool:
        """Return whether the reader takes bytes. Wait up to READER_TIMEOUT_MS unless the last wait was in vain."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        self._is_reader_stuck = not poll.poll(0 if self._is_reader_stuck else READER_TIMEOUT_MS)
        return not self._is_reader_stuck


@functools.cache
def _stderr() -> LogSink:
    """Return the process's only sink, which counts its dropped lines. `start_logging` makes a new one."""
    return LogSink(sys.stderr)


class _Handler(logging.Handler):
    """Handler that writes lines, and logs the number of dropped lines once the reader reads again."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._form(_fields(record))
        except Exception:  # noqa: BLE001 - as every handler of the library does
            self.handleError(record)
            return
        if write_to_stderr(line) and (count := _stderr().take_dropped_count()):
            log.warning("%d lines of the log were left out: nobody read them", count, extra={"event": "log-left-out"})


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return time, level, event, logger, message and pid, then all other fields of `extra`."""
    extra = {key: value for key, value in vars(record).items() if key not in _RECORD_ATTRIBUTES}
    event = extra.pop("event", None)
    line: dict[str, object] = {
        "time": iso(record.created * 1000),
        "level": "ERROR" if record.levelname == "CRITICAL" else record.levelname,
        **({"event": event} if event else {}),
        "logger": record.name,
        "message": record.getMessage(),
        "pid": record.process,
        **extra,
    }
    if record.exc_info and record.exc_info[0]:
        line["exception"] = _describe_exception(record)
    return line


def _describe_exception(record: logging.LogRecord) -> list[str]:
    """Return the type of an exception and its frames as `file.py:LINE function`, innermost last.

    The exception's text is omitted, since it may quote a payload.
    """
    exception_type, _, trace = record.exc_info or (None, None, None)
    frames = [
        f"{frame.f_code.co_filename.rsplit('/', 2)[-1]}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
    ]
    return [exception_type.__name__ if exception_type else "?", *frames]
