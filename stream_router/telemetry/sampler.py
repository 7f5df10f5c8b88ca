"""Thread for periodic work."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from stream_router.log import LogLimiter

log = logging.getLogger(__name__)


class Sampler:
    """Thread that calls each of `tasks` every `interval_s` seconds, from `start` until `close`.

    A failure is logged once a minute. Each wait is randomly longer or shorter by up to the share `spread`, so that
    hosts that started together do not keep calling the same service together.
    """

    def __init__(
        self, interval_s: float, tasks: Sequence[Callable[[], object]], name: str = "sampler", spread: float = 0.0
    ) -> None:
        self._interval_s, self._spread = interval_s, spread
        self._tasks = tuple(tasks)
        self._log_limiter = LogLimiter(time.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. The first call is at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, without waiting for a call in progress."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            for task in self._tasks:
                try:
                    task()
                except Exception:  # the next call may succeed, and without this thread no sample is taken
                    if self._log_limiter():
                        log.exception(
                            "A periodic task failed unexpectedly. It is tried again, and events are not affected. "
                            "Report this error.",
                            extra={"event": "sample-failed"},
                        )
            spread = random.uniform(1 - self._spread, 1 + self._spread)  # noqa: S311 - jitter
            if self._stop.wait(self._interval_s * spread):
                return
