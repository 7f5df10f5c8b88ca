"""Snapshot of a program's metrics and states at one time, the same type for both programs.

A process has one snapshot, and a supervisor sums those of its children. `/status`, `/metrics`, the page, `top` and
CloudWatch are views of it. Names are those of the catalogue (`metrics_catalogue.py`). Labels are the values of a
metric's labels, in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from stream_router.telemetry.histogram import Histogram

Labels = tuple[str, ...]
Numbers = dict[str, dict[Labels, float]]


@dataclass
class Snapshot:
    """Counts and histograms since the program began; gauges and states as they are at `at_s` (epoch seconds).

    An unknown gauge is missing. `states` describe the present state: a code, its beginning, and its reason.
    """

    at_s: float = 0.0
    counts: Numbers = field(default_factory=dict)
    gauges: Numbers = field(default_factory=dict)
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)

    def count(self, name: str, labels: Labels = ()) -> float:
        """Return the value of a counter; 0 if nothing was counted."""
        return self.counts.get(name, {}).get(labels, 0)

    def total(self, name: str) -> float:
        """Return the value of a counter over all of its labels."""
        return sum(self.counts.get(name, {}).values())

    def gauge(self, name: str, labels: Labels = ()) -> float | None:
        """Return the value of a gauge; None if it is unknown."""
        return self.gauges.get(name, {}).get(labels)

    def histogram(self, name: str, labels: Labels = ()) -> Histogram:
        """Return a metric's histogram; an empty one if nothing was recorded."""
        return self.histograms.get(name, {}).get(labels) or Histogram()

    def add(self, other: "Snapshot") -> None:
        """Add the counts and histograms of `other`. Gauges and states are not added."""
        for name, series in other.counts.items():
            mine = self.counts.setdefault(name, {})
            for labels, value in series.items():
                mine[labels] = mine.get(labels, 0) + value
        for name, histograms in other.histograms.items():
            kept = self.histograms.setdefault(name, {})
            for labels, histogram in histograms.items():
                kept.setdefault(labels, Histogram()).merge(histogram)

    def since(self, base: "Snapshot") -> "Snapshot":
        """Return the counts since `base`, an earlier snapshot of this program, with the present gauges and states."""
        counts = {
            name: {labels: value - base.count(name, labels) for labels, value in series.items()}
            for name, series in self.counts.items()
        }
        histograms = {
            name: {labels: histogram.since(base.histogram(name, labels)) for labels, histogram in series.items()}
            for name, series in self.histograms.items()
        }
        return Snapshot(self.at_s, counts, self.gauges, histograms, self.states)

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as JSON data. Each metric is a list of rows: the labels' values, then the number."""
        return {
            "at": self.at_s,
            "counts": _rows(self.counts),
            "gauges": _rows(self.gauges),
            "histograms": {
                name: [[*labels, histogram.to_dict()] for labels, histogram in series.items()]
                for name, series in self.histograms.items()
            },
            "states": self.states,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the snapshot that `to_dict` wrote. Raises KeyError, TypeError, ValueError or IndexError if not."""
        histograms = {
            name: {tuple(labels): Histogram.from_dict(histogram) for *labels, histogram in rows}
            for name, rows in data["histograms"].items()
        }
        return cls(
            float(data["at"]), _numbers(data["counts"]), _numbers(data["gauges"]), histograms, dict(data["states"])
        )


def _rows(numbers: Numbers) -> dict[str, list[list[Any]]]:
    return {name: [[*labels, value] for labels, value in series.items()] for name, series in numbers.items()}


def _numbers(rows: Mapping[str, Any]) -> Numbers:
    return {name: {tuple(labels): value for *labels, value in series} for name, series in rows.items()}
