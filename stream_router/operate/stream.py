"""Reader of the stream for the operators' commands: a span of all shards, slow enough for the consumer beside it.

A shard serves 5 reads and 2 MB a second to all its readers; the consumer takes up to 4 of the
reads. So a shard is read once a second, about 1 MB at a time (docs/facts.md). After a larger answer
the pause is longer. Closed shards are read too, parents before their children. Records that arrive
after the span's end, which is now at the latest, are left out.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from datetime import UTC, datetime
from math import ceil, inf
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.clients import Clients
from stream_router.aws_error_codes import ABSENT, THROTTLING, code_of
from stream_router.checks import describe_failure
from stream_router.consumer import kpl
from stream_router.leases import AT_TIMESTAMP, LATEST, Position, Shard, list_shards
from stream_router.operate.console import Stop, format_count, format_duration, warn
from stream_router.process import backoff_s, iso

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_kinesis import KinesisClient


class UnreadableError(Exception):
    """The stream cannot be read. The text is one line with the cure."""


# --- positions


def has_passed(checkpoint: Position, position: Position) -> bool | None:
    """Return whether a checkpoint is past a record; None if the checkpoint is LATEST or AT_TIMESTAMP."""
    # A worker that began at LATEST or AT_TIMESTAMP skipped older records, and the lease does not say at which record it
    # began.
    return None if checkpoint in (LATEST, AT_TIMESTAMP) else position <= checkpoint


# --- the span, and the shards


class Span(NamedTuple):
    """Span of Kinesis's arrival times: from `since_ms` until before `until_ms` (epoch ms)."""

    since_ms: int
    until_ms: int

    def holds(self, arrived_at_ms: int) -> bool:
        """Return whether a record arrived in this span."""
        return self.since_ms <= arrived_at_ms < self.until_ms


class StreamDescription(NamedTuple):
    """A stream at the moment of its description, with its shards by id.

    `on_demand`: Kinesis itself chooses the number of shards. `retention_ms` is how long it keeps a record.
    """

    name: str
    shards: Mapping[str, Shard]
    on_demand: bool = False
    retention_ms: float = inf


def describe(kinesis: "KinesisClient", name: str, since_ms: int, now_ms: int) -> StreamDescription:
    """Return a description with all shards that can have records of `since_ms` or later, closed ones included.

    Raises UnreadableError if the stream cannot be read, or if it no longer keeps the records of `since_ms`.
    """
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        hours = summary["RetentionPeriodHours"]
        retention_ms = hours * 3_600_000
        if since_ms < now_ms - retention_ms:
            raise UnreadableError(
                f"--since is older than what stream {name} keeps ({hours} hours): nothing before "
                f"{iso(now_ms - retention_ms)} can be read; give a later --since"
            )
        since = {"Type": "FROM_TIMESTAMP", "Timestamp": datetime.fromtimestamp(since_ms / 1000, UTC)}
        shards = {shard.shard_id: shard for shard in list_shards(kinesis, name, ShardFilter=since)}
    except (BotoCoreError, ClientError) as error:
        raise UnreadableError(_why_unreadable(name, error)) from None
    on_demand = summary.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND"
    return StreamDescription(name, shards, on_demand, retention_ms)


def _why_unreadable(name: str, error: ClientError | BotoCoreError) -> str:
    """Return in one line why stream `name` cannot be read, and the cure."""
    if code_of(error) in ABSENT:
        return f"there is no stream {name} in this region and account; see STREAM_ROUTER_STREAM and AWS_REGION"
    failure, what_to_do = describe_failure(error)
    return f"stream {name} cannot be read{failure}: {what_to_do}"


def is_transient(error: ClientError) -> bool:
    """Return whether an error of Kinesis may pass: throttling, or a fault of the service (5xx)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return code_of(error) in THROTTLING or status >= 500


# --- reading

READ_INTERVAL_S = 1.0
READ_BYTES = 1_000_000
FIRST_RECORDS, GROWTH, MAX_RECORDS = 4, 8, 10_000
"""Records per read: number at first, largest factor from one read to the next, maximum.

