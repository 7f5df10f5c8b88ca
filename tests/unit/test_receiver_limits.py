"""The receiver's bounds: connections, half-read bodies, whose they are, and who goes where room is needed."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver.http import answers, connections, listener
from stream_router.receiver.http.app import App
from stream_router.receiver.http.connections import Connections
from stream_router.receiver.http.loop_clock import TICK_S, LoopClock
from stream_router.receiver.http.request import Request
from stream_router.settings import types
from stream_router.telemetry.receiver.receiver_stats import Stats
from tests.receiver_kit import FakeLoop, Headers


class Fake:
    """A connection as the registry sees it."""

    deadline_s = float("inf")

    def __init__(self, client: str) -> None:
        self.client = self.sender = client
        self.reading_bytes = 0
        self.was_cut = self.body_was_cut = False

    def cut(self) -> None:
        self.was_cut = True

    def cut_body(self) -> None:
        self.body_was_cut = True

    def overdue(self, now_s: float) -> None:
        self.was_cut = True


class Bench:
    def __init__(self, most: int = 6, most_of_client: int = 3, proxies: str = "") -> None:
        self.loop = FakeLoop()
        self.stats = Stats()
        networks = types.networks(proxies)
        self.connections = Connections(cast("Any", self.loop), most, most_of_client, networks, self.stats)

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


def test_the_connections_that_are_open_are_shown(bench: Bench) -> None:
    """Whoever is attacked sees how many: those that came and are there, not one that was closed or sent away."""
    assert bench.stats.connections == 0
    connections = bench.admit("a", "a", "a", "b")
    assert bench.stats.connections == 4
    bench.admit("a")  # in the place of its oldest
    assert bench.stats.connections == 4
    for connection in connections:
        bench.connections.gone(connection)
    assert bench.stats.connections == 1


def test_an_address_stands_from_a_known_sender_until_a_stranger_came_of_it(bench: Bench) -> None:
    """Its next connection is served before strangers' own; one that never showed who it is ends that for the next."""
    known, stranger = bench.admit("1.1.1.1", "1.1.1.1")
    assert not bench.connections.stands("1.1.1.1")
    bench.connections.known(known)
    assert bench.connections.stands("1.1.1.1")
    bench.connections.gone(known)
    assert bench.connections.stands("1.1.1.1")
    assert not bench.connections.stands("2.2.2.2")
    bench.connections.gone(stranger)
    assert not bench.connections.stands("1.1.1.1")


def test_so_many_addresses_stand_and_no_proxy_s_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of them is bounded; behind a proxy's address is everybody."""
    monkeypatch.setattr(connections, "MOST_STANDING", 2)
    bench = Bench(proxies="10.0.0.0/8")
    for connection in bench.admit("10.0.0.1", "1.1.1.1", "2.2.2.2", "1.1.1.1", "3.3.3.3"):
        bench.connections.known(connection)
    stand = [name for name in ("10.0.0.1", "1.1.1.1", "2.2.2.2", "3.3.3.3") if bench.connections.stands(name)]
    assert stand == ["1.1.1.1", "3.3.3.3"]
    bench.loop.close()


def test_a_host_with_many_addresses_of_ipv6_is_one_client(bench: Bench) -> None:
    """A /64 is the least that a network gives, and each address in it may be the same host's; another /64 is not."""
    addresses = "2001:db8:1:1::1", "2001:db8:1:1::2", "2001:db8:1:1:ffff::3%eth0", "2001:db8:1:1:a:b:c:d"
    other, *silent = bench.admit("2001:db8:1:2::1", *addresses)
    assert [one.was_cut for one in (other, *silent)] == [False, True, False, False, False]
    for one in (other, *silent):
        bench.connections.gone(one)
    assert not bench.connections.all


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:1::1", "2001:db8:1:1::/64"),
        ("192.0.2.7:4711", "192.0.2.7:4711"),
        ("2001:" + "0" * 100, "2001:" + "0" * 100),
        ("unknown", "unknown"),
    ],
)
def test_whose_an_address_is(address: str, client: str) -> None:
    """What is no address stands for itself."""
    assert connections.whose(address) == client


