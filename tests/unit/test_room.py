"""Whether one more record may be opened: what keeps it out, and when a small batch comes in all the same."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.consumer.child.intake.micro_batches import MICRO_BATCH_RECORDS
from stream_router.consumer.child.intake.room import READY_MAX, SMALL_BATCH_EVERY_S, SMALL_BATCH_RECORDS, Room
from stream_router.pipeline.delivery.health import Health


class Bench:
    """A room whose router, window and checkpoints say what the test wants."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.router = SimpleNamespace(
            ready=0, only_sick=True, limit=SimpleNamespace(passed_by=None), backlog=1, holding=None
        )
        self.router.publisher = SimpleNamespace(dispatcher=SimpleNamespace(health=Health()))
        self.checkpoints = SimpleNamespace(unasked=False)
        self.full, self.full_unasked = "span", "span"
        self.has_spare = True
        self.settled_at = self.now
        self.room = Room(*cast("tuple[Any, ...]", (self.router, self, self.checkpoints, lambda: self.now)))

    def full_by(self, *, unasked: bool = False) -> str:
        return self.full_unasked if unasked else self.full


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("full_by", ["span", "bytes"])
def test_a_small_batch_comes_every_five_seconds_while_only_sick_entries_fill(bench: Bench, full_by: str) -> None:
    """The first five seconds after the shard was taken up; it is let in until it is taken, and then no other."""
    bench.full = bench.full_unasked = full_by
    assert bench.room.is_full
    bench.now += SMALL_BATCH_EVERY_S - 0.01
    assert bench.room.is_full
    assert bench.room.slice_records() == MICRO_BATCH_RECORDS
    for _ in range(3):
        bench.now += SMALL_BATCH_EVERY_S
        assert not bench.room.is_full
        assert bench.room.slice_records() == SMALL_BATCH_RECORDS
        bench.now += SMALL_BATCH_EVERY_S / 2
        assert not bench.room.is_full
        bench.room.taken()
        assert bench.room.slice_records() == MICRO_BATCH_RECORDS
        assert bench.room.is_full
        bench.now -= SMALL_BATCH_EVERY_S / 2


def test_no_small_batch_comes_where_others_are_under_way(bench: Bench) -> None:
    """They will tell whether the bus is well."""
    bench.now += SMALL_BATCH_EVERY_S
    bench.router.only_sick = False
    assert bench.room.is_full


def test_no_small_batch_comes_where_the_spare_is_used_up(bench: Bench) -> None:
    """Memory stays bounded, whoever is sick."""
    bench.now += SMALL_BATCH_EVERY_S
    bench.has_spare = False
    assert bench.room.is_full


def test_no_small_batch_comes_where_something_else_keeps_records_out(bench: Bench) -> None:
    """A million records, calls that wait, dead letters without number: none of them would pass by a few more."""
    bench.now += SMALL_BATCH_EVERY_S
    bench.full = "records"
    assert bench.room.is_full
    bench.full, bench.router.ready = "", READY_MAX + 1
    assert bench.room.is_full
    bench.router.ready, bench.router.limit.passed_by = 0, "90%"
    assert bench.room.is_full
    bench.router.limit.passed_by = None
    assert not bench.room.is_full


def test_a_thousand_events_that_wait_for_a_call_are_the_bound(bench: Bench) -> None:
    """The rest of a slice waits too; whoever waits is seen to wait for two seconds."""
    bench.full, bench.router.ready = "", READY_MAX
    assert not bench.room.is_full
    assert not bench.room.is_crowded
    assert not bench.room.is_waited_for
    bench.router.ready = READY_MAX + 1
    assert bench.room.is_full
    assert bench.room.is_crowded
    assert bench.room.is_waited_for
    bench.now += 2.0
    assert not bench.room.is_waited_for
    assert bench.room.is_crowded
    assert bench.room.is_waited_for


def test_a_bus_that_cannot_be_asked_gives_the_span_its_longer_bound(bench: Bench) -> None:
    """Only where the span is what keeps out, for to know it is to read a file."""
    bench.router.only_sick, bench.full_unasked = False, ""
    assert bench.room.is_full
    bench.checkpoints.unasked = True
    assert not bench.room.is_full
    bench.full = "bytes"
    assert bench.room.is_full
