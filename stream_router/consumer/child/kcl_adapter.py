"""The child's side of the MultiLang protocol: kclpy's dispatch over `daemon_lines.py`, and the KCL's record processor.

Stock kclpy catches whatever a record processor raises and still tells the daemon "done" (docs/facts.md, "KCL"): the
records would be lost. Here an exception leaves `run`, and the program ends.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from amazon_kclpy import dispatch, kcl, messages
from amazon_kclpy.v3.processor import RecordProcessorBase

from stream_router.consumer.child import daemon_lines
from stream_router.consumer.child.checkpoints import LeavingError
from stream_router.consumer.child.shard import Shard
from stream_router.consumer.child.watermark import Position
from stream_router.process import failpoint

log = logging.getLogger(__name__)


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
    """kclpy's main loop over a `Channel`; what a record processor raises is raised from `run`."""

    def __init__(self, processor: object, channel: Channel) -> None:
        super().__init__(processor, channel.input_file, channel.output_file, channel.error_file)
        self.io_handler = channel
        self.checkpointer = kcl.Checkpointer(channel)

    def _perform_action(self, action: Any) -> None:
        action.dispatch(self.checkpointer, self.processor)


class ShardProcessor(RecordProcessorBase):  # type: ignore[misc]
    """The KCL record processor: hands the daemon's callbacks to the shard that this process has, once it has one.

    `make_shard` is called once, with the shard's id and the checkpoint where it starts. `idle` waits until then.
    """

    def __init__(self, make_shard: Callable[[str, str], Shard], idle: Callable[[], None]) -> None:
        self._make_shard = make_shard
        self._idle = idle
        self._shards: list[Shard] = []
        self._leaving = False
        self._given = Position(-1, -1)

    def initialize(self, initialize_input: messages.InitializeInput) -> None:
        start = f"{initialize_input.sequence_number}:{initialize_input.sub_sequence_number}"
        shard = self._make_shard(initialize_input.shard_id, start)
        self._shards.append(shard)
        if self._leaving:  # asked last: a signal that comes before this line finds no shard, one after it does
            shard.told_to_leave()

    def process_records(self, process_records_input: messages.ProcessRecordsInput) -> None:
        (shard,) = self._shards
        told = process_records_input
        if told.records:
            self._in_order(shard, told.records)
        shard.process(told.records, told.checkpointer, told.millis_behind_latest)

    def _in_order(self, shard: Shard, records: list[dict[str, Any]]) -> None:
        """End the process before records that it has, or older ones: in the next one they come in their order.

        Where Kinesis did not answer for a minute the KCL begins to read anew, while a batch may be on its way.
        """
        first, last = (
            Position(int(one["sequenceNumber"]), int(one["subSequenceNumber"] or 0))
            for one in (records[0], records[-1])
        )
        if first <= self._given:
            log.error(
                "the daemon gave records a second time: leaving, so that all come in their order",
                extra={"event": "given-twice"},
            )
            shard.ended_well()
            raise LeavingError(os.EX_TEMPFAIL)
        self._given = last

    def lease_lost(self, lease_lost_input: messages.LeaseLostInput) -> None:
        (shard,) = self._shards
        shard.lease_lost()

    def shard_ended(self, shard_ended_input: messages.ShardEndedInput) -> None:
        (shard,) = self._shards
        shard.shard_ended(shard_ended_input.checkpointer)

    def shutdown_requested(self, shutdown_requested_input: messages.ShutdownRequestedInput) -> None:
        (shard,) = self._shards
        shard.shutdown_requested(shutdown_requested_input.checkpointer)

    def meanwhile(self) -> None:
        """Between two callbacks: the shard's work goes on."""
        for shard in self._shards:
            shard.meanwhile()
        if not self._shards:
            self._idle()

    def told_to_leave(self) -> None:
        """The supervisor's SIGTERM."""
        self._leaving = True
        for shard in self._shards:
            shard.told_to_leave()

    def ended_well(self) -> None:
        """The process ends by its own will or its daemon's."""
        for shard in self._shards:
            shard.ended_well()
