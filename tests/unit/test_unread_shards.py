"""Shards that nobody reads: seen at the second look, and no shard that is only being waited for, or is done."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.consumer.supervisor.stream_watch import (
    EVERY_S,
    NO_OWNER,
    SHARD_END,
    STANDS_STILL,
    Lease,
    Look,
    StreamShard,
    StreamWatch,
    unread,
)

OPEN = StreamShard("shardId-0", (), closed=False)
DONE = Lease("", "9", SHARD_END)
OWNED_TO_THE_END = Lease("worker-1", "9", SHARD_END)


def held(counter: int) -> Lease:
    return Lease("worker-1", str(counter), "123")


def judged(shards: list[StreamShard], before: dict[str, Lease], now: dict[str, Lease]) -> list[tuple[str, str]]:
    found = unread(Look(50.0, shards, now), Look(0.0, shards, before))
    assert all(one.since_s == 0.0 for one in found)
    return [(one.shard, one.why) for one in found]


def test_a_lease_that_moves_is_read_and_one_that_stands_still_is_not() -> None:
    """Its counter is what tells: a worker that was stopped keeps its name in the table."""
    assert judged([OPEN], {"shardId-0": held(1)}, {"shardId-0": held(8)}) == []
    assert judged([OPEN], {"shardId-0": held(8)}, {"shardId-0": held(8)}) == [("shardId-0", STANDS_STILL)]


def test_a_shard_without_a_lease_or_an_owner_is_read_by_nobody() -> None:
    """At two looks: between two owners a lease may have none for a moment."""
    free = Lease("", "8", "123")
    assert judged([OPEN], {"shardId-0": held(1)}, {}) == []
    assert judged([OPEN], {}, {}) == [("shardId-0", NO_OWNER)]
    assert judged([OPEN], {"shardId-0": free}, {"shardId-0": free}) == [("shardId-0", NO_OWNER)]
    assert judged([OPEN], {"shardId-0": free}, {"shardId-0": held(9)}) == []


def test_a_resharded_stream_is_judged_by_what_is_to_be_read_now() -> None:
    """Read to the end; its lease removed; a child that waits for its parent; a child that everybody forgot."""
    parent = StreamShard("shardId-0", (), closed=True)
    children = [StreamShard(name, ("shardId-0",), closed=False) for name in ("shardId-1", "shardId-2")]
    shards = [parent, *children]
    under_way = {"shardId-0": held(1)}
    assert judged(shards, under_way, {"shardId-0": held(2)}) == []
    assert judged([parent], {"shardId-0": OWNED_TO_THE_END}, {"shardId-0": OWNED_TO_THE_END}) == []
    at_end = {"shardId-0": DONE, "shardId-1": held(1)}
    now = {"shardId-0": DONE, "shardId-1": held(2)}
    assert judged(shards, at_end, now) == [("shardId-2", NO_OWNER)]
    cleaned = {"shardId-1": held(1), "shardId-2": held(1)}
    assert judged(shards, cleaned, {"shardId-1": held(2), "shardId-2": held(2)}) == []


def test_a_closed_shard_that_was_never_begun_is_read_by_nobody() -> None:
    """Closed, no lease, and no lease of its children either: its records are lost when they expire."""
    parent = StreamShard("shardId-0", (), closed=True)
    child = StreamShard("shardId-1", ("shardId-0",), closed=False)
    assert ("shardId-0", NO_OWNER) in judged([parent, child], {}, {})


def test_a_shard_waits_for_all_that_was_before_it() -> None:
    """Resharded twice while nobody read: the KCL gives the grandchild its lease when the child is read to its end."""
    grandparent, parent = (
        StreamShard("shardId-0", (), closed=True),
        StreamShard("shardId-1", ("shardId-0",), closed=True),
    )
    child = StreamShard("shardId-2", ("shardId-1",), closed=False)
    shards = [grandparent, parent, child]
    assert judged(shards, {"shardId-0": held(1)}, {"shardId-0": held(2)}) == []


class Aws:
    """A stream and a lease table of the test's."""

    def __init__(self) -> None:
        self.leases: dict[str, tuple[str, str]] = {"shardId-0": ("worker-1", "1")}
        self.table = True

    def describe_stream_summary(self, **_: str) -> Any:
        return {"StreamDescriptionSummary": {"RetentionPeriodHours": 168}}

    def list_shards(self, **asked: str) -> Any:
        return {"Shards": [{"ShardId": "shardId-0", "SequenceNumberRange": {"StartingSequenceNumber": "1"}}]}

    def get_paginator(self, operation: str) -> "Aws":
        return self

    def paginate(self, **_: str) -> Iterator[Any]:
        if not self.table:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Scan")
        rows: list[Any] = [
            {
                "leaseKey": {"S": name},
                "leaseOwner": {"S": owner},
                "leaseCounter": {"N": count},
                "checkpoint": {"S": "1"},
            }
            for name, (owner, count) in self.leases.items()
        ]
        yield {"Items": [*rows, {"leaseKey": {"S": "worker-1"}, "entityType": {"S": "WORKER_METRICS"}}]}


def watch(aws: Aws) -> tuple[StreamWatch, list[float]]:
    now = [1000.0]
    return StreamWatch(aws, aws, "stream", "table", 10.0, lambda: now[0]), now


def test_a_shard_that_nobody_reads_is_said_within_twenty_seconds_and_over_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its lease moved just after a look: it has to stand still for as long as its owner has to renew it."""
    caplog.set_level(logging.INFO)
    aws = Aws()
    made, now = watch(aws)
    made.look()
    assert (made.known.unread, made.known.retention_s) == (None, 168 * 3600)
    stopped_at = now[0]
    while not made.known.unread:
        now[0] += EVERY_S
        made.look()
    assert [(one.shard, one.why) for one in made.known.unread] == [("shardId-0", STANDS_STILL)]
    since = made.known.unread[0].since_s
    assert now[0] - stopped_at <= 20
    assert "nobody reads 1 of the stream's shards: shardId-0 (lease does not move)" in caplog.text
    now[0] += EVERY_S
    made.look()
    assert made.known.unread[0].since_s == since
    assert caplog.text.count("nobody reads") == 1, "once a minute"
    aws.leases["shardId-0"] = ("worker-2", "3")
    now[0] += EVERY_S
    made.look()
    assert made.known.unread == []
    assert "all shards are read again" in caplog.text


def test_a_lease_that_is_renewed_between_looks_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """Also where two looks fall between two renewals; and a start that takes its leases soon is no line in the log."""
    aws = Aws()
    aws.leases = {}
    made, now = watch(aws)
    for counter in range(20):
        made.look()
        now[0] += EVERY_S
        if counter:
            aws.leases["shardId-0"] = ("worker-1", str(counter // 2))
    assert made.known.unread == []
    assert "nobody reads" not in caplog.text


def test_a_table_that_is_not_there_means_that_nobody_reads() -> None:
    """Another application's name, or a consumer that never came up."""
    aws = Aws()
    aws.table = False
    made, _ = watch(aws)
    made.look()
    made.look()
    assert [one.why for one in made.known.unread or ()] == [NO_OWNER]


def test_where_it_may_not_ask_it_claims_nothing_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a look found an hour ago is not so now: unknown, not 0. The retention is known on, for its alarm."""
    aws = Aws()
    made, _ = watch(aws)
    made.look()
    made.look()
    assert made.known.unread is not None

    def refuses(**_: str) -> None:
        raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

    monkeypatch.setattr(aws, "list_shards", refuses)
    for _ in range(5):
        made.look()
    assert made.known[:2] == (None, 168 * 3600)
    assert len(caplog.records) == 1
