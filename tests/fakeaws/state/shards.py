"""The shards of the one stream: what each takes in a second, and, where the plan says so, what it keeps to be read."""

import bisect
import hashlib
import itertools
import time
from typing import NamedTuple

from tests.fakeaws.call import ACCEPTED, Call, Item, Refusal

WRITES_PER_S = 1_000
WRITE_BYTES_PER_S = 1_048_576
READS_PER_S = 5
READ_BYTES_PER_S = 2_000_000
"""Source: Kinesis developer guide, quotas. A read may be larger than what a second gives: then the shard rests."""

HASH_KEYS = 2**128

_sequence_numbers = itertools.count(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898)


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


def _name(number: int) -> str:
    return f"shardId-{number:012d}"


class Shard:
    """One shard: its range of hash keys, both ends included, and its parents' numbers."""

    def __init__(self, number: int, first: int, last: int, parents: tuple[int, ...] = ()) -> None:
        self.number, self.first, self.last, self.parents = number, first, last, parents
        self.writes, self.written = Budget(WRITES_PER_S), Budget(WRITE_BYTES_PER_S)
        self.reads, self.read_bytes = Budget(READS_PER_S), Budget(READ_BYTES_PER_S)
        self.records: list[Kept] = []
        self.closed_s: float | None = None
        self.children: list[Shard] = []
        self.begun = next(_sequence_numbers)
        self.ended = 0

    @property
    def name(self) -> str:
        return _name(self.number)

    @property
    def parent_names(self) -> list[str]:
        return [_name(number) for number in self.parents]

    def takes(self, size: int) -> bool:
        """Whether it takes a record of this size now."""
        if self.writes.left < 1 or self.written.left < size:
            return False
        self.writes.take(1)
        self.written.take(size)
        return True

    def close(self, children: "list[Shard]") -> None:
        """No record comes any more; these have its range from now on."""
        self.closed_s = time.time()
        self.ended = next(_sequence_numbers)
        self.children = children


class Shards:
    """The shards of a stream: equal ranges of hash keys, until some are split or merged."""

    def __init__(self, count: int, *, limited: bool) -> None:
        self.all: list[Shard] = []
        self.count = count
        self.limited = limited
        self.keeps = False
        self.offset_s = 0.0
        self._first: list[int] = []
        self._open: list[Shard] = []
        for number in range(count):
            # Rounded up: the last key of a range is the last that the quotient rounds down to its number.
            first, beyond = (-(-at * HASH_KEYS // count) for at in (number, number + 1))
            self.all.append(Shard(number, first, beyond - 1))
        self._index()

    def _index(self) -> None:
        self._open = sorted((shard for shard in self.all if shard.closed_s is None), key=lambda shard: shard.first)
        self._first = [shard.first for shard in self._open]

    def accept(self, call: Call) -> None:
        """Store every record that is not refused, unless its shard has had enough this second."""
        for item in call.items:
            if item.verdict != ACCEPTED:
                continue
            shard = self._of(item)
            if self.limited and not shard.takes(item.size):
                item.refuse("ProvisionedThroughputExceededException", rate_exceeded(shard, call.target))
                continue
            number = next(_sequence_numbers)
            if self.keeps:
                at_s = time.time() + self.offset_s
                shard.records.append(Kept(number, at_s, item.raw["Data"], item.key, item.size))
            item.result = {"SequenceNumber": str(number), "ShardId": shard.name}

    def of(self, item: Item) -> int:
        """The number of the shard that a record falls into."""
        return self._of(item).number

    def _of(self, item: Item) -> Shard:
        """By a record's explicit hash key, or the MD5 of its partition key."""
        explicit = item.raw.get("ExplicitHashKey")
        hashed = hashlib.md5(item.key.encode(), usedforsecurity=False).digest()
        key = int(explicit) if explicit is not None else int.from_bytes(hashed, "big")
        return self._open[bisect.bisect_right(self._first, key) - 1]

    def named(self, name: str) -> Shard | None:
        """The shard of that name."""
        return next((shard for shard in self.all if shard.name == name), None)

    def split(self, shard: Shard, at: int) -> Refusal | None:
        """Close the shard; two others have its range, the second from the hash key `at` on."""
        if shard.closed_s is not None or not shard.first < at <= shard.last:
            return Refusal("InvalidArgumentException", "The shard is closed, or the hash key is not within its range.")
        number = len(self.all)
        halves = [
            Shard(number, shard.first, at - 1, (shard.number,)),
            Shard(number + 1, at, shard.last, (shard.number,)),
        ]
        shard.close(halves)
        self.all += halves
        self._index()
        return None

    def merge(self, one: Shard, other: Shard) -> Refusal | None:
        """Close both; one other has their range."""
        low, high = sorted((one, other), key=lambda shard: shard.first)
        if low.closed_s is not None or high.closed_s is not None or low.last + 1 != high.first:
            return Refusal("InvalidArgumentException", "The shards are closed, or not adjacent.")
        merged = Shard(len(self.all), low.first, high.last, (one.number, other.number))
        low.close([merged])
        high.close([merged])
        self.all.append(merged)
        self._index()
        return None


def rate_exceeded(shard: Shard, stream: str) -> str:
    """The message of a ProvisionedThroughputExceededException."""
    return f"Rate exceeded for shard {shard.name} in stream {stream} under account 123456789012."
