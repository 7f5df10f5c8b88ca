"""The spill's files, one by one: how old what waits in them is, and what becomes of a file that cannot be read."""

import errno
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from stream_router.errors import SettingsError
from stream_router.receiver.spill import ledger, lock, segments
from stream_router.receiver.spill.segment import Row, Segment
from stream_router.receiver.spill.segments import READS_BEFORE_SET_ASIDE, SEGMENT_BYTES, Segments


def files_in(folder: Path) -> Segments:
    made = Segments(folder, 0, "conversationId", len)
    made.open()
    return made


def line(number: int, received_ms: int) -> bytes:
    return b'{"v":1,"id":"%d","idFrom":"delivery","receivedAt":%d,"body":{}}' % (number, received_ms)


def test_the_oldest_event_that_waits_is_told_as_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By when it was written; as rows are settled the next one counts, and with none left there is no age."""
    files = files_in(tmp_path)
    assert files.oldest_s == 0.0
    for written_s in (1_000.0, 1_010.0, 1_020.0):
        monkeypatch.setattr(time, "time", lambda at=written_s: at)
        files.append([(7, b"x")])
    assert files.oldest_s == 1_000.0
    files.settle([1])
    assert files.oldest_s == 1_000.0
    files.settle([0])
    assert files.oldest_s == 1_020.0
    files.settle([2])
    assert files.oldest_s == 0.0
    files.close()


def test_after_a_restart_the_age_is_that_of_the_first_event_that_waits(tmp_path: Path) -> None:
    """Its envelope says when it was received: an outage of a day is not younger for a restart."""
    files = files_in(tmp_path)
    files.append([(7, line(number, 1_795_000_000_000 + number * 1_000)) for number in range(4)])
    files.settle([0])
    files.close()
    again = files_in(tmp_path)
    assert again.oldest_s == 1_795_000_001.0
    again.close()


@pytest.mark.parametrize(
    ("error", "reads"),
    [(OSError(errno.EIO, "bad"), READS_BEFORE_SET_ASIDE), (FileNotFoundError(errno.ENOENT, "gone"), 1)],
    ids=["a disk that fails", "a file that is gone"],
)
def test_a_file_that_cannot_be_read_is_tried_again_and_then_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reads: int
) -> None:
    """A disk may recover, a file that is gone does not; then the files behind it are read. Each row is told once."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1)
    files = files_in(tmp_path)
    files.append([(7, b"first")])
    files.append([(8, b"second")])
    first = files._files[0]
    tries = 0
    real = Segment.read

    def read(self: Segment, max_bytes: int) -> list[Row]:
        nonlocal tries
        if self is first:
            tries += 1
            raise error
        return real(self, max_bytes)

    monkeypatch.setattr(Segment, "read", read)
    for _ in range(reads - 1):
        with pytest.raises(OSError, match="bad"):
            files.read(1_000)
    assert files.read(1_000) == [Row(0, 7, None)]
    assert tries == reads
    assert files.read(1_000) == [Row(1, 8, b"second")]
    assert files.read(1_000) == []
    files.close()


def test_a_file_that_cannot_be_read_at_the_start_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is set aside for a person, and not deleted as one of which all is settled."""
    files = files_in(tmp_path)
    files.append([(7, b"first"), (7, b"second")])
    files.close()
    (path,) = tmp_path.glob("*.seg")

    def fails(_: Path) -> bytes:
        raise OSError(errno.EIO, "bad")

    monkeypatch.setattr(Path, "read_bytes", fails)
    found = Segment(path, 0)
    found.scan(0, 2**63, 0, len)
    assert found.damaged
    assert (found.left, found.end_row, found.size_bytes) == (0, 0, 0)


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_a_file_that_comes_back_after_it_was_given_up_is_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, behind: int
) -> None:
    """Moved away, as the line of a start that may not read it says, and back: the ledger calls its rows settled."""
    files = files_in(tmp_path)
    files.append([(7, b"first"), (7, b"second")])
    files.close()
    (path,) = tmp_path.glob("*.seg")
    path.rename(tmp_path / "elsewhere")
    without = files_in(tmp_path)
    assert without.lost == 2
    without.settle([without.append([(7, b"third")])])
    for _ in range(behind):
        without.append([(7, b"x" * SEGMENT_BYTES)])
    without.close()
    (tmp_path / "elsewhere").rename(path)
    caplog.clear()
    again = files_in(tmp_path)
    assert again.lost == 0
    assert again.read(1_000)[:2] == [Row(0, 7, b"first"), Row(1, 7, b"second")]
    (said,) = caplog.messages
    assert said == f"a spill's file is back whose events were settled or given up; they are sent: {path.name}"
    again.settle([0])
    again.close()
    after_a_kill = files_in(tmp_path)
    assert after_a_kill.lost == 0
    assert len(list(after_a_kill.waiting())) == 2 + behind
    after_a_kill.settle([0, 1])
    assert not path.exists()
    assert not list(tmp_path.glob("*.damaged"))
    after_a_kill.close()


def test_what_is_missing_is_told_by_one_start(tmp_path: Path) -> None:
    """Else each restart until the next outage would tell of events that are lost; one that comes back is sent."""
    files = files_in(tmp_path)
    files.append([(7, b"first"), (7, b"second")])
    files.close()
    (path,) = paths_in(tmp_path)
    path.rename(tmp_path / "elsewhere")
    assert [lost_and_waiting(tmp_path) for _ in range(3)] == [(2, []), (0, []), (0, [])]
    (tmp_path / "elsewhere").rename(path)
    assert lost_and_waiting(tmp_path) == (0, [7, 7])


class Disk:
    """The module `os` on a disk that has room for another file, or has none."""

    has_room = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not self.has_room and not path.exists():
            raise OSError(errno.ENOSPC, "no room")
        return os.open(path, flags, mode)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk without room."""
    made = Disk()
    monkeypatch.setattr(segments, "os", made)
    monkeypatch.setattr(lock, "os", made)
    return made


