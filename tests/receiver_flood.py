"""More requests than a receiver can do, from one thread that is itself never the bottleneck: bare sockets and epoll.

Each request is timed from when its last `send` returned to when its answer was in this machine's kernel, by the
kernel's own account: how late this program is itself does not count.
"""

import contextlib
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

LAST_DATA_END = 56
"""Where `tcpi_last_data_recv` ends in Linux's struct tcp_info: milliseconds since data came."""
OPEN_AT_ONCE = 200
ROUND_S = 0.001
AT_ONCE = 256
"""Requests sent between two looks at what came back."""
SENDERS = 8
"""Addresses from which the connections come: of one client the receiver holds only so many that it does not know."""
END_S = 5.0
"""How long what is still unanswered at the end is waited for."""


class Answered(NamedTuple):
    """One request's status (0: none came) and how long its answer took to this machine, in seconds."""

    status: int
    took_s: float


class Flood:
    """Connections to one address, each with one request at a time."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._address = address
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._idle: deque[socket.socket] = deque()
        self._sent_s: dict[int, float] = {}
        self._opening: set[int] = set()
        self._opened = 0
        self.answers: list[Answered] = []
        for at in range(connections):
            self._connect()
            if at % OPEN_AT_ONCE == 0:
                self._round(ROUND_S)
        while len(self._idle) < connections:
            self._round(ROUND_S)

    def run(self, requests: Sequence[bytes], rate: float, seconds: float) -> float:
        """Send at `rate` a second, whatever comes back; the rate at which requests really went out."""
        start_s = time.perf_counter()
        sent = skipped = 0
        while (now_s := time.perf_counter()) - start_s < seconds:
            # Where every connection waits for an answer, a request is not sent at all: it would wait here.
            due = min(int((now_s - start_s) * rate) - sent - skipped, AT_ONCE)
            for _ in range(min(due, len(self._idle))):
                self._send(self._idle.popleft(), requests[sent % len(requests)])
                sent, due = sent + 1, due - 1
            skipped += due
            self._round(0.0 if due else ROUND_S)
        end_s = time.perf_counter() + END_S
        while self._sent_s and time.perf_counter() < end_s:
            self._round(ROUND_S)
        self.answers += [Answered(0, END_S)] * len(self._sent_s)
        return sent / seconds

    def close(self) -> None:
        """Let go of every connection."""
        for sock in self._open.values():
            sock.close()
        self._epoll.close()

    def _connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        self._opened += 1
        sock.bind((f"127.0.2.{self._opened % SENDERS + 1}", 0))
        sock.connect_ex(self._address)
        fd = sock.fileno()
        self._open[fd] = sock
        self._opening.add(fd)
        self._epoll.register(fd, select.EPOLLOUT)

    def _send(self, sock: socket.socket, request: bytes) -> None:
        with contextlib.suppress(OSError):
            if sock.send(request) == len(request):
                self._sent_s[sock.fileno()] = time.perf_counter()
                return
        self._gone(sock)
        self.answers.append(Answered(0, 0.0))

    def _round(self, timeout_s: float) -> None:
        for fd, _ in self._epoll.poll(timeout_s):
            sock = self._open[fd]
            if fd in self._opening:
                self._opening.discard(fd)
                self._epoll.modify(fd, select.EPOLLIN)
                self._idle.append(sock)
            else:
                self._read(fd, sock)

    def _read(self, fd: int, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        sent_s = self._sent_s.pop(fd, None)
        if sent_s is not None:
            took_s = time.perf_counter() - sent_s - (_waited_s(sock) if data else 0.0)
            self.answers.append(Answered(int(data[9:12]) if data else 0, took_s))
        if not data or b"\r\nconnection: close\r\n" in data:
            self._gone(sock)
        else:
            self._idle.append(sock)

    def _gone(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        if sock in self._idle:
            self._idle.remove(sock)
        del self._open[fd]
        sock.close()
        self._connect()


def _waited_s(sock: socket.socket) -> float:
    """How long ago the last bytes came, by the kernel's account."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_END)
    return int.from_bytes(info[LAST_DATA_END - 4 :], sys.byteorder) / 1000
