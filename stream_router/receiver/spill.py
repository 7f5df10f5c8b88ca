"""The spill on disk, where events wait while the stream takes none: files of rows, written and read by one thread.

A segment is named for its first row. A row is a marker, a head (length, CRC, number, conversation) and an event's line.
The marker holds a byte that no line can hold, so after damage the next whole row is found again. Rows are numbered
without a gap, so missing rows can be counted.

Segments are read whole and in order. Each is removed once all of its events are in the stream. After a kill the events
of a remaining segment are sent again, a megabyte at most.

Rows that are to be appended while the disk is busy form a group. The group is synced together and only then answered,
so answered events survive a kill -9 and a power cut. A folder belongs to one process, by a lock that the kernel frees.
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
"""Beginning of a row. No line holds the byte 0xff, since UTF-8 never contains it."""
_HEAD = struct.Struct("<4sIIQII")
"""Fields before a line: marker, length of the line, CRC-32 of all that follows, row, conversation, an unused number."""
_CRC_FROM = 12
ROW_BYTES = _HEAD.size
"""Bytes of a row on disk beside its line."""
SEGMENT_BYTES = 1024 * 1024
_NOT_NOW = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors after which a file is read again later: rights, open files or memory are missing, but the file is whole.

After any other error the file counts as damaged.
"""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags of opening. No link is followed, since its creator would choose the file that is created and written."""
CLOSED_WITHIN_S = 0.8
"""Seconds for which a stop waits for the disk. Rows of unfinished jobs were not answered, or are sent again."""
DEFECT = "defect"
"""Value of `Spill.error`, in place of the disk's code, if a job failed in an unforeseen way."""
_NAME = re.compile(r"spill-0-(\d{20})\.(seg|damaged)")
OURS = re.compile(rf"{_NAME.pattern}|spill-0\.(ledger|lock|refused\.damaged)")
"""Names of the spill's files. Rows in a new format need a new name, at which older versions refuse to start.

The 0 is a worker's number, and the ledger a file, of an earlier version with several workers.
"""


class Row(NamedTuple):
    """A row that was read: its number, its conversation, its line."""

    number: int
    key: int
    line: bytes


