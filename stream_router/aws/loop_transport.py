"""The transport on an asyncio event loop: the loop watches libcurl's sockets and timers, nobody pumps."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pycurl

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target
from stream_router.aws.signed_calls import SignedCalls
from stream_router.core.aws_answers import Answer


class LoopTransport(SignedCalls):
    """The same calls on an asyncio event loop: the loop watches the sockets, nobody pumps."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        credentials: Callable[[], Credentials],
        region: str,
        ca_bundle: str,
        max_connections: int = 64,
    ) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[int, int] = {}
        super().__init__(credentials, region, ca_bundle, max_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._schedule)

    async def call(self, target: Target, body: bytes, timeout_s: float) -> Answer:
        """One call, awaited. Cancelling the wait leaves the call to end by itself, its answer unread."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def done(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        self.start(target, body, timeout_s, done)
        return await future

    def close(self) -> None:
        """Drop every connection and every watch on the loop."""
        if self._timer:
            self._timer.cancel()
        for fd in list(self._watched):
            self._unwatch(fd)
        super().close()

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        self._unwatch(fd)
        if what == pycurl.POLL_REMOVE:
            return
        self._watched[fd] = what
        if what in (pycurl.POLL_IN, pycurl.POLL_INOUT):
            self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
            self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._loop.remove_reader(fd)
                self._loop.remove_writer(fd)

    def _schedule(self, timeout_ms: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if timeout_ms >= 0:
            self._timer = self._loop.call_later(timeout_ms / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, events: int) -> None:
        self._multi.socket_action(fd, events)
        self._deliver()
