"""The daemon's lines: pipes on private descriptors, read without waiting, parsed without a copy of large records.

Standard output is the control channel, on which a stray `print` could forge a checkpoint. So `private_output` moves the
channel to another descriptor first.
"""

import contextlib
import fcntl
import os
import sys
from typing import IO, Any

import orjson

CHANNEL_BYTES = 1024 * 1024
"""Largest size of a pipe, in bytes, that Linux allows to any user (pipe(7), pipe-max-size)."""


def private_output() -> IO[bytes]:
    """Move the channel to the daemon off fd 1, and return it. Later writes to fd 1 go to stderr.

    Call this before anything else.
    """
    channel = os.fdopen(os.dup(1), "wb")
    os.set_inheritable(channel.fileno(), False)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def private_input() -> int:
    """Move the daemon's lines off fd 0, and return their fd. Later reads of fd 0 return an end of file.

    Call this as early as `private_output`. A program that supplies credentials (`credential_process`) inherits this
    process's standard input. If it reads that input, as `ssh` does, it would swallow lines that the daemon needs to
    have answered.
    """
    lines = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lines


class DaemonInput:
    """Input of the daemon's lines, which never waits: a line may be megabytes long, or a minute away."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._parts: list[bytes] = []
        self._ended = False
        with contextlib.suppress(OSError):  # a file has no such size, and a user may be over the limit for pipes
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHANNEL_BYTES)
        os.set_blocking(fd, False)

    def line(self) -> bytes | None:
        """Return the next line with its end; None if it is not whole yet. At the end return the rest, and then b""."""
        while (line := self._first_line()) is None and not self._ended:
            try:
                chunk = os.read(self.fd, CHANNEL_BYTES)
            except BlockingIOError:
                return None
            self._parts += [chunk] if chunk else []
            self._ended = not chunk
        if line is None:
            line, self._parts = b"".join(self._parts), []
        return line

    def _first_line(self) -> bytes | None:
        """Return the first whole line read so far. The daemon sends one line at a time, so little follows it."""
        if not self._parts or b"\n" not in self._parts[-1]:
            return None
        whole = b"".join(self._parts)
        end = len(whole) - len(self._parts[-1]) + self._parts[-1].index(b"\n") + 1
        self._parts = [whole[end:]] if end < len(whole) else []
        return whole[:end]  # no copy if `end` is the length, and a line may be megabytes


_DATA = b'"data":'
_LARGE_BYTES = 4_096
"""Bytes of data in the first record below which a line is parsed whole: a cut costs as much as parsing that many."""


def read(line: bytes) -> Any:
    """Parse a line as `orjson.loads` does, except that the data of a record may be a view of its base64 in the line.

    A parser would build a string of each record's data, megabytes in all, to be decoded once and thrown away. So the
    data are cut out of the line first: `"data":"SGVsbG8="` becomes its number, `"data":"0"`, and the rest is parsed.
    Afterwards each record must have its own number as its data. Otherwise something else was cut, and the whole line is
    parsed. A line with a backslash is not cut, since an escaped quote does not end a string.
    """
    start, end = _next_data(line, 0)
    if end - start < _LARGE_BYTES or b"\\" in line:
        return orjson.loads(line)
    view, at = memoryview(line), 0
    parts: list[bytes | memoryview] = []
    datas: list[memoryview] = []
    while end:
        parts += (view[at:start], b"%d" % len(datas))
        datas.append(view[start:end])
        at = end
        start, end = _next_data(line, at)
    try:
        message = orjson.loads(b"".join((*parts, view[at:])))
        records = message["records"]
        if [record["data"] for record in records] == [str(number) for number in range(len(datas))]:
            for record, data in zip(records, datas, strict=True):
                record["data"] = data
            return message
    except (orjson.JSONDecodeError, LookupError, TypeError):
        pass
    return orjson.loads(line)


def _next_data(line: bytes, at: int) -> tuple[int, int]:
    """Return the start and end of the next string that looks like a record's data; zeros if there is none."""
    key = line.find(_DATA, at)
    start = line.find(b'"', key + len(_DATA)) + 1 if key >= 0 else 0
    end = line.find(b'"', start) if start else -1
    return (start, end) if end >= 0 else (0, 0)
