"""When the event bus was last proven to exist: by the supervisor, or, where a child runs alone, by its own question."""

import time
from collections.abc import Callable
from pathlib import Path

from stream_router.consumer.state import BUS_PROOF
from stream_router.outcomes import Answer

ASK_EVERY_S = 10.0
ASK_AGAIN_S = 1.0
STALE_S = 15.0
"""The supervisor proves every 10 s; a proof older than this means that it does not, or cannot."""


class BusProof:
    """The latest proof, as the monotonic time (seconds) before which whatever was accepted had a bus to go to.

    `ask` sends one DescribeEventBus and calls back with the answer.
    """

    def __init__(
        self,
        state_dir: Path | None,
        ask: Callable[[Callable[[Answer], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = state_dir / BUS_PROOF if state_dir else None
        self._ask = ask
        self._clock = clock
        self._own = -STALE_S
        self._asked = -ASK_EVERY_S
        self._asking = False

    def latest(self) -> float:
        """The time of the latest proof; asks the bus itself, in the background, where nobody else does."""
        now, word = self._clock(), self._supervisors()
        if now - word > STALE_S and now - self._asked >= ASK_EVERY_S:
            self.renew()
        return max(word, self._own)

    def renew(self) -> None:
        """Ask the bus now; the answer moves `latest` when it comes. One question at a time, and one a second."""
        if self._asking or self._clock() - self._asked < ASK_AGAIN_S:
            return
        self._asking = True
        asked = self._asked = self._clock()

        def answered(answer: Answer) -> None:
            self._asking = False
            if answer.status == 200:
                self._own = asked

        self._ask(answered)

    def _supervisors(self) -> float:
        if self._file is None:
            return -STALE_S
        try:
            return float(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return -STALE_S
