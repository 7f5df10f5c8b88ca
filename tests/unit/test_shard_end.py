"""A shard's end is checkpointed only where Kinesis says that nothing comes after the last record."""

import base64
from pathlib import Path
from typing import Any

import pytest

from stream_router.consumer.child.checkpoints import LeavingError
from stream_router.consumer.child.shard_end import OPEN_TIMES, UNKNOWN_TIMES, ShardEnd
from stream_router.errors import Answer
from tests.fakes import NO_ANSWER, World, ok, refused
from tests.kpl import aggregated
from tests.lives import Life
from tests.shard_ends import A_LEASE, ITERATOR, THE_END, Kinesis

TWO_CHILDREN = ok({"Records": [], "ChildShards": [{"ShardId": "shard-2"}, {"ShardId": "shard-3"}]})
UNKNOWN = refused("ResourceNotFoundException")


DAMAGED = aggregated([("k", b"1"), ("k", b"2")], hash_keys=["no number", "5"])
HALF_DAMAGED = aggregated([("k", b"1"), ("k", b"2")], hash_keys=["5", "no number"])


def read(behind_ms: int = 0, *records: bytes) -> Answer:
    """An answer to GetRecords after which more may come."""
    found = [{"Data": base64.b64encode(data).decode()} for data in records]
    return ok({"Records": found, "NextShardIterator": "next", "MillisBehindLatest": behind_ms})


def asked(*answers: Answer, start: str = "TRIM_HORIZON", last: str = "") -> tuple[ShardEnd, list[tuple[str, Any]]]:
    """The end of a shard that was asked for until it was known, and what Kinesis was asked."""
    world = World()
    kinesis = Kinesis(world, *answers)
    end = kinesis.shard_end(start)
    until = world.now + 60
    while not (end.proven or end.refuted) and world.now < until:
        end.ask(last)
        world.pump(0.25)
    return end, kinesis.asked


def test_what_comes_after_the_last_record_is_asked_for() -> None:
    """By its number as the daemon wrote it; where no record came, after the checkpoint, or from the start."""
    shard = {"StreamName": "stream", "ShardId": "shard-1"}
    after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}
    for start, last, what in (
        ("TRIM_HORIZON", "0042", after | {"StartingSequenceNumber": "0042"}),
        ("0041", "", after | {"StartingSequenceNumber": "0041"}),
        ("TRIM_HORIZON", "", {"ShardIteratorType": "TRIM_HORIZON"}),
        ("LATEST", "", {"ShardIteratorType": "LATEST"}),
        ("AT_TIMESTAMP", "", {"ShardIteratorType": "LATEST"}),
    ):
        end, calls = asked(start=start, last=last)
        assert end.proven
        lease = {"TableName": "leases", "Key": {"leaseKey": {"S": "shard-2"}}, "ConsistentRead": True}
        assert calls == [
            ("GetShardIterator", shard | what),
            ("GetRecords", {"ShardIterator": "first", "Limit": 1}),
            ("GetItem", lease),
        ]


