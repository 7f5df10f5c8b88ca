"""The consumer's real code through seeded troubles in virtual time: no promise broken, and a seed repeats exactly."""

import contextlib
import functools
import gc
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router import limits
from stream_router.pipeline.sinks.dead_letters import message
from tests.child_life import TooLongError
from tests.simulation.child import Child
from tests.simulation.odd import BUCKET_FAULTS, draw_odd
from tests.simulation.scenario import DAY, LARGE_BYTES, Scenario, draw
from tests.simulation.shard_run import ShardRun, Verdict

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def simulate(seed: int, drawn: Callable[[int], Scenario] = draw) -> Verdict:
    """One seed; what it breaks is told with the command that repeats it.

    Raises TooLongError where it would make too many calls.
    """
    scenario = drawn(seed)
    try:
        with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
            return ShardRun(scenario, Path(folder)).run()
    except TooLongError:
        raise
    except BaseException as error:
        name = "one_odd_seed" if scenario.odd.is_on else "one_seed"
        again = f"STREAM_ROUTER_TEST_SEED={seed} python -m pytest tests/simulation -k {name}"
        raise AssertionError(f"{error}\n{scenario.describe()}\nagain: {again}") from error
    finally:
        gc.collect()  # a child and its world hold each other


def many(first: int, seconds: float, simulated: Callable[[int], Verdict] = simulate) -> list[Verdict]:
    """Seeds from `first` on, for so many seconds of CPU, but no more than twice as many by the clock."""
    until, at_most_until = time.process_time() + seconds, time.monotonic() + 2 * seconds
    verdicts: list[Verdict] = []
    seeds = itertools.count(first)
    while time.process_time() < until and time.monotonic() < at_most_until:
        with contextlib.suppress(TooLongError):
            verdicts.append(simulated(next(seeds)))
    return verdicts


def check_bitten(outcome: list[Verdict], least: int) -> None:
    """A fault that never bit would prove nothing."""
    bitten = {name for verdict in outcome for name, times in verdict.bitten.items() if times >= 5}
    assert len(bitten) >= least, bitten
    assert sum(verdict.lives for verdict in outcome) > len(outcome) * 1.5
    assert any(verdict.twice for verdict in outcome)


def test_no_seed_breaks_a_promise() -> None:
    """As many seeds as 20 seconds of CPU take."""
    check_bitten(many(0, 20.0), 8)


def test_a_seed_repeats_exactly() -> None:
    """Twice the same seed is twice the same run, to the last acceptance and checkpoint."""
    seeds = [
        seed for seed in range(100, 200) if draw(seed).ends and draw(seed).faults and draw(seed).healed_s < DAY / 4
    ]
    for seed in seeds[:5]:
        assert simulate(seed) == simulate(seed)


@pytest.mark.long
def test_an_idle_childs_sleep_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long seeds, with every turn of an idle child taken and with nearly none of them."""
    seeds = [seed for seed in range(500, 600) if draw(seed).ends and draw(seed).healed_s > DAY / 4]
    slept = [simulate(seed) for seed in seeds]
    monkeypatch.setattr(Child, "sleeps", False)
    assert [simulate(seed) for seed in seeds] == slept


def test_one_seed() -> None:
    """The seed that the environment names, or one with everything in it."""
    simulate(int(os.environ.get("STREAM_ROUTER_TEST_SEED", "7")))


simulate_odd = functools.partial(simulate, drawn=draw_odd)


@pytest.fixture
def _small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large event's letter fits no message: it goes to the bucket, or in parts."""
    monkeypatch.setattr(limits, "SQS_MESSAGE_BYTES", LARGE_BYTES // 2)
    monkeypatch.setattr(message, "MINIMAL_BYTES", LARGE_BYTES // 2 - 1_000)


@pytest.mark.usefixtures("_small_messages")
def test_no_odd_seed_breaks_a_promise() -> None:
    """Settings beside the default way, a bus that goes and is made again, what the KCL does by mistake."""
    assert many(0, 10.0, simulate_odd)


@pytest.mark.usefixtures("_small_messages")
def test_one_odd_seed() -> None:
    """The seed that the environment names, or one with everything in it."""
    simulate_odd(int(os.environ.get("STREAM_ROUTER_TEST_SEED", "7")))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_small_messages")
def test_two_minutes_of_odd_seeds() -> None:
    """Other seeds than the short test's; the faults include those of the bucket and a lost bus."""
    result = many(30_000, 120.0, simulate_odd)
    check_bitten(result, 12)
    assert {name for verdict in result for name in verdict.bitten} >= {*BUCKET_FAULTS, "bus gone"}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(2))
def test_five_minutes_of_seeds(share: int) -> None:
    """Among the long tests: other seeds than the short test's."""
    check_bitten(many(10_000 * (share + 1), 150.0), 12)


FIRST_PROVE_SEED, PROVE_SEEDS, SHARES = 3_000_000, 5_000, 10
RESULTS = os.environ.get("SIMULATOR_RESULTS", "")
"""A file to which each share that broke no promise adds a line."""


@pytest.fixture
def _no_log() -> Iterator[None]:
    """Nobody reads the log of seeds that break nothing: a twentieth of their CPU."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.prove
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("_no_log")
@pytest.mark.parametrize("share", range(SHARES))
def test_many_seeds(share: int) -> None:
    """Five thousand further seeds, in shares: `make prove PROVE='-k many_seeds[7]'` runs one of them."""
    began, lives, too_long = time.process_time(), 0, list[int]()
    for seed in range(FIRST_PROVE_SEED + share, FIRST_PROVE_SEED + PROVE_SEEDS, SHARES):
        try:
            lives += simulate(seed).lives
        except TooLongError:
            too_long.append(seed)
    if RESULTS:
        seeds = PROVE_SEEDS // SHARES - len(too_long)
        report: dict[str, Any] = {"share": share, "seeds": seeds, "lives": lives}
        report |= {"cpuSeconds": round(time.process_time() - began, 1)} | ({"tooLong": too_long} if too_long else {})
        with Path(RESULTS).open("a", encoding="utf-8") as out:
            out.write(json.dumps(report) + "\n")
