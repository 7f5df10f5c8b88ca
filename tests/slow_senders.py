"""Connections that hold a server up: slow heads, slow bodies, answers that nobody reads."""

import contextlib
import socket
from multiprocessing.synchronize import Event

DRIP_EVERY_S = 0.5


class SlowSenders:
    """Connections that send a byte now and then: a third headers, a third bodies, a third never read their answers.

    A connection that the receiver closes is opened again, so the pressure stays.
    """

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._count = count
        self._open: dict[int, socket.socket] = {}
        self.refused = 0

    def run(self, stop: Event) -> None:
        """Keep it up until told to stop."""
        while not stop.is_set():
            for number in range(self._count):
                if number not in self._open:
                    self._connect(number)
            for number, connection in list(self._open.items()):
                self._drip(number, connection)
            stop.wait(DRIP_EVERY_S)
        for connection in self._open.values():
            connection.close()

    def _connect(self, number: int) -> None:
        connection = socket.socket()
        connection.settimeout(2)
        if number % 3 == 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            connection.connect(self._address)
            connection.sendall(self._opening(number))
        except OSError:
            self.refused += 1
            connection.close()
            return
        connection.setblocking(False)
        self._open[number] = connection

    def _opening(self, number: int) -> bytes:
        if number % 3 == 0:
            return b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: "
        if number % 3 == 1:
            length = 700_000 if number % 2 else 5_000
            return b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{" % length
        return b"GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n" * 50

    def _drip(self, number: int, connection: socket.socket) -> None:
        try:
            if number % 3 == 2:
                connection.send(b"GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n")
            else:
                connection.send(b"a")
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(4096):
                        raise ConnectionResetError
        except BlockingIOError:
            return
        except OSError:
            connection.close()
            del self._open[number]
