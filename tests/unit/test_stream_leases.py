"""Checkpoints as the KCL writes them into its lease table, and what they say of a record."""

from typing import Any

import pytest

from stream_router.control.stream import leases, positions
from stream_router.control.stream.leases import Lease
from stream_router.control.stream.positions import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Position
from stream_router.control.stream.shards import Shard
from tests.scripted import Script

LONG = "49590338271490256608559692538361571095921575989136588898"


def row(shard: str, checkpoint: str = LONG, **more: Any) -> dict[str, Any]:
    return {
        "leaseKey": {"S": shard},
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": {"N": "0"},
        **more,
    }


def shard(name: str, *parents: str) -> Shard:
    return Shard(name, parents, 0, 9, is_open=False)


@pytest.mark.parametrize(
    ("checkpoint", "record", "passed"),
    [
        (Position(100, 0), Position(99, 5), True),
        (Position(100, 0), Position(100, 0), True),
        (Position(100, 3), Position(100, 4), False),
        (Position(100, 10), Position(100, 9), True),
        (Position(9, 0), Position(10, 0), False),
        (TRIM_HORIZON, Position(1, 0), False),
        (SHARD_END, Position(10**56, 7), True),
        (LATEST, Position(1, 0), None),
        (AT_TIMESTAMP, Position(1, 0), None),
    ],
)
def test_positions_are_compared_as_integers(checkpoint: Position, record: Position, passed: bool | None) -> None:
    """100 is behind 99 as a text, not as a number; the words are before and behind all numbers, or tell nothing."""
    assert positions.has_passed(checkpoint, record) is passed


def test_a_lease_is_read_and_other_rows_are_passed_over() -> None:
    """KCL 3.5 keeps its leader and its workers in the same table; the row of a worker of many streams is not ours."""
    rows = [
        row("shardId-1", entityType={"S": "LEASE"}, leaseOwner={"S": "w"}),
        row("shardId-2", checkpointSubSequenceNumber={"N": "7"}),
        {"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "1"}},
        {"leaseKey": {"S": "w"}, "entityType": {"S": "WORKER_METRIC_STATS"}},
        row("acc:stream:1:shardId-3", streamName={"S": "acc:stream:1"}),
        {"leaseKey": {"S": "no-checkpoint"}},
        row("shardId-4", "SHARD_END"),
        row("shardId-5", "neither"),
    ]
    script = Script()
    script.expect("dynamodb", "scan", {"TableName": "app-1", "ConsistentRead": True}, {"Items": rows})
    assert leases.read(script.clients.dynamodb, "app-1") == {
        "shardId-1": Lease("shardId-1", Position(int(LONG), 0), "w"),
        "shardId-2": Lease("shardId-2", Position(int(LONG), 7), ""),
        "shardId-4": Lease("shardId-4", SHARD_END, ""),
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [("ResourceNotFoundException", "no consumer of this name has run"), ("AccessDeniedException", "dynamodb:Scan")],
)
def test_a_table_that_cannot_be_read_is_one_line_with_the_cure(code: str, words: str) -> None:
    """Nothing is said of checkpoints that were not seen."""
    script = Script()
    script.refuse("dynamodb", "scan", {"TableName": "app-1", "ConsistentRead": True}, code)
    with pytest.raises(leases.LeasesError, match=words):
        leases.read(script.clients.dynamodb, "app-1")


def test_a_shard_without_a_lease_is_done_only_where_a_child_is_under_way() -> None:
    """The KCL deletes the lease of a shard that it has read to its end, once a child has begun; never before."""
    shards = {one.shard_id: one for one in (shard("p"), shard("c", "p"), shard("q"), shard("d", "q"), shard("new"))}
    at = {"c": Lease("c", Position(5, 0), ""), "d": Lease("d", TRIM_HORIZON, "")}
    assert leases.checkpoints(at, shards) == {
        "p": SHARD_END,
        "c": Position(5, 0),
        "q": TRIM_HORIZON,
        "d": TRIM_HORIZON,
        "new": TRIM_HORIZON,
    }


def test_a_grandchild_under_way_proves_as_much() -> None:
    """Parent and child are done and their leases gone: only the grandchild's is left."""
    shards = {one.shard_id: one for one in (shard("p"), shard("c", "p"), shard("g", "c"))}
    made = leases.checkpoints({"g": Lease("g", Position(5, 0), "")}, shards)
    assert (made["p"], made["c"]) == (SHARD_END, SHARD_END)


def test_a_week_of_splits_and_merges_is_judged_shard_by_shard() -> None:
    """Each of 35 times two ways lead from a shard to the next that has a lease: 2^35 in all, and nobody walks them."""
    shards = {"0": shard("0")}
    for n in range(35):
        halves = (shard(f"{n}a", str(n)), shard(f"{n}b", str(n)))
        shards |= {one.shard_id: one for one in (*halves, shard(str(n + 1), *(half.shard_id for half in halves)))}
    made = leases.checkpoints({"35": Lease("35", Position(5, 0), "")}, shards)
    assert made == dict.fromkeys(shards, SHARD_END) | {"35": Position(5, 0)}


@pytest.mark.parametrize(
    ("position", "text"), [(SHARD_END, "SHARD_END"), (Position(12, 0), "12"), (Position(12, 3), "12 sub-sequence 3")]
)
def test_a_position_is_written_for_a_reader(position: Position, text: str) -> None:
    """The KCL's word where it is one; the sub-sequence only where there is one."""
    assert positions.text(position) == text
