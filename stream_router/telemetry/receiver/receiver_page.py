"""The receiver's `/metrics`: all workers' numbers in Prometheus's words."""

import math
from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from stream_router.telemetry.families import build, counter, gauge, latency
from stream_router.telemetry.receiver import receiver_metrics_catalogue
from stream_router.telemetry.receiver.receiver_board import Board, Numbers
from stream_router.telemetry.receiver.receiver_stats import FAILURES

DEFAULT_SOURCE = "default"
"""What the label `source` says of the path without a name; a source may have this name too."""

BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5),
    *(0.6, 0.75, 0.9, 1.0, 2.5, 5.0, 10.0),
)
"""Finest where an ordinary answer comes (5 to 100 ms); 0.9 s is the promise."""


class _Collector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Family]:
        return families(Numbers(self._board.total(), self._board.sources))


def page(board: Board) -> bytes:
    """The text of the page."""
    registry = CollectorRegistry()
    registry.register(_Collector(board))
    return generate_latest(registry)


def families(numbers: Numbers) -> list[Family]:
    """The numbers as Prometheus metrics."""
    answers: Counter[tuple[str, str, str]] = Counter()
    for (source, status, reason), count in numbers.answers.items():
        answers[source or DEFAULT_SOURCE, str(status), reason] += count
    failed = {(code,): count for code, count in zip(FAILURES, numbers.failures, strict=True)}
    counters, gauges = receiver_metrics_catalogue.COUNTERS, receiver_metrics_catalogue.GAUGES
    return [
        counter(receiver_metrics_catalogue.REQUESTS, answers),
        counter(receiver_metrics_catalogue.RECORDS_FAILED, failed),
        *[counter(counters[name], {(): value}) for name, value in numbers.counters.items()],
        *[gauge(metric, {(): _known(numbers.gauges[name])}) for name, metric in gauges.items()],
        latency(receiver_metrics_catalogue.DURATION, BUCKETS_S, {(): numbers.latency}, {(): numbers.latency_sum_s}),
        build("receive"),
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
