"""Logs: one line each on stderr, safe against whatever a message holds, and never a payload.

JSON where nobody looks, a readable form on a terminal. Each line has an id (`log_lines.toml`, docs/logs.md).
"""

import functools
import json
import logging
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import orjson

from stream_router.core.process.log_sink import LogSink

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
    text = files("stream_router.core").joinpath("log_lines.toml").read_text("utf-8")
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


def start(level: str, log_format: str = "json") -> None:
    """Send every log line of this process to stderr, from `level` up, in `log_format` (auto, json, text)."""
    _sinks[:] = [LogSink(sys.stderr)]
    handler = _Handler()
    handler.setFormatter(TextLines(colour=is_coloured()) if is_text(log_format) else JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
