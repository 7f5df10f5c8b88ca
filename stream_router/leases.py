"""Shards of the stream, and the leases that the KCL keeps on them in DynamoDB. Nothing else parses these rows.

Commands, the supervisor and the checks at start all use the types `Shard` and `Lease`. The callers supply the clients.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Position(NamedTuple):
    """A position in a shard, or one of the KCL's special positions below.

    Positions compare in the same order as the KCL's `ExtendedSequenceNumber`.
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

_SPECIAL_POSITIONS = {
    "AT_TIMESTAMP": AT_TIMESTAMP,
    "TRIM_HORIZON": TRIM_HORIZON,
    "LATEST": LATEST,
    "SHARD_END": SHARD_END,
}


class Shard(NamedTuple):
    """A shard: its parents (one after a split, two after a merge), its range of hash keys, and whether it is open.

    An open shard still takes records. A closed one keeps its records until the stream's retention ends.
    """

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    is_open: bool

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Return the shard that one element of the ListShards answer describes."""
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
    """Number that the owner increases whenever it renews the lease, several times a minute."""
    checkpoint_owner: str = ""
    """Worker that still reads the shard during a hand-off, until its child has checkpointed; "" at other times.

    If the hand-off is never finished, this worker continues to renew the lease. Then the counter increases although
    nobody reads the shard (KCL 3.5.1).
    """
    sequence_number: str = ""
    """The checkpoint's sequence number exactly as the row has it.

    An emulator may write leading zeros, and then accepts the number only with them.
    """

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self | None:
        """Return the lease in a row of the table; None if the row is not a lease of a single-stream worker.

        KCL 3.5 also keeps its leader lock, its migration state and its workers' metrics in this table. Their rows have
        another `entityType` (source: `DynamoDBLeaseSerializer` and `EntityType` of KCL 3.5.1). A row without a readable
        checkpoint is not a lease either: the KCL writes no such row (docs/facts.md, "KCL").
        """
        if row.get("entityType", {}).get("S", "LEASE") != "LEASE" or "streamName" in row:
            return None
        text_columns = ("leaseKey", "checkpoint", "leaseOwner", "checkpointOwner")
        shard_id, sequence_number, owner, checkpoint_owner = (row.get(name, {}).get("S", "") for name in text_columns)
        try:
            counter = int(row.get("leaseCounter", {}).get("N", "0"))
            sub_sequence_number = int(row.get("checkpointSubSequenceNumber", {}).get("N", "0"))
            checkpoint = _SPECIAL_POSITIONS.get(sequence_number) or Position(int(sequence_number), sub_sequence_number)
        except ValueError:
            return None
        return cls(shard_id, checkpoint, owner, counter, checkpoint_owner, sequence_number)


def list_shards(kinesis: Any, stream: str, **parameters: Any) -> Iterator[Shard]:
    """Yield every shard, including closed shards that still keep records. Raise what the client raises.

    `parameters` are added to the first ListShards call, for example `ShardFilter={"Type": "AT_TRIM_HORIZON"}`.
    botocore's paginator is not used: it sends the stream's name together with a page's token, which Kinesis refuses
    from the second page of 1,000 shards on (boto/botocore#2009).
    """
    page = kinesis.list_shards(StreamName=stream, **parameters)
    yield from map(Shard.parse, page["Shards"])
    while token := page.get("NextToken"):
        page = kinesis.list_shards(NextToken=token)
        yield from map(Shard.parse, page["Shards"])


def scan_leases(dynamodb: "DynamoDBClient", table: str, *, consistent: bool) -> dict[str, Lease]:
    """Return all leases of a table by shard id. Raise what the client raises. A consistent read costs twice as much."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=consistent)
    leases = [Lease.parse(row) for page in pages for row in page["Items"]]
    return {lease.shard_id: lease for lease in leases if lease}
