"""A shard's end is checkpointed only where Kinesis says that nothing comes after the last record."""

from typing import Any

import pytest

from stream_router.aws_answers import Answer
from stream_router.consumer.child.shard_end import MIN_UNKNOWN_ANSWERS, READS_OF_OPEN_SHARD, ShardEndCheck
from tests.fakes import NO_ANSWER, World, ok, refused
from tests.kpl import aggregated
from tests.shard_ends import A_LEASE, ITERATOR, THE_END, Kinesis, read

TWO_CHILDREN = ok({"Records": [], "ChildShards": [{"ShardId": "shard-2"}, {"ShardId": "shard-3"}]})
UNKNOWN = refused("ResourceNotFoundException")
DAMAGED = aggregated([("k", b"1"), ("k", b"2")], hash_keys=["no number", "5"])
HALF_DAMAGED = aggregated([("k", b"1"), ("k", b"2")], hash_keys=["5", "no number"])


def asked(*answers: Answer, start: str = "TRIM_HORIZON", last: str = "") -> tuple[ShardEndCheck, list[tuple[str, Any]]]:
    """The end of a shard that was asked for until it was known, and what Kinesis was asked."""
    world = World()
    kinesis = Kinesis(world, *answers)
    end = kinesis.shard_end(start)
    until = world.now + 60
    while not (end.is_confirmed or end.refutation) and world.now < until:
        end.send_next_call(last)
        world.pump(0.25)
    return end, kinesis.asked


@pytest.mark.parametrize(
    ("start", "last", "kind"),
    [
        ("TRIM_HORIZON", "0042", {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "0042"}),
        ("0041", "", {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "0041"}),
        ("TRIM_HORIZON", "", {"ShardIteratorType": "TRIM_HORIZON"}),
        ("LATEST", "", {"ShardIteratorType": "LATEST"}),
        ("AT_TIMESTAMP", "", {"ShardIteratorType": "LATEST"}),
    ],
)
def test_what_comes_after_the_last_record_is_asked_for(start: str, last: str, kind: dict[str, str]) -> None:
    """By its number as the daemon wrote it; where no record came, after the checkpoint, or from the start."""
    end, calls = asked(start=start, last=last)
    assert end.is_confirmed
    assert calls == [
        ("GetShardIterator", {"StreamName": "stream", "ShardId": "shard-1"} | kind),
        ("GetRecords", {"ShardIterator": "first", "Limit": 1}),
        ("GetItem", {"TableName": "leases", "Key": {"leaseKey": {"S": "shard-2"}}, "ConsistentRead": True}),
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
        [ITERATOR, read(behind_ms=5_000), *[read()] * (READS_OF_OPEN_SHARD - 1), read(behind_ms=1), THE_END],
        [ITERATOR, *[read(0, DAMAGED)] * READS_OF_OPEN_SHARD * 2, THE_END],
        [*[UNKNOWN] * MIN_UNKNOWN_ANSWERS, ok({"StreamDescriptionSummary": {}})],
    ],
    ids=["no answer", "denied", "throttled", "unknown", "none", "leases", "two", "slow", "damaged", "past retention"],
)
def test_the_end_is_asked_for_until_it_is_known(answers: list[Answer]) -> None:
    """Nothing but a read that ends proves it, or that Kinesis knows the stream and, time and again, not the shard."""
    end, calls = asked(*answers)
    assert end.is_confirmed
    assert not end.refutation
    assert len(calls) >= len(answers)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([ITERATOR, read(0, b"{}")], "a record that it had not passed on"),
        ([ITERATOR, read(9_000), read(9_000, DAMAGED), read(0, HALF_DAMAGED)], "a record that it had not passed on"),
        ([ITERATOR, *[read()] * READS_OF_OPEN_SHARD], "a shard that is open"),
        ([UNKNOWN, ITERATOR, *[read()] * READS_OF_OPEN_SHARD], "a shard that is open"),
        ([ITERATOR, THE_END, ok({})], "without leases for its children"),
        ([ITERATOR, TWO_CHILDREN, A_LEASE, ok({})], "without leases for its children"),
        ([UNKNOWN] * (MIN_UNKNOWN_ANSWERS + 1), "the stream does not exist"),
    ],
)
def test_an_end_that_is_none_is_refuted(answers: list[Answer], why: str) -> None:
    """The KCL ends a shard where Kinesis says once that it does not know it."""
    end, _ = asked(*answers)
    assert why in end.refutation
    assert not end.is_confirmed


def test_a_refused_read_begins_anew() -> None:
    """With another iterator: it may have expired."""
    _, calls = asked(ITERATOR, refused("ExpiredIteratorException"))
    assert [operation for operation, _ in calls[:3]] == ["GetShardIterator", "GetRecords", "GetShardIterator"]
