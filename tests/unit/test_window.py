"""What one child has under way: taken in slices, bounded in bytes, span and records; whether one more may come in."""

import base64
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.consumer.child import window as module
from stream_router.consumer.child.watermark import Position
from stream_router.consumer.child.window import (
    HOLDING_AFTER_S,
    READY_MAX,
    SLICE_BYTES,
    SLICE_RECORDS,
    SMALL_BATCH_EVERY_S,
    SMALL_BATCH_RECORDS,
    SPAN_FREE_EVENTS,
    Window,
    slices,
)
from stream_router.consumer.target_proof import UNASKED_S
from stream_router.model import Batch, Reason, Record


def told(number: int, size: int = 1, **changes: Any) -> dict[str, Any]:
    """A record as the daemon writes it."""
    data = base64.b64encode(b"x" * size).decode()
    plain = {"subSequenceNumber": 0, "approximateArrivalTimestamp": 1_000}
    return {"data": data, "sequenceNumber": str(number), **plain, **changes}


def sizes(*records: dict[str, Any]) -> list[int]:
    """How many records are in each slice."""
    return [len(taken) for taken in slices(records, Batch(1))]


def test_a_record_keeps_its_place_its_time_and_its_batch() -> None:
    """A record that the KPL packed differs from its neighbours in the sub-sequence number; null is what is not told."""
    batch = Batch(1)
    given = told(2**180, 3, subSequenceNumber=7, approximateArrivalTimestamp=1_795_512_601_007)
    ((record, empty),) = slices([given, told(1, subSequenceNumber=None, approximateArrivalTimestamp=None)], batch)
    assert (record.sequence_number, record.sub_sequence_number) == (2**180, 7)
    assert (record.data, record.arrived_at_ms, record.batch) == (b"xxx", 1_795_512_601_007, batch)
    assert (empty.sub_sequence_number, empty.arrived_at_ms) == (0, 0)


def test_a_slice_is_bounded_in_bytes_and_records_and_cuts_no_aggregated_record() -> None:
    """It ends with the record that reaches its bytes, however many parts that has; each slice asks anew how many."""
    half = SLICE_BYTES // 2
    assert sizes(told(1, half - 1), told(2, half), told(3, 1), told(4, half), told(5, half), told(6)) == [3, 2, 1]
    assert sizes(told(1, 3 * half), told(2)) == [1, 1]
    assert sizes(*[told(number) for number in range(SLICE_RECORDS + 1)]) == [SLICE_RECORDS, 1]
    parts = [told(2, subSequenceNumber=number) for number in range(3 * SLICE_RECORDS)]
    assert sizes(told(1), *parts, told(3)) == [1 + len(parts), 1]
    large = [told(2, SLICE_BYTES, subSequenceNumber=number) for number in range(3)]
    assert sizes(told(1), *large, told(3), told(4)) == [4, 2]
    allowed = iter([2, 1, 4])
    taken = slices([told(number) for number in range(6)], Batch(1), lambda: next(allowed))
    assert [len(records) for records in taken] == [2, 1, 3]


class World:
    """A window of 1,000 bytes and 120 s, and what it closed; router and proof say what the test wants."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.closed: list[Batch] = []
        self.router = SimpleNamespace(ready=0, only_sick=False, limit=SimpleNamespace(passed_by=None), backlog=1)
        self.router.accepted_at = 0.0
        self.proof = SimpleNamespace(unasked=False, problem="")
        router, proof = cast("Any", self.router), cast("Any", self.proof)
        self.window = Window(router, proof, self.closed.append, lambda: self.now, 1_000, 120.0)
        self.number = 0

    def take(self, records: int = 1, size: int = 10, events: int = 1, batch: Batch | None = None) -> list[Record]:
        of = batch or Batch(1)
        made = []
        for _ in range(records):
            self.number += 1
            made.append(Record(b"x" * size, self.number, batch=of))
        self.window.take_charge(made)
        for record in made:
            record.expect(events)
        self.window.opened(made)
        return made


@pytest.fixture
def world() -> World:
    return World()


def settle(records: Sequence[Record]) -> None:
    for record in records:
        for line in range(record.events):
            record.settle(line)


def test_bytes_held_keep_the_next_record_out(world: World) -> None:
    """At a thousand bytes there is no room; a settled record gives its own back at once, wherever it stands."""
    first, *others = world.take(10, 100)
    assert world.window.is_full
    settle(others[-1:])
    assert not world.window.is_full
    assert (world.window.held_bytes, others[-1].data, len(first.data)) == (900, b"", 100)
    settle([first, *others[:-1]])
    assert world.window.held_bytes == 0


def test_the_span_is_since_the_oldest_above_the_checkpoint_was_opened(world: World) -> None:
    """Settled or not: what counts is what would come again after a crash. Of two thousand events nobody cares."""
    settle(world.take(1, 0, SPAN_FREE_EVENTS))
    world.now += 119
    settle(world.take(1, 0, 1))
    assert (world.window.is_full, world.window.span_s) == (False, 119)
    world.now += 1
    assert world.window.is_full
    world.window.checkpoint_taken(Position(1, 0))
    assert (world.window.is_full, world.window.span_s, world.window.events_above) == (False, 1, 1)
    world.now += 100_000
    assert not world.window.is_full
    world.window.checkpoint_taken(Position(2, 0))
    assert (world.window.span_s, world.window.events_above) == (0.0, 0)


def test_where_the_bus_cannot_be_asked_the_span_is_half_an_hour(world: World) -> None:
    """An outage of the control plane stops nothing for so long; bytes keep out as before."""
    world.take(1, 0, 5_000)
    world.now += UNASKED_S - 1
    assert world.window.is_full
    world.proof.unasked = True
    assert not world.window.is_full
    world.now += 1
    assert world.window.is_full


def test_records_above_the_checkpoint_have_a_ceiling(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the span: settled ones too, until a checkpoint is taken."""
    monkeypatch.setattr(module, "RECORDS_MAX", 50)
    settle(world.take(49, 0, 1))
    assert not world.window.is_full
    settle(world.take(1, 0, 1))
    assert world.window.is_full
    world.window.checkpoint_taken(Position(50, 0))
    assert not world.window.is_full


