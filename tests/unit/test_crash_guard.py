"""Who is taken for the killer of a process, and who is not."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer.child.progress.crash_guard import CrashGuard, Life
from stream_router.model import Record
from stream_router.process import PAGE_BYTES

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


def test_care_ends_once_the_checkpoint_has_passed_what_a_dead_child_had_taken_charge_of(tmp_path: Path) -> None:
    """Care costs speed; yet before that the deadly event may still come, in whatever batch."""
    for newest in (500, 700, 600):
        born(tmp_path).took_charge(newest, 2)
    guard = born(tmp_path)
    assert guard.careful
    guard.took_charge(900, 0)
    for reached in [(400, 0), (600, 9), (700, 1)]:
        guard.progressed(*reached)
        assert guard.careful, reached
    guard.progressed(700, 2)
    assert not guard.careful


def test_what_a_child_that_ended_well_had_taken_charge_of_prolongs_no_care(tmp_path: Path) -> None:
    """Only those that died count."""
    for newest in (500, 500, 500):
        born(tmp_path).took_charge(newest, 0)
    guard = born(tmp_path)
    guard.took_charge(900, 0)
    guard.ended_well()
    guard = born(tmp_path)
    assert guard.careful
    guard.progressed(500, 0)
    assert not guard.careful


def test_a_death_at_rest_charges_nobody(careful: Path) -> None:
    """What was begun has been sent: whatever ends the process between two batches is no event's doing."""
    for _ in range(3):
        guard = born(careful)
        guard.begin(POISON, 0)
        guard.rests()
    assert not born(careful).is_culprit(POISON, 0)


def test_what_is_begun_after_the_end_was_noted_charges_nobody(careful: Path) -> None:
    """The parent's watcher notes the end in a thread of its own: the other one may still begin an event before it."""
    for _ in range(3):
        guard = born(careful)
        guard.ended_well()
        guard.begin(POISON, 0)
    assert not born(careful).is_culprit(POISON, 0)


def test_batches_are_numbered_on_over_the_processes(tmp_path: Path) -> None:
    """The next process goes on counting, and knows which batches were open when the one before it ended."""
    guard = born(tmp_path)
    assert [guard.took_charge(n, 0) for n in (100, 200, 300)] == [1, 2, 3]
    guard.batch_closed(2)
    guard.ended_well()
    after = born(tmp_path)
    assert after.unclosed == [1, 3]
    assert after.took_charge(100, 0) == 4
    third = born(tmp_path)
    assert third.unclosed == [1, 3, 4]
    third.unclosed_is_said()
    third.ended_well()
    assert born(tmp_path).unclosed == []


def test_batches_that_wait_for_their_records_keep_the_file_small(tmp_path: Path) -> None:
    """Where the audit log takes nothing a thousand wait. A file of one page is written in place on a full disk, too."""
    guard = born(tmp_path)
    for number in range(1, 2_001):
        assert guard.took_charge(number, 0) == number
    for number in (5, *range(1_001, 1_990)):
        guard.batch_closed(number)
    assert len((tmp_path / "shard-1.json").read_bytes().rstrip()) < PAGE_BYTES / 4
    again = born(tmp_path)
    wait = [*range(1, 5), *range(6, 1_001), *range(1_990, 2_001)]
    assert again.unclosed == wait
    again.took_charge(2_001, 0)
    assert born(tmp_path).unclosed == [*wait, 2_001]


def test_an_unreadable_file_is_a_new_life(tmp_path: Path) -> None:
    """What a power cut left of the file stops nobody."""
    (tmp_path / "shard-1.json").write_text('{"checkpoint":')
    assert not born(tmp_path).careful


@pytest.mark.parametrize("strange", ['"open_batches":{"first":1,"last":9}', '"taken":"106:0"', '"alive":"perhaps"'])
def test_another_versions_field_takes_none_of_ours_along(
    careful: Path, caplog: pytest.LogCaptureFixture, strange: str
) -> None:
    """An upgrade or the way back forgets no culprit and no batch's number; what is passed over is said."""
    for _ in range(2):
        born(careful).begin(POISON, 3)
    guard = born(careful)
    number = guard.took_charge(510, 0)
    path = careful / "shard-1.json"
    told = path.read_text("utf-8").rstrip()
    path.write_text(f'{told[:-1]},"of_tomorrow":[1],{strange}}}', "utf-8")
    after = born(careful)
    assert after.is_culprit(POISON, 3)
    assert after.careful
    assert after.took_charge(511, 0) == number + 1
    (said,) = caplog.messages
    name = strange.split('"')[1]
    assert said == f"the shard's crash marker is not as this version writes it: {name} begins anew"


