"""The consumer's real code through seeded troubles in virtual time: no promise broken, and a seed repeats exactly."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.simulation.scenario import DAY, draw
from tests.simulation.shard_run import ShardRun, Verdict


def simulate(seed: int, folder: Path) -> Verdict:
    """One seed; what it breaks is told with the command that repeats it."""
    scenario = draw(seed)
    place = folder / f"seed-{seed}"
    place.mkdir()
    try:
        return ShardRun(scenario, place).run()
    except BaseException as error:
        again = f"STREAM_ROUTER_TEST_SEED={seed} python -m pytest tests/simulation -k one_seed"
        raise AssertionError(f"{error}\n{scenario.describe()}\nagain: {again}") from error
    finally:
        shutil.rmtree(place)


def many(first: int, seconds: float, folder: Path) -> list[Verdict]:
    """Seeds from `first` on, for so many seconds of CPU: a busy machine does not make fewer of them."""
    until = time.process_time() + seconds
    found: list[Verdict] = []
    while time.process_time() < until:
        found.append(simulate(first + len(found), folder))
    return found


def check_bitten(found: list[Verdict], least: int) -> None:
    """A fault that never bit would prove nothing."""
    bitten = {name for verdict in found for name, times in verdict.bitten.items() if times >= 5}
    assert len(bitten) >= least, bitten
    assert sum(verdict.lives for verdict in found) > len(found) * 1.5
    assert any(verdict.twice for verdict in found)


def test_no_seed_breaks_a_promise(tmp_path: Path) -> None:
    """As many seeds as fifteen seconds of CPU take."""
    check_bitten(many(0, 15.0, tmp_path), 8)


def test_a_seed_repeats_exactly(tmp_path: Path) -> None:
    """Twice the same seed is twice the same run, to the last acceptance and checkpoint."""
    seeds = [
        seed for seed in range(100, 200) if draw(seed).ends and draw(seed).faults and draw(seed).healed_s < DAY / 4
    ]
    for seed in seeds[:5]:
        assert simulate(seed, tmp_path) == simulate(seed, tmp_path)


def test_one_seed(tmp_path: Path) -> None:
    """The seed that the environment names, or one with everything in it."""
    simulate(int(os.environ.get("STREAM_ROUTER_TEST_SEED", "7")), tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(2))
def test_five_minutes_of_seeds(tmp_path: Path, share: int) -> None:
    """The long lane's: other seeds than the short test's."""
    check_bitten(many(10_000 * (share + 1), 150.0, tmp_path), 12)


PROVE_SEEDS, SHARES = 200_000, 400
RESULTS = os.environ.get("SIMULATOR_RESULTS", "")
"""A file to which each share that broke no promise adds a line."""


@pytest.mark.prove
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("share", range(SHARES))
def test_many_seeds(tmp_path: Path, share: int) -> None:
    """Two hundred thousand further seeds, in shares: `make prove PROVE='-k many_seeds[7]'` runs one of them."""
    seeds = range(share, PROVE_SEEDS, SHARES)
    lives = sum(simulate(1_000_000 + seed, tmp_path).lives for seed in seeds)
    if RESULTS:
        told = {"share": share, "seeds": len(seeds), "lives": lives, "cpuSeconds": round(time.process_time(), 1)}
        with Path(RESULTS).open("a", encoding="utf-8") as out:
            out.write(json.dumps(told) + "\n")