@pytest.mark.parametrize(
    "answers",
    [
        [NO_ANSWER, ITERATOR, THE_END],
        [refused("AccessDeniedException")] * 20,
        [ITERATOR, refused("ProvisionedThroughputExceededException"), ITERATOR, refused("ExpiredIteratorException")],
        [UNKNOWN, ITERATOR, UNKNOWN, ITERATOR, UNKNOWN, ITERATOR, UNKNOWN],
        [ok({}), ITERATOR, ok({}), ITERATOR, ok({"Records": []})],
        [ITERATOR, THE_END, NO_ANSWER, *[UNKNOWN] * 9, A_LEASE],
        [ITERATOR, TWO_CHILDREN, A_LEASE, A_LEASE],
        [ITERATOR, read(behind_ms=5_000), *[read()] * (OPEN_TIMES - 1), read(behind_ms=1), THE_END],
        [ITERATOR, *[read(0, DAMAGED)] * OPEN_TIMES * 2, THE_END],
    ],
    ids=["no answer", "denied", "throttled", "unknown", "answers that are none", "leases", "two", "slow", "damaged"],
)
def test_the_end_is_asked_for_until_it_is_known(answers: list[Answer]) -> None:
    """Nothing but a read that ends proves it, and nothing but a record or a shard that stays open refutes it."""
    end, calls = asked(*answers)
    assert end.proven
    assert not end.refuted
    assert len(calls) > len(answers) - 1


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([ITERATOR, read(0, b"{}")], "a record that it had not given"),
        ([ITERATOR, read(9_000), read(9_000, DAMAGED), read(0, HALF_DAMAGED)], "a record that it had not given"),
        ([ITERATOR, *[read()] * OPEN_TIMES], "a shard that is open"),
        ([UNKNOWN, ITERATOR, *[read()] * OPEN_TIMES], "a shard that is open"),
        ([ITERATOR, THE_END, ok({})], "without leases for its children"),
        ([ITERATOR, TWO_CHILDREN, A_LEASE, ok({})], "without leases for its children"),
        ([UNKNOWN] * (UNKNOWN_TIMES + 1), "the stream does not exist"),
    ],
)
def test_an_end_that_is_none_is_refuted(answers: list[Answer], why: str) -> None:
    """The KCL ends a shard where Kinesis says once that it does not know it."""
    end, _ = asked(*answers)
    assert why in end.refuted
    assert not end.proven


def test_a_shard_past_the_streams_retention_is_at_its_end() -> None:
    """Kinesis knows the stream, and does not know the shard, time and again."""
    end, calls = asked(*[UNKNOWN] * UNKNOWN_TIMES, ok({"StreamDescriptionSummary": {}}))
    assert end.proven
    assert calls[-1] == ("DescribeStreamSummary", {"StreamName": "stream"})


def test_a_child_leaves_where_its_shard_does_not_end(tmp_path: Path) -> None:
    """Without a checkpoint at the end: the next child reads on from the one before. It is no death of the child's."""
    for _ in range(4):
        life = Life(tmp_path, checkpoint_s=1.0)
        life.kinesis.will_answer(ITERATOR, read(9_000), *[NO_ANSWER] * 9, ITERATOR, read(0, b"{}"))
        life.process(100)
        with pytest.raises(LeavingError):
            life.hear("shardEnded")
        assert (life.taken, life.delivered, life.told.closed) == ([], [100], 1)
        assert life.guard._life.deaths == 0


def test_an_end_that_is_none_is_found_while_an_event_waits(tmp_path: Path) -> None:
    """An event that waits for others, which alone tell it from an outage, keeps no open shard from being read on."""
    life = Life(tmp_path)
    bus = life.rig.bus
    bus.judge = lambda call: bus.answer(call, ["InternalFailure"] * len(call))
    life.kinesis.will_answer(ITERATOR, *[read()] * OPEN_TIMES)
    life.process(100)
    until = life.rig.world.now + 60

    def at_wait() -> None:
        assert life.rig.world.now < until, "the shard is read by nobody"

    life.at_wait = at_wait
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert (life.taken, life.delivered, life.buried) == ([], [], [])
    assert life.guard._life.deaths == 0


def test_a_call_that_is_under_way_is_awaited_where_a_shard_does_not_end(tmp_path: Path) -> None:
    """The child hears what became of it before it leaves."""
    life = Life(tmp_path)
    life.rig.bus.latency_s = lambda: 1.0
    life.kinesis.will_answer(ITERATOR, read(0, b"{}"))
    life.process(100)
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert life.delivered == [100]


def test_a_stop_while_the_end_is_asked_for_is_obeyed_in_time(tmp_path: Path) -> None:
    """Kinesis does not answer: the end is not checkpointed, nor the last record, which the KCL takes for the end."""
    life = Life(tmp_path, checkpoint_s=1.0)
    life.kinesis.will_answer(*[NO_ANSWER] * 100)
    life.process(100)
    life.at_wait = life.shard.told_to_leave
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert life.taken == []
