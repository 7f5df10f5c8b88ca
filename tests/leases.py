"""A stream with its lease table, in the fake AWS, as the KCL's workers leave them."""

from collections.abc import Collection, Mapping
from typing import Any

from stream_router.consumer.supervisor.stream_watch import StreamWatch
from tests.fakeaws.in_process import InProcess


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


class LeasedStream(InProcess):
    """A stream of shards with their parents, its lease table by key, and the supervisor's watch over both."""

    now_s = 1_000_000.0

    def __init__(self, parents: Mapping[str, Collection[str]]) -> None:
        super().__init__()
        self.kinesis.shards.arrange(parents)
        self.dynamodb.page = 1_000
        metrics = {"leaseKey": {"S": "worker-1"}, "entityType": {"S": "WORKER_METRICS"}}
        self.rows = self.dynamodb.rows["table"] = {"worker-1": metrics}
        clients = self.clients
        self.watched = StreamWatch(clients.kinesis, clients.dynamodb, "stream", "table", 10.0, lambda: self.now_s)

    def lease(self, shard: str, owner: str = "", counter: int = 1, checkpoint: str = "1", before: str = "") -> None:
        """Write a shard's lease; `before` is the worker that has not handed it over."""
        self.rows[shard] = lease_row(shard, checkpoint, owner, counter, before)

    def renew(self, *shards: str) -> None:
        """Increase the counters of leases, as their owners do."""
        for shard in shards:
            counter = self.rows[shard]["leaseCounter"]
            counter["N"] = str(int(counter["N"]) + 1)
