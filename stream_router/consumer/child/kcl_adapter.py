"""The child's side of the KCL's MultiLang protocol: kclpy's main loop over the pipes of `daemon_lines.py`.

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
    """The pipe from the daemon ended within a line: the daemon died. The next child reads the records again."""


class DaemonChannel(kcl._IOHandler):  # type: ignore[misc] # noqa: SLF001 - kclpy has no public class to extend
    """Lines from and to the daemon, in the form of kclpy's I/O handler.

    Records stay plain dicts, since kclpy's record objects cost more CPU than all the other work. `work_and_wait` is
    called until a line has arrived: it handles pending events and waits for the line.
    """

    def __init__(self, source: daemon_lines.DaemonInput, output: IO[bytes], work_and_wait: Callable[[], None]) -> None:
        super().__init__(source, output, sys.stderr)
        self._source = source
        self._work_and_wait = work_and_wait

    def read_line(self) -> bytes:
        """Return the daemon's next line; b"" once the daemon has closed the pipe."""
        while (line := self._source.read_line()) is None:
            self._work_and_wait()
        return line

    def load_action(self, line: bytes) -> Any:
        """Return the action that a line requests. Raise DaemonGoneError if the line is cut off.

        Raise kclpy's MalformedAction if the line is not an action.
        """
        if not line.endswith(b"\n"):
            raise DaemonGoneError(os.EX_TEMPFAIL)
        message = daemon_lines.parse_line(line)
        if type(message) is not dict:
            raise dispatch.MalformedAction("the daemon's line is not a JSON object")
        if message.get("action") == "processRecords":
            return messages.ProcessRecordsInput(message)
        return dispatch.message_decode(message)

    def write_line(self, line: str) -> None:
        """Send a line to the daemon. Raise DaemonGoneError if the daemon no longer reads."""
        try:
            # The newline before the line, as in stock kclpy, separates it from any text that is in the pipe already.
            self.output_file.write(b"\n" + line.encode() + b"\n")
            self.output_file.flush()
        except BrokenPipeError:
            raise DaemonGoneError(os.EX_TEMPFAIL) from None
        if '"checkpoint"' in line:
            failpoint("checkpoint_sent_before_reply")


class KclMainLoop(kcl.KCLProcess):  # type: ignore[misc]
    """Main loop of kclpy, in which an exception of the shard leaves `run`.

    `build_shard` is called once, with the shard's id and the checkpoint at which it starts. Before that, `wait_idle`
    waits for the daemon's first line.
    """

    def __init__(
        self,
        source: daemon_lines.DaemonInput,
        output: IO[bytes],
        build_shard: Callable[[str, str], ShardProcessor],
        wait_idle: Callable[[], None],
    ) -> None:
        self.io_handler = DaemonChannel(source, output, self._work_and_wait)
        self.checkpointer = kcl.Checkpointer(self.io_handler)
        self._build_shard = build_shard
        self._wait_idle = wait_idle
        self._shard: ShardProcessor | None = None
        self._is_stop_requested = False

    def _perform_action(self, action: Any) -> None:
        """Carry out one action of the daemon; the first one names the shard. kclpy's main loop calls this."""
        if isinstance(action, messages.InitializeInput):
            start = f"{action.sequence_number}:{action.sub_sequence_number}"
            self._shard = self._build_shard(action.shard_id, start)
            # Checked after the assignment: a signal before it found no shard to stop, and a signal after it finds one.
            if self._is_stop_requested:
                self._shard.request_stop()
        else:
            action.dispatch(self.checkpointer, self._shard)

    def _work_and_wait(self) -> None:
        """Continue the shard's work until the daemon's next line, or a timeout."""
        if self._shard:
            self._shard.work_between_callbacks()
        else:
            self._wait_idle()

    def request_stop(self) -> None:
        """Handle the supervisor's SIGTERM. If the shard is not known yet, stop it as soon as it is known."""
        self._is_stop_requested = True
        if self._shard:
            self._shard.request_stop()

    def record_clean_exit(self) -> None:
        """Record that the process ends on purpose, or because its daemon does, and did not crash."""
        if self._shard:
            self._shard.record_clean_exit()
