"""The demo as an operator runs it: what it prints, how it ends, and that it leaves no process behind."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.schema_check import conforms
from tests.system.world import PROGRAM, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PROMISED = {
    "sent", "rejected", "accepted", "injected", "delivered", "deadLettered", "duplicates", "lost", "seconds",
    "eventsPerSecond", "entriesPerCall", "latencyMs",
}  # fmt: skip


def _environment() -> dict[str, str]:
    """An operator's environment with settings that must not reach the demo."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))}
    return {
        **mine,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_REGION": "eu-north-1",
        "AWS_PROFILE": "does-not-exist",
        "STREAM_ROUTER_STREAM": "not this one",
        "SQS_DLQ_URL": "http://127.0.0.1:9/none",
    }


def test_the_demo_accounts_for_every_event() -> None:
    """Every broken post is rejected, every injected record is a dead letter with its right reason, nothing is lost."""
    done = subprocess.run(
        [PROGRAM, "demo", "--events", "3000", "--poison", "2", "--json"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    conforms("demo", result)
    assert result.keys() >= PROMISED
    assert result["latencyMs"].keys() == {"p50", "p90", "p95", "p99", "p999", "max"}
    assert (result["sent"], result["rejected"], result["injected"]) == (3000, 30, 30)
    assert result["accepted"] == result["delivered"] == 2940
    assert result["deadLettered"] == 30
    assert (result["lost"], result["wrongReasons"], result["changedIdentity"]) == (0, 0, 0)
    assert set(result["deadLettersByReason"]) == {
        "malformed_json", "schema_mismatch", "unroutable", "unsupported_version",
    }  # fmt: skip
    assert result["entriesPerCall"] is not None


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        signal.SIGTERM,
        pytest.param(signal.SIGKILL, marks=pytest.mark.long),
    ],
)
def test_no_process_is_left_behind(end: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and kill -9 of the demo in the middle of its traffic all end everything that it started."""
    with (tmp_path / "out").open("w") as out:
        demo = subprocess.Popen(
            [PROGRAM, "demo", "--rate", "50", "--events", "100000"], env=_environment(), stdout=out, stderr=out
        )
    until(lambda: "children, one a shard" in (tmp_path / "out").read_text(), 120, "the demo posts")
    time.sleep(1.0)
    started = _family(demo.pid)
    assert len(started) >= 6, "ministack, receiver, consumer, JVM and two children"
    demo.send_signal(end)
    assert demo.wait(30) == (-signal.SIGKILL if end is signal.SIGKILL else 130)
    until(lambda: not [pid for pid in started if _alive(pid)], 15, "all are gone")


def _family(pid: int) -> list[int]:
    """Every descendant of a process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family - {pid})


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.long
def test_the_demo_loses_nothing_when_a_child_and_the_daemon_are_killed(tmp_path: Path) -> None:
    """Kill -9 of a child, then of the JVM, in the middle of its traffic: lost 0, and every copy has the same ids."""
    with (tmp_path / "err").open("w") as errors:
        demo = subprocess.Popen(
            [PROGRAM, "demo", "--rate", "250", "--events", "5000", "--json"],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    until(lambda: "children, one a shard" in (tmp_path / "err").read_text(), 120, "the demo posts")
    time.sleep(2.0)
    first = _members(demo.pid, "stream_router.consumer.child")
    os.kill(first[0], signal.SIGKILL)
    until(
        lambda: len(set(_members(demo.pid, "stream_router.consumer.child")) - set(first)) >= 2,
        60,
        "it was started again",
    )
    time.sleep(2.0)
    (jvm,) = _members(demo.pid, "software.amazon.kinesis.multilang.MultiLangDaemon")
    os.kill(jvm, signal.SIGKILL)
    out, _ = demo.communicate(timeout=120)
    result = json.loads(out.splitlines()[-1])
    conforms("demo", result)
    assert demo.returncode == 0, (tmp_path / "err").read_text()
    assert (result["sent"], result["lost"], result["changedIdentity"], result["wrongReasons"]) == (5000, 0, 0, 0)


def _members(pid: int, word: str) -> list[int]:
    """The descendants of a process that have `word` on their command line."""
    found = []
    for member in _family(pid):
        with contextlib.suppress(OSError):
            if word in Path(f"/proc/{member}/cmdline").read_bytes().decode("utf-8", "replace").split("\0"):
                found.append(member)
    return found
