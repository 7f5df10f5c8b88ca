"""What a worker's children counted, and how it is now, for CloudWatch: sent once a minute by the supervisor alone.

A child that hangs, or is stopped, could not tell of its own lag. No event waits for this: it has a thread of its own.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from stream_router.aws import endpoints
from stream_router.consumer.supervisor.admin.status_json import Seen
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import cloudwatch, metrics_catalogue
from stream_router.telemetry.cloudwatch import Series, Whose
from stream_router.telemetry.cloudwatch_sender import Requests
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, SHARD, STAGES, Metric
from stream_router.telemetry.shards.merged_shards import Totals

DOWN_S = 60.0
"""A daemon that has been gone for less time is about to be started, as at each start of the program."""

LAST_WITHIN_S = 1.0
"""What a worker that ends gives its last metrics."""


class WorkerMetrics:
    """Callable: sends what `seen` tells, once. Raises nothing for CloudWatch."""

    def __init__(
        self, client: Any, whose: Whose, seen: Callable[[], Seen], now_s: Callable[[], float] = time.time
    ) -> None:
        self._requests = Requests(client, whose)
        self._seen = seen
        self._now_s = now_s
        self._restarts = 0
        self._lock = threading.Lock()
        self._totals = Totals()
        """What CloudWatch was told of, or will be: what does not get through waits with its own time stamp."""

    def __call__(self) -> None:
        with self._lock:  # the last numbers of all are sent from another thread
            seen = self._seen()
            series = [*counted(seen, self._totals)]
            self._totals = seen.merged.totals
            series += [Series(metric, [value], [1]) for metric, value in values(seen)]
            if restarts := seen.known.restarts:
                series.append(Series(metrics_catalogue.DAEMON_RESTARTS, [float(restarts - self._restarts)], [1]))
                self._restarts = restarts
            self._requests.send(series, self._now_s())

    def last(self) -> None:
        """The children have ended: send what they said last. A CloudWatch that hangs holds up no stop."""
        last = threading.Thread(target=self, name="last-metrics", daemon=True)
        last.start()
        last.join(LAST_WITHIN_S)


def counted(seen: Seen, before: Totals) -> Iterator[Series]:
    """What the children counted since `before`.

    A zero is told too, so that an alarm can tell "none" from "no child"; but none that claims health while a shard
    holds.
    """
    fresh, shards = seen.merged.totals.since(before), seen.merged.shards
    zeros = bool(shards) and not any(shard.holding for shard in shards)
    for name, metric in COUNTERS.items():
        new = fresh.counters[name]
        if new or (zeros and not (metric.cloudwatch and metric.cloudwatch.seldom)):
            yield Series(metric, [float(new)], [1])
    sizes = sorted(fresh.entries_per_call)
    yield Series(ENTRIES_PER_CALL, [float(size) for size in sizes], [fresh.entries_per_call[size] for size in sizes])
    for stage, metric in STAGES.items():
        if histogram := fresh.latencies.get(stage):
            yield Series(metric, *histogram.values_counts())


def values(seen: Seen) -> Iterator[tuple[Metric, float]]:
    """What is known; what is not has no value: a 0 would claim health."""
    if seen.oldest_age_s is not None:
        yield SHARD["oldest_unsettled_age_seconds"], round(seen.oldest_age_s, 3)
    if seen.headroom_s is not None:
        yield SHARD["retention_headroom_seconds"], round(seen.headroom_s, 3)
    if seen.merged.shards:
        yield metrics_catalogue.HOLDING, float(sum(bool(shard.holding) for shard in seen.merged.shards))
    if seen.known.hangs:
        yield metrics_catalogue.HANGING, float(len(seen.known.hangs))
    if seen.stream.unread is not None:
        yield metrics_catalogue.UNREAD, float(len(seen.stream.unread))
    if (state := seen.rule["state"]) in ("matched", "unmatched"):
        yield metrics_catalogue.RULE_MATCHED, float(state == "unmatched")
    if unasked_s := seen.bus["unaskedS"]:
        yield metrics_catalogue.BUS_UNASKED, unasked_s
    if seen.known.daemon is None and seen.known.state != "draining" and seen.at_s - seen.known.since_s >= DOWN_S:
        yield metrics_catalogue.DAEMON_UP, 1.0


def of(settings: Consumer, seen: Callable[[], Seen]) -> WorkerMetrics:
    """The sender of these settings."""
    whose = Whose(settings.aws_region, settings.application)
    return WorkerMetrics(cloudwatch.client(endpoints.session(settings.aws_region)), whose, seen)
