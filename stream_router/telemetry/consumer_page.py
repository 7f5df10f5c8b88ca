"""The consumer's `/metrics`: merged snapshots and what the supervisor knows, in Prometheus's words and base units."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.merged_shards import Merged, Shard, Totals

PREFIX = "stream_router_"

BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0),
)
"""Finest where the ordinary way of an event ends (50 ms to 1 s), then to a day of holding. A value within 1 % of a
bound may stand on its other side: the histogram behind it is that fine."""

BUCKETS_ENTRIES = (1, 2, 3, 5, 8, 10, 25, 50, 75, 100)

COUNTERS = {
    "delivered": ("events_delivered", "Events that EventBridge accepted"),
    "dropped": ("events_dropped", "Events that a setting says to drop"),
    "records": ("records_read", "Kinesis records read"),
    "batches": ("batches", "Batches of the KCL daemon"),
    "metrics_lost": ("cloudwatch_requests_lost", "CloudWatch requests given up"),
    "audit_failed": ("audit_failures", "Audit records that could not be written at once"),
}

SHARD_GAUGES = {
    "oldest_unsettled_age_seconds": "Age of the oldest event that is not settled, since it was received",
    "retention_headroom_seconds": "Time until the stream drops the oldest event that is not settled",
    "window_bytes": "Bytes that the child has under way",
    "window_span_seconds": "Time since the oldest record above the checkpoint was opened",
    "calls_in_flight": "PutEvents calls under way",
    "checkpoint_age_seconds": "Time since the last checkpoint that was taken",
}
"""What a child may say of its shard; what it does not say has no sample."""


class Facts(NamedTuple):
    """What the supervisor itself knows; None where it does not."""

    daemon_up: bool
    daemon_restarts: int
    rule_matched: bool | None
    bus_unasked_s: float


def page(merged: Merged, facts: Facts, now_s: float) -> bytes:
    """The text of the page."""
    registry = CollectorRegistry()
    registry.register(_Families([*_totals(merged.totals), *_shards(merged.shards, now_s), *_facts(facts)]))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _totals(totals: Totals) -> Iterable[Metric]:
    for counter, (name, text) in COUNTERS.items():
        yield CounterMetricFamily(PREFIX + name, text, value=totals.counters[counter])
    yield _labelled("dead_letters", "Dead letters stored, by reason", "reason", totals.dead_letters)
    yield _labelled("retries", "Entries sent again, by the code that they had got", "code", totals.retries)
    latency = HistogramMetricFamily(
        PREFIX + "stage_latency_seconds", "Time of each stage of an event's way", labels=["stage"]
    )
    for stage, histogram in sorted(totals.latencies.items()):
        buckets, sum_s = _seconds(histogram)
        latency.add_metric([stage], buckets, sum_s)
    yield latency
    calls = HistogramMetricFamily(PREFIX + "entries_per_call", "Accepted entries of a PutEvents call")
    calls.add_metric(
        [],
        _cumulative(totals.entries_per_call, BUCKETS_ENTRIES),
        sum(entries * count for entries, count in totals.entries_per_call.items()),
    )
    yield calls


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _seconds(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """The classic buckets of a histogram of milliseconds, and its sum in seconds."""
    counts = {value_ms / 1000: count for value_ms, count in zip(*histogram.values_counts(), strict=True)}
    return _cumulative(counts, BUCKETS_S), sum(value_s * count for value_s, count in counts.items())


def _cumulative(counts: Mapping[float, int] | Mapping[int, int], bounds: Iterable[float]) -> list[tuple[str, float]]:
    below = [(str(float(bound)), sum(count for value, count in counts.items() if value <= bound)) for bound in bounds]
    return [*below, ("+Inf", sum(counts.values()))]


def _shards(shards: list[Shard], now_s: float) -> Iterable[Metric]:
    for name, text in SHARD_GAUGES.items():
        family = GaugeMetricFamily(PREFIX + name, text, labels=["shard"])
        for shard in shards:
            if name in shard.gauges:
                family.add_metric([shard.shard_id], shard.gauges[name])
        yield family
    holding = GaugeMetricFamily(PREFIX + "holding", "1 where the shard holds, and why", labels=["shard", "reason"])
    age = GaugeMetricFamily(PREFIX + "snapshot_age_seconds", "Age of what the child last said", labels=["shard"])
    for shard in shards:
        holding.add_metric([shard.shard_id, shard.holding], float(bool(shard.holding)))
        age.add_metric([shard.shard_id], max(0.0, now_s - shard.at_s))
    yield holding
    yield age


def _facts(facts: Facts) -> Iterable[Metric]:
    yield GaugeMetricFamily(PREFIX + "daemon_up", "1 while the KCL daemon runs", value=facts.daemon_up)
    yield CounterMetricFamily(
        PREFIX + "daemon_restarts", "Times that the KCL daemon was started again", value=facts.daemon_restarts
    )
    matched = GaugeMetricFamily(
        PREFIX + "rule_matched", "1 where the rule lets our events through to a target, 0 where not; absent if unknown"
    )
    if facts.rule_matched is not None:
        matched.add_metric([], facts.rule_matched)
    yield matched
    yield GaugeMetricFamily(
        PREFIX + "bus_unasked_seconds",
        "Time since the event bus could last be asked; 0 while it answers",
        value=facts.bus_unasked_s,
    )
    build = GaugeMetricFamily(PREFIX + "build_info", "The program's version", labels=["program", "version"])
    build.add_metric(["consume", version("stream_router")], 1)
    yield build
