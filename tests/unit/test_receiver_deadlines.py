"""Deadlines of requests: the oldest first, whoever is answered already passed over, and a loop that comes late."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.receiver.batching.deadlines import SWEEP_EVERY_S, Deadlines
from stream_router.receiver.batching.lanes import Request
from tests.receiver_kit import FakeLoop, refuse


class World:
    """Deadlines on the fake loop. `late_s` is how much later than asked for the next timers ring."""

    def __init__(self, decide: Callable[[Sequence[Request]], None] = lambda _: None) -> None:
        self.loop = FakeLoop()
        self.late_s = 0.0
        late: Any = SimpleNamespace(time=self.loop.time, call_later=self.call_later)
        self.watched = Deadlines(late, decide, refuse)
        self.answered: dict[str, float] = {}

    def call_later(self, delay_s: float, what: Callable[[], None]) -> Any:
        return self.loop.call_later(delay_s + self.late_s, what)

    def take_in(self, name: str, waited_s: float = 0.0) -> Any:
        """A request that arrived so long ago; its age at its answer is noted."""
        request: Any = SimpleNamespace(arrived_s=self.loop.time() - waited_s, done=False)

        def finish(*, stored: bool) -> None:
            request.done = True
            self.answered[name] = self.loop.time() - request.arrived_s

        request.finish = finish
        self.watched.watch(request)
        return request


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.loop.close()


def test_the_oldest_is_the_oldest_that_waits(world: World) -> None:
    """Who is answered waits no more, in whichever order they came."""
    first, second = world.take_in("first", 0.5), world.take_in("second", 0.3)
    late, later = world.take_in("late", 0.45), world.take_in("later", 0.4)
    for request, age_s in ((first, 0.5), (late, 0.45), (later, 0.4), (second, 0.3)):
        assert world.watched.oldest_s == pytest.approx(age_s)
        request.done = True
    assert world.watched.oldest_s == 0.0


def test_when_nobody_waits_no_timer_runs(world: World) -> None:
    """An idle receiver sleeps."""
    world.take_in("one")
    world.loop.move(2.0)
    assert set(world.answered) == {"one"}
    assert world.loop._timers == []


def test_a_decision_that_fails_keeps_nobody_from_an_answer() -> None:
    """What broke is told to the loop; the next sweep goes on."""
    failures = [ZeroDivisionError()]

    def decide(overdue: Sequence[Request]) -> None:
        if overdue and failures:
            raise failures.pop()

    world = World(decide)
    world.take_in("one")
    with pytest.raises(ZeroDivisionError):
        world.loop.move(0.7)
    world.loop.move(0.3)
    assert world.answered["one"] <= 0.9
    world.loop.close()


def test_decisions_that_always_fail_keep_nobody_from_an_answer() -> None:
    """However many come: each of them is 503 in its time."""

    def decide(overdue: Sequence[Request]) -> None:
        if overdue:
            raise ZeroDivisionError

    world = World(decide)
    for number in range(200):
        world.take_in(str(number))
        until_s = world.loop.time() + 0.01
        while world.loop.time() < until_s:
            with contextlib.suppress(ZeroDivisionError):
                world.loop.move(until_s - world.loop.time())
    assert len(world.answered) > 100
    assert max(world.answered.values()) <= 0.9
    world.loop.close()


def test_a_loop_that_was_late_is_expected_to_be_late_again_for_a_while(world: World) -> None:
    """An answer that would be due when the loop is busy again comes before; later it is as patient as ever."""
    world.take_in("late")
    world.loop.move(0.43)
    world.late_s = 0.15  # of the sweep that is armed next
    world.loop.move(SWEEP_EVERY_S)
    world.late_s = 0.0
    world.loop.move(0.5)
    assert 0.7 <= world.answered["late"] < 0.82
    world.take_in("other")
    world.loop.move(1.0)
    world.take_in("at ease")
    world.loop.move(1.0)
    assert 0.84 < world.answered["at ease"] <= 0.88


def test_a_request_is_answered_once() -> None:
    """What comes after the answer changes nothing of it."""
    request = Request(0.0, 1)
    request.finish(stored=False)
    request.part_stored()
    assert request.storing.result() is False
