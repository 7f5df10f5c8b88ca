"""A small HTTP server on a thread that keeps each request's bytes and answers with bytes of the test's choosing."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

RESET = b"<reset>"
SILENCE = b"<silence>"


class Seen(NamedTuple):
    """One request as it came over the wire; `connection` counts accepted connections from 1."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


def answer(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """The bytes of an HTTP answer; underscores in header names stand for dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class RawServer:
    """Serves on loopback while it is a context. `reply` gets each request and says what to send back."""

    def __init__(self, reply: Callable[[Seen], bytes], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self._reply = reply
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        scheme = "https" if tls else "http"
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection, self.connections)

    def _serve(self, plain: socket.socket, number: int) -> None:
        self._open.append(plain)
        try:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            self._open.append(connection)
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    self._exchange(connection, stream.readline, stream.read, line, number)
        except OSError:
            plain.close()

    def _exchange(
        self,
        connection: socket.socket,
        readline: Callable[[], bytes],
        read: Callable[[int], bytes],
        line: bytes,
        number: int,
    ) -> None:
        headers = {}
        while (raw := readline()) not in (b"\r\n", b""):
            name, _, value = raw.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = read(int(headers.get("content-length", "0")))
        seen = Seen(line.decode().strip(), headers, body, number)
        self.requests.append(seen)
        reply = self._reply(seen)
        if reply == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise OSError
        if reply != SILENCE:
            connection.sendall(reply)
