"""Rows as ListShards and the KCL's lease table have them."""

from typing import Any


def listed_shard(name: str, *parents: str, is_open: bool = True) -> dict[str, Any]:
    """Return a row of ListShards."""
    numbers = {"StartingSequenceNumber": "1"} | ({} if is_open else {"EndingSequenceNumber": "9"})
    names = dict(zip(("ParentShardId", "AdjacentParentShardId"), parents, strict=False))
    keys = {"StartingHashKey": "0", "EndingHashKey": "9"}
    return {"ShardId": name, "HashKeyRange": keys, "SequenceNumberRange": numbers, **names}


def lease_row(
    shard: str, checkpoint: str = "123", owner: str = "worker-1", counter: int = 1, checkpoint_owner: str = ""
) -> dict[str, Any]:
    """Return a row of the lease table. It lacks the attributes that are empty, as the KCL's rows do."""
    texts = {"leaseKey": shard, "checkpoint": checkpoint, "leaseOwner": owner, "checkpointOwner": checkpoint_owner}
    return {name: {"S": text} for name, text in texts.items() if text} | {"leaseCounter": {"N": str(counter)}}
