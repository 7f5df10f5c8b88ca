"""What was so lately: rates over a minute, percentiles over five, shares of time, how fast each shard catches up.

Bounded: one sample every ten seconds, for five minutes.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from stream_router.telemetry.merged import Merged, Shard
from stream_router.telemetry.metrics_catalogue import COUNTERS, TIME
from stream_router.telemetry.snapshot import Snapshot

SAMPLE_S = 10.0
RATES_S = 60.0
PERCENTILES_S = 300.0

RATES = {
    "deliveredPerS": COUNTERS["delivered"].name,
    "deadLettersPerS": COUNTERS["dead_lettered"].name,
    "retriesPerS": COUNTERS["retried"].name,
    "recordsPerS": COUNTERS["records"].name,
}
"""Rates by name, each of a counter."""

SLOWEST = 0.001
"""Seconds of lag gained in a second; what is slower is no catching up."""

ACTIVITIES = ("waiting", "work", "bus", "holding", "deadLetters")

Times = Mapping[str, float]


class Age(NamedTuple):
    """A shard's lag in seconds, and when its child said what it is reckoned from (epoch seconds)."""

    said_s: float
    seconds: float


class Sample(NamedTuple):
    """How it stood at a moment (monotonic seconds)."""

    at: float
    totals: Snapshot
    times: dict[tuple[str, int], Times]
    """Seconds of each child by activity."""
    ages: dict[str, "Age"]
    """Each shard's lag."""


class Recent:
    """Remembers samples. `note` is called at least every SAMPLE_S; more often costs nothing."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=int(PERCENTILES_S / SAMPLE_S) + 2)

    def note(self, at: float, merged: Merged, ages: Mapping[str, Age]) -> None:
        """How it stands now."""
        if self._samples and at - self._samples[-1].at < SAMPLE_S - 0.5:
            return
        times = {(shard.shard_id, shard.pid): _times(shard) for shard in merged.shards}
        self._samples.append(Sample(at, merged.totals, times, dict(ages)))

    def rates(self, at: float, totals: Snapshot) -> dict[str, float | None]:
        """Means over the last minute, or over as much of it as is known; None before anything is."""
        base = self._before(at, RATES_S)
        if base is None:
            return dict.fromkeys(RATES)
        over_s = at - base.at
        return {name: round((totals.total(one) - base.totals.total(one)) / over_s, 3) for name, one in RATES.items()}

    def totals(self, at: float, totals: Snapshot) -> tuple[float, Snapshot]:
        """What was counted over the last five minutes, and over how many seconds in truth."""
        base = self._before(at, PERCENTILES_S)
        return (0.0, Snapshot()) if base is None else (at - base.at, totals.since(base.totals))

    def shares(self, at: float, shard: Shard) -> dict[str, float] | None:
        """Where the child's time went in the last minute, as shares that sum to 1; None where it does not tell."""
        now = _times(shard)
        base = self._before(at, RATES_S)
        before = base.times.get((shard.shard_id, shard.pid), {}) if base else {}
        spent = {name: max(0.0, now.get(name, 0.0) - before.get(name, 0.0)) for name in ACTIVITIES}
        total = sum(spent.values())
        return {name: round(seconds / total, 4) for name, seconds in spent.items()} if total > 0 else None

    def catch_up_s(self, at: float, shard_id: str, now: Age | None) -> float | None:
        """Seconds until the shard has caught up at the speed of the last minute; None where it gains nothing.

        The speed is that since the lag was largest: a straight line through what was said after it.
        """
        if now is None or not now.seconds:
            return None if now is None else 0.0
        lately = [one.ages[shard_id] for one in self._samples if shard_id in one.ages and one.at > at - RATES_S]
        said = [*lately, now]
        peak = max(range(len(said)), key=lambda n: said[n].seconds)
        # The largest lag was between this sample and the next: it is left out where others tell enough.
        points = said[peak + 1 :] if now.said_s - said[min(peak + 1, len(said) - 1)].said_s >= SAMPLE_S else said[peak:]
        if now.said_s - points[0].said_s < 1.0:
            return None
        speed = -float(np.polyfit([one.said_s - now.said_s for one in points], [one.seconds for one in points], 1)[0])
        return round(now.seconds / speed, 1) if speed > SLOWEST else None

    def _before(self, at: float, span_s: float) -> Sample | None:
        """The newest sample that is as old as that, or the oldest of all; None where none is a second old."""
        found = None
        for one in self._samples:
            if found is None or at - one.at >= span_s:
                found = one
        return found if found and at - found.at >= 1.0 else None


def _times(shard: Shard) -> Times:
    return {activity: seconds for (activity,), seconds in shard.told.counts.get(TIME.name, {}).items()}
