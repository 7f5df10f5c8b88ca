"""The receiver's bounds: connections, what was read of requests, one round's work, and its own lateness."""

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver import answers, connections
from stream_router.receiver.app import LATE_S, App
from stream_router.receiver.connections import Connections, Turns
from stream_router.receiver.request import Headers, Request
from stream_router.receiver.server import AT_ONCE, AT_ONCE_OF_TLS, HttpServer, bound
from stream_router.receiver.stats import Stats
from stream_router.settings import types
from stream_router.settings.receiver import Receiver
from tests.receiver_kit import AtOnce, FakeLoop


class Fake:
    """A connection as the registry sees it."""

    deadline_s = float("inf")

    def __init__(self, client: str) -> None:
        self.client = client
        self.held_bytes = 0
        self.was_cut = self.made_room = False

    def cut(self) -> None:
        self.was_cut = True

    def make_room(self) -> None:
        self.made_room = True

    def overdue(self, now_s: float) -> None:
        self.was_cut = True


class Bench:
    def __init__(self, most: int = 6, most_of_client: int = 3, proxies: str = "") -> None:
        self.loop = FakeLoop()
        self.stats = Stats()
        networks = types.networks(proxies)
        self.connections: Any = Connections(cast("Any", self.loop), most, most_of_client, networks, self.stats)

    def admit(self, *clients: str) -> list[Fake]:
        made = [Fake(client) for client in clients]
        for connection in made:
            assert self.connections.admit(connection)
        return made


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_who_holds_connections_without_saying_who_it_is_loses_its_oldest(bench: Bench) -> None:
    """One address has so many; a further one of it costs its own oldest, nobody else's."""
    other, *silent = bench.admit("b", "a", "a", "a", "a")
    assert [one.was_cut for one in (other, *silent)] == [False, True, False, False, False]


def test_a_connection_that_breaks_the_sweep_costs_no_other_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cut and told in the log; whoever comes after it, then and in later sweeps, is ended in time."""
    bad, good, later = bench.admit("a", "b", "c")

    def overdue(now_s: float) -> None:
        raise RuntimeError

    monkeypatch.setattr(bad, "overdue", overdue)
    bad.deadline_s, good.deadline_s, later.deadline_s = 0.9, 1.0, 2.0
    bench.loop.move(1.1)
    assert (bad.was_cut, good.was_cut, later.was_cut) == (True, True, False)
    bench.loop.move(1.1)
    assert later.was_cut
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_where_all_places_are_taken_the_oldest_unknown_goes(bench: Bench) -> None:
    """Who has shown who it is stays; where only such are there, the new one is refused."""
    held = bench.admit("a", "b", "c", "d", "e", "f")
    bench.connections.known(held[0])
    (newest,) = bench.admit("g")
    assert [one.was_cut for one in held] == [False, True, False, False, False, False]
    for one in (*held[2:], newest):
        bench.connections.known(one)
    assert not bench.connections.admit(Fake("h"))
    assert bench.stats.connections == 6
    bench.connections.gone(held[2])
    bench.admit("h")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 198.51.100.2, 10.0.0.7"], "198.51.100.2"),
        ("10.0.0.1", ["198.51.100.1", "198.51.100.2"], "198.51.100.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "nonsense"),
    ],
)
def test_behind_trusted_proxies_the_rightmost_address_that_is_none_of_theirs_counts(
    peer: str, forwarded: list[str], client: str
) -> None:
    """What stands left of it anyone could have written; who is no proxy of ours is believed nothing."""
    bench = Bench(proxies="10.0.0.0/8, fd00::/8")
    assert (
        bench.connections.client_of(peer, Headers([(b"X-Forwarded-For", one.encode()) for one in forwarded])) == client
    )
    bench.loop.close()


def test_connections_of_a_trusted_proxy_are_many_clients(bench: Bench) -> None:
    """They are not counted as one client's."""
    bench = Bench(proxies="10.0.0.0/8")
    assert not any(one.was_cut for one in bench.admit(*["10.0.0.1"] * 6))
    bench.loop.close()


