"""A round of the loop works on requests for a bounded time, and what waits is worked on in the order of its arrival."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver.batching.storing import Storing
from stream_router.receiver.http import answers, turns
from stream_router.receiver.http import app as app_module
from stream_router.receiver.http.app import App
from stream_router.receiver.http.request import Request
from stream_router.receiver.http.turns import Turn, Turns
from stream_router.receiver.intake import SLICE_BYTES, Body, Sealed
from stream_router.telemetry.receiver.receiver_stats import Stats

COST_S = 0.003


class Bench:
    """A loop whose rounds the test makes, and connections each of whose pieces takes 3 ms."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.soon: list[Any] = []
        self.done: list[str] = []
        self.clock = cast("Any", SimpleNamespace(behind_s=0.0))
        # As asyncio's and uvloop's: their time goes on within a round.
        loop: Any = SimpleNamespace(time=lambda: self.now_s, call_soon=self.call_soon)
        self.turns = Turns(loop, self.clock, lambda: self.now_s)

    def call_soon(self, what: Any) -> None:
        self.soon.append(what)

    def connection(self, name: str, *, known: bool = False) -> Turn:
        def work() -> None:
            self.now_s += COST_S
            self.done.append(name)

        return Turn(self.turns, work, lambda _: 0.01, known=known)

    def next_round(self) -> None:
        soon, self.soon = self.soon, []
        for what in soon:
            what()


def test_what_fits_no_round_waits_in_its_order() -> None:
    """Four of ten are worked on at once, the others in the rounds after it; the clock is told how late that is."""
    bench = Bench()
    for number in range(10):
        bench.connection(str(number)).came(100)
    assert bench.done == ["0", "1", "2", "3"]
    bench.next_round()
    assert bench.done == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert bench.clock.behind_s == pytest.approx(0.009)
    bench.next_round()
    assert bench.done == [str(number) for number in range(10)]
    assert bench.clock.behind_s == 0.0
    assert not bench.soon


def test_senders_that_are_known_go_before_strangers() -> None:
    """Six hundred strangers that send what nobody lets in do not keep one known sender waiting for a round."""
    bench = Bench()
    for number in range(600):
        bench.connection(str(number)).came(100)
    first, second = bench.connection("first", known=True), bench.connection("second", known=True)
    first.came(100)
    second.came(100)
    assert len(bench.done) == 4
    bench.next_round()
    assert bench.done[4:6] == ["first", "second"]
    bench.connection("third", known=True).came(100)
    assert bench.done[-1] == "third", "a round has time for it, though strangers wait"


def test_strangers_have_a_little_of_each_round() -> None:
    """One of them may be a new sender: those that are known, however much they send, do not keep it out for good."""
    bench = Bench()
    for number in range(100):
        bench.connection(f"known {number}", known=True).came(100)
    stranger = bench.connection("stranger")
    stranger.came(100)
    bench.next_round()
    assert bench.done[-1] == "stranger"
    assert len(bench.done) < 12


def test_strangers_that_send_much_are_read_in_turns() -> None:
    """What the kernel copies for them takes the loop's time too: so many a round, and who is known at once."""
    bench = Bench()
    reads: list[str] = []

    def flow(name: str) -> Any:
        return SimpleNamespace(pause=lambda: reads.append(f"not {name}"), read_on=lambda: reads.append(name))

    small, large, known = (bench.connection("x", known=known) for known in (False, False, True))
    for turn, size in ((small, 100), (large, 70_000), (known, 70_000)):
        turn.came(size)
        turn.read_on(flow(str(size)))
    assert reads == ["100", "not 70000", "70000"]
    for _ in range(turns.READS_OF_STRANGERS):
        large.read_on(flow("next"))
    reads.clear()
    bench.next_round()
    assert reads == ["70000", *["next"] * (turns.READS_OF_STRANGERS - 1)]
    bench.next_round()
    assert len(reads) == turns.READS_OF_STRANGERS + 1


