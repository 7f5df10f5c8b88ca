"""Logs: one JSON object a line on stderr, safe against whatever a message holds, and never a payload."""

import logging
import sys
import time
from collections.abc import Callable

import orjson

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: `time`, `level`, `logger`, `message`, then what came in `extra`.

    JSON escapes control characters, so no message can forge a second line; U+2028 and U+2029 are escaped as well.
    """

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _OWN)
        if record.exc_info and record.exc_info[0]:
            line["exception"] = _without_text(record)
        text = orjson.dumps(line, default=str).decode()
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


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


def start(level: str) -> None:
    """Send every log line of this process to stderr as JSON, from `level` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
