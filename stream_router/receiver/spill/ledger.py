"""What a worker's spill has written, and what of it waits: without it nobody would miss a file that is gone.

A head of twenty bytes, which older versions read and write as well: from which row on events wait, and how many were
ever written. Behind it stands which rows between the two need not be missed, since their files went before earlier
ones. What is behind the head stays true whatever such a version settles: no number is given twice.
"""

import bisect
import contextlib
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream_router.receiver.spill.segment import readable

_ROWS = struct.Struct("<QQ")
_NUMBER = struct.Struct("<I")
_HEAD_BYTES = _ROWS.size + _NUMBER.size


class Rows(NamedTuple):
    """The rows from `first` to before `end`."""

    first: int
    end: int


_NONE = Rows(0, 0)


def joined(spans: Iterable[Rows]) -> list[Rows]:
    """The same rows in as few spans as possible, in order."""
    found: list[Rows] = []
    for first, end in sorted(spans):
        if found and first <= found[-1].end:
            found[-1] = Rows(found[-1].first, max(end, found[-1].end))
        else:
            found.append(Rows(first, end))
    return found


def cut_at(rows: Sequence[int], spans: Iterable[Rows]) -> list[Rows]:
    """Each span up to the first of `rows`, which are in order, that is in it."""
    cut = (Rows(one.first, next_of(rows, one.first, one.end)) for one in spans)
    return [one for one in cut if one.first < one.end]


def next_of(rows: Sequence[int], at: int, most: int) -> int:
    """The first of `rows`, which are in order, that is `at` or more; at most `most`."""
    found = bisect.bisect_left(rows, at)
    return min(rows[found], most) if found < len(rows) else most


class Ledger:
    """One file, written in place. Where the disk refuses that, it says what it said before."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._path = folder / f"spill-{worker}.ledger"
        self._fd = -1

    def read(self) -> tuple[Rows, list[Rows]]:
        """From the first row that waits to the last that was written, and those between them whose files are gone.

        Rows 0 to 0 where it is not there, or damaged. Raises SettingsError where it may be whole and cannot be read.
        """
        try:
            with readable(self._path):
                self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        except OSError:
            return _NONE, []
        waiting = _unpacked(data[:_HEAD_BYTES], 1)
        return (waiting[0], _gone(data[_HEAD_BYTES:])) if waiting else (_NONE, [])

    def write(self, waiting: Rows, gone: Sequence[Rows]) -> None:
        """In place, unsynced: it survives a kill, and after a power cut it may say what it said before."""
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, _packed([waiting]) + _NUMBER.pack(len(gone)) + _packed(gone), 0)

    def sync(self) -> None:
        """Let what was written survive a power cut, as the removal of a file may: else that would be missed."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)


def _gone(data: bytes) -> list[Rows]:
    """What stands behind the head; behind that there may be what was longer once."""
    if len(data) < _NUMBER.size:
        return []
    (count,) = _NUMBER.unpack_from(data)
    return _unpacked(data[_NUMBER.size :][: count * _ROWS.size + _NUMBER.size], count)


def _packed(spans: Sequence[Rows]) -> bytes:
    """Their numbers and a CRC-32."""
    rows = b"".join([_ROWS.pack(*span) for span in spans])
    return rows + _NUMBER.pack(zlib.crc32(rows))


def _unpacked(data: bytes, count: int) -> list[Rows]:
    """What `_packed` made of so many; none where it is damaged."""
    rows, crc = data[: -_NUMBER.size], data[-_NUMBER.size :]
    if len(rows) != count * _ROWS.size or crc != _NUMBER.pack(zlib.crc32(rows)):
        return []
    return [Rows(*numbers) for numbers in _ROWS.iter_unpack(rows)]
