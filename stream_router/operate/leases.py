"""The operators' reader of the KCL's lease table: the checkpoint of each shard, or why it is unknown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws_error_codes import ABSENT, code_of
from stream_router.checks import describe_failure
from stream_router.leases import SHARD_END, TRIM_HORIZON, Lease, Position, Shard, scan_leases

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


def read(dynamodb: "DynamoDBClient", application: str) -> dict[str, Lease]:
    """Return the leases of `application` by shard id. Raises LeasesError."""
    try:
        return scan_leases(dynamodb, application, consistent=True)
    except (BotoCoreError, ClientError) as error:
        code = code_of(error)
        if code in ABSENT:
            why = "no consumer of this name has run, or it was deleted"
            problem = f"there is no lease table {application}: {why}"
            raise LeasesError(problem, "see STREAM_ROUTER_APPLICATION", code) from None
        failure, what_to_do = describe_failure(error)
        raise LeasesError(f"the lease table {application} cannot be read{failure}", what_to_do, code) from None


def checkpoints(leases: Mapping[str, Lease], shards: Mapping[str, Shard]) -> dict[str, Position]:
    """Return the checkpoint of each of `shards`, by shard id.

    A shard may have no lease. The KCL deletes the lease of a shard that was read to its end, once the reading of a
    shard that it was split or merged into has begun. So a shard without a lease gets SHARD_END if one of its
    descendants has a position or SHARD_END as checkpoint. Any other shard without a lease gets TRIM_HORIZON: no worker
    has begun it.
    """
    at = {name: lease.checkpoint for name, lease in leases.items() if name in shards}
    done: set[str] = set()
    above = [  # ancestors of shards whose reading has begun (-1 and below: the KCL's words for a beginning)
        parent for name, checkpoint in at.items() if checkpoint.sequence_number >= 0 for parent in shards[name].parents
    ]
    while above:
        name = above.pop()
        if name in shards and name not in at and name not in done:
            done.add(name)
            above += shards[name].parents
    return {name: at.get(name, SHARD_END if name in done else TRIM_HORIZON) for name in shards}
