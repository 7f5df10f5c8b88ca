"""A disk that is full to the last byte holds up no event: the child goes on, and makes good what was missing."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_router.telemetry import audit
from stream_router.telemetry.metrics_catalogue import COUNTERS
from tests import small_disk
from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.snapshots import read_snapshots

BATCH = 200
FULL_S = 4.0
"""Four snapshots would be due."""


def test_a_child_whose_disk_is_full_goes_on_and_makes_good_what_is_missing(tmp_path: Path) -> None:
    """State and audit on a tmpfs of 2 MB that another program filled; the ledger says that all went out, in time."""
    disk = tmp_path / "disk"
    disk.mkdir()
    output, log = small_disk.run_on(disk, "tests.integration.test_full_disk")
    report: dict[str, Any] = json.loads(output)
    assert report["slowestBatchS"] < 1.0
    assert report["accepted"] == report["sent"]
    assert report["checkpointsWhileFull"] > 3, "the checkpoint moves on as ever"
    assert report["snapshotAgeS"] > FULL_S - 2, "no snapshot was written"
    assert log.count("The snapshot of the metrics was not written (No space left on device)") == 1, "once a minute"
    assert log.count("The audit log cannot be written: the disk is full.") == 1
    assert report["deliveredInSnapshot"] == report["sent"], "once there is room, all is told"
    assert report["audit"] == [report["batches"], ""], "each batch has its record, and the chain holds"
    assert not report["torn"], "a line that did not fit was taken back: nothing had crashed"


def _until(is_so: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _delivered(state: Path) -> int:
    return int(sum(snapshot.total(COUNTERS["delivered"].name) for snapshot in read_snapshots(state)))


def inside(disk: Path) -> dict[str, Any]:
    """What happens on the small disk: some batches, then no room, then room again."""
    state, files = disk / "state", disk / "audit"
    state.mkdir()
    prove(state)
    own = {"STREAM_ROUTER_STATE_DIR": str(state), "STREAM_ROUTER_AUDIT_DIR": str(files)}
    with FakeAwsProcess(disk.parent / "ledger", None, 0, "--payloads") as fake_aws:
        with Child(fake_aws.url, None, **own) as child:
            child.initialize()
            sent = batches = 0

            def batch() -> float:
                nonlocal sent, batches
                began = time.monotonic()
                child.process_batch([b"\n".join(envelope(sent + n + 10 * r) for n in range(10)) for r in range(20)])
                sent, batches = sent + BATCH, batches + 1
                return time.monotonic() - began

            batch()
            child.settle()
            _until(lambda: _delivered(state) == sent, 5)
            hog, slowest_s, before = small_disk.fill(disk), 0.0, len(child.checkpoints)
            until = time.monotonic() + FULL_S
            while time.monotonic() < until:
                slowest_s = max(slowest_s, batch())
                child.settle()
                time.sleep(0.05)
            report: dict[str, Any] = {
                "slowestBatchS": slowest_s,
                "checkpointsWhileFull": len(child.checkpoints) - before,
            }
            report["snapshotAgeS"] = time.time() - max(snapshot.at_s for snapshot in read_snapshots(state))
            hog.unlink()
            (file,) = files.iterdir()
            # No further batch comes: the shard is quiet from here on.
            _until(lambda: _delivered(state) == sent and audit.verify(file, None).lines == batches, 5)
            report["deliveredInSnapshot"] = _delivered(state)
            report["audit"] = audit.verify(file, None)
            report["torn"] = "tornBytesBefore" in file.read_text("utf-8")
            child.say("shutdownRequested")
            assert child.hang_up() == 0
        accepted = len(fake_aws.lines("PutEvents", "accepted"))
        return {**report, "sent": sent, "batches": batches, "accepted": accepted}


if __name__ == "__main__":
    json.dump(inside(Path(sys.argv[1])), sys.stdout)
