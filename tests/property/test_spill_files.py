"""Whatever the disk refuses, and however it ends: what was synced waits until it is settled, and none is missed."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_router.receiver import spill
from stream_router.receiver.spill import Row, SpillFiles

FILE_BYTES = 80
"""Two rows, or three."""
REFUSALS = st.sampled_from(["open", "write", "fdatasync", "ftruncate", "fsync"])
APPEND = st.tuples(st.just("append"), st.integers(1, 2))
SETTLE = st.tuples(st.just("settle"), st.integers(0, 3))
"""How many of the files that were read, the oldest first."""
REFUSE = st.tuples(st.just("refuse"), st.lists(REFUSALS, min_size=1, max_size=2, unique=True))
READ = st.tuples(st.just("read"), st.none())
END = st.tuples(st.just("kill"), st.none())
STEPS = st.lists(st.one_of(APPEND, APPEND, APPEND, READ, READ, SETTLE, REFUSE, END), min_size=15, max_size=40)


class Disk:
    """The module `os`: some calls fail once each, `write` after half of it."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

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
        self._once("fdatasync")

    def ftruncate(self, fd: int, size: int) -> None:
        self._once("ftruncate")
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        self._once("fsync")


class World:
    """The files of a folder, and what is known of each line that was given to them."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._numbers = iter(range(10**6))
        self._waiting: dict[int, bytes] = {}
        """Rows that were answered, or read, and not settled, by number."""
        self._ends: list[int] = []
        """Numbers behind the files that were read and are not settled."""
        self._ended: set[bytes] = set()
        """Lines that may come again, or never: settled, or refused."""
        self._files = SpillFiles(folder)

    def take(self, step: str, manner: Any) -> None:
        match step:
            case "append":
                self._append(manner)
            case "refuse":
                self._disk.refused = set(manner)
            case "read":
                self.read()
            case "settle":
                self._settle(manner)
            case _:
                self.end()

    def _append(self, count: int) -> None:
        lines = [b"line %d" % next(self._numbers) for _ in range(count)]
        try:
            first = self._files.append([(7, line) for line in lines])
        except OSError:
            self._ended.update(lines)
        else:
            self._waiting.update(enumerate(lines, first))

    def read(self) -> list[Row]:
        result = self._files.read()
        assert not result.damaged
        for row in result.rows:
            assert row.line in self._ended or self._waiting[row.number] == row.line
        self._ends += [result.end] * bool(result.rows)
        return result.rows

    def _settle(self, count: int) -> None:
        for end in self._ends[:count]:
            for row in [row for row in self._waiting if row < end]:
                self._ended.add(self._waiting.pop(row))
            self._files.remove_before(end)
        del self._ends[:count]

    def end(self) -> None:
        """Killed, and started again: what waits is there, all of it and in order."""
        self._files.close()
        self._files, self._ends = SpillFiles(self._folder), []
        result: list[Row] = []
        while rows := self.read():
            result += rows
        # A line that was refused may come once, and not at the next start.
        promised = [line for line in self._waiting.values() if line not in self._ended]
        assert [row.line for row in result if row.line not in self._ended] == promised
        assert {row.line for row in result} <= {*self._waiting.values(), *self._ended}
        self._waiting = {row.number: row.line for row in result}

    def drain(self) -> None:
        self._disk.refused = set()
        while self.read():
            pass
        self._settle(10**6)
        assert not list(self._folder.glob("*.seg"))
        assert self._files.size_bytes == 0
        self.end()
        self._files.close()


REFUSED_AND_KILLED_TWICE = [
    *(("append", 1) for _ in range(5)),
    ("refuse", ["fdatasync", "ftruncate"]),
    ("append", 1),
    *(("kill", None) for _ in range(2)),
]


@given(steps=STEPS)
@example(steps=REFUSED_AND_KILLED_TWICE)
@settings(max_examples=150, deadline=None)
def test_what_was_synced_waits_until_it_is_settled_and_none_is_missed(steps: list[tuple[str, Any]]) -> None:
    """Appends that fail half way, and kills between any two steps."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        disk = Disk()
        patch.setattr(spill, "os", disk)
        patch.setattr(spill, "SEGMENT_BYTES", FILE_BYTES)
        world = World(folder, disk)
        for step, mode in steps:
            world.take(step, mode)
        world.drain()
