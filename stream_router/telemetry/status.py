"""The JSON object of `/status`, made from the present snapshot and earlier snapshots.

Its schema is docs/schemas/status.json. The first fields name the program and its state. Then come totals since the
program began, rates over a minute, and percentiles over five minutes. Fields that only one program has come last.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from stream_router.process import iso
from stream_router.telemetry import metrics_catalogue as metrics
from stream_router.telemetry.metrics_catalogue import COUNTERS, Metric
from stream_router.telemetry.snapshot import Labels, Snapshot

SCHEMA: Final = "stream-router.status/3"
SAMPLE_INTERVAL_S = 10.0
"""Seconds between two samples that are kept."""
RATE_WINDOW_S = 60.0
"""Seconds over which rates are computed."""
RECENT_S = 300.0
"""Seconds over which the latest percentiles are computed."""

_STARTED_AT_S = time.time()


class StatusLayout(NamedTuple):
    """Names of a program's metrics in its `/status`."""

    program: Literal["consume", "receive"]
    counters: Mapping[str, Metric]
    rates: Mapping[str, str]
    """Name of the counter behind each rate, as in `counters`."""
    tables: Mapping[str, Metric]
    """Counters that are shown by label. With several labels the counts are summed over the first one, the source."""
    latency: Metric


CONSUMER: Final = StatusLayout(
    "consume",
    {str(name): metric for name, metric in COUNTERS.items()},
    {
        "deliveredPerS": "delivered",
        "deadLettersPerS": "dead_lettered",
        "retriesPerS": "retried",
        "recordsPerS": "records",
    },
    {"deadLetters": COUNTERS["dead_lettered"], "retries": COUNTERS["retried"]},
    metrics.STAGE_LATENCY,
)
RECEIVER: Final = StatusLayout(
    "receive",
    {
        metric.name.removeprefix("receiver_events_"): metric
        for metric in metrics.RECEIVER
        if metric.name.startswith("receiver_events_")
    },
    {"storedPerS": "stored", "spilledPerS": "spilled", "refusedPerS": "refused"},
    {"answers": metrics.REQUESTS, "failures": metrics.RECORDS_FAILED},
    metrics.DURATION,
)
ANSWERED = "answered"
"""Name of the receiver's only stage, from the head of a verified delivery to its answer."""

Times = Mapping[Labels, float]


class Sample(NamedTuple):
    """Snapshot at one time (monotonic seconds)."""

    at: float
    snapshot: Snapshot
    times: Mapping[tuple[str, int], Times]
    """Seconds by activity of each child of the consumer (shard, process id)."""


class RecentSamples:
    """Samples of the last five minutes, one every ten seconds. Call `note` at least that often."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=int(RECENT_S / SAMPLE_INTERVAL_S) + 2)
        """Samples, the oldest first. The number leaves room, so that the oldest is usually more than RECENT_S old."""

    def note(self, now: Sample) -> Sample | None:
        """Add a sample if one is due. Return the sample before it; None if there is none, or nothing was added."""
        before = self._samples[-1] if self._samples else None
        # A caller with the same interval may come a little early, so half a second is tolerated.
        if before and now.at - before.at < SAMPLE_INTERVAL_S - 0.5:
            return None
        self._samples.append(now)
        return before

    def before(self, at: float, span_s: float) -> Sample | None:
        """Return the newest sample at least `span_s` old, or the oldest of all; None if none is a second old."""
        newest = None
        for sample in self._samples:
            if newest is None or at - sample.at >= span_s:
                newest = sample
        return newest if newest and at - newest.at >= 1.0 else None


def status(
    shape: StatusLayout,
    region: str,
    stream: str,
    now: Snapshot,
    recent: RecentSamples,
    at: float,
    parts: Mapping[str, Any],
    totals: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the object of `/status` at the time `at` (monotonic seconds). The verdict is in `now.states`.

    `parts` has the fields that only this program has, `totals` those that only the totals of this program have.
    """
    minute_start, recent_start = recent.before(at, RATE_WINDOW_S), recent.before(at, RECENT_S)
    return {
        "schema": SCHEMA,
        "program": shape.program,
        "version": version("stream_router"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "region": region,
        "stream": stream,
        "at": iso(now.at_s * 1000),
        "startedAt": iso(_STARTED_AT_S * 1000),
        "code": now.states["code"],
        "state": now.states["state"],
        "level": now.states["level"],
        "since": iso(now.states["sinceS"] * 1000),
        "reason": now.states["reason"],
        "meaning": now.states["meaning"],
        "cure": now.states["cure"],
        "rates": {name: _rate(shape.counters[counter], now, minute_start, at) for name, counter in shape.rates.items()},
        "totals": {
            "counters": counters(shape, now),
            **{name: _table(now.counts.get(metric.name, {})) for name, metric in shape.tables.items()},
            "latenciesMs": _latencies(shape, now),
            **totals,
        },
        "recent": {
            "seconds": round(at - recent_start.at) if recent_start else 0,
            "latenciesMs": _latencies(shape, now.since(recent_start.snapshot)) if recent_start else {},
        },
        **parts,
    }


def counters(shape: StatusLayout, now: Snapshot) -> dict[str, float]:
    """Return the value of every counter over all of its labels, by its name in `/status`."""
    return {name: now.total(metric.name) for name, metric in shape.counters.items()}


def _rate(counter: Metric, now: Snapshot, earlier: Sample | None, at: float) -> float | None:
    """Return how much a counter grew per second since an earlier sample; None without such a sample."""
    if earlier is None:
        return None
    growth = now.total(counter.name) - earlier.snapshot.total(counter.name)
    return round(growth / (at - earlier.at), 3)


def _table(series: Mapping[Labels, float]) -> dict[str, int]:
    """Return the counts of a metric that are not 0, by label; summed over the first label if there are several."""
    totals: dict[str, int] = {}
    for labels, count in series.items():
        if count:
            name = " ".join(labels[1:] or labels)
            totals[name] = totals.get(name, 0) + int(count)
    return totals


def _latencies(shape: StatusLayout, snapshot: Snapshot) -> dict[str, dict[str, float]]:
    """Return percentiles by stage, in ms. The receiver's histogram has no label: its only stage is ANSWERED."""
    stages = snapshot.histograms.get(shape.latency.name, {})
    return {labels[0] if labels else ANSWERED: histogram.summary() for labels, histogram in sorted(stages.items())}