GetRecords takes a limit of records, not of bytes. The size of the records is not known at first, so the number begins
low and grows. Its maximum is that of GetRecords (model `kinesis`).
"""

MAX_CONCURRENT_READS = 64
"""Shards that are read concurrently."""

ARRIVAL_TOLERANCE_MS = 10_000
"""Time after the span's end up to which a shard is read, because arrival times are approximate."""

RETENTION_TOLERANCE_MS = 60_000
"""Time by which the reading may be behind the end of the retention without an error.

A `--since` may name the oldest record that the stream keeps, and some records expire before they are read.
"""

GIVE_UP_AFTER_S = 120.0
"""Seconds of nothing but throttling and 5xx after which a shard counts as unreadable."""

BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 10.0


class UserRecord(NamedTuple):
    """A record as the consumer gets it. `is_skipped`: the KCL does not pass it to the consumer (consumer/kpl.py)."""

    position: Position
    arrived_at_ms: int
    data: bytes
    is_skipped: bool = False


class Piece(NamedTuple):
    """Consecutive records of a shard that are in the span.

    `size_bytes` is the size of all records of the read, also of those outside the span. `reached_ms` is the approximate
    arrival time up to which the shard was read (epoch ms). `is_last`: the shard has no further records of the span.
    """

    shard: Shard
    records: Sequence[UserRecord]
    size_bytes: int
    reached_ms: int
    is_last: bool


