"""What a request waits for: whether its events are stored."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Storing:
    """Whether a request's events are stored, once that is known. Who waits for it is told at once, in order.

    A future of asyncio does the same a round of the loop later, at four times the cost.
    """

    __slots__ = ("_stored", "_waiting")

    def __init__(self) -> None:
        self._stored: bool | None = None
        self._waiting: list[Callable[[bool], None]] = []

    def done(self) -> bool:
        """Whether it is known."""
        return self._stored is not None

    def result(self) -> bool:
        """What it is; once it is known."""
        assert self._stored is not None
        return self._stored

    def then(self, told: Callable[[bool], None]) -> None:
        """Call this with it, now or once it is known."""
        if self._stored is None:
            self._waiting.append(told)
        else:
            told(self._stored)

    def settle(self, stored: bool) -> None:
        """It is known, once. Raises nothing: what one who waits does wrong must not keep others from the stream."""
        self._stored = stored
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            try:
                told(stored)
            except Exception:
                log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