def test_what_is_not_kept_fills_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still comes on a connection that was told to close is dropped: it pushes nobody out of its turn."""
    monkeypatch.setattr(turns, "MAX_WAITING_BYTES", 250)
    bench = Bench()
    for number in range(9):
        bench.connection(str(number)).came(100_000, kept=False)
    assert bench.done == ["0", "1", "2", "3"]


def test_who_waits_for_its_turn_is_read_no_further() -> None:
    """Neither one whose bytes wait nor one whose bytes found no room: what they send on stays with the kernel."""
    bench = Bench()
    assert bench.connection("first").came(100)
    for _ in range(3):
        bench.connection("x").came(1)
    waits, finds_no_room = bench.connection("waits"), bench.connection("finds no room")
    assert not waits.came(turns.MAX_WAITING_BYTES + 1)
    assert not waits.came(1)
    assert not finds_no_room.came(1)
    assert bench.done[-1] == "finds no room"
    bench.next_round()
    assert bench.done[-2:] == ["waits", "finds no room"]


def test_who_has_more_to_do_goes_on_behind_all_who_wait() -> None:
    """One that sends a thousand requests at once is worked on a piece a turn, and once for each turn it asks for."""
    bench = Bench()
    left = 3

    def work() -> None:
        nonlocal left
        bench.now_s += COST_S
        bench.done.append("many")
        left -= 1
        if left:
            many.again()
            many.again()

    many = Turn(bench.turns, work, lambda _: 0.01)
    many.came(100)
    assert not many.came(100)
    bench.connection("other").came(100)
    bench.now_s += 0.5
    assert many.waited_s() == pytest.approx(0.5)
    bench.next_round()
    assert bench.done == ["many", "many", "other", "many"]
    assert many.waited_s() == 0.01


def test_a_connection_waits_once_whatever_it_sends() -> None:
    """More bytes of one that waits give it no second place, and make it no younger."""
    bench = Bench()
    for _ in range(4):
        bench.connection("x").came(1)
    slow = bench.connection("slow")
    slow.came(1)
    bench.now_s += 0.2
    slow.came(1)
    assert slow.waited_s() == pytest.approx(0.2)
    bench.next_round()
    assert bench.done == ["x"] * 4 + ["slow"]
    assert slow.waited_s() == 0.01


def test_who_has_sent_all_need_not_wait() -> None:
    """At the end of what a client sends its bytes are worked on at once, and only once."""
    bench = Bench()
    for _ in range(4):
        bench.connection("x").came(1)
    last = bench.connection("last")
    last.came(1)
    last.hurry()
    bench.next_round()
    assert bench.done.count("last") == 1


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound bodies are worked on as they come, each within its own connection's bounds."""
    monkeypatch.setattr(turns, "MAX_WAITING_BYTES", 250)
    bench = Bench()
    for number in range(9):
        bench.connection(str(number)).came(100)
    assert bench.done == ["0", "1", "2", "3", "7", "8"]


@pytest.mark.parametrize(
    ("waited_s", "lag_s", "overloaded", "busy", "oldest_s", "in_flight", "shed"),
    [
        (0.19, 9.0, True, False, 0.9, 9_999, False),
        (0.21, 9.0, True, False, 0.0, 0, True),
        (0.49, 9.0, False, False, 0.0, 0, False),
        (0.51, 0.0, False, False, 0.0, 0, True),
        (None, 0.21, True, False, 0.0, 0, True),
        (None, 0.3, False, False, 0.0, 0, False),
        (0.01, 0.1, False, True, 0.29, 3_000, False),
        (0.01, 0.1, False, True, 0.31, 0, True),
        (0.01, 0.1, False, True, 0.0, 3_001, True),
    ],
)
def test_what_waited_too_long_is_503_before_it_is_looked_at(
    waited_s: float | None, lag_s: float, overloaded: bool, busy: bool, oldest_s: float, in_flight: int, shed: bool
) -> None:
    """By the kernel's account of its own bytes; by the loop's lag only where the kernel tells nothing.

    Where the loop is busy, also what comes behind much, or behind what has waited long: it would come too late.
    """

    class Looked(Exception):  # noqa: N818 - it is no error
        pass

    def verify(*_: object) -> None:
        raise Looked

    source: Any = SimpleNamespace(name="", verifier=SimpleNamespace(verify=verify))
    nothing: Any = None
    clock: Any = SimpleNamespace(lag_s=lag_s, overloaded=overloaded, busy=busy)
    batcher: Any = SimpleNamespace(deadlines=SimpleNamespace(oldest_s=oldest_s))
    stats = Stats()
    stats.events_in_flight = in_flight
    app = App({"/v1/events": source}, batcher, nothing, stats, clock, 1_000)
    request = Request(lambda: None, lambda: None, lambda: waited_s)
    request.method, request.path = "POST", "/v1/events"
    if shed:
        assert app.complete(request) == answers.OVERLOAD
    else:
        with pytest.raises(Looked):
            app.complete(request)


