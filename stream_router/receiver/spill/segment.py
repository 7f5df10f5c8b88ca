"""One file of the spill: its rows encoded, found again behind damage, read in order, counted until all are settled."""

import contextlib
import errno
import re
import struct
import time
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stream_router.errors import SettingsError

MARKER = b"\xffROW"
"""No line holds the byte 0xff: it is in no UTF-8."""
_HEAD = struct.Struct("<4sIIQII")
"""Marker, length of the line, CRC-32 of what follows, row, conversation, layout."""
_HEAD_BYTES = _HEAD.size
_CRC_FROM = 12
LOST = 2**32
"""In place of the conversation of a row that is not there."""
_RECEIVED_AT = re.compile(rb'"receivedAt":(\d{1,14}),')
_NAME = re.compile(r"spill-\d+-(\d{20})\.seg")
OURS = re.compile(rf"{_NAME.pattern}|spill-\d+\.(ledger|lock)|spill-.*\.damaged.*")
"""The spill's files. Rows in a new form need a new name: a version that does not know it refuses to start, and would
take such rows in a file of an old name for damage."""

READ_ON_BYTES = 1024 * 1024
_OF_THE_FILE = frozenset({"EBADMSG", "EIO", "EISDIR", "ELOOP", "ENOENT", "ENOTDIR", "EUCLEAN"})


def tells_damage(error: OSError) -> bool:
    """Whether it says that a file is gone or damaged. No right to it, no memory or open file left: it may be whole."""
    return errno.errorcode.get(error.errno or 0, "") in _OF_THE_FILE


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Makes one line for the operator where a file is there and may not, or cannot now, be read."""
    try:
        yield
    except OSError as error:
        if tells_damage(error):
            raise
        code = errno.errorcode.get(error.errno or 0, "error")
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: {path.name} in it cannot be read ({code}), and events may wait in it; "
            "let this receiver's user own it, or move it away"
        ) from None


class Row(NamedTuple):
    """A row that was read: its number, its conversation, its line (None where it is damaged)."""

    number: int
    key: int
    line: bytes | None


def encode(row: int, key: int, layout: int, line: bytes) -> bytes:
    """A row's bytes. `layout` stands for the partition path under which `key` was worked out."""
    head = _HEAD.pack(MARKER, len(line), 0, row, key, layout)
    crc = zlib.crc32(line, zlib.crc32(head[_CRC_FROM:]))
    return head[:8] + struct.pack("<I", crc) + head[_CRC_FROM:] + line


