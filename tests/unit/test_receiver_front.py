"""The receiver's front without a socket: what a connection may send, hold and delay, and whose place is whose."""

import asyncio
import gc
import time
import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver import answers, server
from stream_router.receiver.answers import Response
from stream_router.receiver.app import LATE_S, App
from stream_router.receiver.connection import BODY_PIECE_BYTES, HEAD_PIECE_BYTES, Connection
from stream_router.receiver.request import MAX_HEAD_BYTES, Headers, Request
from stream_router.receiver.server import AT_ONCE, AT_ONCE_OF_TLS, HttpServer
from stream_router.receiver.states import CURES, OVER_AFTER_S, States
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeLoop, FakeTransport, front

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HEADER_BYTES, BODY_BYTES = MAX_HEAD_BYTES + HEAD_PIECE_BYTES, 100_000


class Bench:
    """One connection, whose app takes every body, on a clock that the test moves: a turn comes with `turn`."""

    draining = False
    max_body_bytes = BODY_BYTES

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, bytes]] = []
        self.early: Response | None = None
        self.breaks = ""
        self.loop = FakeLoop()
        self.server = front(self.loop, self)
        self.connection = Connection("1.2.3.4", self.server)
        self.server.admit(self.connection)
        self.transport = FakeTransport()
        self.connection.connection_made(cast("Any", self.transport))

    def begin(self, request: Request) -> Response | None:
        if self.breaks == "early" and request.path == "/b":
            raise MemoryError
        return self.early

    def complete(self, request: Request) -> Response | None:
        if self.breaks and request.path == "/b":
            raise MemoryError
        self.taken.append((request.method, request.path, request.body))
        return Response(202, "", (), b"")

    def answered(self, request: Request, answer: Response) -> None:
        """Nobody counts."""

    def turn(self) -> None:
        self.loop.move(0.0)

    def send(self, data: bytes, piece_bytes: int = 1_000_000) -> None:
        for at in range(0, len(data), piece_bytes):
            self.connection.data_received(data[at : at + piece_bytes])
            self.turn()

    @property
    def statuses(self) -> list[int]:
        return [int(answer[1:4]) for answer in self.transport.written.split(b"HTTP/1.1")[1:]]

    def sent_until_refused(self, piece: bytes, most_bytes: int = 10 * BODY_PIECE_BYTES) -> int:
        """How many bytes of such pieces it takes in before it answers."""
        taken = 0
        while not self.statuses and taken < most_bytes:
            self.send(piece)
            taken += len(piece)
        return taken


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- what is sent


