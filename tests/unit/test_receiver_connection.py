"""One connection of the receiver, without a socket: what is left of it once it is closed."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any, cast

import pytest

from stream_router.receiver import answers
from stream_router.receiver import connection as connection_module
from stream_router.receiver.answers import Response
from stream_router.receiver.connection import Connection
from stream_router.receiver.connections import Connections, Turns
from stream_router.receiver.request import Request
from stream_router.receiver.stats import Stats
from tests.receiver_kit import AtOnce

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 700000\r\n\r\n"


class Transport:
    """Takes whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: False


class AtOnceTurns(Turns):
    """Whoever asks has its turn, but while somebody else's lasts."""

    busy = False

    def add(self, who: Connection) -> None:
        if self.busy:
            super().add(who)
        else:
            who.work()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector looks at nothing meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@contextlib.contextmanager
def opened(
    transport: Transport, handler: AtOnce | None = None
) -> Iterator[tuple[Connection, AtOnceTurns, asyncio.AbstractEventLoop]]:
    """A connection of 1.2.3.4 over a transport, the turns that it waits for, and its loop; all closed afterwards."""
    loop = asyncio.new_event_loop()
    connections, turns = Connections(loop, 10, 10, (), Stats()), AtOnceTurns(loop)
    connection = Connection("1.2.3.4", loop, connections, cast("Any", handler or AtOnce()), turns)
    assert connections.admit(connection)
    connection.connection_made(cast("asyncio.Transport", transport))
    yield connection, turns, loop
    connection.connection_lost(None)
    connections.stop()
    loop.close()


class Reading(Transport):
    """Says whether it is read from."""

    def __init__(self) -> None:
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def test_a_body_that_waits_for_its_turn_is_read_no_further() -> None:
    """A client that sends and sends fills the kernel's buffer, not the receiver's memory; at its turn it is read on."""
    transport = Reading()
    with opened(transport) as (connection, turns, loop):
        connection.data_received(POST)
        turns.busy = True
        assert transport.reads
        connection.data_received(b"x" * 64 * 1024)
        assert not transport.reads
        loop.run_until_complete(asyncio.sleep(0))
        assert transport.reads


