"""`shards`: loads against limits, what to do, and the rules of a reshard.

That it measures and reshards is shown by tests/contract/test_shards_command.py.
"""

from typing import Any

import pytest

from stream_router.operate import shards
from stream_router.operate.shards import Load
from stream_router.operate.stream import Piece, Position, Shard, Span, UserRecord


@pytest.mark.parametrize(
    ("loads", "says"),
    [
        ([(900, 0), (900, 0)], "nearly full: `stream-router shards --to 4`"),
        ([(0, 850_000)], "nearly full: `stream-router shards --to 2`"),
        ([(950, 0), (10, 0), (10, 0)], "a is far fuller than the others"),
        ([(0, 0), (0, 0)], "nothing to do"),
        ([(100, 0), (100, 0), (100, 0)], "half as many shards would do at this load: `stream-router shards --to 2`"),
        ([(400, 0), (400, 0)], "nothing to do"),
    ],
)
def test_it_says_what_to_do(loads: list[tuple[float, float]], says: str) -> None:
    """By the limit that binds first, and not where another number of shards would not help, or Kinesis reshards."""
    made = [Load("abc"[n], 1 / len(loads), *one) for n, one in enumerate(loads)]
    assert shards.advice(made).startswith(says)
    assert "--to" not in shards.advice(made, on_demand=True)


@pytest.mark.parametrize(
    ("count", "wanted", "buckets", "more", "why"),
    [
        (4, 8, 32, {}, ""),
        (5, 3, 32, {}, ""),
        (4, 9, 64, {}, "at most double at once: first --to 8"),
        (5, 2, 32, {}, "at least half at once: first --to 3"),
        (6_000, 10_001, 64_000, {}, "at most 10,000 shards"),
        (4, 8, 32, {"StreamStatus": "UPDATING"}, "the stream is UPDATING"),
        (4, 8, 32, {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, "the stream is on demand"),
        (1_000, 2_000, 4_096, {}, ""),  # a receiver has no more of them
        (4, 8, 31, {}, "8 shards want STREAM_ROUTER_BUCKETS of at least 32"),
    ],
)
def test_the_rules_of_a_reshard(count: int, wanted: int, buckets: int, more: dict[str, Any], why: str) -> None:
    """What AWS would refuse, and what would leave shards empty, is said before."""
    found = next(shards.refusals({"OpenShardCount": count, "StreamStatus": "ACTIVE", **more}, wanted, buckets), "")
    assert (found.startswith(why), bool(found)) == (True, bool(why))


def test_a_kinesis_record_counts_once_however_many_user_records_are_in_it() -> None:
    """Of the open shards, each by its share of the keys."""
    of = {name: Shard(name, (), 0, 2**127 - 1, is_open=name == "open") for name in ("open", "closed")}
    records = [UserRecord(Position(n // 2, n % 2), 1, bytes(500)) for n in range(480)]
    pieces = [
        Piece(of["open"], records[:241], 0, 1, is_last=False),
        Piece(of["open"], records[241:], 0, 1, is_last=True),
    ]
    assert shards.measure(pieces, of, Span(0, 60_000)) == [Load("open", 0.5, 4.0, 4_000.0)]
