"""The child's side of the MultiLang protocol: kclpy's dispatch over `daemon_lines.py`, from the daemon to the shard.

Stock kclpy catches whatever a record processor raises and still tells the daemon "done" (docs/facts.md, "KCL"): the
records would be lost. Here an exception leaves `run`, and the program ends.
"""

import os
import sys
from collections.abc import Callable
from typing import IO, Any

from amazon_kclpy import dispatch, kcl, messages

from stream_router.consumer.child import daemon_lines
from stream_router.consumer.child.shard import ShardProcessor
from stream_router.process import failpoint


class DaemonGoneError(SystemExit):
    """The channel ended in the middle: the daemon died, and whoever owns the shard next gets the records."""


class Channel(kcl._IOHandler):  # type: ignore[misc] # noqa: SLF001 - kclpy offers no public seam
    """Reads the daemon's lines and writes ours. Records stay plain dicts: kclpy's objects cost more than the rest.

    While a line is not there `meanwhile` is called again and again: it moves the work on, and waits for the line too.
    """

    def __init__(self, source: daemon_lines.DaemonInput, output: IO[bytes], meanwhile: Callable[[], None]) -> None:
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
        if type(message) is not dict:
            raise dispatch.MalformedAction("the daemon's line is no JSON object")
        if message.get("action") == "processRecords":
            return messages.ProcessRecordsInput(message)
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
    """kclpy's main loop: the daemon's callbacks go to the shard, and what it raises is raised from `run`.

    `make_shard` is called once, with the shard's id and the checkpoint where it starts. `idle` waits until then.
    """

    def __init__(
        self,
        source: daemon_lines.DaemonInput,
        output: IO[bytes],
        make_shard: Callable[[str, str], ShardProcessor],
        idle: Callable[[], None],
    ) -> None:
        self.io_handler = Channel(source, output, self.meanwhile)
        self.checkpointer = kcl.Checkpointer(self.io_handler)
        self._make_shard = make_shard
        self._idle = idle
        self._shard: ShardProcessor | None = None
        self._leaving = False

    def _perform_action(self, action: Any) -> None:
        if isinstance(action, messages.InitializeInput):
            start = f"{action.sequence_number}:{action.sub_sequence_number}"
            self._shard = self._make_shard(action.shard_id, start)
            if self._leaving:  # asked last: a signal that comes before this line finds no shard, one after it does
                self._shard.request_leave()
        else:
            action.dispatch(self.checkpointer, self._shard)

    def meanwhile(self) -> None:
        """Between two callbacks: the shard's work goes on."""
        if self._shard:
            self._shard.meanwhile()
        else:
            self._idle()

    def request_leave(self) -> None:
        """Handle the supervisor's SIGTERM."""
        self._leaving = True
        if self._shard:
            self._shard.request_leave()

    def ended_well(self) -> None:
        """Note that the process ends by its own will or its daemon's."""
        if self._shard:
            self._shard.ended_well()
