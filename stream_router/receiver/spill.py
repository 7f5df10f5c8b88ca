"""Where events wait on disk while the stream takes none: files of rows, written and read by one thread.

A segment is named for its first row. A row is a marker, a head (length, CRC, number, conversation, layout) and an
event's line. The marker holds a byte that no line can hold, so behind damage the next whole row is found again; rows
are numbered without a gap, so what is missing can be counted. The ledger says from which row on events wait and which
number comes next. Rows are read in order, and settled up to a row: a segment goes when all of it is in the stream.

Everything that is asked for while the disk is busy is one group: its appends are synced together and only then
answered, so what was answered survives a kill -9 and a power cut. One process has a folder, by a lock that the kernel
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
from typing import NamedTuple

from stream_router.errors import SettingsError
from stream_router.process import failpoint

log = logging.getLogger(__name__)

MARKER = b"\xffROW"
"""No line holds the byte 0xff: it is in no UTF-8."""
_HEAD = struct.Struct("<4sIIQII")
"""Marker, length of the line, CRC-32 of what follows, row, conversation, layout."""
_CRC_FROM = 12
ROW_BYTES = _HEAD.size
"""What a row takes on disk beside its line."""
_LEDGER = struct.Struct("<QQI")
"""The first row that waits, the next row's number, CRC-32 of both."""
SEGMENT_BYTES = 8 * 1024 * 1024
READ_ON_BYTES = 1024 * 1024
TRIES = 3
"""A file that cannot be read so often, for what it is and not for want of a right or of memory, counts as damaged."""
_OF_THE_FILE = frozenset({errno.EBADMSG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENOTDIR})
CLOSED_WITHIN_S = 0.8
"""What is not done by then at a stop was not answered, or is sent again: its rows are not settled."""
DEFECT = "defect"
"""In place of the disk's code where a job failed in an unforeseen way."""
_NAME = re.compile(r"spill-0-(\d{20})\.seg")
OURS = re.compile(rf"{_NAME.pattern}|spill-\d+\.(ledger|lock)|spill-.*\.damaged.*")
"""The spill's files. Rows in a new form need a new name: a version that does not know it refuses to start. The 0 is the
number of a worker, of which there were several once."""


class Row(NamedTuple):
    """A row that was read: its number, its conversation, its line."""

    number: int
    key: int
    line: bytes


class Read(NamedTuple):
    """What a reading found: rows in order, and how many that should stand between or behind them are damaged.

    Neither of them: the disk cannot be read now. `end`: the number behind all that was read so far.
    """

    rows: list[Row]
    damaged: int
    end: int


def encode(row: int, key: int, layout: int, line: bytes) -> bytes:
    """A row's bytes. `layout` stands for the partition path under which `key` was worked out."""
    head = _HEAD.pack(MARKER, len(line), 0, row, key, layout)
    crc = zlib.crc32(line, zlib.crc32(head[_CRC_FROM:]))
    return head[:8] + struct.pack("<I", crc) + head[_CRC_FROM:] + line


