"""What a source of a shard's records gives, whichever way it reads: batches of user records, in order."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.consumer import kpl
from stream_router.control.stream.positions import Position
from stream_router.control.stream.shards import Shard, UnreadableError, why_unreadable
from stream_router.errors import ABSENT, THROTTLING, code_of
from stream_router.process import backoff_s

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

Wait = Callable[[float], bool]
"""Waits so many seconds; true where the reading is to stop instead."""


class Means(NamedTuple):
    """What a source reads a stream with. `clock` is a monotonic one (s), `random` gives 0 to 1."""

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


class Source(Protocol):
    """A way to read shards."""

    def batches(self, shard: Shard, from_ms: int) -> Iterator[Batch]:
        """The records of a shard that arrived at `from_ms` (epoch ms) or later; ends after a batch that `ended`.

        Ends early where the reading is to stop. Raises UnreadableError.
        """


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
