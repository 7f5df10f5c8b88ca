"""Sending of a program's metrics to CloudWatch, once a minute, on its own thread.

Every datum is sent twice: as in `docs/contract.md`, and with the dimension `Application` added, so that two deployments
in one account can be distinguished. Distributions are sent as `Values` and `Counts`, so that CloudWatch can compute
correct percentiles. Each count is sent once: a request that fails is kept, with its time stamp, and sent again.
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
from stream_router.aws_error_codes import code_of, describe_error, find_cure
from stream_router.limits import METRIC_VALUES_MAX
from stream_router.log import LogLimiter
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
"""Beginnings of CloudWatch's codes for a wrong request. A retry of such a request would fail again."""

PUBLISH_INTERVAL_S = 60.0
"""Seconds between two publications of metrics: CloudWatch stores minutes, and the alarms count minutes."""

MAX_WAITING_REQUESTS = 240
"""Maximum number of requests that wait while CloudWatch fails (some hours). The oldest is dropped first."""

FINAL_SEND_TIMEOUT_S = 1.0
"""Seconds for which a program waits for its last metrics when it ends."""

Request = list[dict[str, Any]]
"""`MetricData` of a PutMetricData call: at most METRIC_VALUES_MAX values a metric, some 200 KB of the allowed 1 MB."""


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
    """Return a botocore client that tries each call once, for at most 8 s. Raises SettingsError."""
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    return endpoints.create_client(session, "cloudwatch", config)


class Sender:
    """Sender of metrics: each call sends the counts since the call before, and the gauges. It raises no AWS error.

    `take` returns the present snapshot. `client` is botocore's. `clock` is monotonic. `zeros` returns whether a count
    that is missing in a snapshot is sent as 0.
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
        self._dimensions = dimensions
        self._take = take
        self._metrics = metrics
        self._zeros = zeros
        self._sent = take()
        """Latest snapshot whose counts are in a request, sent or waiting."""
        self._waiting: deque[Request] = deque(maxlen=MAX_WAITING_REQUESTS)
        self._log_limiter = LogLimiter(clock)
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Send the waiting requests, then those of the present snapshot. After a failure the rest waits."""
        with self._lock:  # `last` sends from another thread
            now = self._take()
            self._waiting += requests(now, self._sent, self._metrics, self._dimensions, zeros=self._zeros(now))
            self._sent = now
            try:
                while self._waiting:
                    self._send(self._waiting[0])
                    self._waiting.popleft()
            except (BotoCoreError, ClientError) as error:
                if self._log_limiter():
                    log.warning(
                        "CloudWatch does not take the metrics: %s. They are kept and sent again. To do: %s.",
                        describe_error(error),
                        find_cure(code_of(error)),
                        extra={"event": "metrics-not-taken"},
                    )

    def last(self) -> None:
        """Send the last counts when the program ends. Wait for that, but at most FINAL_SEND_TIMEOUT_S."""
        last = threading.Thread(target=self, name="last-metrics", daemon=True)
        last.start()
        last.join(FINAL_SEND_TIMEOUT_S)

    def _send(self, request: Request) -> None:
        """Send one request. One that CloudWatch refuses for its content is dropped; any other error is raised."""
        try:
            self._client.put_metric_data(Namespace=NAMESPACE, MetricData=request)
        except ClientError as error:
            if not (code := code_of(error)).startswith(REFUSED):
                raise
            log.error(  # noqa: TRY400 - the code suffices, and a traceback adds nothing
                "CloudWatch refused metrics for their content (%s). They are dropped; `/metrics` has them. Report it.",
                code,
                extra={"event": "metrics-refused", "code": code},
            )


def requests(
    now: Snapshot, before: Snapshot, metrics: Sequence[Metric], dimension_sets: MetricDimensions, *, zeros: bool = True
) -> Iterator[Request]:
    """Yield requests with the counts between two snapshots of a program, and the gauges of `now`.

    Zeros are sent too, unless `zeros` is false, so that an alarm can distinguish "none" from "no program". An unknown
    value is omitted. A distribution with more than METRIC_VALUES_MAX values is divided over several requests: the n-th
    request has the n-th part of every metric's values.
    """
    fresh = now.since(before)
    data = [(metric.cloudwatch, *_values(metric, fresh, zeros=zeros)) for metric in metrics if metric.cloudwatch]
    widest = max((len(values) for _, values, _ in data), default=0)
    for first in range(0, widest, METRIC_VALUES_MAX):
        yield [
            {
                "MetricName": metric.name,
                "Dimensions": dimensions,
                "Timestamp": round(now.at_s, 3),
                "Values": values[first : first + METRIC_VALUES_MAX],
                "Counts": counts[first : first + METRIC_VALUES_MAX],
                "Unit": metric.unit,
            }
            for metric, values, counts in data
            if len(values) > first
            for dimensions in dimension_sets.dimensions
        ]


def _values(metric: Metric, fresh: Snapshot, *, zeros: bool) -> tuple[list[float], list[int]]:
    """Return the distinct values of a metric, and the count of each."""
    cloudwatch = metric.cloudwatch
    assert cloudwatch is not None
    if metric.kind == "gauge":
        gauge = fresh.gauge(metric.name)
        if gauge is None:
            return [], []
        return [round(cloudwatch.convert(gauge, fresh.at_s), 3)], [1]
    if metric.kind == "counter":
        counts = fresh.counts.get(metric.name, {})
        value = sum(value for labels, value in counts.items() if _is_of(metric, labels))
        sends_zero = zeros and not cloudwatch.seldom
        return ([float(value)], [1]) if value or sends_zero else ([], [])
    if sizes := fresh.counts.get(metric.name):  # a histogram that is kept as counts by size
        pairs = sorted((float(size), int(count)) for (size,), count in sizes.items() if count)
        return [size for size, _ in pairs], [count for _, count in pairs]
    whole = Histogram()
    for labels, histogram in fresh.histograms.get(metric.name, {}).items():
        if _is_of(metric, labels):
            whole.merge(histogram)
    return whole.values_counts()


def _is_of(metric: Metric, labels: Labels) -> bool:
    """Return whether a series is a part of the metric in CloudWatch (`CloudWatch.where`)."""
    if metric.cloudwatch is None or metric.cloudwatch.where is None:
        return True
    label, prefix = metric.cloudwatch.where
    return labels[metric.labels.index(label)].startswith(prefix)
