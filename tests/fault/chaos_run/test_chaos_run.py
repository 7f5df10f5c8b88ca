"""The whole of stream_router under seeded chaos, and the judge's verdict on it. docs/proof.md explains both.

`python -m tests.fault.chaos_run --seed N` runs other seeds, sizes and lengths.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.chaos_run import clock, kinesis_local, report
from tests.fault.chaos_run.run import FULL, SHORT, Result, run

pytestmark = pytest.mark.system

SEED, FULL_SEED = 1, 2


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
    result = run(tmp_path, SEED, SHORT, repeat=f"python -m tests.fault.chaos_run --seed {SEED} --short")
    if not result.verdict.well:
        say(report.table(result))
    check(result)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.skipif(
    not (kinesis_local.is_there() and clock.COMPILER) and not os.environ.get("CI"),
    reason="needs Node.js with npm, and a C compiler",
)
def test_forty_kills_a_split_and_a_takeover_lose_nothing(say: Callable[[str], None]) -> None:
    """60,000 events, two workers, every family of faults, a split and a merge: every promise is kept."""
    # In memory where that can be: the sender syncs each line, and a slow disk would be another fault.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        result = run(Path(folder), FULL_SEED, FULL, repeat=f"python -m tests.fault.chaos_run --seed {FULL_SEED}")
    say(report.table(result))
    check(result)
