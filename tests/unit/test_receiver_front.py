"""The receiver's front without a socket: what a connection holds and delays, whose place is whose, what is late."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver import answers, server
from stream_router.receiver.answers import Response
from stream_router.receiver.app import LATE_S, App
from stream_router.receiver.connection import Connection
from stream_router.receiver.request import Headers, Request
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeLoop, FakeTransport, front


@pytest.mark.parametrize(("here", "status"), [(b"", 408), (b"x", 503), (b"x" * 64 * 1024, 503)])
def test_a_body_that_does_not_come_is_408_and_one_that_waits_for_us_503(here: bytes, status: int) -> None:
    """A 4xx is final for a sender, whose body is here: it waits for its turn; and of much nothing more is read."""
    loop, transport = FakeLoop(), FakeTransport()
    app = SimpleNamespace(begin=lambda _: None, count_answer=lambda *_: None, draining=False, max_body_bytes=100_000)
    running = front(loop, app)
    connection = Connection("1.2.3.4", running)
    running.admit(connection)
    connection.connection_made(cast("Any", transport))
    connection.data_received(b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n")
    loop.move(0.0)
    connection.data_received(here)
    assert transport.reads == (len(here) < 2)
    connection.overdue()
    assert transport.written.startswith(b"HTTP/1.1 %d " % status)


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
        fakes = [Fake(client) for client in clients]
        assert all(self.server.admit(connection) for connection in fakes)
        return fakes


def test_who_holds_connections_without_saying_who_it_is_loses_its_oldest() -> None:
    """One address has so many; a further one of it costs its own oldest, nobody else's. A proxy of ours is many. Where
    all places are taken the oldest unknown goes; where only known ones are there, the new one is refused."""
    other, *silent = Places().admit("b", "a", "a", "a", "a")
    assert [item.was_cut for item in (other, *silent)] == [False, True, False, False, False]
    assert not any(item.was_cut for item in Places("10.0.0.0/8").admit(*["10.0.0.1"] * 6))
    places = Places()
    held = places.admit("a", "b", "c", "d", "e", "f")
    places.server.mark_known(held[0])
    (newest,) = places.admit("g")
    assert [item.was_cut for item in held] == [False, True, False, False, False, False]
    for candidate in (*held[2:], newest):
        places.server.mark_known(candidate)
    assert not places.server.admit(Fake("h"))
    assert places.stats.connections == 6
    places.server.remove(held[2])
    places.admit("h")


def test_who_holds_the_most_of_too_much_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest go until a quarter is free: however many small ones there are, none of them does."""
    monkeypatch.setattr(server, "MAX_READ_BYTES", 1_000)
    places = Places()
    every = small, large, larger, last = places.admit("a", "b", "c", "d")
    for candidate, size in ((small, 100), (large, 300), (larger, 400), (last, 200)):
        places.server.record_held_bytes(candidate, size)
    assert not any(item.made_room for item in every)
    places.server.record_held_bytes(small, 101)
    assert [item.made_room for item in every] == [False, False, True, False]
    for candidate in (small, large, last):
        places.server.remove(candidate)
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
    """What stands left of it anyone could have written; who is not a proxy of ours is believed nothing."""
    headers = Headers([(b"X-Forwarded-For", item.encode()) for item in forwarded])
    assert Places("10.0.0.0/8, fd00::/8").server.find_client(peer, headers) == client


def app_of(taken: list[object], stats: Stats) -> App:
    says = SimpleNamespace(events=lambda _: [])
    source: Any = SimpleNamespace(name="", verify=lambda *_: None, read_headers=lambda _: ("", "", ""), intake=says)
    batcher: Any = SimpleNamespace(ready=True, submit=lambda events, *_, **__: taken.append(events))
    return App({"/v1/events": source}, batcher, stats, cast("Any", None), 1_000, 1_000)


def requested(age_s: float) -> Request:
    """A request whose last bytes were read so long ago."""
    request = Request(cast("Any", SimpleNamespace(mark_known=lambda: None, flush=lambda: None)))
    request.method, request.path, request.body = "POST", "/v1/events", b"{}"
    request.read_s = time.monotonic() - age_s
    return request


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
    stats, taken = Stats(), list[object]()
    stats.bytes_in_flight, stats.read_bytes = waits, read
    app, request = app_of(taken, stats), requested(late_s)
    assert (app.begin(request) or app.complete(request)) == answer
    assert len(taken) == (answer is None)
