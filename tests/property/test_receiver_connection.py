"""However a sender's requests are cut and their answers delayed, each is taken once, whole, and answered."""

import asyncio
import math
from collections.abc import Callable
from random import Random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.receiver.answers import Response
from stream_router.receiver.connection import Connection
from stream_router.receiver.request import Request
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeTransport, front

UNREAD_BYTES = 2_000
STEPS_AT_THE_END = 200


class Handler:
    """Of a known sender: answers some requests at once, the others when told to, in any order."""

    draining = False
    max_body_bytes = 1_000_000

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[Request] = []
        self.taken: list[tuple[str, int]] = []

    def begin(self, request: Request) -> Response | None:
        return None

    def complete(self, request: Request) -> Response | None:
        request.connection.known()
        self.taken.append((request.path, len(request.body)))
        if self._random.random() < 0.3:
            return Response(202, "", (), b"")
        self._waiting.append(request)
        return None

    def answered(self, request: Request, answer: Response) -> None:
        """Nobody counts."""

    def answer(self, most: int) -> None:
        self._random.shuffle(self._waiting)
        told, self._waiting = self._waiting[:most], self._waiting[most:]
        for request in told:
            request.finish(Response(202, "", (), b""))


class Wire(FakeTransport):
    """The client's end: what is read from it, and what it has not read."""

    def __init__(self, connection: Connection, *, slow: bool) -> None:
        super().__init__()
        self.answers = 0
        self._connection = connection
        self._slow, self._unread_bytes, self._full = slow, 0, False

    def write(self, data: bytes) -> None:
        self.answers += data.startswith(b"HTTP/1.1 202")
        self._unread_bytes += len(data) * self._slow
        if self._unread_bytes > UNREAD_BYTES and not self._full:
            self._full = True
            self._connection.pause_writing()

    def take(self) -> None:
        self._unread_bytes = 0
        if self._full:
            self._full = False
            self._connection.resume_writing()


def request_of(random: Random, number: int) -> tuple[bytes, int]:
    """A request's bytes, and how long its body is."""
    size = random.choice([0, 1, 20, 300, 300, random.choice([5_000, 70_000, 200_000])])
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\n" % number
    if random.random() < 0.2:
        head += b"X-Long: %b\r\n" % (b"x" * random.randrange(9_000))
    if size and random.random() < 0.2:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size), size
    return head + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, size


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_each_of_many_requests_sent_at_once_is_taken_whole_and_answered(random: Random) -> None:
    """In order; at the end it is read from again; and at no moment has what is not there yet all the time there is."""
    loop = asyncio.new_event_loop()
    stats = Stats()
    handler = Handler(random)
    server = front(loop, handler, stats)
    connection = Connection("1.2.3.4", server)
    assert server.admit(connection)
    wire = Wire(connection, slow=random.random() < 0.3)
    connection.connection_made(cast("asyncio.Transport", wire))
    connection.known()
    requests = [request_of(random, number) for number in range(random.randrange(1, 40))]
    try:
        sent(b"".join(data for data, _ in requests), random, connection, wire, handler, loop)
        assert handler.taken == [(f"/{number}", size) for number, (_, size) in enumerate(requests)]
        assert wire.answers == len(requests)
        assert wire.reads
        assert connection.deadline_s < math.inf
        assert stats.read_bytes == connection.held_bytes == 0
    finally:
        connection.connection_lost(None)
        loop.close()


def sent(
    data: bytes, random: Random, connection: Connection, wire: Wire, handler: Handler, loop: asyncio.AbstractEventLoop
) -> None:
    """Send all of it where it is read, and do meanwhile what else can happen; then everything that is left."""
    at, most_bytes, idle = 0, random.choice([30, 500, 5_000, 70_000, 300_000]), 0
    while at < len(data) and idle < STEPS_AT_THE_END:
        idle += 1
        if wire.reads and random.random() < 0.8:
            size = random.randrange(1, most_bytes)
            connection.data_received(data[at : at + size])
            at, idle = at + size, 0
        else:
            meanwhile: list[Callable[[], object]] = [
                lambda: handler.answer(3),
                lambda: handler.answer(100),
                wire.take,
                lambda: one_round(loop),
            ]
            random.choice(meanwhile)()
        assert connection.deadline_s < math.inf or connection._waiting or connection._unparsed
    for _ in range(STEPS_AT_THE_END):
        one_round(loop)
        handler.answer(100)
        wire.take()


def one_round(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(asyncio.sleep(0))
