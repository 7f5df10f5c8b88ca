"""Where events wait on disk while the stream takes none: files of rows, written and read by one thread.

A segment is named for its first row. A row is a marker, a head (length, CRC, number, conversation) and an event's line.
The marker holds a byte that no line can hold, so behind damage the next whole row is found again; rows are numbered
without a gap, so what is missing can be counted. Segments are read whole, in order, and each goes when all of it is in
the stream: after a kill what was in one that is left is sent again, a megabyte at most.

What is to be appended while the disk is at work is one group: it is synced together and only then answered, so what was
answered survives a kill -9 and a power cut. One process has a folder, by a lock that the kernel
frees.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import queue
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stream_router.errors import SettingsError
from stream_router.process import failpoint

log = logging.getLogger(__name__)

MARKER = b"\xffROW"
"""No line holds the byte 0xff: it is in no UTF-8."""
_HEAD = struct.Struct("<4sIIQII")
"""Marker, length of the line, CRC-32 of what follows, row, conversation, and a number that nobody reads."""
_CRC_FROM = 12
ROW_BYTES = _HEAD.size
"""What a row takes on disk beside its line."""
SEGMENT_BYTES = 1024 * 1024
_NOT_NOW = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""A file that cannot be read for want of a right, or of memory, is whole, and is tried again; any other is damaged."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
"""Through no link: who can put one into the folder would choose which file is written, and made."""
CLOSED_WITHIN_S = 0.8
"""What is not done by then at a stop was not answered, or is sent again: its rows are not settled."""
DEFECT = "defect"
"""In place of the disk's code where a job failed in an unforeseen way."""
_NAME = re.compile(r"spill-0-(\d{20})\.(seg|damaged)")
OURS = re.compile(rf"{_NAME.pattern}|spill-0\.(ledger|lock|refused\.damaged)")
"""The spill's files. Rows in a new form need a new name: a version that does not know it refuses to start. The 0 is the
number of a worker, of which there were several once; a ledger is of that time."""


class Row(NamedTuple):
    """A row that was read: its number, its conversation, its line."""

    number: int
    key: int
    line: bytes


class Read(NamedTuple):
    """A segment: its rows in order, how many are damaged or missing besides, and the number behind them.

    Neither rows nor damage: the disk cannot be read now.
    """

    rows: list[Row]
    damaged: int
    end: int


def encode(row: int, key: int, line: bytes) -> bytes:
    """Return a row's bytes."""
    head = _HEAD.pack(MARKER, len(line), 0, row, key, 0)
    crc = zlib.crc32(line, zlib.crc32(head[_CRC_FROM:]))
    return head[:8] + struct.pack("<I", crc) + head[_CRC_FROM:] + line


def rows_of(data: bytes) -> Iterator[Row]:
    """Every whole row in `data`. Passes over damage."""
    at, size, view = 0, len(data), memoryview(data)
    while (at := data.find(MARKER, at)) >= 0 and (begin := at + ROW_BYTES) <= size:
        _, length, crc, row, key, _ = _HEAD.unpack_from(data, at)
        end = begin + length
        if end <= size and zlib.crc32(view[at + _CRC_FROM : end]) == crc:
            yield Row(row, key, data[begin:end])
            at = end
        else:
            at += 1


class Segment:
    """A file's rows, from `first_row` to before `end_row`."""

    def __init__(self, path: Path, first_row: int, end_row: int, size_bytes: int) -> None:
        self.path = path
        self.first_row, self.end_row = first_row, end_row
        self.size_bytes = size_bytes
        self.was_read = self.is_damaged = False


