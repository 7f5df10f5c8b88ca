"""`/metrics`: a snapshot in Prometheus's words and base units, by the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import BUILD, PREFIX, Metric
from stream_router.telemetry.snapshot import Snapshot

L = TypeVar("L", bound=tuple[str, ...])
"""The values of a metric's labels."""


class _Families(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def text(families: Sequence[Family]) -> bytes:
    """The page of these families."""
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)


def page(snapshot: Snapshot, metrics: Iterable[Metric], bounds_s: Sequence[float], program: str) -> bytes:
    """The page of a snapshot. A counter without labels that nothing was counted of is 0; an unknown gauge is absent."""
    families: list[Family] = []
    for metric in metrics:
        if metric.kind == "counter":
            counts = snapshot.counts.get(metric.name) or ({} if metric.labels else {(): 0.0})
            families.append(counter(metric, counts))
        elif metric.kind == "histogram":
            histograms: dict[tuple[str, ...], Histogram] = snapshot.histograms.get(metric.name) or {(): Histogram()}
            families.append(latency(metric, bounds_s, histograms))
        elif metric is not BUILD:
            families.append(gauge(metric, snapshot.gauges.get(metric.name, {})))
    return text([*families, build(program)])


def counter(metric: Metric, values: Mapping[L, float]) -> Family:
    """A counter with a sample for each of `values`, by its labels."""
    family = CounterMetricFamily(PREFIX + metric.name, metric.text, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value * metric.scale)
    return family


def gauge(metric: Metric, values: Mapping[L, float | None]) -> Family:
    """The same of a gauge; what is None has no sample."""
    family = GaugeMetricFamily(PREFIX + metric.name, metric.text, labels=metric.labels)
    for labels, value in sorted(values.items()):
        if value is not None:
            family.add_metric(labels, value * metric.scale)
    return family


def build(program: str) -> Family:
    """Which program it is, and its version."""
    return gauge(BUILD, {(program, version("stream_router")): 1.0})


def latency(metric: Metric, bounds_s: Iterable[float], values: Mapping[L, Histogram]) -> Family:
    """Histograms of milliseconds as classic ones of seconds. Sums are those of the buckets' values, within 1 %."""
    family = HistogramMetricFamily(PREFIX + metric.name, metric.text, labels=metric.labels)
    bounds = list(bounds_s)
    for labels, histogram in sorted(values.items()):
        counts = {value_ms / 1000: count for value_ms, count in zip(*histogram.values_counts(), strict=True)}
        sum_s = sum(value_s * count for value_s, count in counts.items())
        family.add_metric(labels, cumulative(counts, bounds), sum_s)
    return family


def cumulative(counts: Mapping[float, int] | Mapping[int, int], bounds: Iterable[float]) -> list[tuple[str, float]]:
    """How many values do not exceed each bound."""
    below = [(str(float(bound)), sum(count for value, count in counts.items() if value <= bound)) for bound in bounds]
    return [*below, ("+Inf", sum(counts.values()))]