def refused(files: Segments) -> str:
    """Why an append is."""
    with pytest.raises(OSError, match=r"room|another receiver") as found:
        files.append([(7, b"x")])
    return errno.errorcode[found.value.errno or 0]


def test_a_start_without_room_for_the_lock_takes_it_before_anything_is_written(tmp_path: Path, disk: Disk) -> None:
    """Two receivers that were given one folder start on a full disk: only one of them ever writes there."""
    first, second = files_in(tmp_path), files_in(tmp_path)
    assert refused(first) == "ENOSPC"
    disk.has_room = True
    assert first.append([(7, b"x")]) == 0
    assert refused(second) == "EBUSY"
    assert first.read(100) == [Row(0, 7, b"x")]
    with pytest.raises(SettingsError, match="another receiver uses it"):
        files_in(tmp_path)
    second.close()
    first.close()


def test_what_another_left_meanwhile_is_not_written_over(tmp_path: Path, disk: Disk) -> None:
    """Who got its lock late has not read it: its own rows would take the numbers of rows that wait."""
    late = files_in(tmp_path)
    disk.has_room = True
    other = files_in(tmp_path)
    other.append([(7, b"x")])
    other.close()
    assert refused(late) == refused(late) == "EBUSY"
    late.close()
    after = files_in(tmp_path)
    assert after.read(100) == [Row(0, 7, b"x")]
    after.close()


@pytest.fixture
def four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segments:
    """Files of one row each, four of them, all read."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1)
    files = files_in(tmp_path)
    for number in range(4):
        files.append([(number, line(number, 0))])
        assert files.read(1_000) == [Row(number, number, line(number, 0))]
    return files


def paths_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def lost_and_waiting(folder: Path) -> tuple[int, list[int]]:
    """What a start finds."""
    files = files_in(folder)
    found = files.lost, list(files.waiting())
    files.close()
    return found


@pytest.mark.parametrize("settled", [[1], [1, 2], [2, 1], [1, 3], [3]])
def test_a_file_that_went_before_an_earlier_one_is_not_missed(
    tmp_path: Path, four: Segments, settled: list[int]
) -> None:
    """All of it is in the stream, and the process is killed while a call with a row of an earlier file hangs."""
    for row in settled:
        four.settle([row])
    four.close()
    waiting = [row for row in range(4) if row not in settled]
    assert lost_and_waiting(tmp_path) == (0, waiting)
    again = files_in(tmp_path)
    again.settle([again.append([(7, b"x")])])
    again.close()
    assert lost_and_waiting(tmp_path) == (0, waiting)
    last = files_in(tmp_path)
    last.settle(waiting)
    last.close()
    assert lost_and_waiting(tmp_path) == (0, [])
    assert not [*tmp_path.glob("*.seg"), *tmp_path.glob("*.damaged")]


def test_a_deleted_file_is_missed_beside_one_that_went_before_it(tmp_path: Path, four: Segments) -> None:
    """The one is known to be in the stream, the other is not; one that comes back is sent again."""
    kept = paths_in(tmp_path)[1].read_bytes()
    four.settle([1])
    four.close()
    paths = paths_in(tmp_path)
    paths[1].unlink()
    assert lost_and_waiting(tmp_path) == (1, [0, 3])
    (tmp_path / f"spill-0-{1:020d}.seg").write_bytes(kept)
    assert lost_and_waiting(tmp_path) == (1, [0, 1, 3])


def test_a_ledger_is_read_by_versions_that_know_its_head_alone_and_theirs_by_this_one(
    tmp_path: Path, four: Segments
) -> None:
    """They read and write its first twenty bytes: of what they settle the rest says nothing untrue."""
    four.settle([1])
    four.close()
    path = tmp_path / "spill-0.ledger"
    head = path.read_bytes()[:20]
    assert struct.unpack("<QQ", head[:16]) == (0, 4)
    path.write_bytes(head)
    assert lost_and_waiting(tmp_path) == (1, [0, 2, 3])


class Power:
    """The module `os` of the ledger, and what a power cut leaves of its file: what was synced last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def sync(self) -> None:
        """By itself the kernel does it every half minute."""
        self._synced = self._path.read_bytes()

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)
        self.sync()

    def cut(self) -> None:
        self._path.write_bytes(self._synced)


