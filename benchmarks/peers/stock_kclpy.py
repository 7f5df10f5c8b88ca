"""Stock kclpy and boto3: the child that a team writes from kclpy's own sample. Its daemon is `benchmarks.driven_child`.

kclpy decodes the daemon's lines; boto3 sends ten entries a call, one call after the other. Entries that fail are sent
again with the next call, up to five times each pass; it does no more.
"""

import os
import time
from typing import Any

import boto3
import orjson
from amazon_kclpy import kcl
from amazon_kclpy.v3 import processor

from benchmarks.peers.boto3_loop import BATCH, transform

TRIES = 6
PAUSE_S = 0.1


class Processor(processor.RecordProcessorBase):  # type: ignore[misc] # kclpy has no types
    """Sends what comes, then checkpoints, as the sample does: at most every five seconds."""

    def initialize(self, initialize_input: Any) -> None:
        self._client: Any = boto3.client("events", region_name=os.environ["AWS_REGION"])
        self._checkpoint_at = time.monotonic()

    def process_records(self, process_records_input: Any) -> None:
        entries = [
            transform(orjson.dumps(orjson.loads(line)["body"]))
            for record in process_records_input.records
            for line in record.binary_data.split(b"\n")
        ]
        for at in range(0, len(entries), BATCH):
            self._send(entries[at : at + BATCH])
        if process_records_input.records and time.monotonic() - self._checkpoint_at > 5:
            process_records_input.checkpointer.checkpoint()
            self._checkpoint_at = time.monotonic()

    def _send(self, entries: list[dict[str, Any]]) -> None:
        for number in range(TRIES):
            results = self._client.put_events(Entries=entries)["Entries"]
            entries = [entry for entry, result in zip(entries, results, strict=True) if "ErrorCode" in result]
            if not entries:
                return
            time.sleep(PAUSE_S * 2**number)

    def lease_lost(self, lease_lost_input: Any) -> None:
        """Nothing is kept."""

    def shard_ended(self, shard_ended_input: Any) -> None:
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        shutdown_requested_input.checkpointer.checkpoint()


if __name__ == "__main__":
    kcl.KCLProcess(Processor()).run()
