"""A load for the receiver, in one process: requests at a fixed rate, each timed from when it was meant to be sent."""

import asyncio
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import uvloop

_LENGTH = re.compile(rb"content-length: (\d+)")
_IDS = re.compile(rb"[0-9a-f]{32}")
LATE_S = 0.1
LAST_DATA_END = 56
"""Where `tcpi_last_data_recv` ends in Linux's struct tcp_info: milliseconds since data came."""


class Outcome(NamedTuple):
    """What became of one request: its status (0: no answer), the event's id, seconds from the intended send time.

    `waited_s` is from when the request was written to when its answer was in this machine's kernel: how late this
    program is itself does not count. `number` is its place in the order of sending.
    """

    status: int
    identity: str
    latency_s: float
    answered_s: float
    waited_s: float = 0.0
    number: int = 0


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, result, rest = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head.lower())
        if not result or not length or len(rest) < int(length[1]):
            return
        self._buffer = rest[int(length[1]) :]
        self._answer(int(head[9:12]), rest[: int(length[1])])

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._answer(0, b"")

    def _answer(self, status: int, body: bytes) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result((status, body))

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        if self.transport is None:
            # A receiver that is killed resets it between its opening and this.
            raise ConnectionResetError
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting


async def _lane(
    address: tuple[str, int],
    slots: "asyncio.Queue[tuple[int, float, bytes]]",
    outcomes: list[Outcome],
    timeout_s: float,
    ended: threading.Event,
) -> None:
    """Take requests from the queue, wait for each one's time, send it; connect again where the connection is gone."""
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    while not slots.empty() and not ended.is_set():
        number, due_s, request = slots.get_nowait()
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        status, body, sent_s = 0, b"", due_s
        try:
            if connection is None or connection.transport is None:
                _, connection = await loop.create_connection(Connection, *address)
            async with asyncio.timeout(timeout_s):
                answered = connection.ask(request)
                sent_s = time.perf_counter()
                status, body = await answered
        except (OSError, TimeoutError):
            if connection and connection.transport:
                connection.transport.abort()
            connection = None
        now_s = time.perf_counter()
        waited_s = now_s - sent_s
        if waited_s > LATE_S and connection and connection.transport:
            waited_s -= _came_ago_s(connection.transport)
        match = _IDS.search(body) if status == 202 else None
        outcomes.append(Outcome(status, match[0].decode() if match else "", now_s - due_s, now_s, waited_s, number))
    if connection and connection.transport:
        connection.transport.close()


def _came_ago_s(transport: asyncio.Transport) -> float:
    """How long ago the last bytes came, by the kernel's account."""
    with socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
        info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_END)
    return int.from_bytes(info[LAST_DATA_END - 4 :], sys.byteorder) / 1000


def post(body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a POST to /v1/events."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"POST /v1/events HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def send(
    address: tuple[str, int],
    requests: Sequence[bytes],
    rate: float,
    connections: int,
    beside: Callable[[], None] | None = None,
    timeout_s: float = 10.0,
    *,
    until_beside: bool = False,
) -> list[Outcome]:
    """Send the requests at `rate` a second over `connections`; `beside` runs on a thread meanwhile.

    `until_beside`: send no more of them once that is through.
    """
    ended = threading.Event()

    def run_beside(kind: Callable[[], None]) -> None:
        try:
            kind()
        finally:
            if until_beside:
                ended.set()

    async def run() -> list[Outcome]:
        slots: asyncio.Queue[tuple[int, float, bytes]] = asyncio.Queue()
        start_s = time.perf_counter() + 0.2
        for number, request in enumerate(requests):
            slots.put_nowait((number, start_s + number / rate, request))
        outcomes: list[Outcome] = []
        lanes = [_lane(address, slots, outcomes, timeout_s, ended) for _ in range(connections)]
        other = [asyncio.to_thread(run_beside, beside)] if beside else []
        await asyncio.gather(*lanes, *other)
        return outcomes

    return uvloop.run(run())


def percentile_s(outcomes: Sequence[Outcome], share: float) -> float:
    """The latency that `share` of the outcomes stay under."""
    ordered = sorted(outcome.latency_s for outcome in outcomes)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
