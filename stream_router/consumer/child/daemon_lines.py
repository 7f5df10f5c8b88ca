"""The daemon's lines: the pipes moved out of harm's way, read without waiting, parsed without copying what is large.

Standard output is the control channel, on which a stray `print` could forge a checkpoint: `private_output` moves the
channel away first.
"""

import contextlib
import fcntl
import os
import sys
from typing import IO, Any

import orjson

CHANNEL_BYTES = 1024 * 1024
"""Linux lets anyone make a pipe so large (pipe(7), pipe-max-size)."""


def private_output() -> IO[bytes]:
    """Move the channel to the daemon off fd 1, and return it. Whatever writes to fd 1 from now on lands on stderr.

    Call this before anything else.
    """
    channel = os.fdopen(os.dup(1), "wb")
    os.set_inheritable(channel.fileno(), False)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def private_input() -> int:
    """Move the daemon's lines off fd 0, and return their fd. Whatever reads fd 0 from now on finds nothing there.

    Call this as early as `private_output`. A program that supplies credentials (`credential_process`) inherits this
    process's standard input. One that reads it, as `ssh` does, would take lines that the daemon waits to be answered.
    """
    lines = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lines


class DaemonInput:
    """The daemon's lines, read as they come and never waited for: a line may be megabytes long, or a minute away."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._parts: list[bytes] = []
        self._ended = False
        with contextlib.suppress(OSError):  # what is no pipe has no size; an unprivileged one may be refused
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
        return whole[:end]  # no copy where it is all: a line may be megabytes


_DATA = b'"data":'
_LARGE_BYTES = 4_096
"""Records whose first has less data are parsed whole: each cut costs what a parser takes for so much."""


def read(line: bytes) -> Any:
    """Return what `orjson.loads` would, except that the data of records may be base64 as a view of the line.

    A parser makes a text of each record's data, megabytes in all, which is decoded once and thrown away. So the data
    are cut out of the line first: of `"data":"SGVsbG8="` its number stays, as `"data":"0"`, and the rest is parsed.
    Each record must then have its own number as its data; otherwise something else was cut, and the whole line is
    parsed. A line with a backslash is not cut, since a quote behind a backslash ends no text.
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
    """Return where the next text that looks like a record's data begins and ends; zeros if there is none."""
    key = line.find(_DATA, at)
    start = line.find(b'"', key + len(_DATA)) + 1 if key >= 0 else 0
    end = line.find(b'"', start) if start else -1
    return (start, end) if end >= 0 else (0, 0)
