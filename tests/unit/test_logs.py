"""Log lines: JSON or for a person, forged by nothing, without what an exception says; they hold nobody up."""

import contextlib
import fcntl
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router import log
from stream_router.log import start_logging


def captured(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> io.StringIO:
    """A stderr of our own. No fixture: pytest sets one anew before each phase of a test."""
    string_io = io.StringIO()
    monkeypatch.setattr(string_io, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", string_io)
    return string_io


def test_a_line_has_the_event_that_it_is_given_and_never_an_exceptions_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its fields; one of another library has none. Of an exception the place is logged: the text may be data."""
    stderr = captured(monkeypatch)
    start_logging("INFO")
    logging.getLogger("stream_router.x").info("%s is back", "the bus", extra={"event": "back", "held_s": 2})
    logging.getLogger("library").critical("Connection %d to %s was lost", 3, "x")
    with contextlib.suppress(ValueError):
        try:
            json.loads('{"name": Anna}')
        except ValueError:
            logging.getLogger("x").exception("a request failed")
            raise
    ours, theirs, failed = map(json.loads, stderr.getvalue().splitlines())
    assert list(ours) == ["time", "level", "event", "logger", "message", "pid", "held_s"]
    assert (ours["event"], ours["level"], ours["message"], ours["held_s"]) == ("back", "INFO", "the bus is back", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours["time"])
    assert ("event" in theirs, theirs["level"], theirs["message"]) == (False, "ERROR", "Connection 3 to x was lost")
    kind, *places = failed["exception"]
    assert (kind, "never_an_exceptions_text" in places[0]) == ("JSONDecodeError", True)
    assert "Anna" not in stderr.getvalue()


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("strange", ["a\nforged \x1b[31mline", "b\u2028\u2029\x85", "/var/\udcff", 10**20, ["\udcff"]])
def test_whatever_a_line_holds_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, log_format: str, strange: object
) -> None:
    """Control characters, other line ends, a path that is not UTF-8, a number that no 64 bits hold."""
    stderr = captured(monkeypatch)
    start_logging("INFO", log_format)
    logging.getLogger("x").info("%s starts", strange, extra={"spill": strange})
    assert stderr.getvalue().endswith("\n")
    (line,) = stderr.getvalue().splitlines()
    assert line.isprintable()
    if log_format == "json":
        assert json.loads(line)["spill"] == strange


@pytest.mark.parametrize(
    ("log_format", "terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("text", False, False)],
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool, is_json: bool
) -> None:
    """A person reads the one, a collector the other."""
    stderr = captured(monkeypatch, terminal=terminal)
    start_logging("INFO", log_format)
    logging.getLogger("x").error("m")
    assert stderr.getvalue().startswith("{") == is_json


class Pipe:
    """A pipe that is full, and what comes out of it once it is read."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 16384)
        self.stderr = os.fdopen(write, "w")
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x")
        os.set_blocking(write, True)

    def read(self, lines: int) -> list[str]:
        """The next lines, behind what filled it."""
        got = b""
        while not got or got.count(b"\n") < lines:
            got += os.read(self._read, 65536)
        return got.lstrip(b"x").decode().splitlines()

    def close(self) -> None:
        self.stderr.close()
        os.close(self._read)


@pytest.fixture
def full() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_a_log_that_nobody_reads_holds_nobody_up(full: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log driver that hangs would stop every program that has something to say; how much it missed it is told."""
    monkeypatch.setattr(sys, "stderr", full.stderr)
    start_logging("INFO")
    began_s = time.monotonic()
    for number in range(500):
        logging.getLogger("x").error("line %d", number)
    assert time.monotonic() - began_s < 5.0
    full.read(0)
    logging.getLogger("x").error("read again")
    messages = [json.loads(line)["message"] for line in full.read(2)]
    assert messages == ["read again", "500 lines of the log were left out: nobody read them"]


def test_a_full_disk_holds_nobody_up_and_what_is_left_out_is_counted() -> None:
    """Standard error may be a file of its own."""
    with Path("/dev/full").open("w") as full_disk:
        sink = log.LogSink(full_disk)
        assert not sink.write("m")
        assert (sink.take_dropped_count(), sink.take_dropped_count()) == (1, 0)


def test_what_lasts_is_said_once_a_minute_and_what_others_chose_once() -> None:
    """A trouble that has ended and begins anew: at once. A sender who makes up names fills no log."""
    now_s = 0.0
    seldom = log.LogLimiter(lambda: now_s)
    assert (seldom(), seldom()) == (True, False)
    now_s = 60.0
    assert (seldom(), seldom()) == (True, False)
    seldom.reset()
    assert seldom()
    to_be_said = log.NameLogLimiter()
    assert (to_be_said("order.created"), to_be_said("order.created")) == ("order.created", "")
    assert (to_be_said("call Anna"), to_be_said("call Bob")) == ("(not shown: no name)", "")
    assert len(list(filter(None, (to_be_said(f"type-{number}") for number in range(100))))) == 18