class Files:
    """The folder's files, for one thread. Methods raise OSError where the disk refuses."""

    def __init__(self, folder: Path) -> None:
        """Take up what an earlier process left: a segment ends where the next begins, the last where its rows end.

        Raises SettingsError.
        """
        self._folder = folder
        self._lock = _lock(folder)
        self._active = -1
        self._segments: list[Segment] = []
        self._not_removed: set[Path] = set()
        """Files of this process that the disk did not let go: it may write their rows anew."""
        names = [name for path in folder.glob("spill-0-*") if (name := _NAME.fullmatch(path.name))]
        firsts = sorted(int(name[1]) for name in names if name[2] == "seg")
        try:
            for first_row, end_row in zip(firsts, [*firsts[1:], 0], strict=False):
                path = self._path(first_row)
                rows = () if end_row else rows_of(path.read_bytes())
                found = end_row or 1 + max((row.number for row in rows), default=first_row - 1)
                self._segments.append(Segment(path, first_row, found, path.stat().st_size))
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                f"STREAM_ROUTER_SPILL_DIR: {path.name} in it cannot be read ({_code(error)}), and events may wait in "
                "it; let this receiver's user own it, or move it away"
            ) from None
        if self._segments and (last := self._segments[-1]).end_row == last.first_row:
            last.is_damaged = last.size_bytes > 0
            self._remove(last)
        # Behind all names there are, so that no damaged file ever takes the name of another.
        self._next_row = max([0, *(one.end_row for one in self._segments), *(int(name[1]) + 1 for name in names)])
        self.unread = sum(segment.end_row - segment.first_row for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, lines: Sequence[tuple[int, bytes]]) -> int:
        """Append lines (conversation, line) and sync them; the first one's number. Nothing is kept where it fails."""
        row = self._next_row
        data = b"".join([encode(row + n, key, line) for n, (key, line) in enumerate(lines)])
        if self._active < 0 or self._segments[-1].size_bytes + len(data) > SEGMENT_BYTES:
            self._begin(row)
        segment = self._segments[-1]
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._active, view) :]
            os.fdatasync(self._active)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._active, segment.size_bytes)
            # After a failed sync nobody knows what the disk has of this file: the next rows get one of their own.
            self._close_active()
            if segment.end_row == segment.first_row:
                self._remove(segment)
            raise
        segment.size_bytes += len(data)
        segment.end_row += len(lines)
        self._next_row += len(lines)
        return row

    def read(self) -> Read:
        """Return the next segment; what is appended from now on comes into another."""
        segment = next((one for one in self._segments if not one.was_read), None)
        if segment is None:
            return Read([], 0, self._next_row)
        if segment is self._segments[-1]:
            self._close_active()
        try:
            data = segment.path.read_bytes()
        except OSError as error:
            if error.errno in _NOT_NOW:
                raise
            data = b""
        rows = [row for row in rows_of(data) if segment.first_row <= row.number < segment.end_row]
        damaged = segment.end_row - segment.first_row - len(rows)
        # What is left behind the last row is a torn append, of which nobody was told, or damage: it is kept.
        whole = not damaged and len(data) == sum(ROW_BYTES + len(row.line) for row in rows)
        segment.was_read, segment.is_damaged = True, not whole
        return Read(rows, damaged, segment.end_row)

    def settle(self, row: int) -> None:
        """All rows before this one are in the stream, or lost: their files go. Needs no room on the disk."""
        for segment in [one for one in self._segments if one.was_read and one.end_row <= row]:
            self._remove(segment)

    def set_aside(self, line: bytes) -> bool:
        """Keep a line that the stream refuses for good, synced, in a file of such lines; True."""
        fd = os.open(self._folder / "spill-0.refused.damaged", _APPEND | os.O_APPEND, 0o600)
        try:
            os.write(fd, line + b"\n")
            os.fdatasync(fd)
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Close every file; the lock is free."""
        self._close_active()
        os.close(self._lock)

    def _begin(self, row: int) -> None:
        self._close_active()
        segment = Segment(self._path(row), row, row, 0)
        if segment.path in self._not_removed:
            segment.path.unlink(missing_ok=True)
        self._active = os.open(segment.path, _APPEND | os.O_EXCL, 0o600)
        self._segments.append(segment)
        try:
            _sync_folder(self._folder)
        except OSError:
            # Rows in it would be answered, and be gone with its name after a power cut.
            self._close_active()
            self._remove(segment)
            raise

    def _path(self, row: int) -> Path:
        return self._folder / f"spill-0-{row:020d}.seg"

    def _close_active(self) -> None:
        if self._active >= 0:
            fd, self._active = self._active, -1
            with contextlib.suppress(OSError):  # what was answered was synced before
                os.close(fd)

    def _remove(self, segment: Segment) -> None:
        """Let go of a file whose rows are all settled; one that was damaged is kept under another name."""
        self._segments.remove(segment)
        try:
            if segment.is_damaged and segment.path.exists():
                aside = segment.path.with_suffix(".damaged")
                segment.path.rename(aside)
                log.error(
                    "a damaged file of the spill was set aside; what could be read is in the stream: %s",
                    *(aside,),
                    extra={"event": "spill-file-damaged"},
                )
            else:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            self._not_removed.add(segment.path)
            log.warning(
                "a file of the spill cannot be removed, and its events come again at the next start: %s: %s",
                *(segment.path.name, error.strerror),
                extra={"event": "spill-file-not-removed"},
            )


def _lock(folder: Path) -> int:
    """Hold the folder for this process alone; freed by the kernel however it ends. Raises SettingsError."""
    try:
        fd = os.open(folder / "spill-0.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR: another receiver uses it; give each receiver a folder of its own"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: it cannot be used ({_code(error)}); "
            "give a folder of its own that this user can write"
        ) from None
    return fd


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Spill:
    """The folder on disk. Its methods return at once; each `done` is called later on the loop.

    Raises SettingsError at construction where another process has the folder, or a file in it cannot be read.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self._loop = loop
        self._files = Files(folder)
        self.unread = self._files.unread
        """How many rows an earlier process left."""
        self.size_bytes = self._files.size_bytes
        self.error = ""
        """Why the last append, reading or settling failed, by the disk's code; empty where it did not."""
        self._group: list[tuple[Sequence[tuple[int, bytes]], Callable[[int | None], None]]] = []
        """What is to be appended next, by one write: all that came since the last one began."""
        self._appending = False
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], object] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spill", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[tuple[int, bytes]], done: Callable[[int | None], None]) -> None:
        """Store lines (conversation, line) behind what is there; `done` gets the first one's number, or None."""
        self._group.append((lines, done))
        if not self._appending:
            self._append_group()

    def _append_group(self) -> None:
        group, self._group = self._group, []
        self._appending = bool(group)

        def append() -> int:
            first = self._files.append([line for lines, _ in group for line in lines])
            failpoint("spill_written_before_answer")
            return first

        def appended(first: int | None) -> None:
            self._append_group()
            for lines, done in group:
                _tell(done, first)
                first = first + len(lines) if first is not None else None

        if group:
            self._jobs.put((append, appended, None))

    def read(self, done: Callable[[Read], None]) -> None:
        """Read the oldest segment not read yet."""
        self._jobs.put((self._files.read, done, Read([], 0, 0)))

    def settle(self, row: int) -> None:
        """All rows before this one are in the stream, or lost: segments that end there go."""

        def settle() -> None:
            failpoint("spill_drained_before_removed")
            self._files.settle(row)

        self._jobs.put((settle, lambda _: None, None))

    def set_aside(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Keep a line that the stream refuses for good in a file of its own; tells whether it is there."""
        self._jobs.put((lambda: self._files.set_aside(line), done, False))

    def close(self) -> None:
        """Finish what was asked for and close the files; a disk that hangs is waited for no longer than a moment."""
        self._jobs.put(None)
        self._thread.join(CLOSED_WITHIN_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done, refused = job
            found = self._tried(work, refused)
            self.size_bytes = self._files.size_bytes
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, done, found)
        self._files.close()

    def _tried(self, work: Callable[[], object], refused: object) -> object:
        """Return the result, else `refused`. The thread goes on in any case: without it nothing would be answered."""
        try:
            found = work()
        except OSError as error:
            self.error = _code(error)
            return refused
        except Exception:
            log.exception("a job of the spill failed in an unforeseen way", extra={"event": "spill-job-failed"})
            self.error = DEFECT
            return refused
        self.error = ""
        return found


def _tell(done: Callable[[Any], None], what: object) -> None:
    """Tell one; where that raises no other is kept back."""
    try:
        done(what)
    except Exception:
        log.exception("an answer of the spill met an unforeseen failure", extra={"event": "spill-job-failed"})
