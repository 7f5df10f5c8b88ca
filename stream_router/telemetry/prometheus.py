"""Page of `/metrics`: a snapshot in Prometheus's format and base units."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import BUILD, ENTRIES_PER_CALL, PREFIX, Metric
from stream_router.telemetry.snapshot import Labels, Snapshot


class _Families(Collector):
    """Collector that returns families that are made already, since the library reads only collectors."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def page(snapshot: Snapshot, metrics: Iterable[Metric], program: str) -> bytes:
    """Return the page of a snapshot. A counter without labels is shown from 0 on; an unknown gauge is absent."""
    families: list[Family] = []
    for metric in metrics:
        if metric.kind == "counter":
            counts = snapshot.counts.get(metric.name) or ({} if metric.labels else {(): 0.0})
            families.append(_fill(CounterMetricFamily(*_head(metric), labels=metric.labels), counts))
        elif metric.kind == "histogram":
            families.append(_histogram(metric, snapshot))
        elif metric is not BUILD:  # its labels are not in the snapshot, so it is added below
            families.append(_gauge(metric, snapshot.gauges.get(metric.name, {})))
    registry = CollectorRegistry()
    registry.register(_Families([*families, _gauge(BUILD, {(program, version("stream_router")): 1.0})]))
    return generate_latest(registry)


def _head(metric: Metric) -> tuple[str, str]:
    return PREFIX + metric.name, metric.text


def _gauge(metric: Metric, values: Mapping[Labels, float]) -> Family:
    """Return the family of a gauge. Of a gauge with labels the value without labels is left out: it is CloudWatch's."""
    shown = {labels: value for labels, value in values.items() if len(labels) == len(metric.labels)}
    return _fill(GaugeMetricFamily(*_head(metric), labels=metric.labels), shown)


def _fill(family: Any, values: Mapping[Labels, float]) -> Family:
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    result: Family = family
    return result


def _histogram(metric: Metric, snapshot: Snapshot) -> Family:
    """Return the family of a histogram, in seconds. Its sum is computed from the buckets, within 1 %."""
    family = HistogramMetricFamily(*_head(metric), labels=metric.labels)
    if metric is ENTRIES_PER_CALL:
        sizes = {float(size): int(count) for (size,), count in snapshot.counts.get(metric.name, {}).items()}
        family.add_metric([], _cumulative(sizes, metric.bounds), sum(size * count for size, count in sizes.items()))
        return family
    for labels, histogram in sorted((snapshot.histograms.get(metric.name) or {(): Histogram()}).items()):
        counts = {value_ms / 1000: count for value_ms, count in zip(*histogram.values_counts(), strict=True)}
        sum_s = sum(value_s * count for value_s, count in counts.items())
        family.add_metric(labels, _cumulative(counts, metric.bounds), sum_s)
    return family


def _cumulative(counts: Mapping[float, int], bounds: Iterable[float]) -> list[tuple[str, float]]:
    """Return the number of values that do not exceed each bound."""
    below = [(str(float(bound)), sum(count for value, count in counts.items() if value <= bound)) for bound in bounds]
    return [*below, ("+Inf", sum(counts.values()))]
