"""A stream in memory, as boto3's client shows one: shards with parents, records with arrival times, refusals by script.

`clients` hands it out in place of `aws.clients.Clients`; `quick` makes a reading of it wait for nothing.
"""

import itertools
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from stream_router.aws_error_codes import code_of
from stream_router.leases import Shard
from stream_router.operate import stream as stream_module
from stream_router.operate import stream_writer
from stream_router.operate.stream import StreamDescription

TOP = 2**128 - 1


def refusal(code: str, status: int = 400, operation: str = "GetRecords") -> ClientError:
    """What boto3 raises where AWS says no."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)  # type: ignore[typeddict-item]


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pace and no backoff; what is given up after a time is given up at once."""
    monkeypatch.setattr(stream_module, "READ_INTERVAL_S", 0.0)
    for module in (stream_module, stream_writer):
        monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.0)


class Kept(NamedTuple):
    """One record of a shard."""

    number: int
    arrived_at_ms: int
    data: bytes = b""


class Shelf:
    """`parents` says each shard's parents; `open` are those that are not closed; `kept` each one's records, in order.

    `refuse` is asked at each call of an operation on a shard and gives what is raised, or None. `most` bounds a read.
    """

    def __init__(self, parents: Mapping[str, tuple[str, ...]], open_: set[str]) -> None:
        self.parents, self.open = dict(parents), open_
        self.kept: dict[str, list[Kept]] = {name: [] for name in parents}
        self.refuse: Callable[[str, str], Exception | None] = lambda _operation, _shard: None
        self.most: Callable[[int], int] = lambda limit: limit
        self.says_end_late: Callable[[], bool] = lambda: False
        self.reads: list[tuple[str, int]] = []
        """Each read: its shard, its bytes."""
        self._expired, self._serial = set[str](), itertools.count()
        self._lock = threading.Lock()

    @property
    def stream(self) -> StreamDescription:
        """The stream as `describe` would tell it."""
        return StreamDescription(
            "s", {name: Shard(name, of, 0, TOP, name in self.open) for name, of in self.parents.items()}
        )

    @property
    def clients(self) -> Any:
        """In place of `Clients`; CloudWatch says nothing."""

        def unknown(**_: Any) -> Any:
            raise refusal("AccessDenied")

        return SimpleNamespace(
            kinesis=self, kinesis_without_retries=self, cloudwatch=SimpleNamespace(get_metric_statistics=unknown)
        )

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        """A place in a shard, as a text."""
        kept = self.kept[asked["ShardId"]]
        if at := asked.get("Timestamp"):
            wanted = [item.arrived_at_ms >= int(at.timestamp() * 1000) for item in kept]
        else:
            first = int(asked["StartingSequenceNumber"]) + (asked["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER")
            wanted = [item.number >= first for item in kept]
        at_index = wanted.index(True) if any(wanted) else len(kept)
        return {"ShardIterator": f"{asked['ShardId']} {at_index} {next(self._serial)}"}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - the API's own names
        """The next records of a shard."""
        name, at, _ = ShardIterator.split()
        with self._lock:
            error = self.refuse("GetRecords", name)
            if ShardIterator in self._expired:
                error = refusal("ExpiredIteratorException")
            if error:
                if code_of(error) == "ExpiredIteratorException":
                    self._expired.add(ShardIterator)
                raise error
            result = self.kept[name][int(at) : int(at) + self.most(Limit)]
            self.reads.append((name, sum(len(item.data) for item in result)))
            reached = int(at) + len(result)
            is_tip = reached == len(self.kept[name])
            goes_on = not is_tip or name in self.open or self.says_end_late()
        records = [
            {
                "Data": item.data,
                "PartitionKey": "",
                "SequenceNumber": str(item.number),
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(item.arrived_at_ms / 1000, UTC),
            }
            for item in result
        ]
        more = {"NextShardIterator": f"{name} {reached} {next(self._serial)}"} if goes_on else {}
        return {"Records": records, "MillisBehindLatest": 0 if is_tip else 9, **more}


class Puts:
    """A stream that takes PutRecords. `judge` says of each record why it is refused ("": stored); it may raise.

    `stored` are the lines of the records in the order in which they were stored.
    """

    def __init__(self, judge: Callable[[int], str] = lambda _: "") -> None:
        self.stored: list[bytes] = []
        self.calls: list[list[dict[str, Any]]] = []
        self._judge = judge
        self.loses_answer: Callable[[], bool] = lambda: False

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Store what the judge lets through."""
        self.calls.append(Records)
        results: list[dict[str, Any]] = []
        for at, record in enumerate(Records):
            if code := self._judge(at):
                results.append({"ErrorCode": code, "ErrorMessage": "no"})
                continue
            self.stored += record["Data"].split(b"\n")
            results.append({"SequenceNumber": str(len(self.stored)), "ShardId": "shard-1"})
        if self.loses_answer():
            raise refusal("InternalFailure", 500, "PutRecords")
        return {"Records": results, "FailedRecordCount": sum("ErrorCode" in result for result in results)}
