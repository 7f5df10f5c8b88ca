"""Builds PutMetricData requests, by hand and small: the data plane has no boto3.

Every datum goes twice: as `docs/contract.md` names it, and with the dimension `Application` besides, so that two
deployments of one account can be told apart. Distributions go as `Values` and `Counts`, so that CloudWatch's own
percentiles are right; a mean would not be. One request takes at most 150 distinct values of a metric: a wider
distribution goes over several requests, not coarser.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import orjson
from botocore.config import Config
from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.limits import METRIC_DATA_MAX, METRIC_VALUES_MAX
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import Metric
from stream_router.telemetry.snapshot import Labels, Snapshot

NAMESPACE: Final = "CXoneEventRouter"
"""Alarms and dashboard name it too, in `deploy/observability/cloudwatch/observability.yaml`; a test compares."""

SOURCE_SYSTEM: Final = "NICE_CXone"

REQUEST_BYTES = 1_000_000
"""Most bytes of one request. Source: model `cloudwatch`, PutMetricData (1 MB), read as the decimal megabyte."""


REFUSED: Final = ("InvalidParameter", "MissingParameter", "MissingRequiredParameter", "ValidationE", "InvalidFormat")
"""How a code of CloudWatch's begins that blames the request itself: the same would be refused for ever."""


EVERY_S = 60.0
"""How often metrics are published: CloudWatch keeps no finer datum, and the alarms count minutes."""


class Whose(NamedTuple):
    """Whose metrics they are: the values of the dimensions."""

    region: str
    application: str

    @property
    def dimensions(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """The two sets that each datum goes with."""
        whole = [{"Name": "SourceSystem", "Value": SOURCE_SYSTEM}, {"Name": "Region", "Value": self.region}]
        return whole, [*whole, {"Name": "Application", "Value": self.application}]


class Series(NamedTuple):
    """What one metric did since the last time: each distinct value and how often it was."""

    metric: Metric
    values: Sequence[float]
    counts: Sequence[int]


def series(now: Snapshot, before: Snapshot, metrics: Iterable[Metric], *, zeros: bool = True) -> Iterator[Series]:
    """What happened between two snapshots of a program, and how it is now.

    A zero is a datum too, so that an alarm can tell "none" from "no program", but not where `zeros` says no; of what is
    not known nothing is claimed.
    """
    fresh = now.since(before)
    for metric in metrics:
        if (told := metric.cloudwatch) is None:
            continue
        if metric.kind == "histogram":
            yield _distribution(metric, fresh)
        elif metric.kind == "counter":
            value = sum(value for labels, value in fresh.counts.get(metric.name, {}).items() if _counts(metric, labels))
            if value or (zeros and not told.seldom):
                yield Series(metric, [float(value)], [1])
        elif (gauge := now.gauge(metric.name)) is not None and (datum := told.told(gauge, now.at_s)) is not None:
            yield Series(metric, [round(float(datum), 3)], [1])


def _distribution(metric: Metric, fresh: Snapshot) -> Series:
    if metric.unit == "count":  # by size, in counts
        sizes = {float(size): int(count) for (size,), count in fresh.counts.get(metric.name, {}).items() if count}
        return Series(metric, sorted(sizes), [sizes[size] for size in sorted(sizes)])
    whole = Histogram()
    for labels, histogram in fresh.histograms.get(metric.name, {}).items():
        if _counts(metric, labels):
            whole.merge(histogram)
    return Series(metric, *whole.values_counts())


def _counts(metric: Metric, labels: Labels) -> bool:
    """Whether a series is of those that CloudWatch's metric adds up."""
    if metric.cloudwatch is None or metric.cloudwatch.where is None:
        return True
    label, begin = metric.cloudwatch.where
    return labels[metric.labels.index(label)].startswith(begin)


def client(session: Session) -> Any:
    """botocore's, for what is sent from a thread of its own: one attempt, at most 8 s. Raises SettingsError."""
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    return endpoints.client(session, "cloudwatch", config)


def bodies(series: Sequence[Series], whose: Whose, time_s: float) -> list[bytes]:
    """The requests that carry all of `series`, stamped `time_s` (epoch seconds). No values, no request."""
    parts = [list(_parts(one, whose, time_s)) for one in series]
    requests: list[bytes] = []
    for number in range(max(map(len, parts), default=0)):
        # The n-th 150 values of every metric: no request then has more than 150 of one.
        requests += _packed([datum for part in parts if number < len(part) for datum in part[number]])
    return requests


def _parts(one: Series, whose: Whose, time_s: float) -> Iterator[list[bytes]]:
    """Up to 150 values at a time, with each set of dimensions. A metric that is not CloudWatch's has no data."""
    if (told := one.metric.cloudwatch) is None:
        return
    for at in range(0, len(one.values), METRIC_VALUES_MAX):
        yield [
            orjson.dumps(
                {
                    "MetricName": told.name,
                    "Dimensions": dimensions,
                    "Timestamp": time_s,
                    "Values": one.values[at : at + METRIC_VALUES_MAX],
                    "Counts": one.counts[at : at + METRIC_VALUES_MAX],
                    "Unit": told.unit,
                }
            )
            for dimensions in whose.dimensions
        ]


def _packed(data: Sequence[bytes]) -> Iterator[bytes]:
    frame = b'{"Namespace":"%b","MetricData":[%b]}'
    namespace = NAMESPACE.encode()
    chosen: list[bytes] = []
    size = room = REQUEST_BYTES - len(frame) - len(namespace)
    for datum in data:
        if chosen and (len(chosen) == METRIC_DATA_MAX or size < len(datum) + 1):
            yield frame % (namespace, b",".join(chosen))
            chosen, size = [], room
        chosen.append(datum)
        size -= len(datum) + 1
    if chosen:
        yield frame % (namespace, b",".join(chosen))
