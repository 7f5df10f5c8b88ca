"""The KCL record processor: hands the daemon's callbacks to the shard that this process has, once it has one.

It keeps nothing of a batch but its last record's place; what goes on over several batches is in `shard.py`.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from amazon_kclpy import messages
from amazon_kclpy.v3.processor import RecordProcessorBase

from stream_router.consumer.child.progress.checkpoints import LeavingError
from stream_router.consumer.child.progress.watermark import Position
from stream_router.consumer.child.shard import Shard

log = logging.getLogger(__name__)


class ShardProcessor(RecordProcessorBase):  # type: ignore[misc]
    """`make_shard` is called once, with the shard's id and the checkpoint where it starts. `idle` waits until then.

    `lost` gets the shard's id where its lease is lost without a stop.
    """

    def __init__(
        self, make_shard: Callable[[str, str], Shard], idle: Callable[[], None], lost: Callable[[str], None]
    ) -> None:
        self._make_shard = make_shard
        self._idle = idle
        self._lost = lost
        self._shard_id = ""
        self._shards: list[Shard] = []
        self._leaving = False
        self._given = Position(-1, -1)

    def initialize(self, initialize_input: messages.InitializeInput) -> None:
        start = f"{initialize_input.sequence_number}:{initialize_input.sub_sequence_number}"
        shard = self._make_shard(initialize_input.shard_id, start)
        self._shards.append(shard)
        if self._leaving:  # asked last: a signal that comes before this line finds no shard, one after it does
            shard.told_to_leave()
        self._shard_id = initialize_input.shard_id

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
        if not shard.leave_by:  # a worker that stops loses its leases too
            self._lost(self._shard_id)

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
