"""What is the worker's, not one child's, in CloudWatch: lag, holding and unread shards, hangs, rule, bus, daemon.

The supervisor sends it, since a child that hangs, or is stopped, could not tell of its own lag. Nothing waits for it:
it runs on a thread of its own, and what does not get through is gone, as the next minute tells it anew.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws import endpoints
from stream_router.consumer.supervisor.admin.status_json import Seen
from stream_router.errors import code_of
from stream_router.log import Seldom
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import cloudwatch, metrics_catalogue
from stream_router.telemetry.cloudwatch import NAMESPACE, Series, Whose
from stream_router.telemetry.metrics_catalogue import SHARD, Metric

log = logging.getLogger(__name__)

DOWN_S = 60.0
"""A daemon that has been gone for less time is about to be started, as at each start of the program."""


class WorkerMetrics:
    """Callable: sends what `seen` tells, once. Never raises for what CloudWatch does."""

    def __init__(
        self,
        client: Any,
        whose: Whose,
        seen: Callable[[], Seen],
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._whose = whose
        self._seen = seen
        self._now_s = now_s
        self._to_be_said = Seldom(clock)
        self._restarts = 0
        """Those of the daemon that CloudWatch has been told of."""

    def __call__(self) -> None:
        seen = self._seen()
        series = [Series(metric, [value], [1]) for metric, value in values(seen)]
        if restarts := seen.known.restarts:
            series.append(Series(metrics_catalogue.DAEMON_RESTARTS, [float(restarts - self._restarts)], [1]))
        if not series:
            return
        data = cloudwatch.data(series, self._whose, round(self._now_s(), 3))
        try:
            self._client.put_metric_data(Namespace=NAMESPACE, MetricData=data)
            self._restarts = restarts
        except (BotoCoreError, ClientError) as error:
            if self._to_be_said():
                why = code_of(error)
                log.warning(
                    "CloudWatch does not take the worker's metrics: %s; the next minute's are sent anew",
                    why,
                    extra={"event": "worker-metrics-refused"},
                )


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
    if (state := seen.rule.get("state")) in ("matched", "unmatched"):
        yield metrics_catalogue.RULE_MATCHED, float(state == "unmatched")
    if unasked_s := seen.bus["unaskedS"]:
        yield metrics_catalogue.BUS_UNASKED, unasked_s
    if seen.known.daemon is None and seen.known.state != "draining" and seen.at_s - seen.known.since_s >= DOWN_S:
        yield metrics_catalogue.DAEMON_UP, 1.0


def of(settings: Consumer, seen: Callable[[], Seen]) -> WorkerMetrics:
    """The sender of these settings."""
    whose = Whose(settings.aws_region, settings.application)
    return WorkerMetrics(cloudwatch.client(endpoints.session(settings.aws_region)), whose, seen)
