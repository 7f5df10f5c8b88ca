"""The daemon's output on its way to ours: repeats are folded, words of the dying pass, nothing stops the reading."""

import errno
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from stream_router.aws_error_codes import MissingPermission
from stream_router.consumer.supervisor.daemon_log import MAX_MESSAGE_CHARS, DaemonLog
from stream_router.log import Form, as_json

PID = 4711


class World:
    """A log whose clock the test moves."""

    def __init__(self, form: Form = as_json) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.skips: list[None] = []
        self.failed_starts: list[None] = []
        self.refusals: list[MissingPermission] = []
        self.log = DaemonLog(
            self.lines.append,
            lambda: self.skips.append(None),
            lambda: self.failed_starts.append(None),
            self.refusals.append,
            PID,
            form,
            clock=lambda: self.now,
        )

    def kcl(self, message: str, logger: str = "software.amazon.kinesis.X") -> None:
        line = {"time": "2026-11-25T10:00:00.000Z", "level": "INFO", "event": "kcl", "logger": logger}
        self.log.take(json.dumps({**line, "message": message}))

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def test_a_repeated_trace_is_said_once_a_minute_with_its_count() -> None:
    """What differs is a shard, a request's id, a number: it is the same trouble. Another, or a child's, is said."""
    world = World()
    for second in range(100):
        world.now = float(second)
        world.kcl(f"shardId-{second % 2:012d}: refused, try {second} (3f2a91c0-1111-2222-3333-44445555{second:04d})")
        if second in (0, 1):
            world.kcl("AccessDeniedException")
            world.kcl("AccessDeniedException", logger="another")
    assert [line.get("repeated") for line in world.log_lines()] == [None, None, None, 59]
    assert {line["pid"] for line in world.log_lines()} == {PID}, "Java does not write its own"
    world.kcl("x" * 10_000)
    assert len(world.log_lines()[-1]["message"]) == MAX_MESSAGE_CHARS
    for _ in range(3):
        world.log.take('{"time":"t","level":"WARNING","event":"holding","message":"m","pid":12}')
    assert [line["pid"] for line in world.log_lines()[-3:]] == [12, 12, 12]


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
    assert not world.skips
    world.kcl(message)
    world.kcl(message)
    assert len(world.skips) == 2


def test_a_lease_coordinator_that_did_not_start_is_reported_each_time() -> None:
    """The KCL tries again in the same JVM, and may leave out what failed: a line that is folded counts too."""
    world = World()
    world.kcl("Initializing LeaseCoordinator attempt 1")
    assert not world.failed_starts
    for _ in range(2):
        world.kcl(
            "Caught exception when initializing LeaseCoordinator software.amazon.awssdk.services.dynamodb.model.R"
        )
    assert (len(world.failed_starts), len(world.skips)) == (2, 0)


def test_a_refused_permission_is_reported_each_time() -> None:
    """A line that is held back as a repeat counts too, so that the refusal lasts as long as AWS refuses."""
    world = World()
    sentence = "User: u is not authorized to perform: kinesis:GetRecords on resource: arn:x because no policy allows it"
    for _ in range(2):
        world.kcl(f"shardId-000000000000 : AccessDeniedException: {sentence}")
    world.kcl("shardId-000000000000 : Rate exceeded")
    assert world.refusals == [MissingPermission("kinesis:GetRecords", "arn:x")] * 2


def test_whatever_is_wrong_with_a_line_stops_no_other() -> None:
    """A full disk behind standard error, a line that no form knows, no UTF-8, no message: a skip is told of later. What
    has no form (an interpreter's or a JVM's last words) passes as it is."""

    def form(line: Mapping[str, object]) -> str:
        if "x" in line:
            raise RecursionError
        if "full" in line:
            raise OSError(errno.ENOSPC, "no space left on device")
        return json.dumps(line)

    world = World(form)
    words = [b"Fatal Python error: Segmentation fault", b"{not json", b"[1]", b'{"a":1}', b""]
    lines = [
        b'{"level":"INFO","x":1}',
        b'{"level":"INFO","full":1}',
        b'{"level":"INFO","y":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"level":"INFO","event":"kcl"}',
        b"\xff",
        b'{"level":"ERROR","event":"kcl","message":"the event stream ended. The incoming data has been skipped"}',
        *words,
    ]
    world.log.follow(io.BytesIO(b"\n".join(lines) + b"\n"))
    assert len(world.skips) == 1
    assert len(world.lines) == 4 + len(words)
    assert world.lines[-len(words) :] == [word.decode() for word in words]
