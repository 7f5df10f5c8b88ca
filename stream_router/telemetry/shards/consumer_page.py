"""The consumer's `/metrics`: merged snapshots and what the supervisor knows, in Prometheus's words and base units."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as Family

from stream_router.model import Reason
from stream_router.telemetry import metrics_catalogue, prometheus
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, PREFIX, SHARD, STAGES
from stream_router.telemetry.prometheus import build, counter, cumulative, gauge, latency
from stream_router.telemetry.shards.merged_shards import Merged, Shard, Totals
from stream_router.telemetry.shards.recent import ACTIVITIES

BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0),
)
"""Finest where the ordinary way of an event ends (50 ms to 1 s), then to a day of holding. A value within 1 % of a
bound may stand on its other side: the histogram behind it is that fine."""

BUCKETS_ENTRIES = (1, 2, 3, 5, 8, 10, 25, 50, 75, 100)


class Facts(NamedTuple):
    """What the supervisor itself knows; None where it does not."""

    daemon_up: bool
    daemon_restarts: int
    rule_matched: bool | None
    bus_unasked_s: float
    daemon_memory_bytes: int | None = None
    unread_shards: int | None = None
    catch_up_s: float | None = None
    hangs: Collection[tuple[str, str]] = ()
    """Shard ("" for the daemon) and reason of each process that does not go on."""
    shards: Mapping[str, Mapping[str, float | None]] = {}
    """Gauges of shards that are of this moment and not of their children's: by shard, then by name."""


def page(merged: Merged, facts: Facts, now_s: float) -> bytes:
    """The text of the page."""
    return prometheus.text([*_totals(merged.totals), *_shards(merged.shards, facts, now_s), *_facts(facts)])


def _totals(totals: Totals) -> Iterable[Family]:
    # A series that begins with its first event hides it from `rate`; only AWS's codes are not known before.
    reasons = {**dict.fromkeys((reason.value for reason in Reason), 0), **totals.dead_letters}
    by_label = {"dead_lettered": reasons, "retried": totals.retries}
    for name, metric in COUNTERS.items():
        if metric.labels:
            yield counter(metric, {(label,): count for label, count in by_label[name].items()})
        else:
            yield counter(metric, {(): totals.counters[name]})
    yield counter(metrics_catalogue.TIME, {(activity,): totals.times_ms[activity] / 1000 for activity in ACTIVITIES})
    by_stage = {(stage,): totals.latencies.get(stage, Histogram()) for stage in STAGES}
    yield latency(metrics_catalogue.STAGE_LATENCY, BUCKETS_S, by_stage)
    calls = HistogramMetricFamily(PREFIX + ENTRIES_PER_CALL.name, ENTRIES_PER_CALL.text)
    calls.add_metric(
        [],
        cumulative(totals.entries_per_call, BUCKETS_ENTRIES),
        sum(entries * count for entries, count in totals.entries_per_call.items()),
    )
    yield calls


def _shards(shards: list[Shard], facts: Facts, now_s: float) -> Iterable[Family]:
    told: dict[str, Mapping[str, Any]] = {
        shard.shard_id: {**shard.gauges, **facts.shards.get(shard.shard_id, {})} for shard in shards
    }
    for name, metric in SHARD.items():
        yield gauge(metric, {(shard,): gauges.get(name) for shard, gauges in told.items()})
    yield gauge(
        metrics_catalogue.HOLDING, {(shard.shard_id, shard.holding): float(bool(shard.holding)) for shard in shards}
    )
    yield gauge(
        metrics_catalogue.BREAKER,
        {
            (shard.shard_id,): float(shard.told["breaker"] != "closed") if "breaker" in shard.told else None
            for shard in shards
        },
    )
    yield gauge(metrics_catalogue.SNAPSHOT_AGE, {(shard.shard_id,): max(0.0, now_s - shard.at_s) for shard in shards})


def _facts(facts: Facts) -> Iterable[Family]:
    yield gauge(metrics_catalogue.HANGING, dict.fromkeys(facts.hangs, 1.0))
    yield gauge(metrics_catalogue.UNREAD, {(): facts.unread_shards})
    yield gauge(metrics_catalogue.RULE_MATCHED, {(): facts.rule_matched})
    yield gauge(metrics_catalogue.CATCH_UP, {(): facts.catch_up_s})
    yield gauge(metrics_catalogue.DAEMON_UP, {(): facts.daemon_up})
    yield counter(metrics_catalogue.DAEMON_RESTARTS, {(): facts.daemon_restarts})
    yield gauge(metrics_catalogue.DAEMON_MEMORY, {(): facts.daemon_memory_bytes})
    yield gauge(metrics_catalogue.BUS_UNASKED, {(): facts.bus_unasked_s})
    yield build("consume")
