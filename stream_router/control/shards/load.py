"""What each shard took in of late, found by reading it: Kinesis tells of single shards only where that is paid for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil
from typing import NamedTuple

from stream_router.control.shards.reshard import LEAST_SHARDS
from stream_router.control.stream.reader import Piece, Span
from stream_router.control.stream.shards import Shard

RECORDS_PER_S, BYTES_PER_S = 1_000, 1_000_000
"""What a shard takes (docs/facts.md, "Kinesis and SQS")."""

FULL, ROOMY = 0.8, 0.25
"""Shares of a limit: above the first a burst is refused, below the second half as many shards would do."""

WANTED = 0.5
"""The share that a reshard should lead to: room for a burst, and for a catch-up beside new events."""

_HASH_KEYS = 2**128


class Load(NamedTuple):
    """One shard's load. `keys` is its share of the hash keys, `share` of the limit that binds first."""

    shard_id: str
    keys: float
    records_per_s: float
    bytes_per_s: float

    @property
    def share(self) -> float:
        """0.0 idle, 1.0 full."""
        return max(self.records_per_s / RECORDS_PER_S, self.bytes_per_s / BYTES_PER_S)


def measure(pieces: Iterable[Piece], shards: Mapping[str, Shard], span: Span) -> list[Load]:
    """The loads of the open shards over the span. A Kinesis record counts once, however many user records are in it."""
    seconds = (span.until_ms - span.since_ms) / 1000
    records: Counter[str] = Counter()
    size: Counter[str] = Counter()
    latest: dict[str, int] = {}
    for piece in pieces:
        name = piece.shard.shard_id
        for record in piece.records:  # in the shard's order, so that those of one Kinesis record follow each other
            records[name] += record.position.sequence_number != latest.get(name)
            latest[name] = record.position.sequence_number
            size[name] += len(record.data)
    return [
        Load(
            shard.shard_id,
            (shard.last_hash_key - shard.first_hash_key + 1) / _HASH_KEYS,
            records[shard.shard_id] / seconds,
            size[shard.shard_id] / seconds,
        )
        for shard in shards.values()
        if shard.is_open
    ]


def advice(loads: list[Load], *, on_demand: bool = False) -> str:
    """What to do, in one sentence. Nobody but Kinesis reshards a stream that is `on_demand`."""
    hottest = max(loads, key=lambda load: load.share)
    total = sum(load.share for load in loads)
    mean = total / len(loads)
    if hottest.share >= FULL and hottest.share > 2 * mean:
        return (
            f"{hottest.shard_id} is far fuller than the others: more shards help only where its load comes from many "
            "conversations (STREAM_ROUTER_BUCKETS, at least 4 for each shard)"
        )
    if on_demand:
        return "the stream is on demand: Kinesis adds shards, and takes them away, by itself"
    if hottest.share >= FULL:
        return f"nearly full: `stream-router shards --to {max(len(loads) + 1, ceil(total / WANTED))}`"
    if len(loads) > LEAST_SHARDS and hottest.share < ROOMY:
        return f"half as many shards would do at this load: `stream-router shards --to {ceil(len(loads) / 2)}`"
    return "nothing to do"
