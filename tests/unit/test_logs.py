"""Log lines: an id and one vocabulary of levels, JSON or for a person, forged by nothing; each is documented."""

import ast
import contextlib
import fcntl
import importlib
import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router import log
from stream_router.log import catalogue, is_coloured, is_text, start_logging

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """As it was, after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def captured(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> io.StringIO:
    """A stderr of our own: pytest sets one anew before each phase of a test."""
    made = io.StringIO()
    monkeypatch.setattr(made, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", made)
    return made


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def said_in_code() -> dict[str, str]:
    """Each message before it is filled in, and its level."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "stream_router").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[first, *_]):
                    if level in ("debug", "info", "warning", "error", "exception"):
                        # A constant of a module is as good as the text in place.
                        text = eval(ast.unparse(first), vars(importlib.import_module(_module(path))))
                        found[text] = {"exception": "error"}.get(level, level).upper()
    return found


def said_for_the_kcl() -> dict[str, str]:
    """What properties/logback.xml says in place of the KCL's own words, and its level."""
    patterns = (ROOT / "properties" / "logback.xml").read_text("utf-8")
    return {says: level for level, says in re.findall(r'"level":"([A-Z]+)","id".*"message":"([^"%]+)"', patterns)}


def test_every_line_of_the_code_is_documented() -> None:
    """In log_lines.toml: what it means, and what to do of an error. A line that is gone leaves it."""
    documented = {line["says"]: line["level"] for line in catalogue()}
    code = said_in_code() | said_for_the_kcl()
    # "%s" is said at two levels: a line that another part made.
    assert {says: level for says, level in code.items() if says != "%s"} == {
        says: level for says, level in documented.items() if says != "%s"
    }
    assert all(line["means"] for line in catalogue())
    assert [line["id"] for line in catalogue() if line["level"] == "ERROR" and not line["do"]] == []
    assert len({line["id"] for line in catalogue()}) == len(documented)


def test_a_line_says_its_level_in_place() -> None:
    """`log.log(level, …)` would be a line that nothing here finds: one was told nowhere for that."""
    code = {path: path.read_text("utf-8") for path in (ROOT / "stream_router").rglob("*.py")}
    assert not [str(path) for path, text in code.items() if re.search(r"\blog\.log\(", text)]


def test_the_page_is_what_the_catalogue_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write it anew with `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import log_lines

    assert log_lines.PAGE.read_text("utf-8") == log_lines.page(), "run `make docs`"


def test_a_line_has_an_id_whatever_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours from the catalogue; another library's first words."""
    stderr = captured(monkeypatch)
    start_logging("INFO")
    logging.getLogger("stream_router.x").info("%s is back", "the bus", extra={"held_s": 2})
    logging.getLogger("library").warning("Connection %d to %s was lost", 3, "x")
    ours, theirs = map(json.loads, stderr.getvalue().splitlines())
    assert (ours["id"], ours["level"], ours["message"], ours["held_s"]) == ("back", "INFO", "the bus is back", 2)
    assert (theirs["id"], theirs["level"]) == ("connection-to-was-lost", "WARNING")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_line_is_written_whatever_the_environment_holds(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    """A path that is no UTF-8, a number that no 64 bits hold: the first line of a program was lost to a traceback."""
    stderr = captured(monkeypatch)
    start_logging("INFO", log_format)
    logging.getLogger("x").info("starts", extra={"spill": "/var/\udcff", "heldBytes": 10**20, "more": ["\udcff"]})
    (line,) = stderr.getvalue().splitlines()
    assert str(10**20) in line
    assert line.encode()
    if log_format == "json":
        assert json.loads(line)["spill"] == "/var/\udcff"


def test_there_is_one_vocabulary_of_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEBUG, INFO, WARNING, ERROR: what LOG_LEVEL takes."""
    stderr = captured(monkeypatch)
    start_logging("DEBUG")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.getLogger("x").log(level, "m")
    levels = [json.loads(line)["level"] for line in stderr.getvalue().splitlines()]
    assert levels == ["DEBUG", "INFO", "WARNING", "ERROR", "ERROR"]


def test_text_is_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, level, message, what else there is; no colour but on a terminal, and one line whatever a message holds."""
    stderr = captured(monkeypatch)
    start_logging("INFO", "text")
    logging.getLogger("x").error("a\nforged \x1b[31mline", extra={"bus": "b\u2028", "n": 3})
    (line,) = stderr.getvalue().splitlines()
    assert line[8:] == " ERROR    a forged  [31mline  bus=b   n=3"


@pytest.mark.parametrize(
    ("log_format", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("text", False, True)],
)
def test_auto_is_text_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool, text: bool
) -> None:
    """Else JSON, which a collector reads."""
    captured(monkeypatch, terminal=terminal)
    assert is_text(log_format) is text


def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, whatever its value."""
    stderr = captured(monkeypatch, terminal=True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    start_logging("INFO", "auto")
    logging.getLogger("x").error("m")
    assert "\x1b[31mERROR" in stderr.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured()


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
    told = [json.loads(line)["message"] for line in full.read(2)]
    assert told == ["read again", "500 lines of the log were left out: nobody read them"]


def test_a_line_longer_than_a_pipe_comes_whole_where_it_is_read(full: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is only slow misses nothing."""
    monkeypatch.setattr(log, "PATIENCE_MS", 5_000)  # on a busy machine it may not run for as long as it really is
    full.read(0)
    monkeypatch.setattr(sys, "stderr", full.stderr)
    start_logging("INFO")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(full.read(1)), daemon=True)
    reader.start()
    logging.getLogger("x").error("m" * 40_000)
    reader.join(5)
    assert json.loads(lines[0])["message"] == "m" * 40_000


def test_a_line_that_was_cut_spoils_no_other(full: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader stood still in the middle of it: the next line begins anew."""
    full.read(0)
    monkeypatch.setattr(sys, "stderr", full.stderr)
    start_logging("INFO")
    logging.getLogger("x").error("m" * 40_000)
    full.read(0)
    logging.getLogger("x").error("whole")
    assert json.loads(full.read(2)[1])["message"] == "whole"


def test_a_log_whose_reader_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody left to tell."""
    other_end, write = os.pipe()
    os.close(other_end)
    with os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        start_logging("INFO")
        logging.getLogger("x").error("m")
