"""The child as a process: a setting drops events, its bus goes before its shard ends, SIGTERM comes at any time."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.consumer.supervisor.properties import CHILD_COMMAND, CHILD_VARIABLE
from stream_router.telemetry.metrics_catalogue import COUNTERS
from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.told import read_snapshots


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 1, "--payloads") as running:
        yield running


def test_a_dropped_event_is_checkpointed_and_counted(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """With STREAM_ROUTER_UNROUTABLE=drop an unknown type goes nowhere, holds nothing up and is one of `dropped`."""
    with Child(fake_aws.url, tmp_path, STREAM_ROUTER_UNROUTABLE="drop") as child:
        child.initialize()
        mixed = b"\n".join((envelope(1), envelope(2, eventType="unheard.of"), envelope(3)))
        records = child.process_batch([mixed, envelope(4, eventType="unheard.of")])
        child.say("shutdownRequested")
        assert child.checkpoints[-1] == (records[-1]["sequenceNumber"], 0)
        assert child.hang_up() == 0
    assert sorted(line["eventId"] for line in fake_aws.lines("PutEvents")) == [f"{1:032x}", f"{3:032x}"]
    assert fake_aws.lines("SendMessageBatch") == []
    (snapshot,) = read_snapshots(tmp_path)
    counted = [snapshot.total(COUNTERS[name].name) for name in ("delivered", "dropped", "dead_lettered")]
    assert counted == [2, 2, 0]


@pytest.mark.parametrize("when", ["initialize", "processRecords", "shutdownRequested", "shardEnded", "leaseLost"])
def test_sigterm_in_each_callback_loses_nothing(fake_aws: FakeAwsProcess, tmp_path: Path, when: str) -> None:
    """The child ends by itself (75 where a shard's end is not settled), and all that its checkpoint passed was sent."""
    prove(tmp_path)
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        first = child.sequence + 1
        if when == "initialize":
            child.terminate()
        child.begin(child.records(envelope(n) for n in range(200)))
        if when == "processRecords":
            child.terminate()
        child.done("processRecords")
        end = when if when in ("shardEnded", "leaseLost") else "shutdownRequested"
        child.send({"action": end})
        child.terminate()
        with contextlib.suppress(EOFError):
            child.done(end)
        assert child.hang_up() in ((0, os.EX_TEMPFAIL) if when == "shardEnded" else (0,))
        at = [child.sequence if number is None else int(number) for number, _ in child.checkpoints]
    sent = {line["eventId"] for line in fake_aws.lines("PutEvents", "accepted")}
    assert {f"{n:032x}" for n in range(max(at, default=first - 1) - first + 1)} <= sent


def await_sigterm(child: Child, mask: str) -> None:
    """Until the process ignores SIGTERM (mask SigIgn of proc(5)), or catches it (SigCgt)."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for line in Path(f"/proc/{child.process.pid}/status").read_text("utf-8").splitlines():
            if line.startswith(f"{mask}:") and int(line.split()[1], 16) & 1 << signal.SIGTERM - 1:
                return
        time.sleep(0.001)
    raise TimeoutError(mask)


@pytest.mark.parametrize(
    "mask", ["SigIgn", "SigCgt"], ids=["before Python is there", "as the program's first act is done"]
)
def test_sigterm_while_it_starts_ends_no_child(fake_aws: FakeAwsProcess, tmp_path: Path, mask: str) -> None:
    """It begins, and ends with its daemon: one that dies instead is waited for by the daemon for all of its grace."""
    prove(tmp_path)
    command, environment = CHILD_COMMAND.split(" "), {CHILD_VARIABLE: sys.executable}
    with Child(fake_aws.url, tmp_path, command=command, **environment) as child:
        await_sigterm(child, mask)
        child.terminate()
        child.initialize()
        child.process_batch([envelope(1)])
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    if mask == "SigCgt":
        assert fake_aws.lines("PutEvents") == [], "what it was told is known: it took nothing in hand"
