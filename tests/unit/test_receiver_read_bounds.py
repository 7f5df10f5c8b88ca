"""What a connection may send around a body, or instead of one: all of it is bounded, without a socket or a clock."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from stream_router.receiver.answers import Response
from stream_router.receiver.connection import BODY_PIECE_BYTES, HEAD_PIECE_BYTES, Connection
from stream_router.receiver.connections import Connections, Turns
from stream_router.receiver.request import MAX_HEAD_BYTES, Request
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeLoop

HEADER_BYTES, BODY_BYTES = MAX_HEAD_BYTES + HEAD_PIECE_BYTES, 100_000
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: False


class Bench:
    """One connection whose handler takes every body."""

    draining = False
    max_body_bytes = BODY_BYTES

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.connections = Connections(loop, 10, 10, (), Stats())
        self.connection = Connection("1.2.3.4", loop, self.connections, cast("Any", self), Turns(loop))
        self.connections.admit(self.connection)
        self.transport = Transport()
        self.connection.connection_made(cast("Any", self.transport))

    def begin(self, request: Request) -> Response | None:
        return None

    def complete(self, request: Request) -> Response | None:
        self.bodies.append(request.body)
        return Response(202, "", (), b"")

    def answered(self, request: Request, answer: Response) -> None:
        """Nobody counts."""

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)
        self.loop.move(0.0)

    @property
    def status(self) -> int:
        """The first answer's status; 0 where there is none."""
        return int(self.transport.written[9:12] or 0)

    def sent_until_refused(self, piece: bytes, most_bytes: int = 10 * BODY_PIECE_BYTES) -> int:
        """How many bytes of such pieces it takes in before it answers."""
        taken = 0
        while not self.status and taken < most_bytes:
            self.send(piece)
            taken += len(piece)
        return taken


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


ENDLESS = {
    "a trailer's value": (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a"),
    "a trailer's name": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: a\r\n"),
    "a trailer of no body": (CHUNKED + b"0\r\nx: ", b"a"),
    "a chunk's extension": (CHUNKED + b"5;x=", b"a"),
    "the last chunk's extension": (CHUNKED + b"2\r\n{}\r\n0;x=", b"a"),
    "extensions": (CHUNKED + b"5", b";x=a"),
    "a chunk's size": (CHUNKED, b"0"),
    "a header's value": (HEAD + b"x: ", b"a"),
    "a header's name": (HEAD, b"a"),
    "white space before a value": (HEAD + b"x:", b" "),
    "headers": (HEAD, b"x: a\r\n"),
    "a request line": (b"POST /", b"a"),
    "empty lines before a request": (b"", b"\r\n"),
}
"""What begins, and what comes on and on."""


@pytest.mark.parametrize("size", [1, 1_000, 262_144])
@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_refused_within_the_limit_of_headers(bench: Bench, what: str, size: int) -> None:
    """Trailers, extensions, names and values: 431 once more of them came than headers may have, in pieces of any
    size; one piece of the parser's may come on top.
    """
    begins, more = ENDLESS[what]
    bench.send(begins)
    piece = more * (size // len(more) or 1)
    taken = bench.sent_until_refused(piece)
    assert bench.status == 431
    assert taken <= HEADER_BYTES + max(BODY_PIECE_BYTES, len(piece))
    assert bench.bodies == []


@pytest.mark.parametrize("size", [1, 1_000])
def test_more_headers_than_a_request_may_have_are_refused_before_its_head_ends(bench: Bench, size: int) -> None:
    """431 within a piece of the parser's: tiny ones take twenty times their bytes of memory, and a head may not end."""
    sent = HEAD + b"".join(b"%02x: %02x\r\n" % (number, number) for number in range(250))
    for at in range(0, len(sent), size):
        bench.send(sent[at : at + size])
    assert bench.status == 431
    assert bench.connection._request is None


@pytest.mark.parametrize(("length", "status"), [(b"2", 202), (b"100001", 413)])
def test_a_length_behind_very_many_zeros_is_read_as_any_other(bench: Bench, length: bytes, status: int) -> None:
    """llhttp takes them, so they are no unforeseen trouble: neither a 503 nor a line in the log for each."""
    bench.send(HEAD + b"Content-Length: " + b"0" * 5_000 + length + b"\r\n\r\n{}")
    assert bench.status == status


def test_a_trailer_behind_a_body_in_the_same_packet_is_bounded(bench: Bench) -> None:
    """What came before it in its piece does not make room for more of it."""
    bench.send(CHUNKED + b"2\r\n{}\r\n0\r\nx: " + b"a" * 5_000)
    assert bench.sent_until_refused(b"a" * 1_000) <= HEADER_BYTES + 1_000
    assert bench.status == 431


@pytest.mark.parametrize("size", [1, 7, 1_000, 262_144])
def test_a_body_of_very_many_tiny_chunks_is_taken_like_any_other(bench: Bench, size: int) -> None:
    """Its chunks' sizes are six times its bytes, and count neither as headers nor as a body, however it is cut."""
    sent = CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\nx: a trailer\r\n\r\n"
    for at in range(0, len(sent), size):
        bench.send(sent[at : at + size])
    assert (bench.status, bench.bodies) == (202, [b"x" * 20_000])


def test_tiny_chunks_beyond_the_limit_of_a_body_are_refused(bench: Bench) -> None:
    """It is the body's limit that they meet: 413, and nothing more is read."""
    bench.send(CHUNKED)
    assert bench.sent_until_refused(b"1\r\nx\r\n" * 100) <= 6 * (BODY_BYTES + 100)
    assert bench.status == 413


@pytest.mark.parametrize("value_bytes", [10, 16_000])
def test_a_head_that_comes_byte_by_byte_is_taken_like_any_other(bench: Bench, value_bytes: int) -> None:
    """A value that fits is whole in the end, and the next request on the connection begins at nothing."""
    for _ in range(2):
        for byte in HEAD + b"x: " + b"a" * value_bytes + b"\r\nContent-Length: 2\r\n\r\n{}":
            bench.send(bytes([byte]))
    assert bench.bodies == [b"{}", b"{}"]
    assert bench.transport.written.count(b" 202 ") == 2


def test_a_large_body_behind_a_large_head_is_no_large_head(bench: Bench) -> None:
    """Their bytes are counted apart, wherever the packets end."""
    sent = HEAD + b"x: " + b"a" * 16_000 + b"\r\nContent-Length: 90000\r\n\r\n" + b"b" * 90_000
    for at in range(0, len(sent), 3_000):
        bench.send(sent[at : at + 3_000])
    assert (bench.status, len(bench.bodies[0])) == (202, 90_000)


@pytest.mark.parametrize("large", [b"Content-Length: 200000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n"])
def test_what_comes_behind_a_refusal_is_not_held(bench: Bench, large: bytes) -> None:
    """Its connection lingers so that the answer is read; what it sends meanwhile is dropped, as is the half body."""
    bench.send(HEAD + large)
    bench.sent_until_refused(b"a" * 10_000)
    assert bench.status == 413
    for _ in range(10):
        bench.send(b"a" * 10_000)
    assert len(bench.connection._unparsed) == len(bench.connection._body) == bench.connection.held_bytes == 0