ENDLESS = {
    "a trailer's value": (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a"),
    "a trailer's name": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: a\r\n"),
    "a chunk's extension": (CHUNKED + b"5;x=", b"a"),
    "the last chunk's extension": (CHUNKED + b"2\r\n{}\r\n0;x=", b"a"),
    "a chunk's size": (CHUNKED, b"0"),
    "a header's value": (HEAD + b"x: ", b"a"),
    "a header's name": (HEAD, b"a"),
    "headers": (HEAD, b"x: a\r\n"),
    "a request line": (b"POST /", b"a"),
    "empty lines before a request": (b"", b"\r\n"),
}
"""What begins, and what comes on and on."""


@pytest.mark.parametrize("size", [1, 1_000, 262_144])
@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_refused_within_the_limit_of_headers(bench: Bench, what: str, size: int) -> None:
    """431 once more of it came than headers may have, in pieces of any size; one piece of the parser's on top."""
    begins, more = ENDLESS[what]
    bench.send(begins)
    piece = more * (size // len(more) or 1)
    assert bench.sent_until_refused(piece) <= HEADER_BYTES + max(BODY_PIECE_BYTES, len(piece))
    assert (bench.statuses, bench.taken) == ([431], [])


@pytest.mark.parametrize(("length", "status"), [(b"2", 202), (b"100001", 413)])
def test_a_length_behind_very_many_zeros_is_read_as_any_other(bench: Bench, length: bytes, status: int) -> None:
    """llhttp takes them, so they are no unforeseen trouble: neither a 503 nor a line in the log for each."""
    bench.send(HEAD + b"Content-Length: " + b"0" * 5_000 + length + b"\r\n\r\n{}")
    assert bench.statuses == [status]


@pytest.mark.parametrize("size", [1, 1_000, 262_144])
def test_a_body_of_very_many_tiny_chunks_is_taken_like_any_other(bench: Bench, size: int) -> None:
    """Its chunks' sizes are six times its bytes, and count neither as headers nor as a body, however it is cut."""
    bench.send(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\nx: a trailer\r\n\r\n", size)
    assert (bench.statuses, bench.taken) == ([202], [("POST", "/v1/events", b"x" * 20_000)])


def test_a_head_that_comes_byte_by_byte_is_taken_like_any_other(bench: Bench) -> None:
    """A value that fits is whole in the end, and the next request on the connection begins at nothing."""
    for _ in range(2):
        bench.send(HEAD + b"x: " + b"a" * 16_000 + b"\r\nContent-Length: 2\r\n\r\n{}", 1)
    assert [body for _, _, body in bench.taken] == [b"{}", b"{}"]


@pytest.mark.parametrize("large", [b"Content-Length: 200000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n"])
def test_what_comes_behind_a_refusal_is_not_held(bench: Bench, large: bytes) -> None:
    """Its connection lingers so that the answer is read; what it sends meanwhile is dropped, as is the half body."""
    bench.send(HEAD + large)
    bench.sent_until_refused(b"a" * 10_000)
    assert bench.statuses == [413]
    bench.send(b"a" * 100_000, 10_000)
    assert len(bench.connection._unparsed) == len(bench.connection._body) == bench.connection.held_bytes == 0


@pytest.mark.parametrize(
    ("minor", "early", "told"),
    [
        (1, None, b"HTTP/1.1 100 Continue"),
        (1, answers.NOT_FOUND, b"HTTP/1.1 404 Not Found"),
        (0, None, b""),
        (0, answers.NOT_FOUND, b""),
    ],
)
def test_who_waits_before_it_sends_a_body_is_told_at_once(
    bench: Bench, minor: int, early: Response | None, told: bytes
) -> None:
    """To go on, or the answer: until its body's time is over it would wait for one. HTTP/1.0 knows no such thing."""
    bench.early = early
    bench.send(b"POST / HTTP/1.%d\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n" % minor)
    assert bench.transport.written.partition(b"\r\n")[0] == told


UPGRADE = b"POST /e HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"Content-Length: 27\r\n\r\n" + GET, GET),
        (b"Transfer-Encoding: chunked\r\n\r\n1B\r\n" + GET + b"\r\n0\r\n\r\n", GET),
        (b"\r\n", b""),
        (b"Content-Length: 27\r\n\r\n" + GET + GET, GET),
    ],
)
def test_a_body_behind_an_upgrade_is_a_body(bench: Bench, sent: bytes, body: bytes, piece_bytes: int) -> None:
    """However it is cut into packets it is no request, whose answer a proxy would give to another client."""
    bench.send(UPGRADE + sent, piece_bytes)
    assert bench.taken == [("POST", "/e", body)]
    assert (bench.statuses, b"connection: close" in bench.transport.written) == ([202], True)


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/e?a=http://b/c", "/e"), (b"http://a.example:8080/e?x=/y", "/e"), (b"http://a.example?x=/e", "/")],
)
def test_a_target_with_scheme_and_host_is_its_path(bench: Bench, target: bytes, path: str) -> None:
    """A proxy may send it so, and a server must take it."""
    bench.send(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert bench.taken == [("GET", path, b"")]


@pytest.mark.parametrize("breaks", ["early", "complete"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_request_that_fails_in_an_unforeseen_way_is_answered_and_its_connection_ends(
    bench: Bench, breaks: str, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind those that came before it: without an answer its sender would wait for ever, and its place be taken."""
    bench.breaks = breaks
    bench.send(GET * before + GET.replace(b"/", b"/b", 1) + GET)
    assert bench.statuses == [202] * before + [503]
    assert bench.connection.deadline_s < bench.loop.time() + 2
    assert "unforeseen" in caplog.text


# --- turns, and time that is over


def test_a_body_that_waits_for_its_turn_is_read_no_further(bench: Bench) -> None:
    """A client that sends and sends fills the kernel's buffer, not the receiver's memory; at its turn it is read on."""
    bench.send(HEAD + b"Content-Length: 90000\r\n\r\n")
    bench.connection.data_received(b"x" * 64 * 1024)
    assert not bench.transport.reads
    bench.turn()
    assert bench.transport.reads


@pytest.mark.parametrize(("waits", "status"), [("nothing", 408), ("read", 503), ("unread", 503)])
def test_a_body_that_does_not_come_is_408_and_one_that_waits_for_us_503(bench: Bench, waits: str, status: int) -> None:
    """A 4xx is final for a sender, whose body is here: it waits for its turn, or with the kernel to be read on."""
    bench.send(HEAD + b"Content-Length: 90000\r\n\r\n")
    if waits == "read":
        bench.connection.data_received(b"x")
    elif waits == "unread":
        bench.connection._pause()
    bench.connection.overdue()
    assert bench.statuses == [status]


@pytest.mark.parametrize(("known", "told"), [(True, b"timeout=74\r\n"), (False, b"timeout=9\r\n")])
def test_an_answer_says_for_how_long_its_connection_is_kept(bench: Bench, known: bool, told: bytes) -> None:
    """A sender that sends as it is closed would have no answer: one that reads this opens another in time."""
    if known:
        bench.connection.known()
    bench.send(GET)
    assert told in bench.transport.written


@pytest.mark.parametrize("data", [None, b"", GET, b"POST / HTTP/1.1\r\nHo", b"nonsense\r\n\r\n"])
def test_nothing_is_left_of_a_closed_connection(bench: Bench, data: bytes | None) -> None:
    """It is freed at once, whatever it had read: what waits for the collector grows for half an hour."""
    gc.collect()
    gc.disable()
    try:
        connection = Connection("1.2.3.4", bench.server)
        assert bench.server.admit(connection)
        if data is None:  # its TLS handshake fails
            connection.gone()
        else:
            connection.connection_made(cast("Any", FakeTransport()))
            connection.data_received(data)
            connection.connection_lost(None)
        left = weakref.ref(connection)
        del connection
        bench.turn()
        assert left() is None
    finally:
        gc.enable()


class Worker:
    """Works for as long as the whole of a round's time, or fails."""

    def __init__(self, server: HttpServer, done: list[str], name: str, again: int = 0) -> None:
        self._server, self._done, self._name, self._again = server, done, name, again

    def work(self) -> None:
        self._done.append(self._name)
        time.sleep(server.WORK_S)
        if self._name == "fails":
            raise RuntimeError
        if self._again:
            self._again -= 1
            self._server.wait_for_turn(cast("Any", self))


def test_what_fits_no_round_waits_in_its_order_and_others_come_in_between() -> None:
    """Who has more to do goes on behind all who wait; a failure keeps nobody from his turn."""

    async def test() -> None:
        loop, done = asyncio.get_running_loop(), list[str]()
        loop.set_exception_handler(lambda *_: None)
        running = front(loop, None)
        for name, again in (("much", 2), ("fails", 0), ("last", 0)):
            running.wait_for_turn(cast("Any", Worker(running, done, name, again)))
        for rounds in range(1, 6):
            await asyncio.sleep(0)
            assert len(done) <= rounds
        assert done == ["much", "fails", "last", "much", "much"]

    asyncio.run(test())


# --- whose place is whose


class Fake:
    """A connection as its server sees it."""

    deadline_s = float("inf")

    def __init__(self, client: str) -> None:
        self.client = client
        self.held_bytes = 0
        self.was_cut = self.made_room = False

    def cut(self) -> None:
        self.was_cut = True

    def make_room(self) -> None:
        self.made_room = True

    overdue = cut


class Places:
    """A server of six connections, three of one address."""

    def __init__(self, proxies: str = "") -> None:
        self.loop, self.stats = FakeLoop(), Stats()
        numbers = {"max_connections": 6, "max_client_connections": 3, "trusted_proxies": proxies}
        self.server: Any = front(self.loop, None, self.stats, **numbers)

    def admit(self, *clients: str) -> list[Fake]:
        made = [Fake(client) for client in clients]
        for connection in made:
            assert self.server.admit(connection)
        return made


def test_who_holds_connections_without_saying_who_it_is_loses_its_oldest() -> None:
    """One address has so many; a further one of it costs its own oldest, nobody else's. A proxy of ours is many."""
    other, *silent = Places().admit("b", "a", "a", "a", "a")
    assert [one.was_cut for one in (other, *silent)] == [False, True, False, False, False]
    assert not any(one.was_cut for one in Places("10.0.0.0/8").admit(*["10.0.0.1"] * 6))


def test_where_all_places_are_taken_the_oldest_unknown_goes() -> None:
    """Who has shown who it is stays; where only such are there, the new one is refused."""
    places = Places()
    held = places.admit("a", "b", "c", "d", "e", "f")
    places.server.known(held[0])
    (newest,) = places.admit("g")
    assert [one.was_cut for one in held] == [False, True, False, False, False, False]
    for one in (*held[2:], newest):
        places.server.known(one)
    assert not places.server.admit(Fake("h"))
    assert places.stats.connections == 6
    places.server.gone(held[2])
    places.admit("h")


def test_a_connection_that_breaks_the_sweep_costs_no_other_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cut and told in the log; whoever comes after it, then and in later sweeps, is ended in time."""
    places = Places()
    bad, good, later = places.admit("a", "b", "c")
    monkeypatch.setattr(bad, "overdue", None)
    bad.deadline_s, good.deadline_s, later.deadline_s = 0.9, 1.0, 2.0
    places.loop.move(1.1)
    assert (bad.was_cut, good.was_cut, later.was_cut) == (True, True, False)
    places.loop.move(1.1)
    assert later.was_cut
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_who_holds_the_most_of_too_much_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest go until a quarter is free: however many small ones there are, none of them does."""
    monkeypatch.setattr(server, "MAX_READ_BYTES", 1_000)
    places = Places()
    every = small, large, larger, last = places.admit("a", "b", "c", "d")
    for one, size in ((small, 100), (large, 300), (larger, 400), (last, 200)):
        places.server.hold(one, size)
    assert not any(one.made_room for one in every)
    places.server.hold(small, 101)
    assert [one.made_room for one in every] == [False, False, True, False]
    assert places.stats.read_bytes == 601
    for one in (small, large, last):
        places.server.gone(one)
    assert places.stats.read_bytes == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 198.51.100.2, 10.0.0.7"], "198.51.100.2"),
        ("10.0.0.1", ["198.51.100.1", "198.51.100.2"], "198.51.100.2"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "nonsense"),
    ],
)
def test_behind_trusted_proxies_the_rightmost_address_that_is_none_of_theirs_counts(
    peer: str, forwarded: list[str], client: str
) -> None:
    """What stands left of it anyone could have written; who is no proxy of ours is believed nothing."""
    places = Places("10.0.0.0/8, fd00::/8")
    headers = Headers([(b"X-Forwarded-For", one.encode()) for one in forwarded])
    assert places.server.client_of(peer, headers) == client


@pytest.mark.parametrize(("context", "taken"), [(None, AT_ONCE), (object(), AT_ONCE_OF_TLS)])
def test_a_round_takes_as_many_connections_as_it_can_open(context: Any, taken: int) -> None:
    """The handshakes of six hundred that come at once are not one round: who is served already waits for it."""
    places, accepted = Places(), list[object]()
    places.server.take = lambda *one: accepted.append(one)
    places.server._socket, places.server._tls = SimpleNamespace(accept=lambda: (None, ("1.1.1.1", 1))), lambda: context
    places.server._accept()
    assert len(accepted) == taken


# --- what the app says


class Batcher:
    """Keeps what it is given."""

    ready = True

    def __init__(self) -> None:
        self.taken: list[object] = []

    def submit(self, events: object, *_: object, **__: object) -> None:
        self.taken.append(events)


def app_of(batcher: Batcher, stats: Stats) -> App:
    source: Any = SimpleNamespace(
        name="",
        verify=lambda *_: None,
        says=lambda _: ("", "", ""),
        intake=SimpleNamespace(events=lambda _: []),
    )
    return App({"/v1/events": source}, cast("Any", batcher), stats, cast("Any", None), 1_000, 1_000)


def requested(app: App, waited_s: float = 0.0) -> tuple[Request, answers.Response | None]:
    """A request whose last bytes were read so long ago, and what the app says of it."""
    request = Request(cast("Any", SimpleNamespace(known=lambda: None, flush=lambda: None)))
    request.method, request.path, request.body = "POST", "/v1/events", b"{}"
    request.read_s = time.monotonic() - waited_s
    return request, app.begin(request) or app.complete(request)


@pytest.mark.parametrize(
    ("waits", "read", "late_s", "answer"),
    [
        (400, 600, 0.0, None),
        (401, 600, 0.0, answers.BUSY),
        (1_001, 0, 0.0, answers.BUSY),
        (0, 0, LATE_S - 0.1, None),
        (0, 0, LATE_S + 0.1, answers.OVERLOAD),
    ],
)
def test_too_much_held_or_parsed_too_late_is_503_before_it_is_looked_at(
    waits: int, read: int, late_s: float, answer: Response | None
) -> None:
    """Events that wait and requests that are half there count alike. What waits for the stream is parsed already."""
    stats, batcher = Stats(), Batcher()
    stats.bytes_in_flight, stats.read_bytes = waits, read
    assert requested(app_of(batcher, stats), late_s)[1] == answer
    assert len(batcher.taken) == (answer is None)


@pytest.mark.parametrize(
    ("outcome", "age_s", "status"),
    [
        ("stored", 0.8, 202),
        ("spilled", 0.8, 202),
        ("seen_before", 0.8, 202),
        ("not_stored", 0.1, 503),
        ("stored", 0.89, 503),
    ],
)
def test_a_request_is_answered_as_its_events_fared_and_never_late(outcome: str, age_s: float, status: int) -> None:
    """A 202 that would come after its time is a 503: the sender has given up, and sends it again."""
    app = app_of(Batcher(), Stats())
    request, _ = requested(app)
    request.read_s = time.monotonic() - age_s
    app._told(request, ["id"], outcome)
    assert request.answer is not None
    assert request.answer.status == status


# --- what is said of refused deliveries


class Watched:
    """What is answered, and what is said of it, on a clock of the test's own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.stats = Stats()
        stream = SimpleNamespace(refuses=False, apart=0, code="")
        batcher = SimpleNamespace(stats=self.stats, now_s=lambda: self.now_s, stream=stream, backlog=None, buckets=[])
        self.states = States(cast("Any", batcher), "s")

    def pass_s(self, seconds: float, *reasons: str, let_in: int = 0) -> None:
        """Time goes by in quarters of a second, a delivery refused for each of these reasons in every one of them."""
        for _ in range(int(seconds * 4)):
            self.now_s += 0.25
            self.stats.answers["", 202, "stored"] += let_in
            for reason in reasons:
                self.states.refused("", 401, reason, lambda: "198.51.100.7")
            self.states.look()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_what_lasts_is_said_once_and_its_end_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """However many are refused for however long; who comes from where, and at the end how many for how long."""
    watched.pass_s(150, "stale")
    watched.pass_s(OVER_AFTER_S + 600)
    begin, over = caplog.records
    assert (begin.levelname, over.levelname) == ("WARNING", "WARNING")
    assert begin.getMessage().startswith("deliveries are answered 401, none is let in (stale); check this host's clock")
    assert begin.__dict__["client"] == "198.51.100.7"
    assert (over.__dict__["deliveries"], over.__dict__["after_s"]) == (600, pytest.approx(150, abs=1))


@pytest.mark.parametrize("reason", CURES)
def test_each_reason_has_its_cure(watched: Watched, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """Where others are let in none blames this host's clock; without a line a sender's events are lost in silence."""
    watched.pass_s(2, reason, let_in=5)
    watched.pass_s(OVER_AFTER_S + 1)
    told, over = caplog.records
    assert told.getMessage() == f"deliveries are answered 401, others are let in ({reason}); {CURES[reason]}"
    assert over.getMessage() == f"no delivery is answered 401 any more ({reason})"
