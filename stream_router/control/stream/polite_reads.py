"""Reads a shard beside its consumer: one GetRecords a second, of at most about 1 MB.

A shard gives 5 reads and 2 MB a second to all who read it, the consumer takes up to 4 of the reads; one read of 10 MB
keeps every reader of the shard waiting for 5 s (docs/facts.md, "Kinesis and SQS").
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.control.stream.batches import Batch, Means, Patience, opened
from stream_router.control.stream.shards import Shard
from stream_router.errors import code_of

READ_EVERY_S = 1.0
READ_BYTES = 1_000_000
PACE_BYTES_PER_S = 600_000
"""What so many reads bring at least, where there is as much: each keeps a margin below READ_BYTES."""

MOST_RECORDS = 10_000
"""Of one GetRecords (model `kinesis`)."""

_GROWTH = 8
_MARGIN = 1.5


class ReadSize:
    """How many records to ask for, so that a read is at most about READ_BYTES: Kinesis bounds a read by records alone.

    It begins with one record, since nothing is known of their size, and asks for at most eight times as many at each
    step. The size of a record is judged by the mean of the last reads, with a margin.
    """

    def __init__(self) -> None:
        self.records = 1
        self._mean_bytes = 0.0

    def note(self, records: int, size_bytes: int) -> None:
        """A read brought so much."""
        if not records:
            return
        mean = size_bytes / records
        self._mean_bytes = mean if not self._mean_bytes else max(mean, (self._mean_bytes + mean) / 2)
        fitting = int(READ_BYTES / (self._mean_bytes * _MARGIN + 1))
        self.records = max(1, min(fitting, self.records * _GROWTH, MOST_RECORDS))

    def refused(self) -> None:
        """A read was throttled: ask for less."""
        self.records = max(1, self.records // 2)


class PoliteReads:
    """A source of batches."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def batches(self, shard: Shard, from_ms: int) -> Iterator[Batch]:
        """The records of a shard that arrived at `from_ms` or later. Raises UnreadableError."""
        means, size, patience = self._means, ReadSize(), Patience(self._means)
        start: dict[str, Any] = {
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": datetime.fromtimestamp(from_ms / 1000, UTC),
        }
        iterator: str | None = None
        pause_s = 0.0
        while not means.wait(pause_s):
            begun = means.clock()
            try:
                if iterator is None:
                    iterator = self._iterator(shard, start)
                answer = means.kinesis.get_records(ShardIterator=iterator, Limit=size.records)
            except (BotoCoreError, ClientError) as error:
                if code_of(error) == "ExpiredIteratorException":
                    iterator, pause_s = None, READ_EVERY_S
                    continue
                size.refused()
                pause_s = max(READ_EVERY_S, patience.wait_s(error))
                continue
            patience.well()
            batch = _batch(answer)
            size.note(len(answer["Records"]), batch.size_bytes)
            if answer["Records"]:
                last = answer["Records"][-1]["SequenceNumber"]
                start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
            iterator = answer.get("NextShardIterator")
            yield batch
            if batch.ended:
                return
            # What was more than a read should be is paid for with a longer wait.
            whole_s = max(READ_EVERY_S, batch.size_bytes / READ_BYTES)
            pause_s = max(0.0, begun + whole_s - means.clock())

    def _iterator(self, shard: Shard, start: dict[str, Any]) -> str:
        answer = self._means.kinesis.get_shard_iterator(StreamName=self._means.stream, ShardId=shard.shard_id, **start)
        return answer["ShardIterator"]


def _batch(answer: Any) -> Batch:
    records, size_bytes = opened(answer["Records"])
    return Batch(records, size_bytes, answer.get("MillisBehindLatest", 0), not answer.get("NextShardIterator"))
