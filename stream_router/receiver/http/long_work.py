"""Work that takes long, one piece after the other: whoever sends large bodies, others wait for a slice at most."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


class LongWork:
    """Coroutines that give way between slices; each begins when the one before is done."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Work, int]] = deque()
        self.bytes = 0
        """Of what waits, and of what is under way."""
        self._worker: asyncio.Task[None] | None = None

    def start(self, work: Work, size_bytes: int) -> None:
        """Do this, which holds so many bytes, when its turn comes. It raises nothing."""
        self._queue.append((work, size_bytes))
        self.bytes += size_bytes
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                work, size_bytes = self._queue.popleft()
                try:
                    await work()
                except Exception:
                    log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
                finally:
                    self.bytes -= size_bytes
        finally:
            self._worker = None
