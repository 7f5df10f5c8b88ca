"""Sends a program's snapshots to CloudWatch, once a minute, from a thread that no event waits for.

Counts are sent once: a request that does not get through is kept, with its own time stamp, and sent again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from stream_router.errors import code_of
from stream_router.log import Seldom
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.cloudwatch import Whose
from stream_router.telemetry.metrics_catalogue import Metric
from stream_router.telemetry.snapshot import Snapshot

log = logging.getLogger(__name__)

WAITING_MAX = 240
"""Requests that wait for a CloudWatch that does not answer: hours of minutes, two megabytes. Then the oldest go."""

LAST_WITHIN_S = 1.0
"""What a program that ends gives its last metrics."""


class Sender:
    """Callable: sends what `take` counted since the last time, and how it is now. Raises nothing for CloudWatch.

    `client` is botocore's, `clock` monotonic. `zeros` says of a snapshot whether what was not counted is a 0.
    """

    def __init__(
        self,
        client: Any,
        whose: Whose,
        take: Callable[[], Snapshot],
        metrics: Sequence[Metric],
        zeros: Callable[[Snapshot], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._whose = whose
        self._take = take
        self._metrics = metrics
        self._zeros = zeros
        self._sent = take()
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._to_be_said = Seldom(clock)
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:  # the last numbers of all are sent from another thread
            now = self._take()
            series = list(cloudwatch.series(now, self._sent, self._metrics, zeros=self._zeros(now)))
            self._sent = now
            self._waiting += cloudwatch.bodies(series, self._whose, round(now.at_s, 3))
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
        """The program ends: send what was counted last. A CloudWatch that hangs holds up no stop."""
        last = threading.Thread(target=self, name="last-metrics", daemon=True)
        last.start()
        last.join(LAST_WITHIN_S)

    def _send(self, body: bytes) -> None:
        try:
            self._client.put_metric_data(**orjson.loads(body))
        except ClientError as error:
            if not (code := code_of(error)).startswith(cloudwatch.REFUSED):
                raise
            log.error(  # noqa: TRY400 - the code says it, and a traceback no more
                "CloudWatch refused metrics for their content", extra={"event": "metrics-refused", "code": code}
            )
