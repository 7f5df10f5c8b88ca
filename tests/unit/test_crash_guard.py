"""Who is taken for the killer of a process, and who is not."""

from pathlib import Path

import pytest

from stream_router.consumer.crash import CrashGuard
from stream_router.records import Record

START = "TRIM_HORIZON:0"
POISON, GOOD = Record(b"", 500), Record(b"", 501)


@pytest.fixture
def careful(tmp_path: Path) -> Path:
    """The folder of a shard whose child died three times at one checkpoint."""
    for _ in range(4):
        CrashGuard(tmp_path, "shard-1", START)
    assert CrashGuard(tmp_path, "shard-1", START).careful
    return tmp_path


def born(folder: Path, start: str = START) -> CrashGuard:
    return CrashGuard(folder, "shard-1", start)


def test_three_deaths_at_one_checkpoint_call_for_care(tmp_path: Path) -> None:
    """The fourth child is careful, not the third; a child that ended well counts for nothing."""
    assert not born(tmp_path).careful
    assert not born(tmp_path).careful
    guard = born(tmp_path)
    assert not guard.careful
    guard.ended_well()
    assert not born(tmp_path).careful
    assert born(tmp_path).careful


def test_two_deaths_at_one_event_convict_it(careful: Path) -> None:
    """Whose marker stands at two deaths in a row is the culprit, and nobody else is."""
    born(careful).begin(POISON, 3)
    again = born(careful)
    assert not again.is_culprit(POISON, 3)
    again.begin(POISON, 3)
    after = born(careful)
    assert after.careful
    assert after.is_culprit(POISON, 3)
    assert not after.is_culprit(POISON, 2)
    assert not after.is_culprit(GOOD, 3)


def test_deaths_at_different_events_convict_none(careful: Path) -> None:
    """Someone who kills the child from outside hits it at a new place each time: no event is blamed."""
    for line in range(9):
        guard = born(careful)
        guard.begin(GOOD, line)
    final = born(careful)
    assert not any(final.is_culprit(GOOD, line) for line in range(9))


def test_a_culprit_stays_one_until_the_checkpoint_is_past_it(careful: Path) -> None:
    """A further crash does not forget it; a checkpoint beyond it does."""
    for _ in range(2):
        born(careful).begin(POISON, 0)
    born(careful).begin(GOOD, 0)
    guard = born(careful)
    assert guard.is_culprit(POISON, 0)
    guard.progressed(499, 0)
    assert guard.is_culprit(POISON, 0)
    guard.progressed(500, 0)
    assert not guard.is_culprit(POISON, 0)


def test_a_whole_batch_without_a_death_ends_the_care(careful: Path) -> None:
    """Care costs speed: it ends once a batch went well."""
    guard = born(careful)
    guard.progressed(400, 0)
    assert guard.careful
    guard.batch_done()
    assert not guard.careful


def test_an_unreadable_file_is_a_new_life(tmp_path: Path) -> None:
    """What a power cut left of the file stops nobody."""
    (tmp_path / "shard-1.json").write_text('{"checkpoint":')
    assert not born(tmp_path).careful
