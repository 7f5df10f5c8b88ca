"""Whatever the disk refuses, and however it ends: what was synced waits until it is settled, and none is missed."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.receiver import spill
from stream_router.receiver.spill import Files

FILE_BYTES = 80
"""Two rows, or three."""
REFUSALS = st.sampled_from(["open", "write", "fdatasync", "ftruncate", "fsync"])
APPEND = st.tuples(st.just("append"), st.integers(1, 2))
SETTLE = st.tuples(st.just("settle"), st.integers(0, 9))
"""How many of the rows that were read, the oldest first."""
REFUSE = st.tuples(st.just("refuse"), st.lists(REFUSALS, min_size=1, max_size=2, unique=True))
READ = st.tuples(st.just("read"), st.sampled_from([100, 1_000]))
END = st.tuples(st.sampled_from(["kill", "cut the power"]), st.none())
STEPS = st.lists(st.one_of(APPEND, APPEND, APPEND, READ, READ, SETTLE, REFUSE, END), min_size=15, max_size=40)


class Disk:
    """The module `os`: some calls fail once each, `write` after half of it; and what is synced of the ledger."""

    def __init__(self, folder: Path) -> None:
        self.refused: set[str] = set()
        self._ledger = folder / "spill-0.ledger"
        self._synced = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _once(self, name: str) -> None:
        if name in self.refused:
            self.refused.discard(name)
            raise OSError(errno.ENOSPC, "refused")

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and str(path).endswith(".seg"):
            self._once("open")
        return os.open(path, flags, mode)

    def write(self, fd: int, data: memoryview) -> int:
        if "write" in self.refused:
            os.write(fd, data[: len(data) // 2])
            self._once("write")
        return os.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink() == self._ledger:
            self._synced = self._ledger.read_bytes()
        else:
            self._once("fdatasync")

    def ftruncate(self, fd: int, size: int) -> None:
        self._once("ftruncate")
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        self._once("fsync")

    def lose_power(self) -> None:
        """Of the ledger what was synced stays; or what the kernel wrote by itself, which is what it says."""
        if self._ledger.exists():
            self._ledger.write_bytes(self._synced)


class World:
    """The files of a folder, and what is known of each line that was given to them."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._numbers = iter(range(10**6))
        self._waiting: dict[int, bytes] = {}
        """Rows that were answered and not settled, by number."""
        self._read: dict[int, bytes] = {}
        self._ended: set[bytes] = set()
        """Lines that may come again, or never: settled, or refused."""
        self._files = self._start()

    def _start(self) -> Files:
        files = Files(self._folder, "c", len)
        assert files.missing == 0
        assert not list(self._folder.glob("*.damaged"))
        return files

    def take(self, step: str, how: Any) -> None:
        match step:
            case "append":
                self._append(how)
            case "refuse":
                self._disk.refused = set(how)
            case "read":
                self.read(how)
            case "settle":
                self._settle(how)
            case _:
                self.end(step)

    def _append(self, count: int) -> None:
        lines = [b"line %d" % next(self._numbers) for _ in range(count)]
        try:
            first = self._files.append([(7, line) for line in lines])
        except OSError:
            self._ended.update(lines)
        else:
            self._waiting.update(enumerate(lines, first))

    def read(self, max_bytes: int) -> int:
        found = self._files.read(max_bytes)
        assert not found.damaged
        for row in found.rows:
            assert row.line in self._ended or self._waiting[row.number] == row.line
            self._read[row.number] = row.line
        return len(found.rows)

    def _settle(self, count: int) -> None:
        rows = sorted(self._read)[:count]
        for row in rows:
            self._ended.add(self._read.pop(row))
            self._waiting.pop(row, None)
        if rows:
            self._files.settle(rows[-1] + 1)

    def end(self, how: str) -> None:
        """And start again: what waits is there, all of it and in order."""
        self._files.close()
        if how == "cut the power":
            self._disk.lose_power()
        before = self._waiting
        self._files, self._read, self._waiting = self._start(), {}, {}
        found: list[bytes] = []
        while rows := self._files.read(1_000).rows:
            for row in rows:
                found.append(row.line)
                self._waiting[row.number] = self._read[row.number] = row.line
        wanted = list(before.values())
        assert [line for line in found if line in set(wanted)] == wanted
        assert set(found) <= {*wanted, *self._ended}

    def drain(self) -> None:
        self._disk.refused = set()
        while self.read(1_000):
            pass
        self._settle(10**6)
        assert not list(self._folder.glob("*.seg"))
        assert self._files.size_bytes == 0
        self.end("kill")
        self._files.close()


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_what_was_synced_waits_until_it_is_settled_and_none_is_missed(steps: list[tuple[str, Any]]) -> None:
    """Appends that fail half way, kills and power cuts between any two steps."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        disk = Disk(folder)
        patch.setattr(spill, "os", disk)
        patch.setattr(spill, "SEGMENT_BYTES", FILE_BYTES)
        world = World(folder, disk)
        for step, how in steps:
            world.take(step, how)
        world.drain()


@pytest.mark.parametrize("moved", [False, True])
def test_nothing_is_stored_in_a_file_that_nobody_will_find(tmp_path: Path, moved: bool) -> None:
    """Deleted or moved while it is written to: the next rows get a file of their own."""
    files = Files(tmp_path, "c", len)
    files.append([(7, b"first")])
    (path,) = tmp_path.glob("*.seg")
    if moved:
        path.rename(tmp_path / "elsewhere")
    else:
        path.unlink()
    files.append([(7, b"second")])
    files.close()
    again = Files(tmp_path, "c", len)
    assert [row.line for row in again.read(1_000).rows] == [b"second"]
    again.close()