def test_a_batch_closes_when_its_last_record_is_settled_and_all_are_opened(world: World) -> None:
    """Once, with the counts of its own records and events."""
    batch, other = Batch(1), Batch(2)
    settle(world.take(2, 1, 3, batch))
    assert not world.closed
    late = world.take(1, 1, 2, batch)
    world.window.all_opened(batch)
    settle(world.take(1, 1, 1, other))
    world.window.all_opened(other)
    assert world.closed == [other]
    settle(late)
    assert world.closed == [other, batch]
    assert (batch.records, batch.events, batch.unsettled) == (3, 8, 0)


def test_a_small_batch_comes_every_five_seconds_while_only_sick_entries_fill(world: World) -> None:
    """It is let in until it is opened, and then no other; memory stays bounded all the same."""
    world.take(10, 100)
    world.now += SMALL_BATCH_EVERY_S
    assert world.window.is_full, "others will tell whether the bus is well"
    world.router.only_sick = True
    for _ in range(3):
        assert not world.window.is_full
        assert world.window.slice_records == SMALL_BATCH_RECORDS
        world.take(1, 1)
        assert world.window.slice_records == SLICE_RECORDS
        assert world.window.is_full
        world.now += SMALL_BATCH_EVERY_S
    world.take(1, 2 * 1024 * 1024)
    assert world.window.is_full


def test_what_else_keeps_records_out_lets_no_small_batch_in(world: World) -> None:
    """Events that wait for a call, a limit on dead letters that is passed, a bus that is known to be gone."""
    world.now, world.router.only_sick = world.now + SMALL_BATCH_EVERY_S, True
    world.router.ready = READY_MAX
    assert not world.window.is_full
    assert not world.window.is_crowded
    assert not world.window.is_waited_for
    world.router.ready += 1
    assert world.window.is_full
    assert world.window.is_crowded
    world.router.ready, world.router.limit.passed_by = 0, Reason.REFUSED
    assert world.window.is_full
    world.router.limit.passed_by, world.proof.problem = None, "rule r does not exist"
    assert world.window.is_full
    world.proof.problem = ""
    assert not world.window.is_full
    assert world.window.is_waited_for, "whoever waits is seen to wait for two seconds"
    world.now += 2.0
    assert not world.window.is_waited_for


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if "the shard holds" in one.message]


def test_a_full_window_in_which_something_is_settled_is_back_pressure(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Catch-up may last for hours: no line of it, as long as a record is settled, or an event accepted, in 5 s."""
    for number in range(1_000):
        if number % 2:
            settle(world.take())
        else:
            world.router.accepted_at = world.now
        world.now += HOLDING_AFTER_S - 0.5
        world.window.waits("bytes")
        assert world.window.holds_for == ""
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("full_by", "means"),
    [
        ("bytes", "as many bytes are under way as one child may hold"),
        ("calls", "see the line on the destination"),
        ("dead letters", "STREAM_ROUTER_DEAD_LETTER_LIMIT=off"),
    ],
)
def test_holding_is_said_once_a_minute_with_its_meaning(
    world: World, full_by: str, means: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten minutes without anything settled are ten lines, each with its cure; it is over once something is settled."""
    began = world.now
    for _ in range(600):
        world.window.waits(full_by)
        world.now += 1
    assert len(said(caplog)) == 10
    assert all(means in line for line in said(caplog))
    assert (world.window.held_since, world.window.holds_for) == (began, full_by)
    settle(world.take())
    world.window.waits(full_by)
    assert world.window.holds_for == ""
