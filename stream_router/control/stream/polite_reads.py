"""Reads a shard beside its consumer: one GetRecords a second, of at most about 1 MB.

A shard gives 5 reads and 2 MB a second to all who read it, the consumer takes up to 4 of the reads; one read of 10 MB
keeps every reader of the shard waiting for 5 s (docs/facts.md, "Kinesis and SQS").
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.consumer import kpl
from stream_router.control.stream.positions import Position
from stream_router.control.stream.shards import Shard, UnreadableError, why_unreadable
from stream_router.errors import ABSENT, THROTTLING, code_of
from stream_router.process import backoff_s

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

READ_EVERY_S = 1.0
READ_BYTES = 1_000_000
PACE_BYTES_PER_S = 600_000
"""What so many reads bring at least, where there is as much: each keeps a margin below READ_BYTES."""

MOST_RECORDS = 10_000
"""Of one GetRecords (model `kinesis`)."""

_GROWTH = 8
_MARGIN = 1.5


Wait = Callable[[float], bool]
"""Waits so many seconds; true where the reading is to stop instead."""


class Means(NamedTuple):
    """What a stream is read with. `clock` is a monotonic one (s), `random` gives 0 to 1."""

    kinesis: "KinesisClient"
    stream: str
    clock: Callable[[], float]
    wait: Wait
    random: Callable[[], float]


class UserRecord(NamedTuple):
    """One record as the consumer gets it. `passed_over`: the KCL does not hand it over (`kpl`)."""

    position: Position
    arrived_at_ms: int
    data: bytes
    passed_over: bool


class Batch(NamedTuple):
    """One read of a shard. `behind_ms` is how far it is from the shard's tip; `ended`: nothing more will ever come."""

    records: Sequence[UserRecord]
    size_bytes: int
    behind_ms: int
    ended: bool


def opened(records: Sequence[Any]) -> tuple[list[UserRecord], int]:
    """Records as Kinesis answers them, taken apart as the KCL does it, and their size in bytes."""
    found: list[UserRecord] = []
    size = 0
    for record in records:
        data = record["Data"]
        size += len(data) + len(record["PartitionKey"])
        arrived_at_ms = round(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
        sequence_number = int(record["SequenceNumber"])
        found += [
            UserRecord(Position(sequence_number, part.sub_sequence_number), arrived_at_ms, part.data, part.passed_over)
            for part in kpl.parts_of(data)
        ]
    return found, size


GIVEN_UP_AFTER_S = 120.0
"""So long a shard may answer nothing but throttling and faults of the service before it counts as unreadable."""

_FIRST_S, _MOST_S = 1.0, 10.0


class Patience:
    """What to do after a read that failed: wait and try again, or give up."""

    def __init__(self, means: Means) -> None:
        self._stream, self._clock, self._random = means.stream, means.clock, means.random
        self._failures = 0
        self._since = 0.0

    def well(self) -> None:
        """A read worked."""
        self._failures = 0

    def wait_s(self, error: BotoCoreError | ClientError) -> float:
        """How long to wait before the next try. Raises UnreadableError where there is none."""
        code = code_of(error)
        if code in ABSENT:  # the stream was there when its shards were listed
            raise UnreadableError(
                f"stream {self._stream}, or a shard of it, is no longer there: a closed shard goes with the last of "
                "its records; give a later --since"
            ) from None
        if isinstance(error, ClientError) and not is_passing(error):
            raise UnreadableError(why_unreadable(self._stream, code)) from None
        if not self._failures:
            self._since = self._clock()
        elif self._clock() - self._since > GIVEN_UP_AFTER_S:
            raise UnreadableError(
                f"stream {self._stream} could not be read for {GIVEN_UP_AFTER_S:.0f} s ({code}); try again later"
            ) from None
        self._failures += 1
        return backoff_s(self._failures - 1, _FIRST_S, _MOST_S, 0.5 + self._random() / 2)


def is_passing(error: ClientError) -> bool:
    """Whether an error of Kinesis may be gone at the next try: throttling, or a fault of the service's own."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return code_of(error) in THROTTLING or status >= 500


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
    """Reads shards, one after the other or each in a thread of its own."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def batches(self, shard: Shard, from_ms: int) -> Iterator[Batch]:
        """The records of a shard that arrived at `from_ms` (epoch ms) or later; ends after a batch that `ended`.

        Ends early where the reading is to stop. Raises UnreadableError.
        """
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
