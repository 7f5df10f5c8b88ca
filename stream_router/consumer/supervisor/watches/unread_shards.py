"""Which shards of the stream nobody reads, from the stream's shards and two looks at the lease table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

SHARD_END = "SHARD_END"
"""The KCL's checkpoint of a shard that was read to its end."""

NO_OWNER, STANDS_STILL = "no owner", "lease does not move"


class UnreadShard(NamedTuple):
    """A shard that nobody reads, why, and since when at the latest (epoch seconds)."""

    shard: str
    why: str
    since_s: float


def text_of(row: Mapping[str, Any], name: str) -> str:
    """An attribute of an item, whichever type it has; "" where there is none."""
    return str(next(iter(row.get(name, {"S": ""}).values())))


class StreamShard(NamedTuple):
    """A shard as the stream tells it."""

    shard_id: str
    parents: tuple[str, ...]
    closed: bool

    @classmethod
    def of(cls, shard: Mapping[str, Any]) -> Self:
        """From a row of ListShards."""
        parents = tuple(shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name))
        return cls(shard["ShardId"], parents, "EndingSequenceNumber" in shard["SequenceNumberRange"])


class Lease(NamedTuple):
    """A shard's row in the lease table."""

    owner: str
    counter: str
    """Whoever holds the lease renews it several times a minute, and counts."""
    checkpoint: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From an item of the table; "" for what it does not have."""
        return cls(text_of(row, "leaseOwner"), text_of(row, "leaseCounter"), text_of(row, "checkpoint"))


class Look(NamedTuple):
    """What one look found, and when (epoch seconds)."""

    at_s: float
    shards: Sequence[StreamShard]
    leases: Mapping[str, Lease]


def unread(now: Look, before: Look | None) -> list[UnreadShard]:
    """The shards that nobody reads. It takes two looks: a lease may be without an owner while it changes hands."""
    if before is None:
        return []
    orphans = set(without_owner(before))
    found = [UnreadShard(shard, NO_OWNER, before.at_s) for shard in without_owner(now) if shard in orphans]
    ours = {shard.shard_id for shard in now.shards}
    for shard, lease in now.leases.items():
        if lease.owner and lease.checkpoint != SHARD_END and before.leases.get(shard) == lease and shard in ours:
            found.append(UnreadShard(shard, STANDS_STILL, before.at_s))
    return sorted(found)


def without_owner(look: Look) -> list[str]:
    """Shards that are to be read now and have no owner, by one look. `doctor` asks this too."""
    by_id = {shard.shard_id: shard for shard in look.shards}
    children: dict[str, list[str]] = {}
    for shard in look.shards:
        for parent in shard.parents:
            children.setdefault(parent, []).append(shard.shard_id)
    # Children have higher numbers than their parents, so that what came of them is known first.
    begun: set[str] = set()
    for name in sorted(by_id, reverse=True):
        if name in look.leases or any(child in begun for child in children.get(name, [])):
            begun.add(name)
    waiting = _waiting(by_id, look)
    found = []
    for shard in look.shards:
        lease = look.leases.get(shard.shard_id)
        if lease is None:
            # Without a lease: read to its end and its lease removed, or not yet to be read, or forgotten.
            is_done = shard.closed and shard.shard_id in begun
            if not is_done and shard.shard_id not in waiting:
                found.append(shard.shard_id)
        elif not lease.owner and lease.checkpoint != SHARD_END:
            found.append(shard.shard_id)
    return found


def _waiting(by_id: Mapping[str, StreamShard], look: Look) -> set[str]:
    """Shards before which something is still read: their leases are made when their parents are at their ends."""
    waiting: set[str] = set()
    for name in sorted(by_id):  # parents have lower numbers, so each is known before its children
        parents = [parent for parent in by_id[name].parents if parent in by_id]
        if any(_is_under_way(one, look) or (one not in look.leases and one in waiting) for one in parents):
            waiting.add(name)
    return waiting


def _is_under_way(parent: str, look: Look) -> bool:
    """Whether a parent is not read to its end: its children are not read before, and its own state tells of it."""
    lease = look.leases.get(parent)
    return lease is not None and lease.checkpoint != SHARD_END
