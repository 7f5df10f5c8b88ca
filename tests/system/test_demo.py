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


def demo(*words: str) -> dict[str, Any]:
    """Run it to its end: the object that it prints last, and what it says on the way as `said`."""
    command = [PROGRAM, "demo", "--json", *words]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    conforms("demo", result)
    return {**result, "said": done.stderr.replace("\n", " ")}


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
    result = demo("--events", "3000", "--poison", "2")
    assert (result["sent"], result["rejected"], result["injected"]) == (3000, 30, 30)
    assert result["accepted"] == result["delivered"] == 2940
    assert result["deadLettered"] == 30
    assert (result["lost"], result["wrongReasons"], result["changedIdentity"]) == (0, 0, 0)
    reasons = {"malformed_json", "schema_mismatch", "unroutable", "unsupported_version"}
    assert result["deadLettersByReason"].keys() == reasons
    assert result["entriesPerCall"] is not None


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.long
def test_no_process_is_left_behind(end: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and kill -9 of the demo in the middle of its traffic all end everything that it started."""
    with (tmp_path / "out").open("w") as out:
        demo = subprocess.Popen(
            [PROGRAM, "demo", "--rate", "50", "--events", "100000"], env=_environment(), stdout=out, stderr=out
        )
    until(lambda: "children, one per shard" in (tmp_path / "out").read_text(), 120, "the demo posts")
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
def test_a_demo_in_which_things_break_loses_nothing() -> None:
    """`--chaos`: each fault is said when it happens, lost 0, and every copy has the same ids."""
    result = demo("--chaos")
    assert (result["sent"], result["lost"], result["changedIdentity"], result["wrongReasons"]) == (10_000, 0, 0, 0)
    assert len(result["faults"]) == 7
    assert result["readAgain"] > 0, "what a killed process had sent since its last checkpoint"
    assert result["duplicates"] == result["readAgain"] + result["sentAgain"]
    assert all(fault["what"].split(";")[0] in result["said"] for fault in result["faults"])
