"""HTTP/1.1 on raw asyncio: as little as AWS clients need, fast, and able to break off in the middle."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 32 * 1024 * 1024
RETRY_S = 0.02
"""Seconds between two attempts of a call that waits."""


class Request(NamedTuple):
    """One whole request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What to answer, after `delay_s`. `skew_s` moves the Date header; with `resets_after_s` nothing is answered.

    With `retry` there is no answer yet: it returns the next reply, RETRY_S later.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    skew_s: float = 0.0
    resets_after_s: float | None = None
    retry: "Callable[[], Reply] | None" = None


class Connection(asyncio.Protocol):
    """One client's connection: requests are answered one after another."""

    def __init__(self, answer: Callable[[Request], Reply], open_connections: "set[Connection]") -> None:
        self._answer = answer
        self._open = open_connections
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self.busy = False
        """Whether a request is being answered."""
        self._continued = False
        self._wanted = 0
        """How long the buffer is when the request begun in it is whole; 0 where that is not known yet."""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.busy and len(self._buffer) >= self._wanted:
            self._advance()

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        if self._transport:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _advance(self) -> None:
        try:
            request = self._take()
        except ValueError:
            if self._transport:
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self._transport.close()
            return
        if request is None:
            return
        self.busy = True
        self._follow(self._answer(request))

    def _retry(self, retry: Callable[[], Reply]) -> None:
        if self._transport is not None:  # a client that has gone must not receive a message
            self._follow(retry())

    def _follow(self, reply: Reply) -> None:
        if reply.retry:
            self._loop.call_later(RETRY_S, self._retry, reply.retry)
        elif reply.delay_s > 0:
            self._loop.call_later(reply.delay_s, self._end, reply)
        else:
            self._end(reply)

    def _end(self, reply: Reply) -> None:
        if self._transport is None:
            return
        if reply.resets_after_s is not None:
            self._loop.call_later(reply.resets_after_s, self.reset)
        else:
            self._transport.write(_serialized(reply))
            self.busy = self._continued = False
            if self._buffer:
                self._advance()

    def _take(self) -> Request | None:
        """Take one whole request off the buffer, or None where it is not all there."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > MAX_HEAD_BYTES:
                raise ValueError("no head")
            return None
        lines = buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if "transfer-encoding" in headers or not 0 <= length <= MAX_BODY_BYTES:
            raise ValueError("no body that the fake AWS reads")
        self._wanted = end + 4 + length
        if len(buffer) < self._wanted:
            self._encourage(headers)
            return None
        self._wanted = 0
        body = bytes(buffer[end + 4 : end + 4 + length])
        del buffer[: end + 4 + length]
        method, path, _ = lines[0].split(" ")
        return Request(method, path, headers, body)

    def _encourage(self, headers: dict[str, str]) -> None:
        if not self._continued and self._transport and headers.get("expect", "").lower() == "100-continue":
            self._continued = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


_REASONS = {status.value: status.phrase for status in HTTPStatus}


def _serialized(reply: Reply) -> bytes:
    head = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}",
        f"Date: {_date(int(time.time() + reply.skew_s))}",
        f"Content-Length: {len(reply.body)}",
    ]
    head += [f"{name}: {value}" for name, value in reply.headers]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + reply.body


_dates: dict[int, str] = {}


def _date(second: int) -> str:
    text = _dates.get(second)
    if text is None:
        _dates.clear()
        text = _dates[second] = formatdate(second, usegmt=True)
    return text
