"""The spill on disk: files of events that wait while the stream takes none. One thread writes and reads them.

A segment is named for its first row. A row is a marker, a head (length, CRC, number, conversation) and an event's line.
The marker holds a byte that no line can hold, so the next whole row after a damaged place can be found. Rows are
numbered without a gap, so missing rows can be counted.

Segments are read whole and in order. Each is removed once all of its events are in the stream. After a kill the events
of a remaining segment are sent again, a megabyte at most.

Rows that arrive while the disk is busy form a group, which is written and synced at once. The group's events are
answered only after that, so answered events survive a kill -9 and a power cut. A lock, which the kernel frees, gives a
folder to one process.
"""

import asyncio
import contextlib
import errno
import fcntl
import itertools
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
"""Offset in a row of the first byte that its CRC covers."""
ROW_BYTES = _HEAD.size
"""Bytes of a row on disk beside its line."""
SEGMENT_BYTES = 1024 * 1024
_NOT_NOW = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors after which a file is read again later: rights, open files or memory are missing, but the file is whole.

After any other error the file counts as damaged.
"""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags for opening a file to write. No link is followed: its creator would choose which file is written."""
CLOSED_WITHIN_S = 0.8
"""Seconds for which a stop waits for the disk. Rows of unfinished jobs were not answered, or will be sent again."""
DEFECT = "defect"
"""Value of `Spill.error`, in place of the disk's code, if a job failed in an unforeseen way."""
_NAME = re.compile(r"spill-0-(\d{20})\.(seg|damaged)")
OURS = re.compile(rf"{_NAME.pattern}|spill-0\.(ledger|lock|refused\.damaged)")
"""Names of the spill's files. Rows in a new format need a new name, at which older versions refuse to start.

The 0 and the ledger stem from an earlier version: the 0 was the number of a worker.
"""


class Row(NamedTuple):
    """A row that was read: its number, its conversation, its line."""

    number: int
    key: int
    line: bytes


class SegmentContent(NamedTuple):
    """Content of a segment: its rows in order, the number of damaged or missing rows, and the row number after them.

    An empty content means that nothing is left to read, or that the disk cannot be read now.
    """

    rows: list[Row]
    damaged: int
    end: int


def encode(row: int, key: int, line: bytes) -> bytes:
    """Return a row's bytes."""
    head = _HEAD.pack(MARKER, len(line), 0, row, key, 0)
    crc = zlib.crc32(line, zlib.crc32(head[_CRC_FROM:]))
    return head[:8] + struct.pack("<I", crc) + head[_CRC_FROM:] + line


def iter_rows(data: bytes) -> Iterator[Row]:
    """Yield every whole row in `data`. Skip damaged bytes."""
    row_start, size, view = 0, len(data), memoryview(data)
    while (row_start := data.find(MARKER, row_start)) >= 0 and (line_start := row_start + ROW_BYTES) <= size:
        _, length, crc, row, key, _ = _HEAD.unpack_from(data, row_start)
        line_end = line_start + length
        if line_end <= size and zlib.crc32(view[row_start + _CRC_FROM : line_end]) == crc:
            yield Row(row, key, data[line_start:line_end])
            row_start = line_end
        else:
            row_start += 1


class Segment:
    """A file of rows, from `first_row` up to, but not including, `end_row`."""

    def __init__(self, path: Path, first_row: int, end_row: int, size_bytes: int) -> None:
        self.path = path
        self.first_row, self.end_row = first_row, end_row
        self.size_bytes = size_bytes
        self.was_read = self.is_damaged = False