class _ShardReader:
    """Reader of one shard. `due_s` is the time of its next read, on the monotonic clock.

    `ask` runs in a thread of the pool, everything else in the caller's thread. So no lock is needed: the caller waits
    for `ask` before it calls anything else.
    """

    def __init__(self, stream: StreamDescription, shard: Shard, span: Span) -> None:
        self.shard = shard
        self.due_s = 0.0
        self.ended = False
        """Whether the shard was read to its end, so that its children may be read."""
        self._stream, self._span = stream, span
        since = datetime.fromtimestamp(span.since_ms / 1000, UTC)
        self._start: dict[str, Any] = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        self._iterator = ""
        self._limit = FIRST_RECORDS
        # Infinite means that the check of `take_answer` for expired records is left out at the first answer.
        self._reached_ms: float = (
            inf if shard.parents else span.since_ms
        )  # a child shard may begin long after the span does
        self._read_at_s = self._failing_since_s = 0.0
        self._failures = 0

    def ask(self, kinesis: "KinesisClient") -> Any:
        """Read the next records. Return the answer, or the error that the client raised."""
        self._read_at_s = time.monotonic()
        try:
            if not self._iterator:
                asked = {"StreamName": self._stream.name, "ShardId": self.shard.shard_id, **self._start}
                self._iterator = kinesis.get_shard_iterator(**asked)["ShardIterator"]
            return kinesis.get_records(ShardIterator=self._iterator, Limit=self._limit)
        except (BotoCoreError, ClientError) as error:
            return error

    def plan_retry(self, error: BotoCoreError | ClientError) -> None:
        """Plan another try after a failed read. Raises UnreadableError if no try can help."""
        code, now_s, name = code_of(error), time.monotonic(), self._stream.name
        self.due_s = now_s + READ_INTERVAL_S
        if code == "ExpiredIteratorException":  # the caller took more than five minutes over the last records
            self._iterator = ""  # the next read gets a new one at `_start`
            return
        if code in ABSENT:  # the stream existed when its shards were listed
            raise UnreadableError(
                f"stream {name}, or a shard of it, is no longer there: a closed shard goes with the last of its "
                "records; give a later --since"
            )
        if isinstance(error, ClientError) and not is_transient(error):
            raise UnreadableError(_why_unreadable(name, error))
        if not self._failures:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > GIVE_UP_AFTER_S:
            raise UnreadableError(
                f"stream {name} could not be read for {GIVE_UP_AFTER_S:.0f} s ({code}); try again later"
            )
        self._failures += 1
        self._limit = max(1, self._limit // 2)
        share = 0.5 + random.random() / 2  # noqa: S311 - jitter
        self.due_s = now_s + max(READ_INTERVAL_S, backoff_s(self._failures - 1, BACKOFF_FIRST_S, BACKOFF_MAX_S, share))

    def take_answer(self, answer: Any) -> Piece:
        """Return those records of an answer that lie in the span, and plan the next read.

        Raises UnreadableError if records may have expired before they were read: Kinesis then
        continues at the oldest record that it has, without an error.
        """
        self._failures = 0
        now_ms, until_ms = int(time.time() * 1000), self._span.until_ms
        if self._reached_ms < now_ms - self._stream.retention_ms - RETENTION_TOLERANCE_MS:
            raise UnreadableError(
                f"{self.shard.shard_id}: the stream's retention overtook the reading, so records may have gone unread; "
                "give a later --since"
            )
        records, size_bytes = open_records(answer["Records"])
        if answer["Records"]:
            last = answer["Records"][-1]["SequenceNumber"]
            self._start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
            fitting = READ_BYTES * len(answer["Records"]) // (size_bytes + len(answer["Records"]))
            self._limit = max(1, min(fitting, self._limit * GROWTH, MAX_RECORDS))
        self._iterator = answer.get("NextShardIterator") or ""
        self.due_s = self._read_at_s + READ_INTERVAL_S * max(1.0, size_bytes / READ_BYTES)
        behind_ms = answer.get("MillisBehindLatest", 0)
        newest_ms = max((record.arrived_at_ms for record in records), default=0)
        self.ended = not self._iterator
        # A closed shard is read to its end, since its children are read after it. Only an open one may stop at its tip.
        at_tip = self.shard.is_open and behind_ms == 0 and now_ms >= until_ms
        is_last = self.ended or at_tip or newest_ms >= until_ms + ARRIVAL_TOLERANCE_MS
        self._reached_ms = reached_ms = max(newest_ms, now_ms - behind_ms)
        wanted = [record for record in records if self._span.holds(record.arrived_at_ms)]
        return Piece(self.shard, wanted, size_bytes, until_ms if is_last else min(reached_ms, until_ms), is_last)


def open_records(records: Sequence[Any]) -> tuple[list[UserRecord], int]:
    """Split Kinesis's records into user records as the KCL does.

    Return them with the size in bytes.
    """
    user_records: list[UserRecord] = []
    size_bytes = 0
    for record in records:
        data = record["Data"]
        size_bytes += len(data) + len(record["PartitionKey"])
        arrived_at_ms = round(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
        number = int(record["SequenceNumber"])
        user_records += [
            UserRecord(Position(number, part.sub_sequence_number), arrived_at_ms, part.data, part.is_skipped)
            for part in kpl.split_user_records(data)
        ]
    return user_records, size_bytes


def read(clients: Clients, stream: StreamDescription, span: Span, stop: Stop) -> Iterator[Piece]:
    """Yield all records of the span, in order within each shard, until a stop is requested.

    A reading that will take more than a minute is announced on standard error, and the progress of a long one is
    printed there. In each round every shard that is due is read once, and the next round begins when the caller has
    taken all pieces. So the caller's work slows the reading, and no records pile up. Raises UnreadableError.
    """
    progress = _Progress(span, _announce(clients.cloudwatch, stream, span))
    unstarted, ended = dict(stream.shards), set[str]()
    readers: list[_ShardReader] = []
    with futures.ThreadPoolExecutor(MAX_CONCURRENT_READS, "read") as pool:
        while not stop.requested:
            ready = _find_ready(stream.shards, unstarted, ended)[: MAX_CONCURRENT_READS - len(readers)]
            readers += [_ShardReader(stream, unstarted.pop(shard.shard_id), span) for shard in ready]
            if not readers:
                return
            stop.wait(min(reading.due_s for reading in readers) - time.monotonic())
            due = [reading for reading in readers if reading.due_s <= time.monotonic()]
            for reading, answer in zip(
                due, pool.map(_ShardReader.ask, due, [clients.kinesis_without_retries] * len(due)), strict=True
            ):
                if isinstance(answer, BotoCoreError | ClientError):
                    reading.plan_retry(answer)
                    continue
                piece = reading.take_answer(answer)
                progress.note(piece)
                yield piece
                if piece.is_last:
                    readers.remove(reading)
                if reading.ended:
                    ended.add(reading.shard.shard_id)
                if stop.requested:
                    return


def _find_ready(shards: Mapping[str, Shard], unstarted: Mapping[str, Shard], ended: set[str]) -> list[Shard]:
    """Return the shards that may be begun: those whose parents are read to their end, or no longer exist."""
    return [
        shard
        for shard in unstarted.values()
        if all(parent in ended or parent not in shards for parent in shard.parents)
    ]


# --- progress

_MAX_DATAPOINTS = 1_440
"""Maximum datapoints of one GetMetricStatistics call (CloudWatch API reference)."""

_ANNOUNCE_ABOVE_S = 60.0
_PROGRESS_INTERVAL_S = 10.0


def _announce(cloudwatch: "CloudWatchClient", stream: StreamDescription, span: Span) -> float:
    """Return the size of the span in bytes by CloudWatch; 0.0 if unknown, or if the span is of a minute or less.

    If the reading will take more than _ANNOUNCE_ABOVE_S, print for how long.
    """
    minutes = ceil((span.until_ms - span.since_ms) / 60_000)
    if minutes <= 1:
        return 0.0
    try:
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis",
            MetricName="IncomingBytes",
            Dimensions=[{"Name": "StreamName", "Value": stream.name}],
            StartTime=datetime.fromtimestamp(span.since_ms / 1000, UTC),
            EndTime=datetime.fromtimestamp(span.until_ms / 1000, UTC),
            Period=60 * ceil(minutes / _MAX_DATAPOINTS),
            Statistics=["Sum"],
        )
    except (BotoCoreError, ClientError):
        return 0.0
    size_bytes = float(sum(point["Sum"] for point in answer.get("Datapoints", ())))
    shards = len(stream.shards)
    # Each shard is read at READ_BYTES a second, up to MAX_CONCURRENT_READS shards at a time.
    seconds = ceil(shards / MAX_CONCURRENT_READS) * size_bytes / max(1, shards) / READ_BYTES
    if seconds > _ANNOUNCE_ABOVE_S:
        warn(
            f"reading {size_bytes / 1e6:,.0f} MB by CloudWatch, of {format_count(shards, 'shard')} at 1 MB a second "
            f"each: about {format_duration(seconds)}; Ctrl-C ends it, a later --since is quicker"
        )
    return size_bytes


class _Progress:
    """Progress of a reading, printed as a line every ten seconds.

    It estimates no remaining time: records are not spread evenly over a span, so an estimate would
    be a guess.
    """

    def __init__(self, span: Span, total_bytes: float) -> None:
        self._until_ms, self._total_bytes = span.until_ms, total_bytes
        self._due_s = time.monotonic() + _PROGRESS_INTERVAL_S
        self._reached_ms: dict[str, int] = {}
        self._records = self._size_bytes = 0

    def note(self, piece: Piece) -> None:
        """Count a piece, and print a line if one is due."""
        self._reached_ms[piece.shard.shard_id] = self._until_ms if piece.is_last else piece.reached_ms
        self._records += len(piece.records)
        self._size_bytes += piece.size_bytes
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + _PROGRESS_INTERVAL_S
        total = f" of about {self._total_bytes / 1e6:,.1f}" if self._total_bytes >= self._size_bytes else ""
        reached = iso(min(self._reached_ms.values()))
        warn(f"read {self._size_bytes / 1e6:,.1f}{total} MB, {self._records:,} records, all shards up to {reached}")
