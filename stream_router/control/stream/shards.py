"""The shards of a stream, closed ones too, and which must be read before which."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.clients import shards_of
from stream_router.errors import ABSENT, CREDENTIALS_OVER, code_of, cure
from stream_router.process import iso

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

_HOUR_MS = 3_600_000


class UnreadableError(Exception):
    """The stream cannot be read, so nothing can be said of it; its text is one line with the cure."""


class TooOldError(UnreadableError):
    """The stream does not reach back so far, but to `oldest_ms` (epoch ms)."""

    def __init__(self, text: str, oldest_ms: int) -> None:
        super().__init__(text)
        self.oldest_ms = oldest_ms


class Shard(NamedTuple):
    """One shard: its parents (one after a split, two after a merge), its range of hash keys, whether it is open."""

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    is_open: bool


class Stream(NamedTuple):
    """A stream as it stood when it was asked for: how far back it reaches (epoch ms), how long it keeps a record."""

    name: str
    arn: str
    shards: Mapping[str, Shard]
    oldest_ms: int
    on_demand: bool = False
    keeps_ms: float = inf


def describe(kinesis: "KinesisClient", name: str, since_ms: int, now_ms: int) -> Stream:
    """The stream, with the shards that can hold records of `since_ms` or later.

    Raises TooOldError where retention does not reach back so far, else UnreadableError.
    """
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        keeps_ms = summary["RetentionPeriodHours"] * _HOUR_MS
        oldest_ms = now_ms - keeps_ms
        if since_ms < oldest_ms:
            hours = summary["RetentionPeriodHours"]
            raise TooOldError(
                f"--since is older than what stream {name} keeps ({hours} hours): nothing before {iso(oldest_ms)} "
                "can be read; give a later --since",
                oldest_ms,
            )
        shards = _listed(kinesis, name, since_ms)
    except ClientError as error:
        raise UnreadableError(why_unreadable(name, code_of(error))) from None
    except BotoCoreError as error:
        raise UnreadableError(f"stream {name} cannot be read: {error}") from None
    mode = summary.get("StreamModeDetails", {}).get("StreamMode")
    return Stream(name, summary["StreamARN"], shards, oldest_ms, mode == "ON_DEMAND", keeps_ms)


def why_unreadable(name: str, code: str) -> str:
    """What an error code of Kinesis means to an operator."""
    if code in ABSENT:
        return f"there is no stream {name} in this region and account; see STREAM_ROUTER_STREAM and AWS_REGION"
    if code in CREDENTIALS_OVER:
        return f"stream {name} cannot be read ({code}): {cure(code)}, then try again"
    return (
        f"stream {name} cannot be read ({code}); these credentials need kinesis:DescribeStreamSummary, ListShards, "
        "GetShardIterator and GetRecords on it"
    )


def _listed(kinesis: "KinesisClient", name: str, since_ms: int) -> dict[str, Shard]:
    """All that have records since then."""
    at = datetime.fromtimestamp(since_ms / 1000, UTC)
    listed = shards_of(kinesis, name, ShardFilter={"Type": "FROM_TIMESTAMP", "Timestamp": at})
    return {shard.shard_id: shard for shard in map(_shard, listed)}


def _shard(one: Any) -> Shard:
    parents = tuple(name for name in (one.get("ParentShardId"), one.get("AdjacentParentShardId")) if name)
    keys = one["HashKeyRange"]
    is_open = "EndingSequenceNumber" not in one["SequenceNumberRange"]
    return Shard(one["ShardId"], parents, int(keys["StartingHashKey"]), int(keys["EndingHashKey"]), is_open)


def ready(shards: Mapping[str, Shard], ended: set[str], begun: set[str]) -> list[Shard]:
    """The shards that may be read now: those whose parents, as far as they are still there, are read to their end."""
    return [
        shard
        for shard in shards.values()
        if shard.shard_id not in begun and all(parent in ended or parent not in shards for parent in shard.parents)
    ]