def rows_of(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Every whole row in `data`: number, conversation, layout, where its line begins, and ends. Passes over damage."""
    at, size, view = 0, len(data), memoryview(data)
    unpack, crc32 = _HEAD.unpack_from, zlib.crc32  # a start reads through millions of rows
    while (at := data.find(MARKER, at)) >= 0 and (begin := at + _HEAD_BYTES) <= size:
        _, length, crc, row, key, layout = unpack(data, at)
        end = begin + length
        if end <= size and crc32(view[at + _CRC_FROM : end]) == crc:
            yield row, key, layout, begin, end
            at = end
        else:
            at += 1


class Segment:
    """A file's rows: `first_row` to before `end_row`; the next to read is `at`; `left` are not settled.

    All before `low` are. `keys` has each row's conversation, LOST where the row is not there.
    """

    def __init__(self, path: Path, first_row: int) -> None:
        self.path = path
        self.first_row = self.at = self.low = first_row
        self.keys = array("Q")
        self.size_bytes = 0
        self.left = 0
        self.damaged = False
        self.is_back = False
        """Whether the ledger calls all of it settled, and it is there all the same."""
        self.failures = 0
        self._offset = 0
        self._settled: set[int] = set()
        self._times: list[tuple[int, float]] = []

    @classmethod
    def named(cls, path: Path) -> "Segment | None":
        """The segment of this name; None where it is none's."""
        name = _NAME.fullmatch(path.name)
        return cls(path, int(name[1])) if name else None

    @property
    def end_row(self) -> int:
        """The row after its last."""
        return self.first_row + len(self.keys)

    @property
    def oldest_s(self) -> float:
        """About when the oldest of its rows that are not settled came, epoch seconds."""
        while len(self._times) > 1 and self._times[1][0] <= self.low:
            del self._times[0]
        return self._times[0][1] if self._times else 0.0

    def took(self, first: int, keys: Sequence[int], size_bytes: int) -> None:
        """Rows were appended."""
        self.keys.extend(keys)
        self.left += len(keys)
        self.size_bytes += size_bytes
        self._times.append((first, time.time()))

    def scan(self, low: int, before: int, layout: int, key_of: Callable[[bytes], int]) -> None:
        """Find its rows from `low` on (those below are settled); with the row `before` the next file begins.

        Raises OSError where it cannot be read and may be whole.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            if not tells_damage(error):
                raise
            data, self.damaged = b"", True
        self.size_bytes = len(data)
        keys, next_row = self.keys, self.end_row
        for row, key, written_with, begin, end in rows_of(data):
            if not next_row <= row < before:
                continue
            if row > next_row:
                keys.extend([LOST] * (row - next_row))
            next_row = row + 1
            if row < low:
                keys.append(LOST)
                continue
            keys.append(key if written_with == layout else key_of(data[begin:end]))
            self.left += 1
            if not self._times:
                self._times = [(row, _received_s(data[begin:end]))]
        self.at = max(self.first_row, min(low, self.end_row))
        self.damaged |= LOST in self.keys[self.at - self.first_row :]
        while self.at < self.end_row and self.keys[self.at - self.first_row] == LOST:
            self.at += 1
        self.low = self.at

    def read(self, max_bytes: int) -> list[Row]:
        """The next rows, at least one; what the file has no more is told without a line."""
        with self.path.open("rb") as file:
            size = 0
            # A row that is longer than was asked for, or damage: read on until one is whole, or the file ends.
            while True:
                file.seek(self._offset)
                data = file.read(max_bytes)
                if (found := self._rows(data)) or len(data) == size:
                    return found or self.give_up()
                size, max_bytes = len(data), max_bytes + READ_ON_BYTES

    def _rows(self, data: bytes) -> list[Row]:
        """The rows of `data`, which begins at the offset; moves on behind them."""
        found: list[Row] = []
        at, consumed = self.at, 0
        for row, _, _, begin, end in rows_of(data):
            consumed = end
            if at <= row < self.end_row and (key := self.keys[row - self.first_row]) != LOST:
                found += self._missing(at, row)
                found.append(Row(row, key, data[begin:end]))
                at = row + 1
        self.at = at
        self._offset += consumed
        return found

    def _missing(self, begin: int, end: int) -> list[Row]:
        """Rows that should be there and are not; those that were missing from the start are not told again."""
        keys = self.keys[begin - self.first_row : end - self.first_row]
        missing = [Row(begin + n, key, None) for n, key in enumerate(keys) if key != LOST]
        self.damaged |= bool(missing)
        return missing

    def give_up(self) -> list[Row]:
        """Nothing more can be read: all that is left is missing."""
        missing = self._missing(self.at, self.end_row)
        self.at = self.end_row
        self.damaged = True
        return missing

    def settle(self, row: int) -> None:
        """One row needs no place any more."""
        if row in self._settled or not self.low <= row < self.end_row:
            return
        self._settled.add(row)
        self.left -= 1
        while self.low < self.end_row and (self.low in self._settled or self.keys[self.low - self.first_row] == LOST):
            self._settled.discard(self.low)
            self.low += 1


def _received_s(line: bytes) -> float:
    found = _RECEIVED_AT.search(line[:200])
    return int(found[1]) / 1000 if found else time.time()
