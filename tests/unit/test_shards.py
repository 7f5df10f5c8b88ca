"""`shards`: loads against limits, what to do, and the rules of a reshard.

That it measures and reshards is shown by tests/contract/test_shards_command.py.
"""

from typing import Any

import pytest

from stream_router.leases import Position, Shard
from stream_router.operate import shards
from stream_router.operate.shards import Load
from stream_router.operate.stream import Piece, Span, UserRecord


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
    result = [Load("abc"[n], 1 / len(loads), *item) for n, item in enumerate(loads)]
    assert shards.advise(result).startswith(says)
    assert "--to" not in shards.advise(result, on_demand=True)


@pytest.mark.parametrize(
    ("shares", "groups", "to"),
    [([900, 900], 64, 4), ([900] * 3, 48, 6), ([850] * 4, 64, 8), ([100] * 4, 64, 2), ([900] * 5, 7, 9)],
)
def test_where_order_is_kept_it_advises_a_number_that_keeps_it(shares: list[float], groups: int, to: int) -> None:
    """If none within reach does, the number that the load asks for: the refusal says the rest."""
    loads = [Load(f"s{n}", 1 / len(shares), share, 0) for n, share in enumerate(shares)]
    assert f"--to {to}`" in shards.advise(loads, groups=groups)


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
    result = next(
        shards.find_refusals({"OpenShardCount": count, "StreamStatus": "ACTIVE", **more}, wanted, buckets), ""
    )
    assert (result.startswith(why), bool(result)) == (True, bool(why))


@pytest.mark.parametrize(
    ("count", "wanted", "groups", "why"),
    [
        (2, 4, 16, ""),
        (1, 2, 16, ""),
        (2, 3, 16, "take 1, 2 or 4 shards, or first set STREAM_ROUTER_BUCKETS to 12,"),
        (4, 6, 40, "take 1, 2, 4, 5, 8 or 10 shards, or first set STREAM_ROUTER_BUCKETS to 24,"),
        (1_023, 1_021, 4_096, "1024, 2048 or 4096 shards"),  # a common multiple is more than a receiver has
    ],
)
def test_with_order_the_groups_borders_must_be_the_shards(count: int, wanted: int, groups: int, why: str) -> None:
    """Else a change of STREAM_ROUTER_BUCKETS would move conversations. Without order any number will do."""
    summary = {"OpenShardCount": count, "StreamStatus": "ACTIVE"}
    result = next(shards.find_refusals(summary, wanted, groups, ordered=True), "")
    assert (why in result, bool(result)) == (True, bool(why))
    assert count != 1_023 or "first set" not in result
    assert not [*shards.find_refusals(summary, wanted, groups)]


def test_a_kinesis_record_counts_once_however_many_user_records_are_in_it() -> None:
    """Of the open shards, each by its share of the keys."""
    of = {name: Shard(name, (), 0, 2**127 - 1, is_open=name == "open") for name in ("open", "closed")}
    records = [UserRecord(Position(n // 2, n % 2), 1, bytes(500)) for n in range(480)]
    pieces = [
        Piece(of["open"], records[:241], 0, 1, is_last=False),
        Piece(of["open"], records[241:], 0, 1, is_last=True),
    ]
    assert shards.measure(pieces, of, Span(0, 60_000)) == [Load("open", 0.5, 4.0, 4_000.0)]