def test_who_says_nothing_in_its_time_is_counted_and_who_is_idle_is_not(bench: Bench) -> None:
    """A silent client and a half-sent body are; a sender that is known and has nothing to send is not."""
    silent, half, idle = bench.admit("a", "b", "c")
    for one in (half, idle):
        bench.connections.known(one)
    bench.connections.reading(half, 100)
    for one in (silent, half, idle):
        one.deadline_s = 1.0
    bench.loop.move(0.9)
    assert not silent.was_cut
    bench.loop.move(0.2)
    assert all(one.was_cut for one in (silent, half, idle))
    assert bench.stats.connections_cut == 2


def test_a_client_that_is_told_408_and_stays_is_counted_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that its time is over, hangs on, and is closed a while later: one connection that took too long."""
    silent, greedy = bench.admit("a", "b")

    def overdue(now_s: float) -> None:
        silent.deadline_s = now_s + 1.0

    monkeypatch.setattr(silent, "overdue", overdue)
    silent.deadline_s = 1.0
    bench.loop.move(3.0)
    assert bench.stats.connections_cut == 1
    monkeypatch.setattr(connections, "MAX_READING_BYTES", 1_000)
    bench.connections.reading(greedy, 600)
    assert greedy.body_was_cut
    greedy.deadline_s = 1.0
    bench.loop.move(1.0)
    assert greedy.was_cut
    assert bench.stats.connections_cut == 2


def test_nobodys_time_is_over_while_the_receiver_stood_still(bench: Bench) -> None:
    """Its machine was paused: what came meanwhile is read before it is missed; what has not come by then is."""
    (slow,) = bench.admit("1.1.1.1")
    slow.deadline_s = 10.0
    bench.loop.move(1.0)
    bench.loop.stand_still(20.0)
    bench.loop.move(0.0)
    assert not slow.was_cut
    bench.loop.move(0.25)
    assert slow.was_cut


def test_a_receiver_that_is_always_late_cuts_all_the_same(bench: Bench) -> None:
    """One look is left out and no second one behind it, or nobody would ever be cut."""
    (slow,) = bench.admit("1.1.1.1")
    slow.deadline_s = 10.0
    bench.loop.stand_still(20.0)
    bench.loop.move(0.0)
    bench.loop.stand_still(20.0)
    bench.loop.move(0.0)
    assert slow.was_cut


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
    assert bench.stats.connections_refused == 1
    bench.connections.gone(held[2])
    bench.admit("h")


def test_half_read_bodies_of_one_client_cost_no_other_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has half of the room; beyond it its own oldest body is cut. Beyond all, the oldest of all."""
    monkeypatch.setattr(connections, "MAX_READING_BYTES", 1_000)
    good, *slow = bench.admit("b", "a", "a", "a")
    bench.connections.reading(good, 400)
    for one in slow:
        bench.connections.reading(one, 200)
    assert [one.body_was_cut for one in (good, *slow)] == [False, True, False, False]
    (third,) = bench.admit("c")
    bench.connections.reading(third, 300)
    assert (good.body_was_cut, third.body_was_cut) == (True, False)
    for one in (*slow[1:], third):
        bench.connections.read_no_more(one)
    assert bench.connections._reading_bytes == 0
    assert not bench.connections._reading_of


@pytest.mark.parametrize(("clients", "most"), [("aaaaaaaa", 500), ("abcdefgh", 1_000)], ids=["one", "several"])
def test_bodies_of_a_byte_make_no_room_for_large_ones(monkeypatch: pytest.MonkeyPatch, clients: str, most: int) -> None:
    """However many oldest bodies have to go for one that grows: the bound holds, of one client and of all."""
    monkeypatch.setattr(connections, "MAX_READING_BYTES", 1_000)
    bench = Bench(most=100, most_of_client=100)
    for tiny in bench.admit(*clients):
        bench.connections.reading(tiny, 1)
    for large in bench.admit(*clients):
        bench.connections.reading(large, 200)
        assert bench.connections._reading_bytes <= most
    bench.loop.close()


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
    assert bench.connections.client_of(peer, Headers({"x-forwarded-for": forwarded})) == client
    bench.loop.close()