class SpillFiles:
    """The files of a spill folder, used by one thread. Methods raise OSError if the disk fails."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder, and list the segments that an earlier process left. Raises SettingsError.

        Each segment's rows end where the next segment begins. The last segment is read to find its last row.
        """
        self._folder = folder
        self._lock = _lock(folder)
        self._active = -1
        """Descriptor of the segment to which rows are appended; -1 if the next rows begin a new segment."""
        self._segments: list[Segment] = []
        self._not_removed: set[Path] = set()
        """Files of this process that could not be removed. A new segment may replace them."""
        names = [name for path in folder.glob("spill-0-*") if (name := _NAME.fullmatch(path.name))]
        firsts = sorted(int(name[1]) for name in names if name[2] == "seg")
        try:
            for first_row, next_first_row in itertools.zip_longest(firsts, firsts[1:]):
                path = self._segment_path(first_row)
                end_row = _find_end(path, first_row) if next_first_row is None else next_first_row
                self._segments.append(Segment(path, first_row, end_row, path.stat().st_size))
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                "STREAM_ROUTER_SPILL_DIR",
                f"{path.name} in it cannot be read ({_error_code(error)}), and events may wait in it",
                "let this receiver's user own it, or move it away",
            ) from None
        # A last segment without a whole row holds no event. If it has other bytes, it is kept under another name.
        if self._segments and (last := self._segments[-1]).end_row == last.first_row:
            last.is_damaged = last.size_bytes > 0
            self._remove(last)
        # A new segment's number is above that of every existing name, so that a damaged file never replaces another.
        used_rows = [segment.end_row for segment in self._segments] + [int(name[1]) + 1 for name in names]
        self._next_row = max(used_rows, default=0)
        self.unread = sum(segment.end_row - segment.first_row for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, lines: Sequence[tuple[int, bytes]]) -> int:
        """Append lines, given as pairs of conversation and line, and sync them. Return the first row's number.

        If the disk fails, none of the lines is kept.
        """
        row = self._next_row
        data = b"".join([encode(number, key, line) for number, (key, line) in enumerate(lines, row)])
        if self._active < 0 or self._segments[-1].size_bytes + len(data) > SEGMENT_BYTES:
            self._begin_segment(row)
        segment = self._segments[-1]
        try:
            _write_whole(self._active, data)
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

    def read(self) -> SegmentContent:
        """Return the content of the oldest segment that was not read. Later rows go into another segment."""
        segment = next((segment for segment in self._segments if not segment.was_read), None)
        if segment is None:
            return SegmentContent([], 0, self._next_row)
        if segment is self._segments[-1]:
            self._close_active()
        try:
            data = segment.path.read_bytes()
        except OSError as error:
            if error.errno in _NOT_NOW:
                raise
            data = b""
        rows = [row for row in iter_rows(data) if segment.first_row <= row.number < segment.end_row]
        damaged = segment.end_row - segment.first_row - len(rows)
        # Other bytes in the file come from an unfinished append, which was not answered, or from damage.
        whole = not damaged and len(data) == sum(ROW_BYTES + len(row.line) for row in rows)
        segment.was_read, segment.is_damaged = True, not whole
        return SegmentContent(rows, damaged, segment.end_row)

    def remove_before(self, row: int) -> None:
        """Remove the files whose rows are all below `row`: their events are in the stream, or lost.

        Removal needs no free space on the disk.
        """
        for segment in [segment for segment in self._segments if segment.was_read and segment.end_row <= row]:
            self._remove(segment)

    def set_aside(self, line: bytes) -> bool:
        """Append a line that the stream refuses for good to a file of such lines, and sync the file.

        Return True. A caller of `Spill.set_aside` gets False instead if this raises.
        """
        fd = os.open(self._folder / "spill-0.refused.damaged", _APPEND | os.O_APPEND, 0o600)
        try:
            size_bytes = os.fstat(fd).st_size
            try:
                _write_whole(fd, line + b"\n")
                os.fdatasync(fd)
            except OSError:
                # A part of the line may be in the file. If it stayed there, the next line would continue it.
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, size_bytes)
                raise
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Close every file, and release the lock."""
        self._close_active()
        os.close(self._lock)

    def _begin_segment(self, row: int) -> None:
        """Create a file for the rows from `row` on."""
        self._close_active()
        segment = Segment(self._segment_path(row), row, row, 0)
        if segment.path in self._not_removed:
            segment.path.unlink(missing_ok=True)
        self._active = os.open(segment.path, _APPEND | os.O_EXCL, 0o600)
        self._segments.append(segment)
        try:
            _sync_folder(self._folder)
        except OSError:
            # The file's name is not on disk for certain. After a power cut its rows could be missing.
            self._close_active()
            self._remove(segment)
            raise

    def _segment_path(self, row: int) -> Path:
        return self._folder / f"spill-0-{row:020d}.seg"

    def _close_active(self) -> None:
        """Close the segment to which rows are appended, if there is one, so that the next rows begin a new segment."""
        if self._active >= 0:
            fd, self._active = self._active, -1
            with contextlib.suppress(OSError):  # answered rows were synced before
                os.close(fd)

    def _remove(self, segment: Segment) -> None:
        """Remove a file whose rows are all settled, or rename the file if it is damaged."""
        self._segments.remove(segment)
        try:
            if segment.is_damaged and segment.path.exists():
                damaged_path = segment.path.with_suffix(".damaged")
                segment.path.rename(damaged_path)
                log.error(
                    "A file of the spill is damaged. Its readable events are in the stream. Keep the file: %s.",
                    *(damaged_path,),
                    extra={"event": "spill-file-damaged"},
                )
            else:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            self._not_removed.add(segment.path)
            log.warning(
                "A file of the spill cannot be removed (%s: %s). Its events will be sent again at the next start, "
                "with the same ids. Check the permissions of the folder.",
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
            f"it cannot be used ({_error_code(error)})",
            "give a folder of its own that this user can write",
        ) from None
    return fd


def _find_end(path: Path, first_row: int) -> int:
    """Return the number after a segment's last row; `first_row` if the segment has no whole row."""
    return 1 + max((row.number for row in iter_rows(path.read_bytes())), default=first_row - 1)