def test_after_a_power_cut_no_file_is_missed_that_was_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder's journal keeps that a file went, long before the ledger's pages are on the disk; and no file that
    is newer than the ledger is taken for one that is back."""
    power = Power(tmp_path / "spill-0.ledger")
    monkeypatch.setattr(ledger, "os", power)
    files = files_in(tmp_path)
    files.append([(7, b"first"), (8, b"second")])
    power.sync()
    files.settle([0])
    files.settle([1])
    files.close()
    power.cut()
    assert lost_and_waiting(tmp_path) == (0, [])
    files = files_in(tmp_path)
    files.append([(9, b"third")])
    files.close()
    power.cut()
    assert lost_and_waiting(tmp_path) == (0, [9])
    assert not caplog.messages


@pytest.mark.parametrize("how", ["deleted", "moved with its folder", "renamed"])
def test_nothing_is_stored_in_a_file_that_nobody_will_find(tmp_path: Path, how: str) -> None:
    """A tidy hand, or a host's own cleaner, under a receiver that runs: what it answers 202 from then on is there."""
    folder = tmp_path / "spill"
    folder.mkdir()
    files = files_in(folder)
    files.append([(7, b"before")])
    (path,) = folder.glob("*.seg")
    if how == "deleted":
        path.unlink()
    elif how == "renamed":
        path.rename(tmp_path / "elsewhere")
    else:
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(FileNotFoundError):
            files.append([(7, b"nowhere")])
        folder.mkdir()
    assert files.append([(7, b"after")]) == 1
    assert [(row.number, row.line) for row in files.read(1_000)] == [(0, None)]
    assert [row.line for row in files.read(1_000)] == [b"after"]
    files.close()
    again = files_in(folder)
    assert [row.line for row in again.read(1_000)] == [b"after"]
    again.close()


def begun_and_replaced(folder: Path) -> tuple[Segments, Path]:
    """Files that hold a row, and an empty folder in the place of theirs; where theirs is now."""
    folder.mkdir()
    files = files_in(folder)
    files.append([(7, b"before")])
    aside = folder.with_name("elsewhere")
    folder.rename(aside)
    folder.mkdir()
    return files, aside


def test_a_folder_that_came_in_its_place_is_locked_too(tmp_path: Path) -> None:
    """Else a second receiver would write the same files, and one would empty the other's."""
    folder = tmp_path / "spill"
    files, aside = begun_and_replaced(folder)
    files.append([(7, b"after")])
    with pytest.raises(SettingsError, match="another receiver uses it"):
        files_in(folder)
    files_in(aside).close()
    files.settle([0, 1])
    files.append([(7, b"last")])
    files.close()
    (low, known), _ = ledger.Ledger(folder, 0).read()
    assert (low, known) == (2, 3), "and its ledger knows what is in it"


def test_nothing_is_written_to_a_folder_in_its_place_that_another_receiver_has(tmp_path: Path) -> None:
    """503 is better than two receivers in one file; it goes on where the folder is its own again."""
    folder = tmp_path / "spill"
    files, aside = begun_and_replaced(folder)
    other = files_in(folder)
    with pytest.raises(OSError, match="another receiver uses it"):
        files.append([(7, b"after")])
    assert list(folder.glob("*.seg")) == []
    other.close()
    folder.rename(tmp_path / "the other's")
    aside.rename(folder)
    assert files.append([(7, b"after")]) == 1
    files.close()
