"""What goes over the wire is what the engine counts: a request is sent once for each `start`, whatever breaks."""

import asyncio
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import certifi
import pytest
import trustme

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target, json_target
from stream_router.aws.loop_transport import LoopTransport
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer
from tests.raw_server import RESET, RawServer, Seen, answer

ALLOWED_S = 10.0
LOOKED_AT_AFTER_S = 1.1
"""libcurl looks whether a kept connection still lives once it was idle for a second; before, a call finds out."""

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", None)
OPERATIONS = {
    "PutEvents": ("events", "AWSEvents.PutEvents", "1.1"),
    "PutRecords": ("kinesis", "Kinesis_20131202.PutRecords", "1.1"),
    "SendMessageBatch": ("sqs", "AmazonSQS.SendMessageBatch", "1.0"),
}


class KeptThenReset:
    """Serves the first request of each connection, and resets the connection once the second has been read."""

    def __init__(self) -> None:
        self._served: set[int] = set()

    def __call__(self, seen: Seen) -> bytes:
        if seen.connection in self._served:
            return RESET
        self._served.add(seen.connection)
        return answer(200)


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(lambda: CREDENTIALS, "us-east-1", certifi.where())
    yield made
    made.close()


def call(transport: Transport, target: Target, body: bytes = b"{}") -> Answer:
    """One call's answer."""
    answers: list[Answer] = []
    transport.start(target, body, 5.0, answers.append)
    deadline = time.monotonic() + ALLOWED_S
    while transport.in_flight:
        assert time.monotonic() < deadline, "a call never ended"
        transport.pump(0.05)
    return answers[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kept_connection_that_is_reset_costs_its_call_and_sends_nothing_again(
    transport: Transport, operation: str
) -> None:
    """Twenty calls, every second one on a connection that breaks under it: the server saw twenty requests."""
    with RawServer(KeptThenReset()) as server:
        to = json_target(server.url, *OPERATIONS[operation])
        found = [call(transport, to, str(n).encode()) for n in range(20)]
        assert [seen.body for seen in server.requests] == [str(n).encode() for n in range(20)]
    assert [one.status for one in found] == [200, 0] * 10
    assert {one.error for one in found if not one.status} == {"the kept connection broke; sent once, unanswered"}


def test_over_tls_too(tmp_path: Path) -> None:
    """Encryption changes nothing: one request for each call."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RawServer(KeptThenReset(), context) as server:
        transport = Transport(lambda: CREDENTIALS, "us-east-1", str(tmp_path / "ca.pem"))
        found = [call(transport, json_target(server.url, *OPERATIONS["PutEvents"])) for _ in range(10)]
        transport.close()
        assert len(server.requests) == 10
    assert [one.status for one in found] == [200, 0] * 5


def test_on_a_loop_too() -> None:
    """The receiver's transport counts the same way, with several calls under way at once."""

    async def run(url: str) -> list[Answer]:
        transport = LoopTransport(asyncio.get_running_loop(), lambda: CREDENTIALS, "us-east-1", certifi.where())
        to = json_target(url, *OPERATIONS["PutRecords"])
        try:
            first = await asyncio.gather(*(transport.call(to, b"{}", 5.0) for _ in range(8)))
            return [*first, *await asyncio.gather(*(transport.call(to, b"{}", 5.0) for _ in range(8)))]
        finally:
            transport.close()

    with RawServer(KeptThenReset()) as server:
        found = asyncio.run(run(server.url))
        assert len(server.requests) == 16
    assert [one.status for one in found] == [200] * 8 + [0] * 8


class OneAtATime:
    """Takes connections one after another on a thread, while it is a context; `serve` gets each and its number."""

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(ALLOWED_S)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._serve(connection, self.connections)


def read_request(connection: socket.socket) -> bytes:
    """One request whose body is `{}`, or less where the other side closes before."""
    got = b""
    while not got.endswith(b"\r\n\r\n{}") and (more := connection.recv(65536)):
        got += more
    return got


def test_a_reset_before_the_request_was_read_ends_the_call_too(transport: Transport) -> None:
    """Nobody can tell whether it was read: no answer, nothing sent again, and the engine decides what to do."""
    read: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        read.append(read_request(connection))
        if number == 1:
            connection.sendall(answer(200))
            select.select([connection], [], [], ALLOWED_S)  # the second request is there, and is not read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with OneAtATime(serve) as server:
        to = json_target(server.url, *OPERATIONS["PutEvents"])
        found = [call(transport, to) for _ in range(2)]
    assert [one.status for one in found] == [200, 0]
    assert [len(request) > 0 for request in read] in ([True], [True, False])


def test_a_kept_connection_that_was_closed_while_idle_is_not_used(transport: Transport) -> None:
    """It is known to be closed before anything is sent: the call goes over a fresh one, once, and is answered."""
    closed = threading.Event()
    read: list[bytes] = []

    def serve(connection: socket.socket, _number: int) -> None:
        read.append(read_request(connection))
        connection.sendall(answer(200))
        connection.close()
        closed.set()

    with OneAtATime(serve) as server:
        to = json_target(server.url, *OPERATIONS["PutEvents"])
        assert call(transport, to).status == 200
        assert closed.wait(ALLOWED_S)
        time.sleep(LOOKED_AT_AFTER_S)
        assert call(transport, to).status == 200
        assert server.connections == len(read) == 2