class Written(Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.answers.append(data)

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize(("waits", "status"), [("nothing", b"408"), ("read", b"503"), ("unread", b"503")])
def test_a_body_that_does_not_come_is_408_and_one_that_waits_for_us_503(waits: str, status: bytes) -> None:
    """A 4xx is final for a sender, whose body is here: it waits for its turn, or with the kernel to be read on."""
    transport = Written()
    with opened(transport) as (connection, turns, loop):
        connection.data_received(POST)
        turns.busy = waits != "nothing"
        if waits == "read":
            connection.data_received(b"x")
        elif waits == "unread":
            connection._pause()
        connection.overdue(loop.time())
        assert transport.answers[0][9:12] == status


@pytest.mark.parametrize(("known", "told"), [(True, b"timeout=74\r\n"), (False, b"timeout=9\r\n")])
def test_an_answer_says_for_how_long_its_connection_is_kept(known: bool, told: bytes) -> None:
    """A sender that sends as it is closed would have no answer: one that reads this opens another in time."""
    transport = Written()
    with opened(transport) as (connection, _, _):
        if known:
            connection.known()
        connection.data_received(GET)
        assert told in transport.answers[0]
        connection.data_received(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert b"keep-alive" not in transport.answers[1]


def test_requests_sent_at_once_wait_their_turn_like_all_others() -> None:
    """One connection's thousand requests are not one piece of work: others come in between."""
    transport = Written()
    with opened(transport) as (connection, turns, loop):
        turns.busy = True
        connection.data_received(GET * 300)
        assert not transport.answers
        loop.run_until_complete(asyncio.sleep(0))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        assert len(transport.answers) == 300


class Early(AtOnce):
    """Says by the head alone that nothing is there, where it says so at all."""

    def __init__(self, answer: Response | None) -> None:
        self._answer = answer

    def begin(self, request: Request) -> Response | None:
        return self._answer


EXPECTS = b"POST / HTTP/1.%d\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("minor", "early", "told"),
    [
        (1, None, b"HTTP/1.1 100 Continue"),
        (1, answers.NOT_FOUND, b"HTTP/1.1 404 Not Found"),
        (1, answers.ENCODED, b"HTTP/1.1 415 Unsupported Media Type"),
        (0, None, b""),
        (0, answers.NOT_FOUND, b""),
    ],
)
def test_who_waits_before_it_sends_a_body_is_told_at_once(minor: int, early: Response | None, told: bytes) -> None:
    """To go on, or the answer: until its body's time is over it would wait for one. HTTP/1.0 knows no such thing."""
    transport = Written()
    with opened(transport, Early(early)) as (connection, _, _):
        connection.data_received(EXPECTS % minor)
        assert b"".join(transport.answers).partition(b"\r\n")[0] == told


class Breaks(AtOnce):
    """Cannot take what comes to /b."""

    def begin(self, request: Request) -> Response | None:
        if request.path == "/b/early":
            raise MemoryError
        return None

    def complete(self, request: Request) -> Response | None:
        if request.path == "/b":
            raise MemoryError
        return super().complete(request)


@pytest.mark.parametrize("path", [b"/b", b"/b/early"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_request_that_fails_in_an_unforeseen_way_is_answered_and_its_connection_ends(
    path: bytes, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind those that came before it: without an answer its sender would wait for ever, and its place be taken."""
    transport = Written()
    with opened(transport, Breaks()) as (connection, _, loop):
        connection.data_received(GET * before + GET.replace(b"/", path, 1) + GET)
        assert [answer[9:12] for answer in transport.answers] == [b"202"] * before + [b"503"]
        assert b"connection: close" in transport.answers[-1]
        assert connection.deadline_s < loop.time() + 2
    assert "unforeseen" in caplog.text


class Bodies(AtOnce):
    """Keeps what each request is and holds."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, bytes]] = []

    def complete(self, request: Request) -> Response | None:
        self.taken.append((request.method, request.path, request.body))
        return Response(200, "", (), b"")


class Later(Bodies):
    """Answers when it is told to, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Request] = []

    def complete(self, request: Request) -> Response | None:
        super().complete(request)
        request.connection.known()
        self._waiting.append(request)
        return None

    def answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.finish(Response(202, "", (), b""))


class Live(Reading, Written):
    """Says whether it is read from, and keeps what is written."""

    def __init__(self) -> None:
        Written.__init__(self)
        Reading.__init__(self)


@pytest.mark.parametrize("cut", [1, 30, len(POST) - 1, len(POST), len(POST) + 9])
def test_what_came_in_part_behind_requests_that_waited_is_read_on(cut: int) -> None:
    """Sixteen wait for their answers and nothing more is read; once they are answered the rest of the next one is."""
    later, transport = Later(), Live()
    request = POST.replace(b"700000", b"20") + b"x" * 20
    with opened(transport, later) as (connection, _, _):
        connection.data_received(GET * 16 + request[:cut])
        assert not transport.reads
        later.answer()
        assert transport.reads
        connection.data_received(request[cut:])
        later.answer()
        assert len(transport.answers) == len(later.taken) == 17


@pytest.mark.parametrize(("cut", "timeout_s"), [(1, 10.0), (30, 10.0), (len(POST), 7.0), (len(POST) + 9, 7.0)])
def test_what_came_in_part_behind_a_request_that_waited_has_its_time(
    cut: int, timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that never ends, or a body: its sender would have the connection for as long as it likes."""
    monkeypatch.setattr(connection_module, "BODY_S", 7.0)
    later = Later()
    with opened(Live(), later) as (connection, _, loop):
        connection.data_received(GET + (POST + b"x" * 20)[:cut])
        later.answer()
        assert connection.deadline_s == pytest.approx(loop.time() + timeout_s, abs=1.0)


UPGRADE = b"POST /e HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("piece_bytes", [1, 7, len(UPGRADE) + 30, 10_000])
@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"Content-Length: 27\r\n\r\n" + GET, GET),
        (b"Transfer-Encoding: chunked\r\n\r\n1B\r\n" + GET + b"\r\n0\r\n\r\n", GET),
        (b"\r\n", b""),
        (b"Content-Length: 27\r\n\r\n" + GET + GET, GET),
    ],
)
def test_a_body_behind_an_upgrade_is_a_body(sent: bytes, body: bytes, piece_bytes: int) -> None:
    """However it is cut into packets it is no request, whose answer a proxy would give to another client."""
    bodies, transport = Bodies(), Written()
    sent = UPGRADE + sent
    with opened(transport, bodies) as (connection, _, loop):
        for at in range(0, len(sent), piece_bytes):
            connection.data_received(sent[at : at + piece_bytes])
            loop.run_until_complete(asyncio.sleep(0))
        assert bodies.taken == [("POST", "/e", body)]
        assert len(transport.answers) == 1
        assert b"connection: close" in transport.answers[0]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/e?a=http://b/c", "/e"),
        (b"http://a.example:8080/e?x=/y", "/e"),
        (b"https://a.example", "/"),
        (b"http://a.example?x=/e", "/"),
        (b"/http://a/e", "/http://a/e"),
    ],
)
def test_a_target_with_scheme_and_host_is_its_path(target: bytes, path: str) -> None:
    """A proxy may send it so, and a server must take it."""
    bodies = Bodies()
    with opened(Written(), bodies) as (connection, _, _):
        connection.data_received(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert bodies.taken == [("GET", path, b"")]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("data", [None, b"", GET, b"POST / HTTP/1.1\r\nHo", b"nonsense\r\n\r\n"])
def test_nothing_is_left_of_a_closed_connection(data: bytes | None) -> None:
    """It is freed at once, whatever it had read: what waits for the collector grows for half an hour."""
    loop = asyncio.new_event_loop()
    connections = Connections(loop, 10, 10, (), Stats())
    connection = Connection("1.2.3.4", loop, connections, cast("Any", AtOnce()), Turns(loop))
    assert connections.admit(connection)
    if data is None:  # its TLS handshake fails
        connection.gone()
    else:
        connection.connection_made(cast("asyncio.Transport", Transport()))
        if data:
            connection.data_received(data)
        connection.connection_lost(None)
    left = weakref.ref(connection)
    del connection
    loop.run_until_complete(asyncio.sleep(0))
    connections.stop()
    loop.close()
    assert left() is None
