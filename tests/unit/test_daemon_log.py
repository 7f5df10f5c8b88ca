"""The daemon's output on its way to ours: repeats are folded, words of the dying pass, the form is the operator's."""

import errno
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from stream_router.consumer.supervisor.daemon_log import LONGEST_MESSAGE, DaemonLog
from stream_router.log import Form, as_json, as_text

PID = 4711


class World:
    """A log whose clock the test moves."""

    def __init__(self, form: Form = as_json) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.skipped = 0
        self.log = DaemonLog(self.lines.append, self.skips, PID, form, clock=lambda: self.now)

    def skips(self) -> None:
        self.skipped += 1

    def kcl(self, message: str, level: str = "ERROR", logger: str = "software.amazon.kinesis.X") -> None:
        line = {
            "time": "2026-11-25T10:00:00.000Z",
            "level": level,
            "event": "kcl",
            "logger": logger,
            "message": message,
        }
        self.log.take(json.dumps(line))

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def test_a_repeated_trace_is_said_once_a_minute_with_its_count() -> None:
    """What differs is a shard, a request's id, a number: it is the same trouble."""
    world = World()
    for second in range(100):
        world.now = float(second)
        world.kcl(
            f"shardId-{second % 2:012d}: refused, attempt {second} (3f2a91c0-1111-2222-3333-44445555{second:04d})"
        )
    assert [line.get("repeated") for line in world.said()] == [None, 59]


@pytest.mark.parametrize(
    "message",
    [
        "single_stream_mode : Exception occurred while dispatching incoming data.  The incoming data has been skipped",
        "shardId-000000000000: Caught exception from handleInput java.lang.RuntimeException: Unable to execute",
        "a batch failed in the KCL before its child had it",
        "Unexpected exception was thrown. java.lang.NullPointerException at KinesisClientRecord.fromRecord(Kinesis",
    ],
)
def test_records_that_the_daemon_skips_are_told_of_each_time(message: str) -> None:
    """The KCL goes on behind them, and the next checkpoint would pass them: a repeat that is folded tells of it too."""
    world = World()
    world.kcl("shardId-000000000000: Exception thrown while fetching records from Kinesis")
    assert world.skipped == 0
    world.kcl(message)
    world.kcl(message)
    assert world.skipped == 2


def test_another_trouble_is_said_at_once() -> None:
    """Folding one hides no other."""
    world = World()
    world.kcl("Connection refused")
    world.kcl("Connection refused")
    world.kcl("AccessDeniedException")
    world.kcl("Connection refused", logger="another")
    assert [line["message"] for line in world.said()] == [
        "Connection refused",
        "AccessDeniedException",
        "Connection refused",
    ]


def test_a_trouble_that_comes_back_is_said_again() -> None:
    """After a minute, with what was kept back before."""
    world = World()
    world.kcl("x")
    world.kcl("x")
    world.now = 3600.0
    world.kcl("x")
    assert [line.get("repeated") for line in world.said()] == [None, 1]


def test_the_kcls_lines_tell_whose_they_are_as_ours_do() -> None:
    """Java does not write its process id; a child's line keeps its own."""
    world = World()
    world.kcl("Lease taken", level="INFO")
    world.log.take('{"time":"t","level":"WARNING","event":"holding","message":"m","pid":12}')
    assert [line["pid"] for line in world.said()] == [PID, 12]


def test_our_own_lines_are_never_folded() -> None:
    """A child's line says each time what it has to say."""
    world = World()
    for _ in range(3):
        world.log.take('{"time":"t","level":"WARNING","event":"holding","message":"m"}')
    assert len(world.lines) == 3


def test_a_long_trace_is_cut() -> None:
    """The first frames say it."""
    world = World()
    world.kcl("x" * 10_000)
    assert len(world.said()[0]["message"]) == LONGEST_MESSAGE


@pytest.mark.parametrize("raw", ["Fatal Python error: Segmentation fault", "{not json", "[1]", '{"a":1}', ""])
def test_what_has_no_form_passes_as_it_is(raw: str) -> None:
    """An interpreter's or a JVM's last words."""
    world = World()
    world.log.take(raw)
    assert world.lines == [raw]


def test_on_a_terminal_the_daemons_lines_are_text_too() -> None:
    """All programs of `consume` speak in one form."""
    world = World(as_text)
    world.kcl("Lease taken", level="INFO")
    assert world.lines == ["10:00:00 INFO     Lease taken"]


def test_a_stream_is_followed_to_its_end() -> None:
    """Bytes that are no UTF-8 end nothing."""
    world = World()
    world.log.follow(io.BytesIO(b"one\n\xff\xfe two\nthree"))
    assert world.lines == ["one", "\ufffd\ufffd two", "three"]


def test_a_line_that_cannot_be_written_stops_no_other() -> None:
    """A full disk behind standard error: what comes once there is room again is passed on."""
    passed: list[str] = []

    def write(line: str) -> None:
        if "lost" in line:
            raise OSError(errno.ENOSPC, "no space left on device")
        passed.append(line)

    log = DaemonLog(write, lambda: None, PID, as_json)
    log.follow(io.BytesIO(b"lost\nfound\n"))
    assert passed == ["found"]


def test_a_line_of_the_kcls_without_a_message_is_passed_on() -> None:
    """Whatever a logger leaves out, the thread that reads for all goes on."""
    world = World()
    world.log.take('{"level":"INFO","event":"kcl"}')
    assert [line["message"] for line in world.said()] == [""]


def test_a_line_that_has_no_form_in_which_it_could_be_written_stops_no_other() -> None:
    """What nobody foresaw about one line ends no reading: a skip may be told of later."""

    def form(line: Mapping[str, object]) -> str:
        if "x" in line:
            raise RecursionError
        return json.dumps(line)

    world = World(form)
    skip = b'{"level":"ERROR","event":"kcl","message":"The incoming data has been skipped"}'
    world.log.follow(io.BytesIO(b'{"level":"INFO","x":1}\n' + skip + b"\n"))
    assert world.skipped == 1
    assert len(world.lines) == 1


def test_a_line_that_nests_deep_is_written_all_the_same() -> None:
    """The fast writer takes fewer levels than the reader."""
    world = World()
    deep = b'{"level":"INFO","x":' + b"[" * 400 + b"]" * 400 + b"}"
    world.log.follow(io.BytesIO(deep + b"\n"))
    assert len(world.lines) == 1
