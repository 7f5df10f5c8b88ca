"""Transport on an asyncio event loop, which watches libcurl's sockets and timers, so that no owner calls `pump`."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import pycurl

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import CallEndpoint
from stream_router.aws.signed_calls import MAX_ANSWER_BYTES, OnAnswer, SignedCalls
from stream_router.aws_answers import Answer
from stream_router.log import LogLimiter

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 0.2
"""Seconds for which the loop waits until libcurl has closed a handle. After that only a thread waits for it."""


class LoopTransport(SignedCalls):
    """Signed calls on an asyncio event loop, which watches their sockets and lets them progress."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        credentials: Callable[[], Credentials],
        region: str,
        ca_bundle: str,
        max_connections: int = 64,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[int, int] = {}
        """Poll events that libcurl waits for, by file descriptor."""
        self._is_renewal_due = self._is_closed = False
        self._failure_log_limiter = LogLimiter(loop.time)
        super().__init__(credentials, region, ca_bundle, max_connections, max_answer_bytes)

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = super()._new_multi()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._schedule)
        return multi

    async def call(self, endpoint: CallEndpoint, body: bytes, timeout_s: float) -> Answer:
        """Send one call and await its answer. If the wait is cancelled, the call goes on and its answer is dropped."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def set_result(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        self.start(endpoint, body, timeout_s, set_result)
        return await future

    def close(self) -> None:
        """Close every connection and remove every watch from the loop. A call that is started later never ends."""
        self._is_closed = True
        self._detach_from_loop()
        super().close()

    def _begin(self, endpoint: CallEndpoint, body: bytes, timeout_s: float, on_answer: OnAnswer, path: str) -> None:
        if self._is_closed:  # the loop still runs the timers that were due when the program ended
            return
        try:
            super()._begin(endpoint, body, timeout_s, on_answer, path)
        except pycurl.error as error:
            self._recover(error)
            raise
        except (MemoryError, ValueError):
            # `start` turns the error into an answer. libcurl knows nothing of the call, so no event would deliver it.
            self._loop.call_soon(self._deliver)
            raise

    def _watch(self, poll_event: int, fd: int, _multi: Any, _data: Any) -> None:
        """Watch a socket for the events that libcurl asks for. libcurl calls this when they change."""
        try:
            self._unwatch(fd)
            if poll_event == pycurl.POLL_REMOVE:
                return
            self._watched[fd] = poll_event
            if poll_event in (pycurl.POLL_IN, pycurl.POLL_INOUT):
                self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
            if poll_event in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
                self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        except Exception as error:  # noqa: BLE001 - no error may reach libcurl, see `_recover`
            self._recover(error)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            for remove_watch in (self._loop.remove_reader, self._loop.remove_writer):
                with contextlib.suppress(OSError, RuntimeError):
                    remove_watch(fd)

    def _schedule(self, timeout_ms: int) -> None:
        """Replace libcurl's timer. libcurl calls this; a negative time means that it needs no timer."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if timeout_ms >= 0:
            try:
                self._timer = self._loop.call_later(timeout_ms / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0)
            except Exception as error:  # noqa: BLE001 - as above
                self._recover(error)

    def _act(self, fd: int, events: int) -> None:
        """Let libcurl handle a socket's events, or its timer, and deliver the answers that are complete."""
        try:
            self._multi.socket_action(fd, events)
        except pycurl.error as error:
            self._recover(error)
        self._deliver()

    def _recover(self, error: Exception) -> None:
        """Log a failure in libcurl or in its callbacks, and continue with a new handle in the loop's next iteration.

        No exception may reach libcurl: after one, libcurl accepts no further call and never ends the calls in flight.
        """
        if self._failure_log_limiter():
            log.error(
                "A call to AWS failed unexpectedly (%s). Calls in flight end without an answer, and a new handle of "
                "libcurl takes the next ones. Report this error.",
                repr(error),
                extra={"event": "transport-renewed"},
            )
        if not self._is_renewal_due:
            self._is_renewal_due = True
            self._loop.call_soon(self._renew_multi)

    def _renew_multi(self) -> None:
        """Replace the multi handle. Calls in flight end without an answer: their result at the service is unknown."""
        self._is_renewal_due = False
        self._detach_from_loop()
        lost, old_multi = list(self._busy.values()), self._multi
        self._busy.clear()
        for handle in lost:
            with contextlib.suppress(pycurl.error):
                old_multi.remove_handle(handle.curl)
            handle.curl.close()
            if handle.on_answer is not None:
                self._failed.append((handle.on_answer, "libcurl's handle broke"))
        self._multi = self._new_multi()
        self._close_multi(old_multi)
        self._deliver()

    def _close_multi(self, multi: pycurl.CurlMulti) -> None:
        """Close the handle in a thread, since libcurl waits without limit for name servers that it has asked."""
        closing = threading.Thread(target=multi.close, name="libcurl", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)

    def _detach_from_loop(self) -> None:
        """Remove the timer and all watches of the present handle from the loop."""
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, None)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, None)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for fd in list(self._watched):
            self._unwatch(fd)
