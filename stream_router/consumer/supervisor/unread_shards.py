"""Shards that nobody reads: without an owner in the lease table, or with a lease that does not move."""

from typing import NamedTuple


class UnreadShard(NamedTuple):
    """A shard that nobody reads, why, and since when (epoch seconds)."""

    shard: str
    why: str
    since_s: float


Unread = list[UnreadShard] | None
"""None where it could not be asked."""

NOT_ASKED: Unread = None