class Read(NamedTuple):
    """Content of a segment: its rows in order, the number of damaged or missing rows, and the row number after them.

    Without rows and damage there is nothing to read, or the disk cannot be read now.
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
    """Yield every whole row in `data`, and skip damage."""
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
    """A file of rows, from `first_row` up to, but not including, `end_row`."""

    def __init__(self, path: Path, first_row: int, end_row: int, size_bytes: int) -> None:
        self.path = path
        self.first_row, self.end_row = first_row, end_row
        self.size_bytes = size_bytes
        self.was_read = self.is_damaged = False


class Files:
    """The folder's files, for one thread. Methods raise OSError if the disk refuses."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder, and take over the segments that an earlier process left. Raises SettingsError.

        A segment extends to the beginning of the next segment, the last segment to the end of its rows.
        """
        self._folder = folder
        self._lock = _lock(folder)
        self._active = -1
        self._segments: list[Segment] = []
        self._not_removed: set[Path] = set()
        """Files of this process that could not be removed. A new segment may replace them."""
        names = [name for path in folder.glob("spill-0-*") if (name := _NAME.fullmatch(path.name))]
        firsts = sorted(int(name[1]) for name in names if name[2] == "seg")
        try:
            for first_row, end_row in zip(firsts, [*firsts[1:], 0], strict=False):
                path = self._path(first_row)
                rows = () if end_row else rows_of(path.read_bytes())
                end = end_row or 1 + max((row.number for row in rows), default=first_row - 1)
                self._segments.append(Segment(path, first_row, end, path.stat().st_size))
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                "STREAM_ROUTER_SPILL_DIR",
                f"{path.name} in it cannot be read ({_code(error)}), and events may wait in it",
                "let this receiver's user own it, or move it away",
            ) from None
        if self._segments and (last := self._segments[-1]).end_row == last.first_row:
            last.is_damaged = last.size_bytes > 0
            self._remove(last)
        # The number is above those of all existing names, so that no damaged file ever takes the name of another.
        self._next_row = max([0, *(each.end_row for each in self._segments), *(int(name[1]) + 1 for name in names)])
        self.unread = sum(segment.end_row - segment.first_row for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, lines: Sequence[tuple[int, bytes]]) -> int:
        """Append and sync lines, as pairs of conversation and line. Return the first row's number.

        If that fails, none of the lines is kept.
        """
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
            # After a failed sync the content of this file on disk is unknown, so the next rows get a new file.
            self._close_active()
            if segment.end_row == segment.first_row:
                self._remove(segment)
            raise
        segment.size_bytes += len(data)
        segment.end_row += len(lines)
        self._next_row += len(lines)
        return row

    def read(self) -> Read:
        """Return the content of the next segment. Later rows are appended to another segment."""
        segment = next((each for each in self._segments if not each.was_read), None)
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
        # Bytes besides the rows are a torn append, which was not answered, or damage: the file is kept.
        whole = not damaged and len(data) == sum(ROW_BYTES + len(row.line) for row in rows)
        segment.was_read, segment.is_damaged = True, not whole
        return Read(rows, damaged, segment.end_row)

    def settle(self, row: int) -> None:
        """Remove files whose rows all lie before this row, since those are in the stream, or lost.

        This needs no room on the disk.
        """
        for segment in [each for each in self._segments if each.was_read and each.end_row <= row]:
            self._remove(segment)

    def set_aside(self, line: bytes) -> bool:
        """Keep a line that the stream refuses for good, synced, in a file of such lines. Return True."""
        fd = os.open(self._folder / "spill-0.refused.damaged", _APPEND | os.O_APPEND, 0o600)
        try:
            os.write(fd, line + b"\n")
            os.fdatasync(fd)
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Close every file, and free the lock."""
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
            # Rows in the file would be answered, but a power cut could remove the file's name, and so the rows.
            self._close_active()
            self._remove(segment)
            raise

    def _path(self, row: int) -> Path:
        return self._folder / f"spill-0-{row:020d}.seg"

    def _close_active(self) -> None:
        if self._active >= 0:
            fd, self._active = self._active, -1
            with contextlib.suppress(OSError):  # answered rows were synced before
                os.close(fd)

    def _remove(self, segment: Segment) -> None:
        """Remove a file whose rows are all settled, or rename the file if it is damaged."""
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
    """Lock the folder for this process alone. Return the lock's descriptor. Raises SettingsError.

    The kernel frees the lock however the process ends.
    """
    try:
        fd = os.open(folder / "spill-0.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR", "another receiver uses it", "give each receiver a folder of its own"
        ) from None
    except OSError as error:
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR",
            f"it cannot be used ({_code(error)})",
            "give a folder of its own that this user can write",
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
    """The folder on disk. Its methods return at once; each `done` is called later, on the loop.

    Raises SettingsError at construction if another process has the folder, or a file in it cannot be read.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self._loop = loop
        self._files = Files(folder)
        self.unread = self._files.unread
        """Number of rows that an earlier process left."""
        self.size_bytes = self._files.size_bytes
        self.error = ""
        """The disk's code of the last job's failure; "" if the job succeeded."""
        self._group: list[tuple[Sequence[tuple[int, bytes]], Callable[[int | None], None]]] = []
        """Lines to be appended next, by one write: all that came since the last append began."""
        self._appending = False
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], object] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spill", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[tuple[int, bytes]], done: Callable[[int | None], None]) -> None:
        """Store lines, as pairs of conversation and line, after all rows.

        `done` gets the first row's number; None if the lines are not stored.
        """
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
        """Read the oldest segment that was not read yet. `done` gets its content."""
        self._jobs.put((self._files.read, done, Read([], 0, 0)))

    def settle(self, row: int) -> None:
        """Remove segments whose rows all lie before this row, since those are in the stream, or lost."""

        def settle() -> None:
            failpoint("spill_drained_before_removed")
            self._files.settle(row)

        self._jobs.put((settle, lambda _: None, None))

    def set_aside(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Keep a line that the stream refuses for good in a file of such lines. `done` gets whether it was kept."""
        self._jobs.put((lambda: self._files.set_aside(line), done, False))

    def close(self) -> None:
        """Finish all jobs and close the files. If the disk hangs, stop waiting after CLOSED_WITHIN_S."""
        self._jobs.put(None)
        self._thread.join(CLOSED_WITHIN_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done, refused = job
            result = self._tried(work, refused)
            self.size_bytes = self._files.size_bytes
            # If the loop is closed, no caller waits any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, done, result)
        self._files.close()

    def _tried(self, work: Callable[[], object], refused: object) -> object:
        """Return the result of `work`, or `refused` if it fails. Without the thread no job would be answered."""
        try:
            result = work()
        except OSError as error:
            self.error = _code(error)
            return refused
        except Exception:
            log.exception("a job of the spill failed in an unforeseen way", extra={"event": "spill-job-failed"})
            self.error = DEFECT
            return refused
        self.error = ""
        return result


def _tell(done: Callable[[Any], None], result: object) -> None:
    """Call `done` with a result. Log an exception, so that it does not keep other callbacks from being called."""
    try:
        done(result)
    except Exception:
        log.exception("an answer of the spill met an unforeseen failure", extra={"event": "spill-job-failed"})