def rows_of(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Every whole row in `data`: number, conversation, layout, where its line begins, and ends. Passes over damage."""
    at, size, view = 0, len(data), memoryview(data)
    while (at := data.find(MARKER, at)) >= 0 and (begin := at + ROW_BYTES) <= size:
        _, length, crc, row, key, layout = _HEAD.unpack_from(data, at)
        end = begin + length
        if end <= size and zlib.crc32(view[at + _CRC_FROM : end]) == crc:
            yield row, key, layout, begin, end
            at = end
        else:
            at += 1


class Segment:
    """A file's rows, to before `end_row`; `at` is the next to read."""

    def __init__(self, path: Path, first_row: int) -> None:
        self.path = path
        self.first_row = self.end_row = self.at = first_row
        self.size_bytes = 0
        self.damaged = False
        self.failures = 0
        self._offset = 0

    def read(self, max_bytes: int, key_of: Callable[[bytes, int, int], int]) -> tuple[list[Row], int]:
        """The next rows, at least one where the file has any, and how many are damaged. Raises OSError."""
        with self.path.open("rb") as file:
            size = 0
            # A row that is longer than was asked for, or damage: read on until one is whole, or the file ends.
            while True:
                file.seek(self._offset)
                data = file.read(max_bytes)
                found, damaged, consumed = self._rows(data, key_of)
                if found:
                    return found, damaged
                if consumed:  # all of it was settled by an earlier process
                    size = 0
                elif len(data) == size:
                    return [], self.give_up()
                else:
                    size, max_bytes = len(data), max_bytes + READ_ON_BYTES

    def _rows(self, data: bytes, key_of: Callable[[bytes, int, int], int]) -> tuple[list[Row], int, bool]:
        found: list[Row] = []
        damaged = consumed = 0
        for row, key, layout, begin, end in rows_of(data):
            consumed = end
            if self.at <= row < self.end_row:
                damaged += row - self.at
                line = data[begin:end]
                found.append(Row(row, key_of(line, key, layout), line))
                self.at = row + 1
        self._offset += consumed
        self.damaged |= bool(damaged)
        return found, damaged, bool(consumed)

    def give_up(self) -> int:
        """Nothing more can be read: all that is left is missing."""
        missing, self.at = self.end_row - self.at, self.end_row
        self.damaged |= missing > 0
        return missing


class Files:
    """The folder's files, for one thread. Methods raise OSError where the disk refuses."""

    def __init__(self, folder: Path, paths: str, key_of: Callable[[bytes], int]) -> None:
        """Take up what an earlier process left. Raises SettingsError.

        A segment ends where the next one begins; the last one where its rows end, or the ledger says.
        """
        self._folder = folder
        self._layout = zlib.crc32(paths.encode())
        self._key_of = key_of
        self._lock = _lock(folder)
        self._ledger = -1
        self._active = -1
        self._segments: list[Segment] = []
        low, self._next_row = self._read_ledger()
        firsts = sorted(int(name[1]) for path in folder.glob("spill-0-*.seg") if (name := _NAME.fullmatch(path.name)))
        for first_row, end_row in zip(firsts, [*firsts[1:], 0], strict=False):
            segment = Segment(self._path(first_row), first_row)
            with _readable(segment.path):
                segment.size_bytes = segment.path.stat().st_size
                data = b"" if end_row else segment.path.read_bytes()
            last_row = max((row for row, *_ in rows_of(data)), default=first_row - 1)
            segment.end_row = end_row or max(last_row + 1, self._next_row)
            # A file that is there again although all of it was settled is sent again.
            segment.at = low if first_row <= low < segment.end_row else first_row
            self._segments.append(segment)
            self._next_row = max(self._next_row, segment.end_row)
        self._settled = next((segment.at for segment in self._segments), self._next_row)
        self.unread = sum(segment.end_row - segment.at for segment in self._segments)
        self.missing = max(0, self._next_row - low - self.unread) if self._next_row else 0
        if self.missing:
            self._write_ledger()  # it is told once

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, lines: Sequence[tuple[int, bytes]]) -> int:
        """Append lines (conversation, line) and sync them; the first one's number. Nothing is kept where it fails."""
        row = self._next_row
        data = b"".join([encode(row + n, key, self._layout, line) for n, (key, line) in enumerate(lines)])
        segment = self._segments[-1] if self._active >= 0 else None
        if segment is None or segment.size_bytes + len(data) > SEGMENT_BYTES or not self._is_there(segment):
            segment = self._begin(row)
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
                self._dispose(segment)
            raise
        segment.size_bytes += len(data)
        segment.end_row += len(lines)
        self._next_row += len(lines)
        self._write_ledger()
        return row

    def read(self, max_bytes: int) -> Read:
        """The next rows in order; at least one where there is any that can be read."""
        for segment in self._segments:
            if segment.at == segment.end_row:
                continue
            try:
                rows, damaged = segment.read(max_bytes, self._key)
            except OSError as error:
                segment.failures += error.errno in _OF_THE_FILE
                if segment.failures < TRIES and error.errno != errno.ENOENT:
                    raise
                rows, damaged = [], segment.give_up()
            segment.failures = 0
            return Read(rows, damaged, segment.at)
        return Read([], 0, self._next_row)

    def _key(self, line: bytes, key: int, layout: int) -> int:
        return key if layout == self._layout else self._key_of(line)

    def settle(self, row: int) -> None:
        """All rows before this one are in the stream, or lost. Needs no room on the disk."""
        self._settled = row
        done = [segment for segment in self._segments if segment.end_row <= row]
        self._write_ledger()
        if done and self._ledger >= 0:
            os.fdatasync(self._ledger)  # a file's removal may survive a power cut, so what says so has to
        for segment in done:
            self._dispose(segment)

    def set_aside(self, line: bytes) -> None:
        """Keep a line that the stream refuses for good, synced, in a file of such lines."""
        fd = os.open(self._folder / "spill-0.refused.damaged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, line + b"\n")
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close every file; the lock is free."""
        self._close_active()
        for fd in (self._ledger, self._lock):
            if fd >= 0:
                os.close(fd)

    def _begin(self, row: int) -> Segment:
        self._close_active()
        segment = Segment(self._path(row), row)
        self._active = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._segments.append(segment)
        try:
            _sync_folder(self._folder)
        except OSError:
            # Rows in it would be answered, and be gone with its name after a power cut.
            self._dispose(segment)
            raise
        return segment

    def _path(self, row: int) -> Path:
        return self._folder / f"spill-0-{row:020d}.seg"

    def _is_there(self, segment: Segment) -> bool:
        """Whether the active file still has its name: rows in one that was deleted or moved would never be found."""
        try:
            return os.path.samestat(segment.path.stat(), os.fstat(self._active))
        except OSError:
            return False

    def _close_active(self) -> None:
        if self._active >= 0:
            fd, self._active = self._active, -1
            with contextlib.suppress(OSError):  # what was answered was synced before
                os.close(fd)

    def _dispose(self, segment: Segment) -> None:
        """Let go of a file whose rows are all settled; one that was damaged is kept under another name."""
        if segment is self._segments[-1]:
            self._close_active()
        self._segments.remove(segment)
        try:
            if segment.damaged:
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
            log.warning(
                "a file of the spill cannot be removed, and its events come again at the next start: %s: %s",
                *(segment.path.name, error.strerror),
                extra={"event": "spill-file-not-removed"},
            )

    def _read_ledger(self) -> tuple[int, int]:
        """0 and 0 where there is none, or it is damaged."""
        path = self._folder / "spill-0.ledger"
        try:
            with _readable(path):
                data = path.read_bytes()[: _LEDGER.size]
            low, known, crc = _LEDGER.unpack(data)
        except (OSError, struct.error):
            return 0, 0
        return (low, known) if crc == zlib.crc32(data[:16]) else (0, 0)

    def _write_ledger(self) -> None:
        """In place, unsynced: it survives a kill, and after a power cut it may say what it said before."""
        rows = _LEDGER.pack(self._settled, self._next_row, 0)[:16]
        with contextlib.suppress(OSError):
            if self._ledger < 0:
                self._ledger = os.open(self._folder / "spill-0.ledger", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._ledger, rows + struct.pack("<I", zlib.crc32(rows)), 0)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Makes one line for the operator where a file is there and may not, or cannot now, be read."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_FILE:
            raise
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: {path.name} in it cannot be read ({_code(error)}), and events may wait in it; "
            "let this receiver's user own it, or move it away"
        ) from None


def _lock(folder: Path) -> int:
    """Hold the folder for this process alone; freed by the kernel however it ends. Raises SettingsError."""
    try:
        fd = os.open(folder / "spill-0.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


class _Append(NamedTuple):
    lines: Sequence[tuple[int, bytes]]
    done: Callable[[int | None], None]


class _Job(NamedTuple):
    """Anything else: what `work` gives is told to `done`, or `refused` where the disk refuses."""

    work: Callable[[], object]
    done: Callable[..., None]
    refused: object


class Spill:
    """The folder on disk. Its methods return at once; each `done` is called later on the loop.

    `key_of` finds a line's conversation anew, for what was written under another partition path (`paths`). Raises
    SettingsError at construction where another process has the folder, or a file in it cannot be read.
    """

    def __init__(
        self, folder: Path, paths: str, key_of: Callable[[bytes], int], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.folder = folder
        self._loop = loop
        self._files = Files(folder, paths, key_of)
        self.unread = self._files.unread
        """How many rows an earlier process left."""
        self.missing = self._files.missing
        """How many it wrote besides, of which no file is there any more."""
        self.size_bytes = self._files.size_bytes
        self.error = ""
        """Why the last append, reading or settling failed, by the disk's code; empty where it did not."""
        self._jobs: queue.SimpleQueue[_Append | _Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spill", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[tuple[int, bytes]], done: Callable[[int | None], None]) -> None:
        """Store lines (conversation, line) behind what is there; `done` gets the first one's number, or None."""
        self._jobs.put(_Append(lines, done))

    def read(self, max_bytes: int, done: Callable[[Read], None]) -> None:
        """The oldest rows not read yet."""
        self._jobs.put(_Job(lambda: self._files.read(max_bytes), done, Read([], 0, 0)))

    def settle(self, row: int) -> None:
        """Forget all rows before this one: they are in the stream, or lost."""

        def settle() -> None:
            failpoint("spill_drained_before_removed")
            self._files.settle(row)

        self._jobs.put(_Job(settle, lambda _: None, None))

    def set_aside(self, line: bytes, done: Callable[[bool], None]) -> None:
        """Keep a line that the stream refuses for good in a file of its own; tells whether it is there."""

        def set_aside() -> bool:
            self._files.set_aside(line)
            return True

        self._jobs.put(_Job(set_aside, done, False))

    def close(self) -> None:
        """Finish what was asked for and close the files; a disk that hangs is waited for no longer than a moment."""
        self._jobs.put(None)
        self._thread.join(CLOSED_WITHIN_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            with contextlib.suppress(queue.Empty):
                while (job := self._jobs.get_nowait()) is not None:
                    group.append(job)
            answers = self._append([one for one in group if isinstance(one, _Append)])
            for one in group:
                if isinstance(one, _Job):
                    answers.append((one.done, self._tried(one.work, one.refused)))
            self.size_bytes = self._files.size_bytes
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, answers)
            if job is None:
                break
        self._files.close()

    def _append(self, jobs: Sequence[_Append]) -> list[tuple[Callable[..., None], object]]:
        """Append for all of them with one sync."""
        if not jobs:
            return []

        def store() -> int:
            first = self._files.append([line for job in jobs for line in job.lines])
            failpoint("spill_written_before_answer")
            return first

        first = self._tried(store, None)
        answers: list[tuple[Callable[..., None], object]] = []
        for job in jobs:
            answers.append((job.done, first))
            first = first + len(job.lines) if isinstance(first, int) else None
        return answers

    def _tried(self, work: Callable[[], object], refused: object) -> object:
        """What it gives, else `refused`. The thread goes on in any case: without it nothing would be answered."""
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


def _tell(answers: Sequence[tuple[Callable[..., None], object]]) -> None:
    """Tell each; one that raises keeps no other back."""
    for done, what in answers:
        try:
            done(what)
        except Exception:
            log.exception("an answer of the spill met an unforeseen failure", extra={"event": "spill-job-failed"})
