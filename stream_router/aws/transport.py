"""The transport that its owner pumps: the child, between the stages of its pipeline."""

import contextlib
import select
import time
from collections.abc import Callable
from typing import Any

import pycurl

from stream_router.aws.calls import Calls, Done
from stream_router.aws.credentials import Credentials
from stream_router.outcomes import Answer

__all__ = ["Answer", "Done", "Transport"]

_WANTED = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class Transport(Calls):
    """Calls that move on when `pump` is called.

    epoll tells which sockets are ready, and only their calls are touched: libcurl's own `perform` asks every call in
    flight each time, which cost twice the CPU with 16 of them (benchmarks/child.py).
    """

    def __init__(
        self, credentials: Callable[[], Credentials], region: str, ca_bundle: str, max_connections: int = 64
    ) -> None:
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._timer_at: float | None = None
        super().__init__(credentials, region, ca_bundle, max_connections)

    def pump(self, wait_s: float = 0.0) -> int:
        """Move every call on and deliver what is answered; the number of answers delivered.

        Waits up to `wait_s` where nothing is answered yet; returns at once where nothing is in flight.
        """
        self._fire_timer()
        delivered = self._act(0.0)
        if not delivered and wait_s > 0 and self._busy:
            if self._timer_at is not None:
                wait_s = min(wait_s, max(0.0, self._timer_at - time.monotonic()) + 0.001)
            delivered = self._act(wait_s)
            self._fire_timer()
            delivered += self._deliver()
        return delivered

    def close(self) -> None:
        """Drop every connection. Calls in flight are abandoned: their `done` is never called."""
        super().close()
        self._epoll.close()

    def _act(self, wait_s: float) -> int:
        for fd, events in self._epoll.poll(wait_s):
            ready = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
            if events & select.EPOLLOUT:
                ready |= pycurl.CSELECT_OUT
            if events & select.EPOLLERR:
                ready |= pycurl.CSELECT_ERR
            self._multi.socket_action(fd, ready)
        return self._deliver()

    def _fire_timer(self) -> None:
        """Let libcurl do what is due: begin the calls that were started, end those that took too long."""
        while self._timer_at is not None and self._timer_at <= time.monotonic():
            self._timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)
        elif fd in self._watched:
            self._epoll.modify(fd, _WANTED[what])
        else:
            self._watched.add(fd)
            self._epoll.register(fd, _WANTED[what])

    def _schedule(self, timeout_ms: int) -> None:
        self._timer_at = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000
