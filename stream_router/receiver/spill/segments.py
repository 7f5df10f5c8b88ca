"""The spill's files: segments to which events are appended, a ledger of what is in them, and what damage leaves.

A segment is named for its first row. A row is a marker, a head (length, CRC, number, conversation), an event's line.
The marker holds a byte that no line can hold, so after damage the next whole row is found again, and rows are numbered
without a gap, so what is missing can be counted. The ledger says from which row on events wait, and how many there are:
without it a file that was cut or deleted would be missed by nobody. A file goes when all of it is in the stream; where
an earlier one still waits, the ledger says that too.
"""

import contextlib
import errno
import logging
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stream_router.receiver.spill.ledger import Ledger, Rows, cut_at, joined, next_of
from stream_router.receiver.spill.lock import is_held, lock, lock_late
from stream_router.receiver.spill.segment import LOST, Row, Segment, encode, readable, tells_damage

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
READS_BEFORE_SET_ASIDE = 3
ROWS_END = 2**63


class Segments:
    """The files of one worker's number. For one thread. Methods raise OSError where the disk refuses."""

    def __init__(self, folder: Path, worker: int, paths: str, key_of: Callable[[bytes], int]) -> None:
        self._folder = folder
        self._worker = worker
        self._layout = zlib.crc32(paths.encode())
        self._key_of = key_of
        self._lock = lock(folder, worker)
        self._files: deque[Segment] = deque()
        self._active = -1
        self._ledger = Ledger(folder, worker)
        self._gone: list[Rows] = []
        """Rows that an earlier file's wait for, and whose own files went."""
        self._next_row = 0
        self.size_bytes = 0
        self.lost = 0
        """Rows that the ledger knows and no file has; after `open`."""

    def open(self) -> None:
        """Read through what an earlier process left. Never fails for what is in the files.

        Raises SettingsError where one cannot be opened: set aside as damaged, whole events would wait for ever.
        """
        found = [s for path in self._folder.glob(f"spill-{self._worker}-*.seg") if (s := Segment.named(path))]
        found.sort(key=lambda segment: segment.first_row)
        (low, known), gone = self._ledger.read()
        if not known and found:
            low = found[0].first_row
        self._next_row = known
        first_rows = [segment.first_row for segment in found]
        # A file that is there again is sent again.
        self._gone = cut_at(first_rows, gone)
        begins = sorted([*first_rows, *(one.first for one in self._gone)])
        for segment in found:
            following = next_of(begins, segment.first_row + 1, ROWS_END)
            ends = following if following < ROWS_END else known
            # Else its events would go with it unsent: a start that found it missing has counted them as lost.
            segment.is_back = segment.first_row < known and ends <= low
            with readable(segment.path):
                segment.scan(segment.first_row if segment.is_back else low, following, self._layout, self._key_of)
            segment.damaged |= not segment.is_back and segment.end_row < ends
            self._next_row = max(self._next_row, segment.end_row)
            self.size_bytes += segment.size_bytes
            self._files.append(segment)
        there = sum(segment.left for segment in found if not segment.is_back)
        there += sum(one.end - max(low, one.first) for one in self._gone if one.end > low)
        self.lost = max(0, self._next_row - low - there)
        for segment in found:
            if segment.is_back and segment.left:
                name = segment.path.name
                log.warning(
                    "a spill's file is back whose events were settled or given up; they are sent: %s",
                    name,
                    extra={"event": "spill-file-back"},
                )
            self._dispose(segment)
        if self.lost:
            self._write_ledger()  # it is told once

    def waiting(self) -> Iterator[int]:
        """The conversation of each row that waits, once a row."""
        for segment in self._files:
            for key in segment.keys[segment.at - segment.first_row :]:
                if key != LOST:
                    yield key

    def append(self, lines: Sequence[tuple[int, bytes]]) -> int:
        """Append lines (conversation, line) and sync them; the first one's row. Nothing is kept where it fails."""
        first = self._next_row
        data = b"".join([encode(first + n, key, self._layout, line) for n, (key, line) in enumerate(lines)])
        segment = self._files[-1] if self._active >= 0 else None
        if segment is None or segment.size_bytes + len(data) > SEGMENT_BYTES or not self._is_there(segment):
            segment = self._begin(first)
        before = segment.size_bytes
        try:
            _write(self._active, data)
            os.fdatasync(self._active)
        except Exception:
            with contextlib.suppress(OSError):
                os.ftruncate(self._active, before)
            # After a failed sync nobody knows what the disk has of this file: the next rows get one of their own.
            self._close_active()
            self._dispose(segment)
            raise
        segment.took(first, [key for key, _ in lines], len(data))
        self.size_bytes += len(data)
        self._next_row = first + len(lines)
        self._write_ledger()
        return first

    def read(self, max_bytes: int) -> list[Row]:
        """The next rows that nobody has read, in order; a row that is damaged has no line."""
        for segment in self._files:
            if segment.at < segment.end_row:
                try:
                    rows = segment.read(max_bytes)
                except OSError as error:
                    segment.failures += tells_damage(error)
                    if segment.failures < READS_BEFORE_SET_ASIDE and not isinstance(error, FileNotFoundError):
                        raise
                    return segment.give_up()
                segment.failures = 0
                return rows
        return []

    def settle(self, rows: Sequence[int]) -> None:
        """These rows are in the stream, or lost: a file of which all are goes. Needs no room on the disk."""
        for row in rows:
            segment = next((s for s in self._files if row < s.end_row), None)
            if segment is not None:
                segment.settle(row)
        done = [s for s in self._files if not s.left]
        self._gone = joined([*self._gone, *(Rows(s.first_row, s.end_row) for s in done)])
        self._write_ledger()
        if done:
            self._ledger.sync()
        for segment in done:
            self._dispose(segment)

    @property
    def oldest_s(self) -> float:
        """Epoch seconds of the oldest event that waits; 0 where none does."""
        return next((segment.oldest_s for segment in self._files if segment.left), 0.0)

    def close(self) -> None:
        """Close every file."""
        self._close_active()
        self._ledger.close()
        if self._lock >= 0:
            _close(self._lock)

    def _begin(self, first_row: int) -> Segment:
        self._close_active()
        self._lock_anew()
        path = self._folder / f"spill-{self._worker}-{first_row:020d}.seg"
        self._active = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._files.append(segment := Segment(path, first_row))
        try:
            _sync_folder(self._folder)
        except OSError:
            # Rows in it would be answered, and be gone with its name after a power cut.
            self._dispose(segment)
            raise
        return segment

    def _lock_anew(self) -> None:
        """Where there was no room for a lock, or another folder came in this one's place: it gets lock and ledger."""
        if is_held(self._lock, self._folder, self._worker):
            return
        fresh = lock_late(self._folder, self._worker, [segment.path for segment in self._files])
        if self._lock >= 0:
            _close(self._lock)
            self._ledger.close()
            self._ledger = Ledger(self._folder, self._worker)
        self._lock = fresh

    def _is_there(self, segment: Segment) -> bool:
        """Whether the active file still has its name: rows in one that was deleted or moved would never be found."""
        try:
            return os.path.samestat(segment.path.stat(), os.fstat(self._active))
        except OSError:
            return False

    def _close_active(self) -> None:
        if self._active >= 0:
            fd, self._active = self._active, -1
            _close(fd)

    def _dispose(self, segment: Segment) -> None:
        """Let go of a file whose rows are all settled; one that was damaged is kept under another name."""
        if segment.left or segment not in self._files:
            return
        if segment is self._files[-1]:
            self._close_active()
        self._files.remove(segment)
        self.size_bytes -= segment.size_bytes
        try:
            if segment.damaged:
                aside = segment.path.with_suffix(".damaged")
                segment.path.rename(aside)
                log.error(
                    "a damaged file of the spill was set aside; what could be read is in the stream: %s",
                    aside,
                    extra={"event": "spill-file-damaged"},
                )
            else:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning(
                "a file of the spill cannot be removed: %s: %s",
                segment.path.name,
                error.strerror,
                extra={"event": "spill-file-not-removed"},
            )

    def _write_ledger(self) -> None:
        low = next((one.low for one in self._files if one.left and not one.is_back), self._next_row)
        self._gone = [one for one in self._gone if one.end > low]
        self._ledger.write(Rows(low, self._next_row), self._gone)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        _close(fd)


def _close(fd: int) -> None:
    """The descriptor is free whatever this says, and what was answered was synced before: nothing depends on it."""
    try:
        os.close(fd)
    except OSError as error:
        log.warning(
            "a file of the spill did not close cleanly: %s",
            errno.errorcode.get(error.errno or 0, "EIO"),
            extra={"event": "spill-file-not-closed"},
        )