def test_connections_of_a_trusted_proxy_are_many_clients(bench: Bench) -> None:
    """They are not counted as one client's."""
    bench = Bench(proxies="10.0.0.0/8")
    assert not any(one.was_cut for one in bench.admit(*["10.0.0.1"] * 6))
    bench.loop.close()


@pytest.mark.parametrize(("held", "refused"), [(1_000, False), (1_001, True)])
def test_more_held_than_allowed_is_503_before_the_body_is_read(held: int, refused: bool) -> None:
    """While too much waits for the stream nothing more is taken into memory; at the bound itself it still is."""
    stats = Stats()
    stats.bytes_in_flight = held
    parts: Any = SimpleNamespace(name="")
    app = App({"/v1/events": parts}, parts, parts, stats, parts, 1_000)
    request = Request(lambda: None, lambda: None)
    request.method, request.path = "POST", "/v1/events"
    assert app.begin(request) == (answers.BUSY if refused else None)


def test_the_lag_of_the_loop_is_measured() -> None:
    """What arrives behind 300 ms of work may have waited as long; two such rounds are an overload, one is none."""

    loop, now = FakeLoop(), [0.0]
    clock = LoopClock(cast("Any", loop), lambda: now[0], lambda: 0.0)
    found = []

    def takes(seconds: float) -> None:
        """A round of the loop, whose timers ring as late."""
        now[0] += seconds
        found.append((clock.lag_s >= 0.27, clock.overloaded))
        loop.move(TICK_S)

    for seconds in (TICK_S, 0.3, 0.3, TICK_S, TICK_S, TICK_S):
        takes(seconds)
    assert found == [(False, False), (True, False), (True, True), (True, True), (False, False), (False, False)]
    clock.stop()
    loop.close()


@pytest.mark.parametrize(("share", "for_s", "busy"), [(0.95, 0.6, True), (0.95, 0.4, False), (0.8, 0.6, False)])
def test_a_thread_that_is_hardly_idle_for_half_a_second_is_busy(share: float, for_s: float, busy: bool) -> None:
    """Though its loop comes round in time: then what it took in waits for it elsewhere. A shorter burst is none."""
    now, ticks = [100.0], [lambda: None]

    def call_later(delay_s: float, tick: Callable[[], None]) -> None:
        now[0] += delay_s
        ticks[0] = tick

    loop: Any = SimpleNamespace(call_later=call_later)
    clock = LoopClock(loop, lambda: now[0], lambda: now[0] * share)
    while now[0] < 100.0 + for_s:
        ticks[0]()
    assert clock.lag_s < 0.001
    assert clock.busy is busy


@pytest.mark.parametrize(("context", "taken"), [(None, listener.AT_ONCE), (object(), listener.AT_ONCE_OF_TLS)])
def test_a_round_takes_as_many_connections_as_it_can_open(context: Any, taken: int) -> None:
    """The handshakes of six hundred that come at once are not one round: who is served already waits for it."""
    accepted: list[object] = []
    client: Any = SimpleNamespace(close=lambda: accepted.append(client))
    sock: Any = SimpleNamespace(fileno=lambda: 0, accept=lambda: (client, ("1.1.1.1", 1)))
    readers: list[Callable[[], None]] = []
    loop: Any = SimpleNamespace(add_reader=lambda _, what: readers.append(what), time=lambda: 0.0)
    full: Any = SimpleNamespace(admit=lambda _: False)
    nothing: Any = None
    listener.Listener(loop, sock, full, lambda *_: nothing, lambda: context, 1.0)
    readers[0]()
    assert len(accepted) == taken