@pytest.mark.parametrize(
    ("age_s", "late_lately", "answer"),
    [
        (0.87, False, answers.accepted(["id"])),
        (0.89, False, answers.UNAVAILABLE),
        (0.57, True, answers.accepted(["id"])),
        (0.59, True, answers.UNAVAILABLE),
    ],
)
def test_what_was_stored_too_late_is_answered_503(
    age_s: float, late_lately: bool, answer: answers.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 202 after 0.9 s is none that the sender hears; where the rounds are long, it goes out at the end of one."""
    now_s, storing, stats = 100.0, Storing(), Stats()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    source: Any = SimpleNamespace(
        name="",
        verifier=SimpleNamespace(verify=lambda *_: None),
        says=lambda _: ("", "", ""),
        intake=SimpleNamespace(events=lambda _: [Sealed("id", 0, b"line")]),
    )
    clock: Any = SimpleNamespace(overloaded=False, busy=False, late_lately=late_lately)
    batcher: Any = SimpleNamespace(submit=lambda *_: storing)
    nothing: Any = None
    app = App({"/v1/events": source}, batcher, nothing, stats, clock, 1_000)
    request = Request(lambda: None, lambda: None, lambda: 0.1)
    request.method, request.path, request.body = "POST", "/v1/events", b"{}"
    assert app.complete(request) is None
    now_s += age_s - 0.1
    storing.settle(stored=True)
    assert request.answer == answer
    assert stats.events_refused == (answer is answers.UNAVAILABLE)


@pytest.mark.parametrize(("waited_s", "shed"), [(0.4, False), (0.6, True)])
def test_a_large_body_that_waited_too_long_behind_others_is_503_before_it_is_looked_at(
    waited_s: float, shed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that was parsed first would cost those behind it milliseconds, and many of them the promised time."""
    parsed: list[bytes] = []

    def slices(body: Body) -> list[list[Sealed]]:
        parsed.append(body.text)
        return [[]]

    async def answered() -> answers.Response | None:
        monkeypatch.setattr(app_module, "time", SimpleNamespace(monotonic=lambda: 100.0))
        batcher: Any = SimpleNamespace(now_s=lambda: 100.0 + waited_s)
        source: Any = SimpleNamespace(
            name="",
            verifier=SimpleNamespace(verify=lambda *_: None),
            says=lambda _: ("", "", ""),
            intake=SimpleNamespace(slices=slices),
        )
        clock: Any = SimpleNamespace(busy=False)
        nothing: Any = None
        app = App({"/v1/events": source}, batcher, nothing, Stats(), clock, 1_000)
        done = asyncio.Event()
        request = Request(done.set, lambda: None, lambda: 0.0)
        request.method, request.path, request.body = "POST", "/v1/events", b" " * (SLICE_BYTES + 1)
        assert app.complete(request) is None
        await asyncio.wait_for(done.wait(), 5)
        return request.answer

    assert asyncio.run(answered()) == (answers.OVERLOAD if shed else answers.accepted([]))
    assert len(parsed) == (not shed)


def test_large_bodies_that_wait_count_as_held() -> None:
    """They are as much memory as events that wait for the stream; what is answered is held no longer."""
    size_bytes = SLICE_BYTES + 1

    async def run() -> tuple[list[answers.Response | None], list[answers.Response | None]]:
        batcher: Any = SimpleNamespace(now_s=time.monotonic)
        source: Any = SimpleNamespace(
            name="",
            verifier=SimpleNamespace(verify=lambda *_: None),
            says=lambda _: ("", "", ""),
            intake=SimpleNamespace(slices=lambda _: [[]]),
        )
        clock: Any = SimpleNamespace(busy=False)
        nothing: Any = None
        app = App({"/v1/events": source}, batcher, nothing, Stats(), clock, 2 * size_bytes)

        def one() -> tuple[answers.Response | None, Request]:
            request = Request(lambda: None, lambda: None, lambda: 0.0)
            request.method, request.path, request.body = "POST", "/v1/events", b" " * size_bytes
            return app.complete(request), request

        asked = [one() for _ in range(4)]
        request = asked[0][1]
        heads = [app.begin(request)]
        for _ in range(20):
            await asyncio.sleep(0)
        heads += [app.begin(request), one()[0]]
        assert {request.body for answer, request in asked if answer is None} == {b""}, "its events hold it"
        return [answer for answer, _ in asked], heads

    found, heads = asyncio.run(run())
    assert found == [None, None, None, answers.BUSY]
    assert heads == [answers.BUSY, None, None]


def test_bytes_came_after_the_round_before_this_one() -> None:
    """So that is the longest that they can have waited; it is told to whoever asks the kernel."""
    bench = Bench()
    told: list[float] = []

    def kernel_s(longest_s: float) -> float:
        told.append(longest_s)
        return longest_s

    turn = Turn(bench.turns, lambda: None, kernel_s)
    turn.came(1)
    turn.waited_s()
    bench.now_s = 100.5
    bench.next_round()
    turn.came(1)
    bench.now_s = 100.505
    turn.came(1)
    bench.now_s = 100.6
    turn.waited_s()
    assert told == [float("inf"), pytest.approx(0.6)]
