"""Logs: one line each on stderr, safe against whatever a message holds, and never a payload.

JSON where nobody looks, a readable form on a terminal. Each line has an id (`log_lines.toml`, docs/logs.md).
"""

import functools
import json
import logging
import os
import re
import select
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, TextIO

import orjson

# --- plain text: text of others in lines of ours.

MOST_SAID = 20
"""Names of others of which each is worth a line of the log."""

NOT_SHOWN = "(not shown: no name)"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")


def is_name(text: str) -> bool:
    """Whether a text is a name, as those of event types and sources are. Else a person may have written it."""
    return _NAME.fullmatch(text) is not None


def plain(text: str, keeps: str = "") -> str:
    """What others wrote, as part of a line: nothing in it drives a terminal, or looks like a line of ours.

    `keeps` are what is let through all the same, where it may have lines of its own.
    """
    return "".join(char if char.isprintable() or char in keeps else "\N{REPLACEMENT CHARACTER}" for char in text)


# --- log sink

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


# --- logs: logs: one line each on stderr, safe against whatever a message holds, and never a payload.

log = logging.getLogger(__name__)

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TOLD_FIRST = frozenset({"time", "level", "id", "logger", "message", "pid", "thread"})
_COLOURS = {"ERROR": "\x1b[31m", "WARNING": "\x1b[33m", "DEBUG": "\x1b[2m"}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def as_json(line: Mapping[str, object]) -> str:
    """A line as JSON, which escapes control characters, so no message can forge another; U+2028 and U+2029 too."""
    return _dumped(line).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _dumped(value: object) -> str:
    """JSON. Of what the environment may hold orjson takes neither text that is no UTF-8 nor the largest integers."""
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str)


def as_text(line: Mapping[str, object], *, colour: bool = False) -> str:
    """A line for a person: time, level, message, and whatever else it has as `name=value`."""
    more = [f"{key}={_plain(value)}" for key, value in line.items() if key not in _TOLD_FIRST]
    level = str(line.get("level", ""))
    paint = _COLOURS.get(level, "") if colour else ""
    words = [f"{paint}{level:<7}{chr(27) + '[0m' if paint else ''}", _plain(line.get("message", "")), *more]
    return _plain(line.get("time", ""))[11:19] + " " + "  ".join(words)


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else _dumped(value)
    return _UNSAFE.sub(" ", text)


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, id, logger, message, pid, then what came in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        return as_json(_line(record))


class TextLines(logging.Formatter):
    """Formats a record for a person."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        return as_text(_line(record), colour=self._colour)


def _line(record: logging.LogRecord) -> dict[str, object]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    line: dict[str, object] = {
        "time": f"{stamp}.{int(record.msecs):03d}Z",
        "level": "ERROR" if record.levelname == "CRITICAL" else record.levelname,
        "id": line_id(str(record.msg)),
        "logger": record.name,
        "message": record.getMessage(),
        "pid": record.process,
    }
    line.update((key, value) for key, value in vars(record).items() if key not in _OWN)
    if record.exc_info and record.exc_info[0]:
        line["exception"] = _without_text(record)
    return line


@functools.cache
def catalogue() -> list[dict[str, Any]]:
    """Every line that the programs log: `id`, `level`, `says` (the message before it is filled in), `means`, `do`."""
    text = files("stream_router").joinpath("log_lines.toml").read_text("utf-8")
    lines: list[dict[str, Any]] = tomllib.loads(text)["line"]
    return lines


@functools.lru_cache(512)
def line_id(message: str) -> str:
    """The id of a message before it is filled in; of others' (a library's) the first words."""
    known = next((line["id"] for line in catalogue() if line["says"] == message), None)
    return known or "-".join(re.findall(r"[a-z0-9]+", re.sub(r"%\S*", "", message.lower()))[:6])


def _without_text(record: logging.LogRecord) -> list[str]:
    """Where an exception came from, innermost last, without its text: that could quote a payload."""
    kind, _, trace = record.exc_info or (None, None, None)
    frames = [kind.__name__ if kind else "?"]
    while trace:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames


class Seldom:
    """Callable: whether a trouble that lasts is to be logged now, which is once a minute. `clock` tells seconds."""

    EVERY_S = 60.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said_at = -self.EVERY_S

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._said_at < self.EVERY_S:
            return False
        self._said_at = now
        return True

    def over(self) -> None:
        """The trouble has ended: the next one is logged at once."""
        self._said_at = -self.EVERY_S


def is_text(log_format: str) -> bool:
    """Whether lines are for a person: asked for, or `auto` and stderr is a terminal."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


def is_coloured() -> bool:
    """On a terminal, unless NO_COLOR (no-color.org) is set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


class _Handler(logging.Handler):
    """Hands lines on, and says how many had to be left out once they are read again."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the library does
            self.handleError(record)
            return
        if to_stderr(line) and (count := _sink().left_out()):
            log.warning("%d lines of the log were left out: nobody read them", count)


_sinks: list[LogSink] = []


def _sink() -> LogSink:
    if not _sinks:
        _sinks.append(LogSink(sys.stderr))
    return _sinks[0]


def to_stderr(line: str) -> bool:
    """A line that is made already; whether it was written. Where nobody reads stderr, it waits for nobody."""
    return _sink().write(line)


def start_logging(level: str, log_format: str = "json") -> None:
    """Send every log line of this process to stderr, from `level` up, in `log_format` (auto, json, text)."""
    _sinks[:] = [LogSink(sys.stderr)]
    handler = _Handler()
    handler.setFormatter(TextLines(colour=is_coloured()) if is_text(log_format) else JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
