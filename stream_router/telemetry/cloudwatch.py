"""Sending of a program's snapshots to CloudWatch, once a minute, from a thread for which no event waits.

Every datum is sent twice: as in `docs/contract.md`, and with the dimension `Application` added, so that two deployments
of one account can be distinguished. Distributions are sent as `Values` and `Counts`, so that CloudWatch's own
percentiles are correct, which those of a mean are not. Counts are sent once: a request that fails is kept, with its own
time stamp, and sent again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.aws_error_codes import code_of
from stream_router.limits import METRIC_VALUES_MAX
from stream_router.log import Seldom
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import Metric
from stream_router.telemetry.snapshot import Labels, Snapshot

log = logging.getLogger(__name__)

NAMESPACE: Final = "CXoneEventRouter"
"""CloudWatch namespace of all metrics. A test compares it with the alarms and dashboards that name it too.

They are in `deploy/observability/cloudwatch/observability.yaml` and `deploy/cloudformation/stream-router.yaml`.
"""

SOURCE_SYSTEM: Final = "NICE_CXone"

REFUSED: Final = ("InvalidParameter", "MissingParameter", "MissingRequiredParameter", "ValidationE", "InvalidFormat")
"""Beginnings of CloudWatch's codes that blame the request itself, so that a retry would be refused again."""

EVERY_S = 60.0
"""Seconds between two publications of metrics: CloudWatch stores minutes, and the alarms count minutes."""

WAITING_MAX = 240
"""Maximum number of requests that wait while CloudWatch does not answer, some hours. The oldest are dropped first."""

LAST_WITHIN_S = 1.0
"""Seconds for which a program waits for its last metrics when it ends."""

Request = list[dict[str, Any]]
"""`MetricData` of one PutMetricData: at most METRIC_VALUES_MAX values of a metric, some 200 KB of at most 1 MB."""


class MetricDimensions(NamedTuple):
    """Values of the metrics' dimensions."""

    region: str
    application: str

    @property
    def dimensions(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Two sets of dimensions with which each datum is sent."""
        whole = [{"Name": "SourceSystem", "Value": SOURCE_SYSTEM}, {"Name": "Region", "Value": self.region}]
        return whole, [*whole, {"Name": "Application", "Value": self.application}]


def client(session: Session) -> Any:
    """Return a botocore client for a thread of its own: one attempt per call, at most 8 s. Raises SettingsError."""
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    return endpoints.client(session, "cloudwatch", config)


class Sender:
    """Callable that sends the counts of `take` since the last call, and its gauges. CloudWatch's errors are not raised.

    `client` is botocore's, `clock` monotonic. `zeros` returns whether a missing count of a snapshot is sent as 0.
    """

    def __init__(
        self,
        client: Any,
        dimensions: MetricDimensions,
        take: Callable[[], Snapshot],
        metrics: Sequence[Metric],
        zeros: Callable[[Snapshot], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._whose = dimensions
        self._take = take
        self._metrics = metrics
        self._zeros = zeros
        self._sent = take()
        self._waiting: deque[Request] = deque(maxlen=WAITING_MAX)
        self._to_be_said = Seldom(clock)
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:  # `last` sends from another thread
            now = self._take()
            self._waiting += requests(now, self._sent, self._metrics, self._whose, zeros=self._zeros(now))
            self._sent = now
            try:
                while self._waiting:
                    self._send(self._waiting[0])
                    self._waiting.popleft()
            except (BotoCoreError, ClientError) as error:
                if self._to_be_said():
                    why = code_of(error)
                    log.warning(
                        "CloudWatch does not take the metrics: %s; they are kept and sent again",
                        why,
                        extra={"event": "metrics-not-taken"},
                    )

    def last(self) -> None:
        """Send the last counts when the program ends. A CloudWatch that hangs delays no stop."""
        last = threading.Thread(target=self, name="last-metrics", daemon=True)
        last.start()
        last.join(LAST_WITHIN_S)

    def _send(self, request: Request) -> None:
        try:
            self._client.put_metric_data(Namespace=NAMESPACE, MetricData=request)
        except ClientError as error:
            if not (code := code_of(error)).startswith(REFUSED):
                raise
            log.error(  # noqa: TRY400 - the code suffices, and a traceback adds nothing
                "CloudWatch refused metrics for their content", extra={"event": "metrics-refused", "code": code}
            )


def requests(
    now: Snapshot, before: Snapshot, metrics: Sequence[Metric], dimension_sets: MetricDimensions, *, zeros: bool = True
) -> Iterator[Request]:
    """Yield requests with the counts between two snapshots of a program and its gauges, at the time of `now`.

    A zero is sent too, unless `zeros` is false, so that an alarm can distinguish "none" from "no program". An unknown
    value is omitted. The n-th request has the n-th METRIC_VALUES_MAX values of every metric. So a distribution with
    more values goes over several requests, and does not become coarser.
    """
    fresh = now.since(before)
    data = [(metric.cloudwatch, *_values(metric, fresh, zeros=zeros)) for metric in metrics if metric.cloudwatch]
    widest = max((len(values) for _, values, _ in data), default=0)
    for at in range(0, widest, METRIC_VALUES_MAX):
        yield [
            {
                "MetricName": metric.name,
                "Dimensions": dimensions,
                "Timestamp": round(now.at_s, 3),
                "Values": values[at : at + METRIC_VALUES_MAX],
                "Counts": counts[at : at + METRIC_VALUES_MAX],
                "Unit": metric.unit,
            }
            for metric, values, counts in data
            if len(values) > at
            for dimensions in dimension_sets.dimensions
        ]


def _values(metric: Metric, fresh: Snapshot, *, zeros: bool) -> tuple[list[float], list[int]]:
    """Return each distinct value of a metric, and its count."""
    cloudwatch = metric.cloudwatch
    assert cloudwatch is not None
    if metric.kind == "gauge":
        gauge = fresh.gauge(metric.name)
        return ([], []) if gauge is None else ([round(cloudwatch.convert(gauge, fresh.at_s), 3)], [1])
    if metric.kind == "counter":
        counts = fresh.counts.get(metric.name, {})
        value = sum(value for labels, value in counts.items() if _is_of(metric, labels))
        return ([float(value)], [1]) if value or (zeros and not cloudwatch.seldom) else ([], [])
    if sizes := fresh.counts.get(metric.name):  # by size, in counts
        of_size = sorted((float(size), int(count)) for (size,), count in sizes.items() if count)
        return [size for size, _ in of_size], [count for _, count in of_size]
    whole = Histogram()
    for labels, histogram in fresh.histograms.get(metric.name, {}).items():
        if _is_of(metric, labels):
            whole.merge(histogram)
    return whole.values_counts()


def _is_of(metric: Metric, labels: Labels) -> bool:
    """Return whether CloudWatch's metric includes a series."""
    if metric.cloudwatch is None or metric.cloudwatch.where is None:
        return True
    label, begin = metric.cloudwatch.where
    return labels[metric.labels.index(label)].startswith(begin)
