"""Snapshots of children, made by hand, and the folder in which a supervisor finds them."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.merged import SNAPSHOTS, Merged, Merger, read, snapshot_file
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, STAGE_LATENCY, TIME
from stream_router.telemetry.snapshot import Snapshot

CAUGHT_UP = {"callbackAgoS": 0.0, "caughtUpAgoS": 0.0, "behindS": 0.0}


def snapshot(
    shard: str,
    pid: int,
    delivered: int,
    *,
    at: float = 1.0,
    latencies_ms: list[float] | None = None,
    retries: dict[str, int] | None = None,
    times_s: dict[str, float] | None = None,
    gauges: dict[str, float] | None = None,
    **states: Any,
) -> Snapshot:
    """Return a child's snapshot; its latencies are 1 ms, 2 ms, … up to the number delivered, unless given."""
    histogram = Histogram()
    histogram.record([float(n + 1) for n in range(delivered)] if latencies_ms is None else latencies_ms)
    counts = {
        COUNTERS["delivered"].name: {(): delivered},
        COUNTERS["dead_lettered"].name: {("malformed_json",): 1},
        COUNTERS["retried"].name: {(code,): count for code, count in (retries or {"": 2}).items()},
        ENTRIES_PER_CALL.name: {("10",): delivered // 10},
        TIME.name: {(activity,): seconds for activity, seconds in (times_s or {}).items()},
    }
    of_shard = {name: {(): value} for name, value in (gauges or {}).items()}
    stages = {STAGE_LATENCY.name: {("received_to_accepted",): histogram}}
    return Snapshot(at, counts, of_shard, stages, {"shard": shard, "pid": pid, **states})  # type: ignore[arg-type]


def caught_up(shard: str, pid: int, delivered: int, *, at: float, **more: Any) -> Snapshot:
    """Return the snapshot of a child that was called a moment ago and waits for records, unless `more` differs."""
    return snapshot(shard, pid, delivered, at=at, **{**CAUGHT_UP, **more})


def write_snapshots(state: Path, *children: Snapshot) -> None:
    """Write snapshots where their children would."""
    for child in children:
        file = snapshot_file(state, child.states["shard"], child.states["pid"])
        file.parent.mkdir(exist_ok=True)
        half = file.with_suffix(".half")
        half.write_bytes(orjson.dumps(child.to_dict()))
        half.replace(file)


def merged(*children: Snapshot) -> Merged:
    """Return what a supervisor makes of these snapshots while their children live."""
    with TemporaryDirectory() as folder:
        write_snapshots(Path(folder), *children)
        return Merger(Path(folder), lambda _: True).merge()


def read_snapshots(state: Path) -> list[Snapshot]:
    """Return the whole snapshots in a state folder."""
    whole = []
    for file in sorted((state / SNAPSHOTS).glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            whole.append(read(file))
    return whole
