"""What was so lately: rates over a minute, percentiles over five, shares of time, how fast each shard catches up.

Bounded: one sample every ten seconds, for five minutes.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from stream_router.telemetry.merged_shards import Merged, Shard, Totals

SAMPLE_S = 10.0
RATES_S = 60.0
PERCENTILES_S = 300.0

RATES = {
    "deliveredPerS": "delivered",
    "deadLettersPerS": "dead_lettered",
    "retriesPerS": "retried",
    "recordsPerS": "records",
}
"""Rates by name, each of a counter."""

ACTIVITIES = ("waiting", "work", "bus", "holding", "deadLetters")

Times = Mapping[str, float]


class Sample(NamedTuple):
    """How it stood at a moment (monotonic seconds)."""

    at: float
    totals: Totals
    times: dict[tuple[str, int], Times]
    """Seconds of each child by activity."""
    ages: dict[str, float]
    """Each shard's lag in seconds."""


class Recent:
    """Remembers samples. `note` is called at least every SAMPLE_S; more often costs nothing."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=int(PERCENTILES_S / SAMPLE_S) + 2)

    def note(self, at: float, merged: Merged, ages: Mapping[str, float | None]) -> None:
        """How it stands now."""
        if self._samples and at - self._samples[-1].at < SAMPLE_S - 0.5:
            return
        times = {(shard.shard_id, shard.pid): _times(shard) for shard in merged.shards}
        known = {name: age for name, age in ages.items() if age is not None}
        self._samples.append(Sample(at, merged.totals, times, known))

    def rates(self, at: float, totals: Totals) -> dict[str, float | None]:
        """Means over the last minute, or over as much of it as is known; None before anything is."""
        base = self._before(at, RATES_S)
        if base is None:
            return dict.fromkeys(RATES)
        over_s = at - base.at
        return {
            name: round((totals.counters[counter] - base.totals.counters[counter]) / over_s, 3)
            for name, counter in RATES.items()
        }

    def totals(self, at: float, totals: Totals) -> tuple[float, Totals]:
        """What was counted over the last five minutes, and over how many seconds in truth."""
        base = self._before(at, PERCENTILES_S)
        return (0.0, Totals()) if base is None else (at - base.at, totals.since(base.totals))

    def shares(self, at: float, shard: Shard) -> dict[str, float] | None:
        """Where the child's time went in the last minute, as shares that sum to 1; None where it does not tell."""
        now = _times(shard)
        base = self._before(at, RATES_S)
        before = base.times.get((shard.shard_id, shard.pid), {}) if base else {}
        spent = {name: max(0.0, now.get(name, 0.0) - before.get(name, 0.0)) for name in ACTIVITIES}
        total = sum(spent.values())
        return {name: round(seconds / total, 4) for name, seconds in spent.items()} if total > 0 else None

    def catch_up_s(self, at: float, shard_id: str, age_s: float | None) -> float | None:
        """Seconds until the shard has caught up at the speed of the last minute; None where it gains nothing."""
        if not age_s:
            return age_s
        known = [
            (one.at, one.ages[shard_id]) for one in self._samples if shard_id in one.ages and one.at > at - RATES_S
        ]
        if not known:
            return None
        began_at, most_s = max(known, key=lambda one: one[1])
        if at - began_at < 1.0 or most_s <= age_s:
            return None
        return round(age_s * (at - began_at) / (most_s - age_s), 1)

    def _before(self, at: float, span_s: float) -> Sample | None:
        """The newest sample that is as old as that, or the oldest of all; None where none is a second old."""
        found = None
        for one in self._samples:
            if found is None or at - one.at >= span_s:
                found = one
        return found if found and at - found.at >= 1.0 else None


def _times(shard: Shard) -> Times:
    told: Any = shard.told.get("timeS")
    return told if isinstance(told, dict) else {}