def test_a_death_while_an_event_is_only_held_is_not_charged_to_it(careful: Path) -> None:
    """An outage may last for hours, and a host be switched off in it many times: what was sent before is no killer."""
    for _ in range(9):
        guard = born(careful)
        guard.begin(POISON, 0)
        guard.holds()
    after = born(careful)
    assert after.careful
    assert not after.is_culprit(POISON, 0)


def test_an_event_that_is_worked_on_again_is_suspected_again(careful: Path) -> None:
    """What comes after the wait (its dead letter, for example) may be what kills."""
    for _ in range(2):
        guard = born(careful)
        guard.begin(POISON, 0)
        guard.holds()
        guard.goes_on()
    assert born(careful).is_culprit(POISON, 0)


def test_a_death_while_held_forgets_no_suspicion(careful: Path) -> None:
    """It says nothing of anybody: the two deaths of the killer still count as two in a row."""
    born(careful).begin(POISON, 0)
    guard = born(careful)
    guard.begin(GOOD, 0)
    guard.holds()
    born(careful).begin(POISON, 0)
    assert born(careful).is_culprit(POISON, 0)


def test_the_next_event_is_at_work_though_the_one_before_was_held(careful: Path) -> None:
    """The mark of holding belongs to one event."""
    for _ in range(2):
        guard = born(careful)
        guard.begin(GOOD, 0)
        guard.holds()
        guard.begin(POISON, 0)
    assert born(careful).is_culprit(POISON, 0)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it fills the disk."""

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        monkeypatch.setattr(Path, "write_bytes", refused)
        monkeypatch.setattr(os, "pwrite", refused)

    return fill


def test_a_full_disk_does_not_stop_a_healthy_shard(
    tmp_path: Path, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Where no care is needed the marker is not either: one line a minute, and the shard goes on."""
    now = 0
    guard = CrashGuard(tmp_path, "shard-1", START, lambda: now)
    full()
    for now in range(0, 119, 5):
        guard.progressed(now, 0)
    guard.ended_well()
    assert caplog.text.count("No space left on device") == 2
    born(tmp_path).ended_well()


def test_without_its_marker_a_careful_shard_does_not_go_on(
    careful: Path, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """What is not noted cannot be convicted; and the event before must not stand there for the death that follows."""
    born(careful).begin(GOOD, 0)
    guard = born(careful)
    guard.begin(GOOD, 0)
    full()
    with pytest.raises(OSError, match="No space left"):
        guard.begin(POISON, 0)
    assert "a careful shard stands without its crash marker: No space left on device" in caplog.text
    assert not born(careful).is_culprit(GOOD, 0)


def test_the_watcher_of_the_parent_tears_no_file(tmp_path: Path) -> None:
    """Two threads write the file at one moment, long contents and short: what is read afterwards is one of them."""
    guard = born(tmp_path)
    for number in range(200):
        watcher = threading.Thread(target=guard.ended_well, name="parent-watch")
        watcher.start()
        guard.begin(Record(b"", 10 ** (number % 30)), 0)
        watcher.join()
        Life.model_validate_json((tmp_path / "shard-1.json").read_bytes())
    assert [file.name for file in tmp_path.iterdir()] == ["shard-1.json"]


def test_a_short_life_leaves_nothing_of_a_long_one(tmp_path: Path) -> None:
    """In place, by way of a new file where it is longer than a page, and back."""
    guard = born(tmp_path)
    numbers = [guard.took_charge(10**60 + at, 0) for at in range(3_000)]
    for number in numbers[::2]:  # those that follow each other would be written as one run
        guard.batch_closed(number)
    long = (tmp_path / "shard-1.json").read_bytes()
    assert len(long) > PAGE_BYTES
    for number in numbers[1::2]:
        guard.batch_closed(number)
    read = (tmp_path / "shard-1.json").read_bytes()
    assert Life.model_validate_json(read).open_batches == []
    assert len(read) <= PAGE_BYTES


def test_an_older_process_writes_into_no_file_of_a_newer_one(tmp_path: Path) -> None:
    """A child that comes while the one before still dies has a file of its own, which that one does not touch."""
    older = born(tmp_path)
    newer = born(tmp_path)
    newer.begin(POISON, 0)
    older.ended_well()
    assert Life.model_validate_json((tmp_path / "shard-1.json").read_bytes()).at_work


@pytest.mark.parametrize(("audited", "kept"), [(True, [1, 2, 3]), (False, [])])
def test_batches_of_earlier_processes_are_kept_only_for_an_audit_log(
    tmp_path: Path, kept: list[int], *, audited: bool
) -> None:
    """Without one nothing would ever take them out of the marker, which is written twice a batch."""
    for _ in range(3):
        CrashGuard(tmp_path, "shard-1", START, audited=audited).took_charge(1, 0)
    assert CrashGuard(tmp_path, "shard-1", START, audited=audited).unclosed == kept
