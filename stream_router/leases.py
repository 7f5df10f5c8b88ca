"""The shards of the stream, and the leases of the KCL on them: one model, parsed here alone.

A client is an argument. A command, the supervisor and the checks at start read the same two types.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Position(NamedTuple):
    """A position in a shard, or one of the KCL's words for one.

    It compares as the KCL's `ExtendedSequenceNumber`.
    """

    sequence_number: int
    sub_sequence_number: int

    def __str__(self) -> str:
        return f"{self.sequence_number}.{self.sub_sequence_number}"


AT_TIMESTAMP = Position(-3, 0)
TRIM_HORIZON = Position(-2, 0)
LATEST = Position(-1, 0)
SHARD_END = Position(10**129, 0)
"""Greater than any sequence number, which has at most 129 digits (model `kinesis`, SequenceNumber)."""

_WORDS = {"AT_TIMESTAMP": AT_TIMESTAMP, "TRIM_HORIZON": TRIM_HORIZON, "LATEST": LATEST, "SHARD_END": SHARD_END}


class Shard(NamedTuple):
    """A shard: its parents (one after a split, two after a merge), its range of hash keys, and whether it is open."""

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    is_open: bool

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Return the shard in a row of ListShards."""
        parents = tuple(row[name] for name in ("ParentShardId", "AdjacentParentShardId") if row.get(name))
        keys = row["HashKeyRange"]
        is_open = "EndingSequenceNumber" not in row["SequenceNumberRange"]
        return cls(row["ShardId"], parents, int(keys["StartingHashKey"]), int(keys["EndingHashKey"]), is_open)


class Lease(NamedTuple):
    """A shard's row in the lease table."""

    shard_id: str
    checkpoint: Position
    owner: str = ""
    """Name of the worker that holds the lease; "" if none does."""
    counter: int = 0
    """Number that the owner increases several times a minute, whenever it renews the lease."""
    checkpoint_owner: str = ""
    """The worker that reads the shard during a hand-over, until its child has checkpointed; "" at other times.

    If the hand-over is never finished, this worker continues to renew the lease, so that the counter moves although
    nobody reads (KCL 3.5.1).
    """
    sequence_number: str = ""
    """The checkpoint's sequence number as the row has it.

    An emulator may write leading zeros, and accepts no other form.
    """

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self | None:
        """Return the lease in a row of the table; None if the row is no lease, or one of a multi-stream worker.

        A row without a readable checkpoint counts as no lease: the KCL writes no such row (docs/facts.md, "KCL").

        KCL 3.5 keeps its leader, its migrations and its workers' figures in the same table, each with an `entityType`
        of its own (source: `DynamoDBLeaseSerializer` and `EntityType` of KCL 3.5.1).
        """
        if row.get("entityType", {}).get("S", "LEASE") != "LEASE" or "streamName" in row:
            return None
        names = ("leaseKey", "checkpoint", "leaseOwner", "checkpointOwner")
        shard_id, number, owner, checkpoint_owner = (row.get(name, {}).get("S", "") for name in names)
        try:
            counter, sub_number = (
                int(row.get(name, {}).get("N", "0")) for name in ("leaseCounter", "checkpointSubSequenceNumber")
            )
            checkpoint = _WORDS.get(number) or Position(int(number), sub_number)
        except ValueError:
            return None
        return cls(shard_id, checkpoint, owner, counter, checkpoint_owner, number)


def list_shards(kinesis: Any, stream: str, **wanted: Any) -> Iterator[Shard]:
    """Yield every shard, including closed shards that still keep records. `wanted` is a filter of ListShards.

    botocore's own paginator sends the stream's name beside a page's token, and so fails from the second page on
    (boto/botocore#2009); a page has 1,000 shards. Raises what the client raises.
    """
    page = kinesis.list_shards(StreamName=stream, **wanted)
    yield from map(Shard.parse, page["Shards"])
    while token := page.get("NextToken"):
        page = kinesis.list_shards(NextToken=token)
        yield from map(Shard.parse, page["Shards"])


def scan_leases(dynamodb: "DynamoDBClient", table: str, *, consistent: bool) -> dict[str, Lease]:
    """Return all leases of a table by shard id. A `consistent` read costs twice as much.

    Raises what the client raises.
    """
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=consistent)
    leases = [Lease.parse(row) for page in pages for row in page["Items"]]
    return {lease.shard_id: lease for lease in leases if lease}
