"""Families of Prometheus's client, made from metrics of the catalogue."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import BUILD, PREFIX, Metric

L = TypeVar("L", bound=tuple[str, ...])
"""The values of a metric's labels."""


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


def latency(
    metric: Metric,
    bounds_s: Iterable[float],
    values: Mapping[L, Histogram],
    sums_s: Mapping[L, float] | None = None,
) -> Family:
    """Histograms of milliseconds as classic ones of seconds.

    Sums are those of the buckets' values, where `sums_s` does not tell them.
    """
    family = HistogramMetricFamily(PREFIX + metric.name, metric.text, labels=metric.labels)
    bounds = list(bounds_s)
    for labels, histogram in sorted(values.items()):
        counts = {value_ms / 1000: count for value_ms, count in zip(*histogram.values_counts(), strict=True)}
        sum_s = sums_s[labels] if sums_s else sum(value_s * count for value_s, count in counts.items())
        family.add_metric(labels, cumulative(counts, bounds), sum_s)
    return family


def cumulative(counts: Mapping[float, int] | Mapping[int, int], bounds: Iterable[float]) -> list[tuple[str, float]]:
    """How many values do not exceed each bound."""
    below = [(str(float(bound)), sum(count for value, count in counts.items() if value <= bound)) for bound in bounds]
    return [*below, ("+Inf", sum(counts.values()))]
