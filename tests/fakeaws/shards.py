"""The shards of the one stream: what each takes in a second, and, where the plan says so, what it keeps to be read."""

import bisect
import hashlib
import itertools
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

from tests.fakeaws.call import Document
from tests.fakeaws.wire import Refusal

WRITES_PER_S = 1_000
WRITE_BYTES_PER_S = 1_048_576
READS_PER_S = 5
READ_BYTES_PER_S = 2_000_000
"""Source: Kinesis developer guide, quotas. A read may be larger than what a second gives: then the shard rests."""

HASH_KEYS = 2**128

sequence_numbers = itertools.count(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898)


class Kept(NamedTuple):
    """A record that can be read again. `arrived_s` is epoch seconds."""

    sequence_number: int
    arrived_s: float
    data: str
    partition_key: str
    size: int


class Budget:
    """So many tokens a second, at most one second's worth saved up."""

    def __init__(self, per_s: float) -> None:
        self._per_s = self._left = per_s
        self._at = time.monotonic()

    @property
    def left(self) -> float:
        """Tokens that are there now; below zero where more was taken than there was."""
        now = time.monotonic()
        self._left = min(self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        return self._left

    def take(self, tokens: float) -> None:
        """Take them, even beyond what is there."""
        self._left -= tokens


class Shard:
    """One shard: its range of hash keys, both ends included, and its parents' names."""

    def __init__(self, number: int, first: int, last: int, *parents: str) -> None:
        self.name = f"shardId-{number:012d}"
        self.first, self.last, self.parents = first, last, [*parents]
        self.writes, self.written = Budget(WRITES_PER_S), Budget(WRITE_BYTES_PER_S)
        self.reads, self.read_bytes = Budget(READS_PER_S), Budget(READ_BYTES_PER_S)
        self.records: list[Kept] = []
        self.closed_s: float | None = None
        self.children: list[Shard] = []
        self.begun = next(sequence_numbers)
        self.ended = 0

    @property
    def hash_keys(self) -> Document:
        return {"StartingHashKey": str(self.first), "EndingHashKey": str(self.last)}

    def takes(self, size: int) -> bool:
        """Whether it takes a record of this size now."""
        if self.writes.left < 1 or self.written.left < size:
            return False
        self.writes.take(1)
        self.written.take(size)
        return True

    def close(self, *children: "Shard") -> None:
        """No record comes any more; these have its range from now on."""
        self.closed_s = time.time()
        self.ended = next(sequence_numbers)
        self.children = [*children]


class Shards:
    """The shards of a stream: equal ranges of hash keys, until some are split or merged."""

    def __init__(self, count: int) -> None:
        # Rounded down, as in the answer that the AWS CLI's reference gives for list-shards of three shards.
        edges = [at * HASH_KEYS // count for at in range(count + 1)]
        self.count = count
        self.all = [Shard(number, edges[number], edges[number + 1] - 1) for number in range(count)]
        self._index()

    def arrange(self, parents: Mapping[str, Collection[str]], closed: Collection[str] = ()) -> None:
        """Replace all shards by these, each with its parents, over the whole range of hash keys."""
        self.all = []
        for name, of in parents.items():
            shard = Shard(0, 0, HASH_KEYS - 1, *of)
            shard.name = name
            if name in closed:
                shard.close()
            self.all.append(shard)
        self._index()

    def _index(self) -> None:
        self._open = sorted((shard for shard in self.all if shard.closed_s is None), key=lambda shard: shard.first)
        self._first = [shard.first for shard in self._open]

    @property
    def open_count(self) -> int:
        """How many take records."""
        return len(self._open)

    def of(self, partition_key: str, explicit: str | None) -> Shard:
        """Where a record falls: by its explicit hash key, or the MD5 of its partition key."""
        hashed = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
        key = int(explicit) if explicit is not None else int.from_bytes(hashed, "big")
        return self._open[bisect.bisect_right(self._first, key) - 1]

    def named(self, name: object) -> Shard | None:
        """The shard of that name."""
        return next((shard for shard in self.all if shard.name == name), None)

    def split(self, shard: Shard, at: int) -> Refusal | None:
        """Close the shard; two others have its range, the second from the hash key `at` on."""
        if shard.closed_s is not None or not shard.first < at <= shard.last:
            return Refusal("InvalidArgumentException", "The shard is closed, or the hash key is not within its range.")
        number = len(self.all)
        low = Shard(number, shard.first, at - 1, shard.name)
        high = Shard(number + 1, at, shard.last, shard.name)
        shard.close(low, high)
        self.all += [low, high]
        self._index()
        return None

    def merge(self, item: Shard, other: Shard) -> Refusal | None:
        """Close both; one other has their range."""
        low, high = sorted((item, other), key=lambda shard: shard.first)
        if low.closed_s is not None or high.closed_s is not None or low.last + 1 != high.first:
            return Refusal("InvalidArgumentException", "The shards are closed, or not adjacent.")
        merged = Shard(len(self.all), low.first, high.last, item.name, other.name)
        low.close(merged)
        high.close(merged)
        self.all.append(merged)
        self._index()
        return None
