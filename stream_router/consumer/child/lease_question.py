"""What a child asks AWS beside its calls with events: who sends it, and the one question about a lease."""

from collections.abc import Callable
from typing import Any

from stream_router.errors import Answer

Ask = Callable[[str, dict[str, Any], Callable[[Answer], None]], None]
"""Sends one call to Kinesis or DynamoDB: the operation, what is asked, who is told of the answer."""

LEASE = "GetItem"


def of_lease(table: str, shard_id: str) -> dict[str, Any]:
    """What LEASE asks for: the row of a shard's lease as it is now."""
    return {"TableName": table, "Key": {"leaseKey": {"S": shard_id}}, "ConsistentRead": True}
