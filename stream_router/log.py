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

PATIENCE_MS = 100
"""Milliseconds for which a line waits for a slow reader. After a wait in vain, no line waits until the reader reads."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_STANDARD_FIELDS = frozenset({"time", "level", "event", "logger", "message", "pid", "thread"})
_ESCAPED_TOO = re.compile(r"[\x7f-\x9f\u2028\u2029]")  # beside the controls that JSON itself escapes
_COLOURS = {"ERROR": "\x1b[31m", "WARNING": "\x1b[33m", "DEBUG": "\x1b[2m"}


def is_name(text: str) -> bool:
    """Return whether a text looks like the name of an event type or a source. Other text may be private."""
    return _NAME.fullmatch(text) is not None


def plain(text: str, keeps: str = "") -> str:
    """Return foreign text with every unprintable character replaced.

    Such text can neither control a terminal nor look like a line of ours. The characters of `keeps` are not replaced.
    """
    return "".join(char if char.isprintable() or char in keeps else "\N{REPLACEMENT CHARACTER}" for char in text)


def start_logging(level: str, log_format: str = "json") -> None:
    """Send every log line of this process to stderr, from `level` up, in `log_format` (auto, json, text)."""
    _stderr.cache_clear()
    logging.basicConfig(level=level, handlers=[_Handler(form_of(log_format))], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def to_stderr(line: str) -> bool:
    """Write a formatted line, and return whether it was written. A reader that reads nothing is not waited for."""
    return _stderr().write(line)


def form_of(log_format: str) -> Form:
    """Return the form of the lines: `auto` is text on a terminal, else JSON. NO_COLOR (no-color.org) holds."""
    on_terminal = sys.stderr.isatty()
    if log_format == "json" or (log_format == "auto" and not on_terminal):
        return as_json
    return functools.partial(as_text, colour=on_terminal and not os.environ.get("NO_COLOR"))


def as_json(line: Mapping[str, object]) -> str:
    """Return a line as JSON. No message can forge another: what ends a line or drives a terminal is escaped."""
    return _ESCAPED_TOO.sub(lambda match: f"\\u{ord(match[0]):04x}", _dumped(line))


def as_text(line: Mapping[str, object], *, colour: bool = False) -> str:
    """Return a line for a person: time, level, message, and all other fields as `name=value`."""
    level = str(line.get("level", ""))
    paint, end = (_COLOURS[level], "\x1b[0m") if colour and level in _COLOURS else ("", "")
    more = {key: value for key, value in line.items() if key not in _STANDARD_FIELDS}
    words = [str(line.get("message", ""))]
    words += [f"{key}={value if isinstance(value, str) else _dumped(value)}" for key, value in more.items()]
    return f"{str(line.get('time', ''))[11:19]} {paint}{level:<7}{end}  {plain('  '.join(words))}"


def _dumped(value: object) -> str:
    """Return JSON. orjson refuses text that is not UTF-8 and the largest integers, which the environment may hold."""
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str)


class LogLimiter:
    """Limiter of log lines about a lasting failure. A call returns whether to log now, which is once a minute.

    `clock` is monotonic seconds.
    """

    EVERY_S = 60.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged_at_s = -self.EVERY_S

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._logged_at_s < self.EVERY_S:
            return False
        self._logged_at_s = now
        return True

    def over(self) -> None:
        """Record that the failure has ended, so that the next one is logged at once."""
        self._logged_at_s = -self.EVERY_S


class NameLogLimiter:
    """Limiter of log lines about names that others chose. A call returns the name to log; "" if it must not be logged.

    Each name is logged once, and at most MOST names. Text that is not like a name may be private, and is replaced
    by a placeholder.
    """

    MOST = 20

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, name: str) -> str:
        shown = name if is_name(name) else "(not shown: no name)"
        if shown in self._logged or len(self._logged) == self.MOST:
            return ""
        self._logged.add(shown)
        return shown


class LogSink:
    """Output of whole lines. It never waits long, since a log driver that hangs must not stop the program.

    There is no lock, since a process forked while another thread holds the lock could never log.
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
        """Write a line with its end. Return False if it was left out. Raises nothing."""
        try:
            written = self._written(line + "\n")
        except (OSError, ValueError):
            written = False  # a full disk, or a reader that has ended
        self._left_out += not written
        return written

    def left_out(self) -> int:
        """Return the number of lines left out since the last call."""
        count, self._left_out = self._left_out, 0
        return count

    def _written(self, text: str) -> bool:
        if self._fd < 0:
            self._stream.write(text)
            self._stream.flush()
            return True
        data = b"\n" * self._torn + text.encode("utf-8", "backslashreplace")
        # A pipe that is writable takes PIPE_BUF bytes without blocking (POSIX), more bytes perhaps not.
        for start in range(0, len(data), select.PIPE_BUF):
            piece = data[start : start + select.PIPE_BUF]
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


@functools.cache
def _stderr() -> LogSink:
    return LogSink(sys.stderr)


class _Handler(logging.Handler):
    """Handler that writes lines, and reports the number of lines left out once the reader reads again."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._form(_fields(record))
        except Exception:  # noqa: BLE001 - as every handler of the library does
            self.handleError(record)
            return
        if to_stderr(line) and (count := _stderr().left_out()):
            log.warning("%d lines of the log were left out: nobody read them", count, extra={"event": "log-left-out"})


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return time, level, event, logger, message and pid, then all other fields of `extra`."""
    extra = {key: value for key, value in vars(record).items() if key not in _OWN}
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
        line["exception"] = _without_text(record)
    return line


def _without_text(record: logging.LogRecord) -> list[str]:
    """Return the type and the places of an exception, innermost last. Its text is omitted: it may quote a payload."""
    kind, _, trace = record.exc_info or (None, None, None)
    places = ((frame.f_code, line) for frame, line in traceback.walk_tb(trace))
    frames = [f"{code.co_filename.rsplit('/', 2)[-1]}:{line} {code.co_name}" for code, line in places]
    return [kind.__name__ if kind else "?", *frames]
