"""What a worker's spill has written, and from where on it waits: without it nobody would miss a file that is gone."""

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from stream_router.receiver.spill.segment import readable

_ROWS = struct.Struct("<QQ")
_HEAD = struct.Struct("<QQI")


class Rows(NamedTuple):
    """The rows from `first` to before `end`."""

    first: int
    end: int


class Ledger:
    """One file, written in place. Where the disk refuses that, it says what it said before."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._path = folder / f"spill-{worker}.ledger"
        self._fd = -1

    def read(self) -> Rows:
        """From the first row that waits to the last that was written; 0 to 0 where it is not there, or damaged.

        Raises SettingsError where it may be whole and cannot be read.
        """
        try:
            with readable(self._path):
                self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                first, end, crc = _HEAD.unpack(os.pread(self._fd, _HEAD.size, 0))
        except (OSError, struct.error):
            return Rows(0, 0)
        return Rows(first, end) if crc == zlib.crc32(_ROWS.pack(first, end)) else Rows(0, 0)

    def write(self, waiting: Rows) -> None:
        """In place, unsynced: it survives a kill, and after a power cut it says too little, never too much."""
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, _HEAD.pack(*waiting, zlib.crc32(_ROWS.pack(*waiting))), 0)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
