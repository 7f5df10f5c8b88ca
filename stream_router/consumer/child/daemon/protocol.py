"""The MultiLang protocol on a private file descriptor: kclpy's dispatch, orjson's speed, no swallowed exception.

Stock kclpy catches whatever a record processor raises and still tells the daemon "done" (docs/facts.md, "KCL"): the
records would be lost. Here an exception leaves `run`, and the program ends. Its standard output is the control channel,
on which a stray `print` could forge a checkpoint: `private_output` moves the channel away first.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from amazon_kclpy import dispatch, kcl, messages

from stream_router.consumer.child.daemon import daemon_lines
from stream_router.process import failpoint

CHANNEL_BYTES = 1024 * 1024
"""Linux lets anyone make a pipe so large (pipe(7), pipe-max-size)."""


def private_output() -> IO[bytes]:
    """The channel to the daemon, moved off fd 1; whatever writes to fd 1 from now on lands on stderr.

    To be called first of all.
    """
    channel = os.fdopen(os.dup(1), "wb")
    os.set_inheritable(channel.fileno(), False)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def private_input() -> int:
    """The daemon's lines, moved off fd 0: whatever reads fd 0 from now on finds nothing there.

    To be called as early. A program that gives credentials (`credential_process`) has this process's standard input,
    and one that reads it (`ssh` does) would take lines that the daemon waits to be answered.
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
        self.ended = False
        """Whether the channel was closed at the other end."""
        with contextlib.suppress(OSError):  # what is no pipe has no size; an unprivileged one may be refused
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHANNEL_BYTES)
        os.set_blocking(fd, False)

    def line(self) -> bytes | None:
        """The next line with its end; None where it is not whole yet. At the end what is left, and then b""."""
        while not self.ended:
            if (line := self._first_line()) is not None:
                return line
            try:
                chunk = os.read(self.fd, CHANNEL_BYTES)
            except BlockingIOError:
                return None
            if chunk:
                self._parts.append(chunk)
            self.ended = not chunk
        if (line := self._first_line()) is not None:
            return line
        rest, self._parts = b"".join(self._parts), []
        return rest

    def _first_line(self) -> bytes | None:
        """The first whole line of what was read; the daemon sends one at a time, so little is behind it."""
        if not self._parts or b"\n" not in self._parts[-1]:
            return None
        whole = b"".join(self._parts)
        end = len(whole) - len(self._parts[-1]) + self._parts[-1].index(b"\n") + 1
        self._parts = [whole[end:]] if end < len(whole) else []
        return whole[:end]  # no copy where it is all: a line may be megabytes


class DaemonGoneError(SystemExit):
    """The channel ended in the middle: the daemon died, and whoever owns the shard next gets the records."""


class Channel(kcl._IOHandler):  # type: ignore[misc] # noqa: SLF001 - kclpy offers no public seam
    """Reads the daemon's lines and writes ours. Records stay plain dicts: kclpy's objects cost more than the rest.

    While a line is not there `meanwhile` is called again and again: it moves the work on, and waits for the line too.
    """

    def __init__(self, source: DaemonInput, output: IO[bytes], meanwhile: Callable[[], None]) -> None:
        super().__init__(source, output, sys.stderr)
        self._source = source
        self._meanwhile = meanwhile

    def read_line(self) -> bytes:
        while (line := self._source.line()) is None:
            self._meanwhile()
        return line

    def load_action(self, line: bytes) -> Any:
        if not line.endswith(b"\n"):
            raise DaemonGoneError(os.EX_TEMPFAIL)
        message = daemon_lines.read(line)
        if type(message) is dict and message.get("action") == "processRecords":
            return messages.ProcessRecordsInput(message)
        if type(message) is not dict:
            raise dispatch.MalformedAction("the daemon's line is no JSON object")
        return dispatch.message_decode(message)

    def write_line(self, line: str) -> None:
        try:
            self.output_file.write(b"\n" + line.encode() + b"\n")
            self.output_file.flush()
        except BrokenPipeError:
            raise DaemonGoneError(os.EX_TEMPFAIL) from None
        if '"checkpoint"' in line:
            failpoint("checkpoint_sent_before_reply")


class Process(kcl.KCLProcess):  # type: ignore[misc]
    """kclpy's main loop over a `Channel`; what a record processor raises is raised from `run`."""

    def __init__(self, processor: object, channel: Channel) -> None:
        super().__init__(processor, channel.input_file, channel.output_file, channel.error_file)
        self.io_handler = channel
        self.checkpointer = kcl.Checkpointer(channel)

    def _perform_action(self, action: Any) -> None:
        action.dispatch(self.checkpointer, self.processor)
