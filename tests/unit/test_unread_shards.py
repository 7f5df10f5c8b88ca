"""Shards that nobody reads: seen at the second look, and no shard that is only being waited for, or is done."""

import logging
from typing import Any

import pytest

from stream_router.consumer.supervisor.stream_watch import (
    CHECK_INTERVAL_S,
    HAND_OVER_S,
    LEASE_UNCHANGED,
    NO_OWNER,
    NOT_HANDED_OVER,
    SHARDS_INTERVAL_S,
    StreamView,
    unread,
)
from stream_router.leases import SHARD_END, Lease, Position, Shard
from tests.leases import LeasedStream

AT = Position(123, 0)
FREE, DONE, OWNED_TO_THE_END = Lease("0", AT), Lease("0", SHARD_END), Lease("0", SHARD_END, "worker-1", 9)
ONE = {"0": ()}
SPLIT = {"0": (), "1": ("0",), "2": ("0",)}
TWICE = {"0": (), "1": ("0",), "2": ("1",)}


def held(counter: int, before: str = "") -> Lease:
    return Lease("0", AT, "worker-1", counter, before)


@pytest.mark.parametrize(
    ("parents", "closed", "before", "now", "outcome"),
    [
        (ONE, "", {"0": held(1)}, {"0": held(8)}, []),
        (ONE, "", {"0": held(8)}, {"0": held(8)}, [("0", LEASE_UNCHANGED)]),  # a stopped worker keeps its name there
        (ONE, "", {"0": held(1)}, {}, []),  # between two owners a lease may have none for a moment
        (ONE, "", {}, {}, [("0", NO_OWNER)]),
        (ONE, "", {"0": FREE}, {"0": FREE}, [("0", NO_OWNER)]),
        (ONE, "", {"0": FREE}, {"0": held(9)}, []),
        # the worker before has not handed it over: it renews the lease, and nobody reads
        (ONE, "", {"0": held(1, "worker-0")}, {"0": held(8, "worker-0")}, [("0", NOT_HANDED_OVER)]),
        (ONE, "", {"0": held(1, "worker-0")}, {"0": held(8)}, []),
        (ONE, "0", {"0": OWNED_TO_THE_END}, {"0": OWNED_TO_THE_END}, []),
        (SPLIT, "0", {"0": held(1)}, {"0": held(2)}, []),
        (SPLIT, "0", {"0": DONE, "1": held(1)}, {"0": DONE, "1": held(2)}, [("2", NO_OWNER)]),
        (SPLIT, "0", {"1": held(1), "2": held(1)}, {"1": held(2), "2": held(2)}, []),
        # never begun, and no lease of its child either: its records are lost when they expire
        ({"0": (), "1": ("0",)}, "0", {}, {}, [("0", NO_OWNER), ("1", NO_OWNER)]),
        # resharded twice while nobody read: a grandchild's lease is made when the child is read to its end
        (TWICE, "01", {"0": held(1)}, {"0": held(2)}, []),
    ],
)
def test_a_shard_that_is_to_be_read_now_and_is_not_is_found(
    parents: dict[str, tuple[str, ...]],
    closed: str,
    before: dict[str, Lease],
    now: dict[str, Lease],
    outcome: Any,
) -> None:
    """By its lease's counter, and by what is before and behind it in a stream that was resharded."""
    shards = [Shard(name, of, 0, 9, is_open=name not in closed) for name, of in parents.items()]
    unread_shards = unread(StreamView(50.0, shards, now), StreamView(0.0, shards, before))
    assert [(shard.shard, shard.why, shard.since_s) for shard in unread_shards] == [(*item, 0.0) for item in outcome]


class Watched(LeasedStream):
    """A stream of one shard that is read; `look` is CHECK_INTERVAL_S after the one before."""

    def __init__(self) -> None:
        super().__init__({"0": ()})
        self.lease("0", "worker-1")

    @property
    def listed(self) -> int:
        return len(self.asked("ListShards"))

    def look(self) -> list[tuple[str, float]] | None:
        self.now_s += CHECK_INTERVAL_S
        self.watched.check()
        result = self.watched.known.unread
        return None if result is None else [(item.why, item.since_s) for item in result]


def test_a_shard_that_nobody_reads_is_said_within_twenty_seconds_and_over_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has to stand still for as long as its owner has to renew it; it is said once a minute, and when it is over."""
    caplog.set_level(logging.INFO)
    aws = Watched()
    assert aws.look() is None
    stopped_at = aws.now_s
    while not (result := aws.look()):
        assert aws.now_s - stopped_at < 20
    assert aws.now_s - stopped_at >= 10, "its owner renews it within that time"
    assert [why for why, _ in result] == [LEASE_UNCHANGED]
    assert aws.look() == result
    aws.lease("0", "worker-2", 3)
    assert aws.look() == []
    events = [record.__dict__["event"] for record in caplog.records]
    assert events == ["shards-unread", "shards-read-again"]


def test_what_cannot_be_asked_is_not_known_and_no_table_means_that_nobody_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a look found before is not so now: unknown, said once. The retention is known on, for its alarm."""
    aws = Watched()
    aws.dynamodb.rows.clear()
    aws.look()
    assert aws.look() == []
    assert [why for why, _ in aws.look() or ()] == [NO_OWNER]
    caplog.clear()
    aws.script("ListShards", lambda _: RuntimeError("the refreshed credentials are still expired"))
    aws.now_s += SHARDS_INTERVAL_S
    for _ in range(5):
        assert aws.look() is None
    assert aws.watched.known.retention_s == 168 * 3600
    assert len(caplog.records) == 1
    aws.answer("ListShards")
    assert aws.look() is None, "one look accuses nobody"


def test_shards_are_listed_once_a_minute_and_at_once_after_a_reshard() -> None:
    """A split is seen with the lease that it ends; the new shards are unread after three looks, and none by mistake."""
    aws = Watched()
    for _ in range(15):
        aws.renew("0")
        assert not aws.look()
    assert aws.listed == 2, "75 s"
    aws.kinesis.shards.arrange(SPLIT, closed="0")
    aws.renew("0")
    assert aws.look() == []
    assert aws.listed == 2, "the parent is still being read"
    aws.lease("0", "worker-1", 17, "SHARD_END")
    assert aws.look() == []
    assert aws.listed == 3
    assert aws.look() == [], "a lease may be without an owner for some seconds"
    assert [why for why, _ in aws.look() or ()] == [NO_OWNER, NO_OWNER], "nobody took the new shards up"
    aws.lease("1", "worker-1")
    aws.lease("2", "worker-2")
    assert aws.look() == []
    # The lease of a shard that was read to its end is removed: without another list it would be an unread shard.
    del aws.rows["0"]
    for _ in range(3):
        aws.renew("1", "2")
        assert aws.look() == []
    assert aws.listed == 5


def test_a_hand_over_that_is_not_finished_counts_as_unread_once_it_takes_longer_than_the_kcl_allows() -> None:
    """The lease's counter moves all the time. A hand-over in its ordinary time is no trouble."""
    aws = Watched()
    aws.lease("0", "worker-1", 1, "1", "worker-0")
    aws.look()
    begun_s = aws.now_s
    while not (result := aws.look()):
        assert aws.now_s - begun_s < HAND_OVER_S + CHECK_INTERVAL_S
        aws.renew("0")
    assert aws.now_s - begun_s >= HAND_OVER_S
    assert [why for why, _ in result] == [NOT_HANDED_OVER]
    aws.lease("0", "worker-1", 99)
    assert aws.look() == []
