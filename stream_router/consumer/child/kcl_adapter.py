"""The child's side of the MultiLang protocol: kclpy's dispatch over `daemon_lines.py`, from the daemon to the shard.

Stock kclpy catches every exception of a record processor and still answers "done" to the daemon (docs/facts.md, "KCL"),
so the records would be lost. Here an exception leaves `run`, and the program ends.
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
    """The channel ended in the middle of a line: the daemon died. The shard's next owner reads the records again."""


class Channel(kcl._IOHandler):  # type: ignore[misc] # noqa: SLF001 - kclpy offers no public seam
    """Channel to the daemon. Records stay plain dicts, since kclpy's objects cost more CPU than all the other work.

    Until a line is there, `meanwhile` is called repeatedly. It handles pending events, and waits for the line as well.
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
            raise dispatch.MalformedAction("the daemon's line is not a JSON object")
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
    """Main loop of kclpy, in which an exception of the shard leaves `run`.

    `make_shard` is called once, with the shard's id and the checkpoint at which it starts. `idle` waits until then.
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
            if self._leaving:  # checked last: a signal before this line saw no shard, a later signal sees it
                self._shard.request_leave()
        else:
            action.dispatch(self.checkpointer, self._shard)

    def meanwhile(self) -> None:
        """Continue the shard's work between two callbacks."""
        if self._shard:
            self._shard.meanwhile()
        else:
            self._idle()

    def request_leave(self) -> None:
        """Handle the supervisor's SIGTERM. Before the shard is known, only remember it."""
        self._leaving = True
        if self._shard:
            self._shard.request_leave()

    def ended_well(self) -> None:
        """Record that the process ends on purpose, or because its daemon does, and did not crash."""
        if self._shard:
            self._shard.ended_well()
