"""A shard never waits for one event: open loops over minutes, with entries that are never accepted, and with kills.

Each test prints its figures. `pytest -m long tests/fault/test_open_loop.py -k sick` runs some of them.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fault.open_loop import SICK_RULE, UNASKED_S, Due, Outcome, Run, make_careful, run, steady, then_company

pytestmark = [pytest.mark.long, pytest.mark.timeout(480)]

SLOW_BUS: dict[str, Any] = {"operation": "PutEvents", "fault": "delay", "ms": 30}
RATE, SECONDS = 1_500.0, 60.0
P99_TIMES, P99_SLACK_MS = 1.5, 5.0
"""A shared machine's own jitter is some milliseconds."""

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints a line of figures whatever pytest captures."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {line}\n")

    return write


@pytest.fixture(scope="module")
def clean_p99_ms(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The same load without a sick entry."""
    found = run(tmp_path_factory.mktemp("clean") / "run", [steady(RATE, SECONDS)], [SLOW_BUS])
    assert not found.outcome.lost
    assert not found.outcome.dead
    return found.outcome.p99_ms()


def healthy(outcome: Outcome) -> Callable[[int], bool]:
    return lambda number: number not in outcome.sick


def told(outcome: Outcome, first_s: float, last_s: float) -> str:
    return f"{len(outcome.dead)} dead {first_s:.1f} to {last_s:.1f} s after their first failure"


def check_flow(found: Run, seconds: float) -> None:
    """Nothing lost, no second without deliveries, every checkpoint true when it was asked for."""
    assert not found.outcome.lost
    assert not found.outcome.seconds_without(found.begun_ms, seconds)
    for shard in found.shards:
        found.outcome.check_checkpoints(shard)


def check_burials(found: Run) -> tuple[float, float]:
    """Each sick entry dead 30 to 60 s after its first failure; the shortest and the longest time."""
    after = found.outcome.buried_after_s()
    assert after[0] >= 30
    assert after[-1] <= 60
    return after[0], after[-1]


def test_a_sick_entry_in_a_thousand_delays_nobody(tmp_path: Path, clean_p99_ms: float, say: Say) -> None:
    """1,500/s for 60 s, 0.1 % never accepted: p99 of the others within 1.5 times of the run without them."""
    found = run(tmp_path / "run", [then_company(steady(RATE, SECONDS, sick_every=1000))], [SLOW_BUS, SICK_RULE])
    outcome = found.outcome
    p99 = outcome.p99_ms(healthy(outcome))
    check_flow(found, SECONDS)
    first, last = check_burials(found)
    say(f"0.1 % sick: p99 {p99:.0f} ms, clean {clean_p99_ms:.0f}; {told(outcome, first, last)}")
    assert p99 <= P99_TIMES * clean_p99_ms + P99_SLACK_MS


def test_a_silent_shard_buries_on_anothers_evidence(tmp_path: Path, say: Say) -> None:
    """One sick entry and nothing else on a shard: judged by the worker's other shard."""
    silent = [Due(10**6, 5.0, sick=True)]
    found = run(tmp_path / "run", [steady(RATE, SECONDS), silent], [SLOW_BUS, SICK_RULE])
    assert not found.outcome.lost
    assert not found.outcome.seconds_without(found.begun_ms, SECONDS)
    found.outcome.check_checkpoints(found.shards[0])
    _, last = check_burials(found)
    say(f"a silent shard: its sick entry dead after {last:.1f} s")


def test_careful_mode_waits_for_no_sick_entry(tmp_path: Path, say: Say) -> None:
    """One event at a time, 200/s for 60 s, one in a hundred sick: the others' p99 as without them."""
    clean = run(tmp_path / "clean", [steady(200, 30)], [SLOW_BUS], prepare=make_careful)
    found = run(
        tmp_path / "run",
        [then_company(steady(200, SECONDS, sick_every=100))],
        [SLOW_BUS, SICK_RULE],
        prepare=make_careful,
    )
    outcome = found.outcome
    p99, p99_clean = outcome.p99_ms(healthy(outcome)), clean.outcome.p99_ms()
    check_flow(found, SECONDS)
    first, last = check_burials(found)
    say(f"careful, 1 % sick: p99 {p99:.0f} ms, clean {p99_clean:.0f}; {told(outcome, first, last)}")
    assert p99 <= P99_TIMES * p99_clean + P99_SLACK_MS


def test_eight_per_cent_sick_are_buried_and_the_others_go_on(tmp_path: Path, say: Say) -> None:
    """1,500/s of which 8 % are never accepted: each dead within three minutes, the healthy accepted all the while."""
    events = steady(RATE, SECONDS, sick_every=12)
    # The healthy go on: among the sick alone nobody could tell whose trouble it is.
    after_s = events[-1].at_s + 1 / RATE
    events += [due._replace(at_s=due.at_s + after_s) for due in steady(RATE, SECONDS, first=len(events))]
    found = run(tmp_path / "run", [events], [SLOW_BUS, SICK_RULE], settle_s=200)
    outcome = found.outcome
    check_flow(found, SECONDS)
    after = outcome.buried_after_s()
    say(f"8 % sick: p99 {outcome.p99_ms(healthy(outcome)):.0f} ms; {told(outcome, after[0], after[-1])}")
    assert after[-1] <= 180
    assert outcome.p99_ms(healthy(outcome)) < 2_000


def test_a_sick_entry_delays_its_own_conversation_alone(tmp_path: Path, say: Say) -> None:
    """In order, 300/s over 300 conversations: what follows the sick one waits for its burial, nothing else does."""
    events = steady(300, SECONDS, conversations=300)
    events[600] = events[600]._replace(sick=True)
    sick = events[600]
    settings = {"STREAM_ROUTER_ORDERING": "conversation"}
    clean = run(tmp_path / "clean", [steady(300, 30, conversations=300)], [SLOW_BUS], settings=settings)
    found = run(tmp_path / "run", [events], [SLOW_BUS, SICK_RULE], settings=settings)
    outcome = found.outcome
    check_flow(found, SECONDS)
    check_burials(found)
    own = {event.number for event in events if event.conversation == sick.conversation}
    p99, p99_clean = outcome.p99_ms(lambda n: n not in own), clean.outcome.p99_ms()
    buried_ms, _ = outcome.dead[sick.number]
    waited = [n for n in own if n > sick.number and outcome.due[n] < buried_ms]
    assert len(waited) > 10
    assert all(outcome.accepted[n][0] >= buried_ms - 50 for n in waited)
    taken = [outcome.accepted[n][0] for n in sorted(own - {sick.number})]
    assert taken == sorted(taken)
    say(f"by conversation: p99 of the others {p99:.0f} ms, clean {p99_clean:.0f}; {len(waited)} of its own waited")
    assert p99 <= P99_TIMES * p99_clean + P99_SLACK_MS


KILL_RATE = 1_000.0
STARTS_WITHIN_S = 3.0
IN_FLIGHT = 1_280
"""128 calls of ten entries."""


def came_again(found: Run) -> list[int]:
    """For each kill, how many events had been accepted before it and were so again after it."""
    shard, outcome, counts = found.shards[0], found.outcome, []
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


def test_ten_kills_bring_back_six_seconds_at_most(tmp_path: Path, say: Say) -> None:
    """Kill -9 of the child every 7 to 11 s at 1,000/s: nothing lost, what comes again bounded each time."""
    dice = random.Random(17)
    lives = [dice.uniform(7, 11) for _ in range(10)]
    seconds = sum(lives) + STARTS_WITHIN_S * len(lives)
    found = run(tmp_path / "run", [steady(KILL_RATE, seconds)], [SLOW_BUS], lives_s=lives)
    assert not found.outcome.lost
    assert not found.outcome.dead
    found.outcome.check_checkpoints(found.shards[0])
    again = came_again(found)
    say("ten kills at 1,000/s, seconds of the rate that came again: " + " ".join(f"{n / KILL_RATE:.1f}" for n in again))
    assert len(again) == 10
    assert max(again) <= 6 * KILL_RATE + IN_FLIGHT


def test_kills_with_a_sick_entry_bring_back_its_age_and_six_seconds(tmp_path: Path, say: Say) -> None:
    """Its budget goes on over the kills: none brings back more than its age, 30 s at most, and six seconds."""
    events = steady(KILL_RATE, 62)
    events[2_000] = events[2_000]._replace(sick=True)
    found = run(tmp_path / "run", [events], [SLOW_BUS, SICK_RULE], lives_s=[22.0, 4.0, 15.0])
    outcome = found.outcome
    assert not outcome.lost
    outcome.check_checkpoints(found.shards[0])
    (after,) = outcome.buried_after_s()
    again = came_again(found)
    ages_s = [age_s(outcome, 2_000, kill.at_ms) for kill in found.shards[0].kills]
    figures = " ".join(f"{age:.0f}/{n / KILL_RATE:.1f}" for age, n in zip(ages_s, again, strict=True))
    say(f"kills, age of a sick entry / seconds of the rate that came again: {figures}; dead after {after:.1f} s")
    assert 30 <= after <= 45
    assert ages_s[0] > 15
    for count, age in zip(again, ages_s, strict=True):
        assert count <= (age + 6) * KILL_RATE + IN_FLIGHT


def age_s(outcome: Outcome, number: int, at_ms: float) -> float:
    """How old a sick entry's trouble was then; 0.0 where it was buried before."""
    return (at_ms - outcome.first_failed[number]) / 1000 if outcome.dead[number][0] > at_ms else 0.0


def test_a_v2_bus_publishes_nothing_twice(tmp_path: Path, say: Say) -> None:
    """Three kills: the copies carry the same DeduplicationId, and the bus takes none of them a second time."""
    bus = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"
    slow = {**SLOW_BUS, "operation": "PutEventsV2"}
    found = run(
        tmp_path / "run",
        [steady(KILL_RATE, 36)],
        [slow],
        lives_s=[8.0, 8.0, 8.0],
        settings={"STREAM_ROUTER_EVENT_BUS": bus},
    )
    assert not found.outcome.lost
    assert found.outcome.deduplicated > 1_000, "the kills brought nothing back: this proves nothing"
    say(f"v2 bus, three kills: {found.outcome.deduplicated} copies recognised, {found.outcome.twice} published twice")
    assert found.outcome.twice == 0


@pytest.mark.parametrize("proves", [True, False], ids=["one sick entry", "the bus unproven"])
def test_memory_stays_bounded(tmp_path: Path, say: Say, proves: bool) -> None:
    """5,000/s for 60 s above one sick entry, or on a bus that nobody can ask: at most 120 MB."""
    events = then_company(steady(5_000, SECONDS))
    rules = [SLOW_BUS]
    if proves:
        events[500] = events[500]._replace(sick=True)
        rules.append(SICK_RULE)
    else:
        rules.append(
            {"operation": "DescribeEventBus", "fault": "call_error", "code": "AccessDeniedException", "to_s": UNASKED_S}
        )
    found = run(tmp_path / "run", [events], rules, proves=proves)
    rss_mb = found.shards[0].rss_kb / 1024
    say(f"5,000/s for 60 s, {'behind one sick entry' if proves else 'the bus unproven'}: peak RSS {rss_mb:.0f} MB")
    assert not found.outcome.lost
    assert rss_mb <= 120
