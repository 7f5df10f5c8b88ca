"""What the receiver tells CloudWatch: how it answers, what the stream refuses, what waits in the spill.

Sent by the process that watches the workers, from a thread of its own: no request waits for it. Counts are sent once:
a request that does not get through is kept, with its own time stamp, and sent again.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from stream_router.errors import code_of
from stream_router.log import Seldom
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.cloudwatch import Series, Whose
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import Metric
from stream_router.telemetry.receiver import receiver_metrics_catalogue
from stream_router.telemetry.receiver.receiver_board import Board, Numbers
from stream_router.telemetry.receiver.receiver_stats import CERTIFICATE_END_S

log = logging.getLogger(__name__)

WAITING_MAX = 240
"""Requests that wait for a CloudWatch that does not answer: hours of minutes, two megabytes. Then the oldest go."""


class ReceiverMetrics:
    """Callable: sends what happened since the last time, and how it is now. Never raises for what CloudWatch does.

    `client` is botocore's; `clock` is monotonic, `now_s` the wall clock (epoch seconds).
    """

    def __init__(
        self,
        client: Any,
        whose: Whose,
        board: Board,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._whose = whose
        self._board = board
        self._now_s = now_s
        self._sent = self._numbers()
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._to_be_said = Seldom(clock)
        self._served = False
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:  # the last numbers of all are sent from another thread
            self._take()
            self._send_all()

    def _take(self) -> None:
        now = self._numbers()
        self._served |= now.gauges["up"] > 0
        now_s = self._now_s()
        series = [*_counts(now, self._sent), *(_state(now, now_s) if self._served else ())]
        self._sent = now
        self._waiting += cloudwatch.bodies(series, self._whose, round(now_s, 3))

    def _send_all(self) -> None:
        try:
            while self._waiting:
                self._send(self._waiting[0])
                self._waiting.popleft()
        except (BotoCoreError, ClientError) as error:
            if self._to_be_said():
                why = code_of(error)
                log.warning(
                    "CloudWatch does not take the receiver's metrics: %s; they are kept and sent again",
                    why,
                    extra={"event": "receiver-metrics-refused"},
                )

    def _send(self, body: bytes) -> None:
        try:
            self._client.put_metric_data(**orjson.loads(body))
        except ClientError as error:
            if not (code := code_of(error)).startswith(cloudwatch.REFUSED):
                raise
            log.error("CloudWatch refused metrics for their content", extra={"event": "metrics-refused", "code": code})  # noqa: TRY400 - one line

    def _numbers(self) -> Numbers:
        return Numbers(self._board.total(), self._board.sources)


def _counts(now: Numbers, before: Numbers) -> Iterator[Series]:
    """What happened between the two. A zero is sent too, so that an alarm can tell "none" from "no receiver"."""
    for digit, metric in receiver_metrics_catalogue.ANSWERED.items():
        yield _one(metric, _answered(now, digit) - _answered(before, digit))
    if unverified := _unverified(now) - _unverified(before):
        yield _one(receiver_metrics_catalogue.UNVERIFIED, unverified)
    yield _one(receiver_metrics_catalogue.RECORDS_FAILED, sum(now.failures) - sum(before.failures))
    for name, metric in receiver_metrics_catalogue.COUNTERS.items():
        if metric.cloudwatch:
            yield _one(metric, now.counters[name] - before.counters[name])
    latency: Histogram = now.latency.since(before.latency)
    yield Series(receiver_metrics_catalogue.DURATION, *latency.values_counts())


def _answered(numbers: Numbers, digit: int) -> float:
    return float(sum(count for (_, status, _), count in numbers.answers.items() if status // 100 == digit))


def _unverified(numbers: Numbers) -> float:
    return float(sum(count for (_, status, _), count in numbers.answers.items() if status == HTTPStatus.UNAUTHORIZED))


def _state(now: Numbers, now_s: float) -> Iterator[Series]:
    """How it is now, once a worker has served. Of what nobody knows (NaN) nothing is claimed."""
    for name, metric in receiver_metrics_catalogue.GAUGES.items():
        value = now.gauges[name]
        if metric.cloudwatch is None or math.isnan(value):
            continue
        if name == "stream_up":
            value = 1 - value
        elif name == CERTIFICATE_END_S:
            value -= now_s  # an alarm compares with a number, and knows no time of day
        yield _one(metric, round(value, 3))


def _one(metric: Metric, value: float) -> Series:
    return Series(metric, [float(value)], [1])


def of(settings: Receiver, session: Session, board: Board) -> ReceiverMetrics:
    """The sender of these settings. Raises SettingsError where CloudWatch's endpoint cannot be used."""
    return ReceiverMetrics(cloudwatch.client(session), Whose(settings.aws_region, settings.application), board)
