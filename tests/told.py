"""What a shard's child tells of itself, made by hand."""

from typing import Any

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import BEHIND, COUNTERS, ENTRIES_PER_CALL, STAGE_LATENCY, TIME
from stream_router.telemetry.snapshot import Snapshot

CAUGHT_UP = {"callbackAgoS": 0.0, "caughtUpAgoS": 0.0}


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
    """A child's snapshot, whose latencies are 1 ms, 2 ms, … up to what it has delivered, unless they are given."""
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
    """The same of a child that was called a moment ago, and waits for records, unless `more` says otherwise."""
    return snapshot(shard, pid, delivered, at=at, **{"gauges": {BEHIND.name: 0.0}, **CAUGHT_UP, **more})
