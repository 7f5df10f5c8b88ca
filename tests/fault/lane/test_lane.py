"""The whole of stream_router under seeded chaos, and the judge's verdict on it. docs/lane.md explains both.

`python -m tests.fault.lane --seed N` runs other seeds, sizes and lengths.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fault.lane import clock, kinesis_local, report
from tests.fault.lane.run import FULL, SHORT, Result, run

pytestmark = pytest.mark.system

SEED = 1


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints whatever pytest captures."""

    def write(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}")
            sys.stdout.flush()

    return write


def check(result: Result) -> None:
    """Nothing was broken, and enough went wrong to prove it."""
    verdict = result.verdict
    assert not verdict.broken, report.table(result)
    assert not verdict.invalid, report.table(result)


@pytest.mark.timeout(420)
def test_five_kills_and_a_storm_lose_nothing(tmp_path: Path, say: Callable[[str], None]) -> None:
    """8,000 events, one worker, a kill of each part, stops, cut wires, SQS down, sick events: every promise is kept."""
    result = run(tmp_path, SEED, SHORT, repeat=f"python -m tests.fault.lane --seed {SEED} --short")
    if not result.verdict.well:
        say(report.table(result))
    check(result)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_the_whole_fleet_through_every_fault_loses_nothing(tmp_path: Path, say: Callable[[str], None]) -> None:
    """60,000 events, two workers, 40 kills, a split, a merge, a takeover, a rolling restart: every promise is kept."""
    assert kinesis_local.is_there(), "this test needs Node.js and npm (a Kinesis that ends shards is an npm package)"
    result = run(tmp_path, SEED, replace(FULL, clock=bool(clock.COMPILER)))
    say(report.table(result))
    check(result)
