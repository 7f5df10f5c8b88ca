"""What one child has under way: bounded in bytes, in the span above the checkpoint, in records; given back at once."""

from collections.abc import Sequence

import pytest

from stream_router.consumer.bus_proof import UNASKED_SPAN_S
from stream_router.consumer.child.intake import window as module
from stream_router.consumer.child.intake.window import SPAN_FREE_EVENTS, Window
from stream_router.consumer.child.progress.watermark import Position
from stream_router.model import Batch, Record


class World:
    """A window of 1,000 bytes and 120 s, and what it closed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.closed: list[Batch] = []
        self.window = Window(1_000, 120.0, lambda: self.now, self.closed.append)
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
    assert world.window.full_by() == "bytes"
    settle(others[-1:])
    assert world.window.full_by() == ""
    assert world.window.held_bytes == 900
    assert others[-1].data == b""
    assert first.data
    settle([first, *others[:-1]])
    assert world.window.held_bytes == 0


def test_a_span_is_bounded_only_above_two_thousand_events(world: World) -> None:
    """So few events may be as old as they like; one more, and two minutes are the most."""
    world.take(1, 0, SPAN_FREE_EVENTS)
    world.now += 100_000
    assert world.window.full_by() == ""
    world.take(1, 0, 1)
    assert world.window.full_by() == "span"


def test_the_span_is_since_the_oldest_above_the_checkpoint_was_opened(world: World) -> None:
    """Settled or not: what counts is what would come again after a crash."""
    settle(world.take(1, 0, 1_500))
    world.now += 100
    settle(world.take(1, 0, 1_500))
    world.now += 19
    assert (world.window.full_by(), world.window.span_s) == ("", 119)
    world.now += 1
    assert world.window.full_by() == "span"
    world.window.checkpoint_taken(Position(1, 0))
    assert (world.window.full_by(), world.window.span_s, world.window.events_above) == ("", 20, 1_500)
    world.window.checkpoint_taken(Position(2, 0))
    assert (world.window.span_s, world.window.events_above) == (0.0, 0)


def test_where_the_bus_cannot_be_asked_the_span_is_half_an_hour(world: World) -> None:
    """An outage of the control plane stops nothing for so long."""
    world.take(1, 0, 5_000)
    world.now += UNASKED_SPAN_S - 1
    assert world.window.full_by() == "span"
    assert world.window.full_by(unasked=True) == ""
    world.now += 1
    assert world.window.full_by(unasked=True) == "span"


def test_a_span_set_longer_than_half_an_hour_is_not_shortened(world: World) -> None:
    """What an operator allows is allowed while the bus cannot be asked, too."""
    world.window = Window(1_000, 7_200.0, lambda: world.now, world.closed.append)
    world.take(1, 0, 5_000)
    world.now += 7_000
    assert world.window.full_by(unasked=True) == ""


def test_records_above_the_checkpoint_have_a_ceiling(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the span: settled ones too, until a checkpoint is taken."""
    monkeypatch.setattr(module, "RECORDS_MAX", 50)
    settle(world.take(49, 0, 1))
    assert world.window.full_by() == ""
    settle(world.take(1, 0, 1))
    assert world.window.full_by() == "records"
    world.window.checkpoint_taken(Position(50, 0))
    assert world.window.full_by() == ""


def test_a_batch_closes_when_its_last_record_is_settled_and_all_are_opened(world: World) -> None:
    """Once, with the counts of its own records and events."""
    batch, other = Batch(1), Batch(2)
    early = world.take(2, 1, 3, batch)
    settle(early)
    assert not world.closed
    late = world.take(1, 1, 2, batch)
    world.window.all_opened(batch)
    settle(world.take(1, 1, 1, other))
    world.window.all_opened(other)
    assert world.closed == [other]
    settle(late)
    assert world.closed == [other, batch]
    assert (batch.records, batch.events, batch.unsettled) == (3, 8, 0)


def test_the_last_settling_is_remembered(world: World) -> None:
    """It tells back-pressure from holding."""
    records = world.take(2)
    world.now += 50
    settle(records[:1])
    assert world.window.settled_at == 150
