"""A shard never waits for one event: open loops over minutes, with entries that are never accepted, and with kills.

`pytest -m long tests/fault/test_open_loop.py -k sick` runs some of them.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.fault.open_loop import SICK_RULE, UNANSWERED_LIMIT_S, Outcome, Run, run, steady, then_company

pytestmark = [pytest.mark.long, pytest.mark.timeout(480)]

SLOW_BUS: dict[str, Any] = {"operation": "PutEvents", "fault": "delay", "ms": 30}
RATE, SECONDS = 1_500.0, 60.0
P99_TIMES, P99_SLACK_MS = 1.5, 5.0
"""A shared machine's own jitter is some milliseconds."""


def check_flow(result: Run, seconds: float) -> None:
    """Nothing lost, no second without deliveries, every checkpoint true when it was asked for."""
    assert not result.outcome.lost
    assert not result.outcome.seconds_without(result.begun_ms, seconds)
    for shard in result.shards:
        result.outcome.check_checkpoints(shard)


def check_burials(result: Run) -> None:
    """Each sick entry dead 30 to 60 s after its first failure."""
    after = result.outcome.buried_after_s()
    assert after[0] >= 30
    assert after[-1] <= 60


def test_a_sick_entry_in_a_thousand_delays_nobody(tmp_path: Path) -> None:
    """1,500/s for 60 s, 0.1 % never accepted: p99 of the others within 1.5 times of the run without them."""
    clean = run(tmp_path / "clean", [steady(RATE, SECONDS)], [SLOW_BUS]).outcome
    completed = run(tmp_path / "run", [then_company(steady(RATE, SECONDS, sick_every=1000))], [SLOW_BUS, SICK_RULE])
    p99 = completed.outcome.p99_ms(lambda number: number not in completed.outcome.sick)
    assert not clean.lost
    assert not clean.dead
    check_flow(completed, SECONDS)
    check_burials(completed)
    assert p99 <= P99_TIMES * clean.p99_ms() + P99_SLACK_MS


KILL_RATE = 1_000.0
STARTS_WITHIN_S = 3.0
IN_FLIGHT = 1_280
"""128 calls of ten entries."""


def came_again(result: Run) -> list[int]:
    """For each kill, how many events had been accepted before it and were so again after it."""
    shard, outcome, counts = result.shards[0], result.outcome, []
    edges = [kill.at_ms for kill in shard.kills]
    for at, kill_ms in enumerate(edges):
        until = edges[at + 1] if at + 1 < len(edges) else float("inf")
        counts.append(
            sum(
                any(time < kill_ms for time in times) and any(kill_ms <= time < until for time in times)
                for times in outcome.accepted.values()
            )
        )
    return counts


def test_ten_kills_bring_back_six_seconds_at_most(tmp_path: Path) -> None:
    """Kill -9 of the child every 7 to 11 s at 1,000/s: nothing lost, what comes again bounded each time."""
    dice = random.Random(17)
    lives = [dice.uniform(7, 11) for _ in range(10)]
    seconds = sum(lives) + STARTS_WITHIN_S * len(lives)
    completed = run(tmp_path / "run", [steady(KILL_RATE, seconds)], [SLOW_BUS], lives_s=lives)
    assert not completed.outcome.lost
    assert not completed.outcome.dead
    completed.outcome.check_checkpoints(completed.shards[0])
    again = came_again(completed)
    assert len(again) == 10
    assert max(again) <= 6 * KILL_RATE + IN_FLIGHT


def test_kills_with_a_sick_entry_bring_back_its_age_and_six_seconds(tmp_path: Path) -> None:
    """Its budget begins anew with each process, and until it is dead the checkpoint stays before it.

    So nothing moves the checkpoint from the first failure until 30 s after the last kill, and a kill brings back what
    came in since.
    """
    events = steady(KILL_RATE, 62)
    events[2_000] = events[2_000]._replace(sick=True)
    completed = run(tmp_path / "run", [events], [SLOW_BUS, SICK_RULE], lives_s=[22.0, 4.0, 15.0])
    outcome, kills_ms = completed.outcome, [kill.at_ms for kill in completed.shards[0].kills]
    assert not outcome.lost
    outcome.check_checkpoints(completed.shards[0], least=2)
    (after,) = outcome.buried_after_s(since_ms=kills_ms[-1])
    assert 30 <= after <= 60
    ages_s = [age_s(outcome, 2_000, kill_ms) for kill_ms in kills_ms]
    assert ages_s[0] > 15
    assert ages_s == sorted(ages_s), "it was buried before the last kill"
    for count, age in zip(came_again(completed), ages_s, strict=True):
        assert count <= (age + 6) * KILL_RATE + IN_FLIGHT


def age_s(outcome: Outcome, number: int, at_ms: float) -> float:
    """Return how long ago (seconds) a sick entry first failed; 0.0 if it was a dead letter already."""
    return (at_ms - min(outcome.failed[number])) / 1000 if outcome.dead[number][0] > at_ms else 0.0


@pytest.mark.parametrize("proves", [True, False], ids=["one sick entry", "the bus unproven"])
def test_memory_stays_bounded(tmp_path: Path, proves: bool) -> None:
    """5,000/s for 60 s above one sick entry, or on a bus that nobody can ask: at most 120 MB."""
    events = then_company(steady(5_000, SECONDS))
    rules = [SLOW_BUS]
    if proves:
        events[500] = events[500]._replace(sick=True)
        rules.append(SICK_RULE)
    else:
        rules.append(
            {
                "operation": "DescribeEventBus",
                "fault": "call_error",
                "code": "AccessDeniedException",
                "to_s": UNANSWERED_LIMIT_S,
            }
        )
    completed = run(tmp_path / "run", [events], rules, proves=proves)
    rss_mb = completed.shards[0].rss_kb / 1024
    assert not completed.outcome.lost
    assert rss_mb <= 120
