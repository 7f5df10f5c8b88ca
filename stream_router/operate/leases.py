"""Reader of the KCL's lease table: the checkpoint and the owner of each shard.

Rows of other kinds are skipped: KCL 3.5 keeps its leader, its migrations and its workers' figures
in the same table, each with an `entityType` of its own (source: `DynamoDBLeaseSerializer` and
`EntityType` of KCL 3.5.1).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws_error_codes import ABSENT, code_of
from stream_router.checks import failure_of
from stream_router.operate.stream import SHARD_END, TRIM_HORIZON, Position, Shard, parse_position

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class LeasesError(Exception):
    """The lease table cannot be read, so checkpoints are unknown.

    The text is one line with problem and cure.
    """

    def __init__(self, problem: str, cure: str, code: str = "") -> None:
        super().__init__(f"{problem}; {cure}")
        self.problem = problem
        self.cure = cure
        self.code = code
        """AWS's error code; one of `aws_error_codes.ABSENT` if there is no such table."""


class Lease(NamedTuple):
    """Lease of a shard: checkpoint, owner ("" if it has none), and the number of renewals."""

    shard_id: str
    checkpoint: Position
    owner: str
    counter: int
    checkpoint_owner: str = ""
    """Worker that is handing the lease over to `owner`; "" if none is."""
    sequence_number: str = ""
    """The checkpoint as its row has it.

    An emulator may write leading zeros, and accepts no other form.
    """


def read(dynamodb: "DynamoDBClient", application: str) -> dict[str, Lease]:
    """Return the leases of `application` by shard id. Raises LeasesError."""
    try:
        pages = dynamodb.get_paginator("scan").paginate(TableName=application, ConsistentRead=True)
        leases = [lease for page in pages for row in page["Items"] if (lease := parse_lease(row))]
    except (BotoCoreError, ClientError) as error:
        code = code_of(error)
        if code in ABSENT:
            why = "no consumer of this name has run, or it was deleted"
            problem = f"there is no lease table {application}: {why}"
            raise LeasesError(problem, "see STREAM_ROUTER_APPLICATION", code) from None
        failure, what_to_do = failure_of(error)
        raise LeasesError(f"the lease table {application} cannot be read{failure}", what_to_do, code) from None
    return {lease.shard_id: lease for lease in leases}


def parse_lease(row: Mapping[str, Any]) -> Lease | None:
    """Return the lease in a row of the table; None if the row is no lease, or one of a multi-stream worker."""
    kind = row.get("entityType", {}).get("S", "LEASE")
    checkpoint = row.get("checkpoint", {}).get("S")
    if kind != "LEASE" or checkpoint is None or "streamName" in row:
        return None
    try:
        position = parse_position(checkpoint, int(row.get("checkpointSubSequenceNumber", {}).get("N", "0")))
    except ValueError:
        return None
    counter = int(row.get("leaseCounter", {}).get("N", "0"))
    owner, checkpoint_owner = (row.get(name, {}).get("S", "") for name in ("leaseOwner", "checkpointOwner"))
    return Lease(row["leaseKey"]["S"], position, owner, counter, checkpoint_owner, checkpoint)


def checkpoints(leases: Mapping[str, Lease], shards: Mapping[str, Shard]) -> dict[str, Position]:
    """Return the checkpoint of each shard; SHARD_END for finished shards whose lease is deleted.

    The KCL deletes the lease of a shard that was read to its end once reading of a child has begun.
    So a shard without a lease is settled if a descendant has a checkpoint. Any other shard without
    a lease is one that no worker has begun.
    """
    at = {name: lease.checkpoint for name, lease in leases.items() if name in shards}
    done: set[str] = set()
    above = [
        parent for name, checkpoint in at.items() if checkpoint.sequence_number >= 0 for parent in shards[name].parents
    ]
    while above:
        name = above.pop()
        if name in shards and name not in at and name not in done:
            done.add(name)
            above += shards[name].parents
    return {name: at.get(name, SHARD_END if name in done else TRIM_HORIZON) for name in shards}