def test_who_holds_the_most_of_too_much_loses_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest go until a quarter is free: however many small ones there are, none of them does."""
    monkeypatch.setattr(connections, "MAX_READ_BYTES", 1_000)
    small, large, larger, last = bench.admit("a", "b", "c", "d")
    for one, size in ((small, 100), (large, 300), (larger, 400), (last, 200)):
        bench.connections.hold(one, size)
    assert not any(one.made_room for one in (small, large, larger, last))
    bench.connections.hold(small, 101)
    assert [one.made_room for one in (small, large, larger, last)] == [False, False, True, False]
    assert bench.stats.read_bytes == 601
    for one in (small, large, last):
        bench.connections.gone(one)
    assert bench.stats.read_bytes == 0


class Batcher:
    """Keeps what it is given."""

    ready = True

    def __init__(self) -> None:
        self.taken: list[object] = []

    def submit(self, events: object, *_: object, **__: object) -> None:
        self.taken.append(events)


def requested(app: App, waited_s: float = 0.0) -> tuple[Request, answers.Response | None]:
    """A request whose last bytes were read so long ago, and what the app says of it."""
    request = Request(cast("Any", SimpleNamespace(known=lambda: None, flush=lambda: None)))
    request.method, request.path, request.body = "POST", "/v1/events", b"{}"
    request.read_s = time.monotonic() - waited_s
    return request, app.begin(request) or app.complete(request)


def app_of(batcher: Batcher, stats: Stats) -> App:
    source: Any = SimpleNamespace(
        name="",
        scheme=SimpleNamespace(verify=lambda *_: None),
        says=lambda _: ("", "", ""),
        intake=SimpleNamespace(events=lambda _: []),
    )
    return App({"/v1/events": source}, cast("Any", batcher), stats, cast("Any", None), 1_000, 1_000)


@pytest.mark.parametrize(("waits", "read", "refused"), [(400, 600, False), (401, 600, True), (1_001, 0, True)])
def test_more_held_than_allowed_is_503_before_the_body_is_read(waits: int, read: int, refused: bool) -> None:
    """Events that wait and requests that are half there count alike; at the bound itself nothing is refused."""
    stats = Stats()
    stats.read_bytes = read
    stats.bytes_in_flight = waits
    batcher = Batcher()
    _, answer = requested(app_of(batcher, stats))
    assert (answer, len(batcher.taken)) == ((answers.BUSY, 0) if refused else (None, 1))


@pytest.mark.parametrize(("waited_s", "shed"), [(LATE_S - 0.1, False), (LATE_S + 0.1, True)])
def test_what_waited_too_long_to_be_parsed_is_503_before_it_is_looked_at(waited_s: float, shed: bool) -> None:
    """What waits for the stream is parsed already, so a slow stream never looks like this."""
    batcher = Batcher()
    _, answer = requested(app_of(batcher, Stats()), waited_s)
    assert (answer, len(batcher.taken)) == ((answers.OVERLOAD, 0) if shed else (None, 1))


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
    request, _ = requested(app, 0.0)
    request.read_s = time.monotonic() - age_s
    app._told(request, ["id"], outcome)
    assert request.answer is not None
    assert request.answer.status == status


class Worker:
    """Works for as long as the whole of a round's time, or fails."""

    def __init__(self, turns: Turns, done: list[str], name: str, again: int = 0) -> None:
        self._turns, self._done, self._name, self._again = turns, done, name, again

    def work(self) -> None:
        self._done.append(self._name)
        time.sleep(connections.WORK_S)
        if self._name == "fails":
            raise RuntimeError
        if self._again:
            self._again -= 1
            self._turns.add(cast("Any", self))


def test_what_fits_no_round_waits_in_its_order_and_others_come_in_between() -> None:
    """Who has more to do goes on behind all who wait; a failure keeps nobody from his turn."""

    async def test() -> None:
        loop, done = asyncio.get_running_loop(), list[str]()
        loop.set_exception_handler(lambda *_: None)
        turns = Turns(loop)
        for name, again in (("much", 2), ("fails", 0), ("last", 0)):
            turns.add(cast("Any", Worker(turns, done, name, again)))
        for rounds in range(1, 6):
            await asyncio.sleep(0)
            assert len(done) <= rounds
        assert done == ["much", "fails", "last", "much", "much"]

    asyncio.run(test())


@pytest.mark.parametrize(("context", "taken"), [(None, AT_ONCE), (object(), AT_ONCE_OF_TLS)])
def test_a_round_takes_as_many_connections_as_it_can_open(
    context: Any, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshakes of six hundred that come at once are not one round: who is served already waits for it."""
    accepted: list[object] = []
    client: Any = SimpleNamespace(close=lambda: accepted.append(client))

    async def test() -> None:
        settings = Receiver(aws_region="x", webhook_scheme="none", listen="127.0.0.1:0")
        server = HttpServer(settings, bound(settings), cast("Any", AtOnce()), lambda: context, Stats())
        monkeypatch.setattr(server._connections, "admit", lambda _: False)
        asyncio.get_running_loop().remove_reader(server._socket.fileno())
        listening, server._socket = server._socket, SimpleNamespace(accept=lambda: (client, ("1.1.1.1", 1)))  # type: ignore[assignment]
        server._accept()
        listening.close()
        server._connections.stop()

    asyncio.run(test())
    assert len(accepted) == taken
