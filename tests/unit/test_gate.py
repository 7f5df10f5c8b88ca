"""When the next call may start: the breaker, the number of calls in flight, the rate, and what a pause outlasts."""

from collections.abc import Callable

import pytest

from stream_router.pipeline.delivery.gate import (
    INITIAL_CALLS,
    MIN_CALLS_IF_SLOW,
    OPENS_AT_FAILURES,
    PROBE_MAX_JITTER_S,
    PROBE_MIN_PAUSE_S,
    SLOW_S,
    Gate,
)

NOW = 1000.0


def fails(of: Gate, times: int, now: float = NOW) -> None:
    for _ in range(times):
        of.record_failure(now)


def allowed(by: Gate, now: float = NOW) -> int:
    """How many calls may be in flight at once."""
    return next(calls for calls in range(1_000) if not by.may_start(calls, now))


def test_three_failures_in_a_row_open_the_breaker_and_a_success_closes_it() -> None:
    """Two bad answers among good ones hold nobody; what is back is neither held nor paced, and counted anew.

    Of many calls that left together as many have to fail as are still under way: connections that break are known
    at once.
    """
    gate = Gate(8, lambda: 1.0)
    for at in (NOW, NOW + 100):
        fails(gate, OPENS_AT_FAILURES - 1, at)
        assert not gate.holding
        fails(gate, 1, at + 1)
        fails(gate, 9, at + 30)
        assert (gate.holding, gate.held_since) == (True, at + 1)
        gate.record_success(at, 0.1, backlog=False)
        assert (gate.holding, gate.wait_s(at), gate.may_start(0, at)) == (False, 0.0, True)
    for failed in range(1, 9):
        gate.record_failure(NOW, in_flight=16 - failed)
        assert gate.holding == (failed == 8)


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_an_open_breaker_lets_one_probe_through_at_a_time_and_soon(dice: float) -> None:
    """Half a second at least between two probes, growing to two and a half, however long the outage."""
    gate, waits = Gate(64, lambda: dice), list[float]()
    fails(gate, OPENS_AT_FAILURES - 1)
    for failed in range(20):
        now = NOW + 10 * failed
        gate.record_failure(now)
        assert not gate.may_start(0, now + PROBE_MIN_PAUSE_S - 0.01)
        assert allowed(gate, now + PROBE_MIN_PAUSE_S + PROBE_MAX_JITTER_S) == 1
        waits.append(gate.wait_s(now) - PROBE_MIN_PAUSE_S)
    grown = [0.25, 0.5, 1.0] + [PROBE_MAX_JITTER_S] * 17
    assert waits == pytest.approx(grown if dice else [0.0] * 20)


def test_a_silent_destination_is_probed_after_ever_longer_pauses() -> None:
    """5, 10, 20, then 30 s after a probe timed out; the calls that were in flight before count as one.

    An answer, be it a refusal, ends the silence: the next probe comes as soon as in any other outage.
    """
    gate, now = Gate(64, lambda: 1.0), NOW
    for call in range(8):
        gate.record_timeout(now + call / 10, NOW - 5 + call / 10)
    assert (gate.holding, gate.silent, gate.held_since) == (True, True, NOW)
    now += 0.7
    for pause_s in (5, 10, 20, 30, 30):
        assert gate.wait_s(now) == pytest.approx(pause_s)
        assert allowed(gate, now + pause_s) == 1
        now += pause_s + 5
        gate.record_timeout(now, now - 5)
    gate.record_failure(now)
    assert not gate.silent
    gate.record_success(now, 0.1, backlog=True)
    assert (gate.holding, gate.wait_s(now)) == (False, 0.0)
    gate.record_timeout(now, now - 5)
    assert gate.wait_s(now) == 5


def test_the_calls_in_flight_grow_with_every_success_and_halve_with_every_trouble() -> None:
    """They double with a round trip while a backlog waits; without one they stay as they are.

    A lone failed call takes one; the second in a row, and each throttled one, halve them; one is always allowed. Slow
    answers halve them once a second, and leave four.
    """
    gate = Gate(128, lambda: 1.0)
    for _ in range(1_000):
        gate.record_success(NOW, 0.1, backlog=False)
    seen = [allowed(gate)]
    while seen[-1] < 128:
        for _ in range(seen[-1]):
            gate.record_success(NOW, 0.1, backlog=True)
        seen.append(allowed(gate))
    assert seen == [INITIAL_CALLS, 32, 64, 128]
    troubles: list[Callable[[], None]] = (
        [gate.record_throttling] * 4 + [lambda: gate.record_failure(NOW)] * 2 + [gate.record_throttling] * 4
    )
    assert [(trouble(), allowed(gate))[1] for trouble in troubles] == [64, 32, 16, 8, 7, 3, 1, 1, 1, 1]
    slow = Gate(128, lambda: 1.0)
    for second in (0.0, 0.5, 1.0, 2.0, 3.0):
        slow.record_success(NOW + second, 2 * SLOW_S, backlog=True)
        seen.append(allowed(slow))
    assert seen[-5:] == [8, 8, 4, MIN_CALLS_IF_SLOW, MIN_CALLS_IF_SLOW]


def test_a_bounded_rate_is_kept_and_not_saved_up() -> None:
    """A hundred events a second are ten calls of ten; a quarter of it may leave at once, after an hour too."""
    gate = Gate(128, lambda: 1.0, max_rate=100.0)
    for begin in (NOW, NOW + 3_600):
        started: list[float] = []
        for step in range(4_000):
            now = begin + step / 1_000
            while gate.may_start(0, now):
                gate.record_start(10, now)
                started.append(now)
        assert started.count(begin) == 3
        assert 40 <= len(started) <= 43


def test_a_pause_that_was_asked_for_outlasts_a_success_and_a_shorter_one() -> None:
    """Retry-After is the service's own word: an answer that was on its way before does not shorten it."""
    gate = Gate(8, lambda: 1.0)
    gate.record_failure(NOW, 20.0)
    gate.record_failure(NOW + 1, 5.0)
    gate.record_success(NOW, 0.1, backlog=False)
    assert gate.wait_s(NOW + 1) == 19.0
    assert not gate.may_start(0, NOW + 19.9)
    assert gate.may_start(0, NOW + 20)