def _error_code(error: OSError) -> str:
    """Return the symbolic name of an error, for example ENOSPC; EIO if it has none."""
    return errno.errorcode.get(error.errno or 0, "EIO")


def _write_whole(fd: int, data: bytes) -> None:
    """Write all of `data`. A disk that is nearly full may take only a part in one call."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that the name of a new file in it survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Spill:
    """A spill folder, used from the event loop. Methods return at once; each `done` is called later, on the loop.

    The constructor raises SettingsError if another process uses the folder, or a file in it cannot be read.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self._loop = loop
        self._files = SpillFiles(folder)
        self.unread = self._files.unread
        """Number of rows that an earlier process left."""
        self.size_bytes = self._files.size_bytes
        self.error = ""
        """Error code of the last job; "" if that job succeeded."""
        self._group: list[tuple[Sequence[tuple[int, bytes]], Callable[[int | None], None]]] = []
        """Lines that came since the last append began, with their callbacks. They are appended together next."""
        self._appending = False
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], object] | None]
        self._jobs = queue.SimpleQueue()
        """Jobs of the thread: work, callback for its result, result if the work fails. None ends the thread."""
        self._thread = threading.Thread(target=self._run_jobs, name="spill", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[tuple[int, bytes]], done: Callable[[int | None], None]) -> None:
        """Store lines, given as pairs of conversation and line, behind all rows.

        `done` gets the first row's number; None if the lines are not stored.
        """
        self._group.append((lines, done))
        if not self._appending:
            self._append_group()

    def _append_group(self) -> None:
        """Append the waiting lines in one job. Lines that come meanwhile are appended after it."""
        group, self._group = self._group, []
        self._appending = bool(group)

        def append() -> int:
            first = self._files.append([line for lines, _ in group for line in lines])
            failpoint("spill_written_before_answer")
            return first

        def appended(first: int | None) -> None:
            self._append_group()
            for lines, done in group:
                _call_back(done, first)
                first = first + len(lines) if first is not None else None

        if group:
            self._jobs.put((append, appended, None))

    def read(self, done: Callable[[SegmentContent], None]) -> None:
        """Read the oldest segment that was not read. `done` gets its content."""
        self._jobs.put((self._files.read, done, SegmentContent([], 0, 0)))

    def remove_before(self, row: int) -> None:
        """Remove the segments whose rows are all smaller than `row`: their events are in the stream, or lost."""

        def settle() -> None:
            failpoint("spill_drained_before_removed")
            self._files.remove_before(row)

        self._jobs.put((settle, lambda _: None, None))

    def set_aside(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Append a line that the stream refuses for good to a separate file. `done` gets whether that succeeded."""
        self._jobs.put((lambda: self._files.set_aside(line), done, False))

    def close(self) -> None:
        """Finish all jobs and close the files. Wait for that, but at most CLOSED_WITHIN_S."""
        self._jobs.put(None)
        self._thread.join(CLOSED_WITHIN_S)

    def _run_jobs(self) -> None:
        """Run jobs, on the thread, until the end of the queue is marked by None. Then close the files."""
        while (job := self._jobs.get()) is not None:
            work, done, failure_result = job
            result = self._run_job(work, failure_result)
            self.size_bytes = self._files.size_bytes
            # A closed loop raises RuntimeError. No caller waits then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_call_back, done, result)
        self._files.close()

    def _run_job(self, work: Callable[[], object], failure_result: object) -> object:
        """Return the result of `work`, or `failure_result` if it fails.

        No exception leaves this method, since it would end the thread, and no later job would be answered.
        """
        try:
            result = work()
        except OSError as error:
            self.error = _error_code(error)
            return failure_result
        except Exception:
            log.exception(
                "A job of the spill failed unexpectedly. Its events are not stored by it. Report this error.",
                extra={"event": "spill-job-failed"},
            )
            self.error = DEFECT
            return failure_result
        self.error = ""
        return result


def _call_back(done: Callable[[Any], None], result: object) -> None:
    """Call `done` with a result. Log its exceptions, so that the callbacks after it are called all the same."""
    try:
        done(result)
    except Exception:
        log.exception(
            "A callback of the spill failed unexpectedly. Other callbacks are not affected. Report this error.",
            extra={"event": "spill-job-failed"},
        )
