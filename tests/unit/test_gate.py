"""When the next call may start: what opens and closes the breaker, how the window breathes, what a pause outlasts."""

from collections.abc import Sequence

import pytest

from stream_router.core.aws_answers import Answer
from stream_router.core.dispositions import Reason
from stream_router.core.model import Entry
from stream_router.pipeline.delivery.circuit_breaker import PROBE_FLOOR_S, PROBE_SPREAD_S, TRIPS_AT, Gate
from stream_router.pipeline.delivery.dispatcher import Policy
from tests.fakes import Rig, entry, refused, rig

NOW = 1000.0
GIVES_UP = Policy(16, 10**9, 4, outage_gives_up=True)


def gate(max_in_flight: int = 8, dice: float = 1.0) -> Gate:
    return Gate(max_in_flight, lambda: dice)


def fails(of: Gate, times: int, now: float = NOW) -> None:
    for _ in range(times):
        of.failed(now)


def allowed(by: Gate, now: float = NOW) -> int:
    """How many calls may be in flight at once."""
    return next(calls for calls in range(1_000) if not by.may_start(calls, now))


def test_the_third_failure_in_a_row_opens_the_breaker() -> None:
    """Two bad answers among good ones hold nobody, three without a good one between them do."""
    made = gate()
    fails(made, TRIPS_AT - 1)
    assert (made.holding, made.held_since) == (False, 0.0)
    made.failed(NOW + 1)
    assert (made.holding, made.held_since) == (True, NOW + 1)
    fails(made, 5, NOW + 30)
    assert made.held_since == NOW + 1


@pytest.mark.parametrize("failures", [TRIPS_AT - 1, TRIPS_AT, 50])
def test_a_success_closes_the_breaker_and_forgets_every_failure(failures: int) -> None:
    """What is back is neither held nor paced, and it takes three failures again to open the breaker, dated anew."""
    made = gate()
    fails(made, failures)
    made.succeeded()
    assert (made.holding, made.failures, made.held_since) == (False, 0, 0.0)
    assert made.may_start(0, NOW)
    assert made.wait_s(NOW) == 0.0
    fails(made, TRIPS_AT - 1, NOW + 100)
    assert not made.holding
    made.failed(NOW + 200)
    assert made.held_since == NOW + 200


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_an_open_breaker_lets_one_probe_through_at_a_time_and_soon(dice: float) -> None:
    """Half a second at least between two probes, two and a half at most, however long the outage."""
    made = gate(64, dice)
    fails(made, TRIPS_AT)
    for _ in range(20):
        assert not made.may_start(0, NOW + PROBE_FLOOR_S - 0.01)
        assert PROBE_FLOOR_S <= made.wait_s(NOW) <= PROBE_FLOOR_S + PROBE_SPREAD_S
        assert allowed(made, NOW + PROBE_FLOOR_S + PROBE_SPREAD_S) == 1
        made.failed(NOW)


def test_the_window_halves_with_every_trouble_down_to_one_call() -> None:
    """A failed call and a throttled one each halve it; one call is always allowed."""
    made = gate(8)
    seen = [allowed(made)]
    made.failed(NOW)
    seen.append(allowed(made))
    for _ in range(4):
        made.throttled()
        seen.append(allowed(made))
    assert seen == [8, 4, 2, 1, 1, 1]


def test_the_window_grows_by_a_call_with_every_success_up_to_its_bound() -> None:
    """What was halved comes back step by step, and never goes beyond the most that the policy allows."""
    made = gate(5)
    for _ in range(3):
        made.throttled()
    seen = []
    for _ in range(8):
        made.succeeded()
        seen.append(allowed(made))
    assert seen == [2, 3, 4, 5, 5, 5, 5, 5]


def test_a_pause_that_was_asked_for_outlasts_a_success() -> None:
    """Retry-After is the service's own word: an answer that was on its way before does not shorten it."""
    made = gate()
    made.failed(NOW, 20.0)
    made.succeeded()
    assert made.wait_s(NOW + 1) == 19.0
    assert not made.may_start(0, NOW + 19.9)
    assert made.may_start(0, NOW + 20)
    assert made.wait_s(NOW + 21) == 0.0


def test_of_two_pauses_the_later_end_counts() -> None:
    """A short Retry-After after a long one shortens nothing."""
    made = gate()
    made.failed(NOW, 20.0)
    made.failed(NOW + 1, 5.0)
    assert not made.may_start(0, NOW + 19.9)
    assert made.may_start(0, NOW + 20)


def outage(pipeline: Rig, seconds: float) -> None:
    """From now on, for so long, the bus accepts nothing."""
    until = pipeline.world.now + seconds

    def judge(call: Sequence[Entry]) -> Answer:
        down = pipeline.world.now < until
        return refused("InternalException", 500) if down else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


def test_a_second_outage_has_its_whole_half_minute() -> None:
    """With ON_OUTAGE=dead-letter what comes in an outage waits 30 s of that outage, however long ago the last began."""
    pipeline = rig(policy=GIVES_UP)
    for _ in range(3):
        outage(pipeline, 25)
        pipeline.router.publisher.submit([entry(n) for n in range(20)])
        pipeline.drain(limit_s=30)
        pipeline.run_for(60)
    assert not pipeline.books.dead
    outage(pipeline, 3_600)
    pipeline.router.publisher.submit([entry(n) for n in range(20)])
    pipeline.run_for(29)
    assert not pipeline.books.dead
    pipeline.drain(limit_s=60)
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.OUTAGE}
