"""When the next call may start: the breaker, the number of calls in flight, the rate, and what a pause outlasts."""

from collections.abc import Sequence

import pytest

from stream_router.errors import Answer
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.delivery.gate import BEGINS_AT, PROBE_FLOOR_S, PROBE_SPREAD_S, TRIPS_AT, Gate
from tests.fakes import NO_ANSWER, entry, rig

NOW = 1000.0


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


def test_a_few_of_many_calls_that_left_together_open_no_breaker() -> None:
    """A connection that breaks is known at once, an answer later: most of what left with it has to fail as well."""
    made = gate(64)
    for failed in range(1, 9):
        made.failed(NOW, in_flight=16 - failed)
        assert made.holding == (failed == 8), "as many have failed as are still under way"
    made.succeeded(NOW, 0.1, backlog=False)
    assert not made.holding


@pytest.mark.parametrize("failures", [TRIPS_AT - 1, TRIPS_AT, 50])
def test_a_success_closes_the_breaker_and_forgets_every_failure(failures: int) -> None:
    """What is back is neither held nor paced, and it takes three failures again to open the breaker, dated anew."""
    made = gate()
    fails(made, failures)
    made.succeeded(NOW, 0.1, backlog=False)
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


def test_probes_grow_apart_from_a_quarter_of_a_second_to_two() -> None:
    """By jitter above the floor, with each that fails: the end of a short outage is noticed soon."""
    made, spreads = gate(), []
    fails(made, TRIPS_AT - 1)
    for failed in range(6):
        made.failed(NOW + 10 * failed)
        spreads.append(made.wait_s(NOW + 10 * failed) - PROBE_FLOOR_S)
    assert spreads == pytest.approx([0.25, 0.5, 1.0, PROBE_SPREAD_S, PROBE_SPREAD_S, PROBE_SPREAD_S])


def test_the_calls_in_flight_grow_with_every_success_and_halve_with_every_trouble() -> None:
    """From sixteen they double with a round trip while a backlog waits, and without one they stay as they are.

    A lone failed call takes one; the second in a row, and each throttled one, halve them; one is always allowed.
    """
    made = gate(128)
    for _ in range(1_000):
        made.succeeded(NOW, 0.1, backlog=False)
    seen = [allowed(made)]
    while seen[-1] < 128:
        for _ in range(seen[-1]):
            made.succeeded(NOW, 0.1, backlog=True)
        seen.append(allowed(made))
    assert seen == [BEGINS_AT, 32, 64, 128]
    seen = []
    for trouble in [made.throttled] * 4 + [lambda: made.failed(NOW)] * 2 + [made.throttled] * 4:
        trouble()
        seen.append(allowed(made))
    assert seen == [64, 32, 16, 8, 7, 3, 1, 1, 1, 1]


def test_a_bounded_rate_is_kept_and_not_saved_up() -> None:
    """A hundred events a second are ten calls of ten; a quarter of it may leave at once, after an hour too."""
    made = Gate(128, lambda: 1.0, max_rate=100.0)
    for begin in (NOW, NOW + 3_600):
        started: list[float] = []
        for step in range(4_000):
            now = begin + step / 1_000
            while made.may_start(0, now):
                made.started(10, now)
                started.append(now)
        assert len([at for at in started if at == begin]) == 3
        assert 40 <= len(started) <= 43
        assert made.wait_s(begin + 4) > 0


def test_a_pause_that_was_asked_for_outlasts_a_success_and_a_shorter_one() -> None:
    """Retry-After is the service's own word: an answer that was on its way before does not shorten it."""
    made = gate()
    made.failed(NOW, 20.0)
    made.failed(NOW + 1, 5.0)
    made.succeeded(NOW, 0.1, backlog=False)
    assert made.wait_s(NOW + 1) == 19.0
    assert not made.may_start(0, NOW + 19.9)
    assert made.may_start(0, NOW + 20)
    assert made.wait_s(NOW + 21) == 0.0


def test_three_broken_connections_of_one_round_hold_nobody() -> None:
    """They are known at once, while the other calls of the round are still under way, and these are accepted."""
    held: list[float] = []
    delays = iter([0.001, 0.001, 0.001])
    broken: list[int] = []

    def judge(entries: Sequence[Entry]) -> Answer:
        if len(broken) < 3:
            broken.append(len(entries))
            return NO_ANSWER
        return pipeline.bus.accept(entries)

    pipeline = rig(judge=judge, latency_s=lambda: next(delays, 0.05))
    pipeline.router.publisher.take([entry(number) for number in range(160)])
    while pipeline.router.backlog:
        pipeline.run_once()
        held += [pipeline.world.now] * pipeline.router.holding
    assert broken == [10, 10, 10]
    assert held == []
    assert len(pipeline.tally.delivered) == 160


def test_calls_in_flight_find_their_own_number() -> None:
    """With a bus at 100 ms and a backlog the calls in flight grow to the bound, and throttling makes them fewer."""
    pipeline = rig(policy=Policy(128, 10**9, 4), latency_s=lambda: 0.1)
    pipeline.router.publisher.take([entry(n) for n in range(20_000)])
    pipeline.drain()
    assert pipeline.bus.most_in_flight == 128
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["ThrottlingException", *[""] * (len(call) - 1)])
    pipeline.router.publisher.take([entry(100_000 + n) for n in range(2_000)])
    pipeline.run_for(2)
    assert pipeline.router.publisher.dispatcher.gate.ceiling <= 16
