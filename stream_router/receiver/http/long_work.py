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
        self._queue: deque[Work] = deque()
        self._worker: asyncio.Task[None] | None = None

    def start(self, work: Work) -> None:
        """Do this when its turn comes. It raises nothing."""
        self._queue.append(work)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                try:
                    await self._queue.popleft()()
                except Exception:
                    log.exception("a request failed in an unforeseen way")
        finally:
            self._worker = None
