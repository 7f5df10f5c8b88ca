"""Lines from and to the daemon: private file descriptors, reads that never block, and a parser that saves copies.

The daemon starts the child with pipes as standard input and output. A stray `print` could forge a checkpoint. So
`take_over_stdout` moves the pipe to another descriptor before anything else runs.
"""

import contextlib
import fcntl
import os
import sys
from typing import IO, Any

import orjson

PIPE_BYTES = 1024 * 1024
"""Largest size of a pipe, in bytes, that Linux allows to any user (pipe(7), pipe-max-size)."""


def take_over_stdout() -> IO[bytes]:
    """Move the pipe to the daemon from fd 1 to a new descriptor, and return it. Later writes to fd 1 go to stderr.

    Call this before anything else.
    """
    channel = os.fdopen(os.dup(1), "wb")
    os.set_inheritable(channel.fileno(), False)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def take_over_stdin() -> int:
    """Move the pipe from the daemon from fd 0 to a new descriptor, and return it. Later reads of fd 0 find its end.

    Call this as early as `take_over_stdout`. A program that supplies credentials (`credential_process`) inherits this
    process's standard input. If it reads that input, as `ssh` does, it would take lines that the daemon wants answered.
    """
    input_fd = os.dup(0)
    dev_null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(dev_null, 0)
    os.close(dev_null)
    return input_fd


class DaemonInput:
    """Reader of the daemon's lines that never blocks. A line may be megabytes long, or a minute away."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._chunks: list[bytes] = []
        self._is_at_end = False
        with contextlib.suppress(OSError):  # a file has no such size, and a user may be over the limit for pipes
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(fd, False)

    def read_line(self) -> bytes | None:
        """Return the next line with its newline; None if it has not arrived completely.

        Once the daemon has closed the pipe, return what is left without a newline, and after that b"".
        """
        while (line := self._take_first_line()) is None and not self._is_at_end:
            try:
                chunk = os.read(self.fd, PIPE_BYTES)
            except BlockingIOError:
                return None
            if chunk:
                self._chunks.append(chunk)
            else:
                self._is_at_end = True
        if line is None:
            line, self._chunks = b"".join(self._chunks), []
        return line

    def _take_first_line(self) -> bytes | None:
        """Remove the first line from the bytes read so far, and return it; None if they contain no whole line.

        Only the last chunk can contain a newline: the line is taken as soon as one arrives.
        """
        if not self._chunks or b"\n" not in self._chunks[-1]:
            return None
        received = b"".join(self._chunks)
        end = len(received) - len(self._chunks[-1]) + self._chunks[-1].index(b"\n") + 1
        self._chunks = [received[end:]] if end < len(received) else []
        return received[:end]  # Python makes no copy if nothing follows the line, which is the usual case


_DATA_KEY = b'"data":'
_MIN_CUT_BYTES = 4_096
"""Bytes of data in the first record below which no data are cut out: a cut costs as much as parsing that many bytes."""


def parse_line(line: bytes) -> Any:
    """Parse a line as `orjson.loads` does, except that the data of a record may be a view of its base64 in the line.

    A parser would build a string of each record's data, megabytes in all, to be decoded once and thrown away. So the
    data are cut out of the line first. The third record's `"data":"SGVsbG8="`, for example, becomes `"data":"2"`. The
    shortened line is parsed, and the views of the data are put into the records. If the records do not contain exactly
    these numbers, a cut was not a record's data, and the whole line is parsed. A line with a backslash is parsed whole
    as well, since an escaped quote does not end a string.
    """
    start, end = _find_next_data(line, 0)
    if end - start < _MIN_CUT_BYTES or b"\\" in line:
        return orjson.loads(line)
    view, copied_to = memoryview(line), 0
    shortened: list[bytes | memoryview] = []
    cut_data: list[memoryview] = []
    while end:
        shortened += (view[copied_to:start], b"%d" % len(cut_data))
        cut_data.append(view[start:end])
        copied_to = end
        start, end = _find_next_data(line, copied_to)
    try:
        message = orjson.loads(b"".join((*shortened, view[copied_to:])))
        records = message["records"]
        if [record["data"] for record in records] == [str(number) for number in range(len(cut_data))]:
            for record, data in zip(records, cut_data, strict=True):
                record["data"] = data
            return message
    except (orjson.JSONDecodeError, LookupError, TypeError):
        pass
    return orjson.loads(line)


def _find_next_data(line: bytes, begin: int) -> tuple[int, int]:
    """Return start and end of the next string, from `begin` on, that looks like a record's data; zeros if none does."""
    key = line.find(_DATA_KEY, begin)
    start = line.find(b'"', key + len(_DATA_KEY)) + 1 if key >= 0 else 0
    end = line.find(b'"', start) if start else -1
    return (start, end) if end >= 0 else (0, 0)
