"""Calls what is to be done every few seconds beside a program's own work, on a thread of its own."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from stream_router.log import Seldom

log = logging.getLogger(__name__)


class Sampler:
    """Calls each of `takers` every `every_s` seconds, from `start` until `close`. What fails is logged once a minute.

    With `spread` a wait is longer or shorter by chance, by so large a share at most: hosts that started together, and
    ask the same service, do not go on asking it together.
    """

    def __init__(
        self, every_s: float, takers: Sequence[Callable[[], object]], name: str = "sampler", spread: float = 0.0
    ) -> None:
        self._every_s, self._spread = every_s, spread
        self._takers = tuple(takers)
        self._said = Seldom(time.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call is at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is under way is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            for take in self._takers:
                try:
                    take()
                except Exception:  # the next time may be well, and nobody else would go on sampling
                    if self._said():
                        log.exception("a sample could not be taken", extra={"event": "sample-failed"})
            spread = random.uniform(1 - self._spread, 1 + self._spread)  # noqa: S311 - jitter
            if self._stop.wait(self._every_s * spread):
                return
