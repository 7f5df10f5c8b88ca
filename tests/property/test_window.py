"""What one child has under way: taken in slices, bounded in bytes, span and records; whether one more may come in."""

import base64
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.child import window as module
from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.child.window import (
    HOLD_REASONS,
    HOLD_THRESHOLD_S,
    MAX_READY_EVENTS,
    MAX_READY_LETTERS,
    MAX_SLICE_RECORDS,
    MAX_SMALL_BATCH_RECORDS,
    SMALL_BATCH_INTERVAL_S,
    Window,
    slice_records,
)
from stream_router.consumer.target_check import UNANSWERED_LIMIT_S
from stream_router.model import Batch, Record


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 1, 2, 9]), st.integers(0, 150)), max_size=12), st.integers(1, 4))
def test_slices_hold_every_record_and_cut_no_aggregated_one(generated: list[tuple[int, int]], most: int) -> None:
    """In order, each as the daemon gave it. A slice ends with what reaches its bytes or its records, and all of it."""
    raw_records = [
        {
            "data": base64.b64encode(b"x" * size).decode(),
            "sequenceNumber": str(2**180 + number),
            "subSequenceNumber": part or None,
            "approximateArrivalTimestamp": number or None,
        }
        for number, (parts, size) in enumerate(generated)
        for part in range(parts)
    ]
    batch = Batch(1)
    with mock.patch.object(module, "MAX_SLICE_BYTES", 100):
        cut = list(slice_records(raw_records, batch, lambda: most))
    taken = [record for item in cut for record in item]
    assert [(len(r.data), r.sequence_number - 2**180, r.sub_sequence_number, r.arrived_at_ms) for r in taken] == [
        (size, number, part, number) for number, (parts, size) in enumerate(generated) for part in range(parts)
    ]
    assert all(record.batch is batch for record in taken)
    for candidate, following in itertools.pairwise(cut):
        assert candidate[-1].sequence_number < following[0].sequence_number
        assert len(candidate) >= most or sum(len(record.data) for record in candidate) >= 100
    for candidate in cut:
        before = [record for record in candidate if record.sequence_number < candidate[-1].sequence_number]
        assert not before or (len(before) < most and sum(len(record.data) for record in before) < 100)


class World:
    """A window of 1,000 bytes and 120 s, and what it closed; router and proof say what the test wants."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.closed: list[Batch] = []
        self.router = SimpleNamespace(ready=0, ready_letters=0, has_only_failing_items=False, backlog=1)
        self.router.accepted_at = 0.0
        self.proof = SimpleNamespace(unanswered=False, problem="")
        router, proof = cast("Any", self.router), cast("Any", self.proof)
        self.window = Window(router, proof, self.closed.append, lambda: self.now, 1_000, 120.0)
        self.number = 0

    def take(self, records: int = 1, size: int = 10, events: int = 1, batch: Batch | None = None) -> list[Record]:
        of = batch or Batch(1)
        result = []
        for _ in range(records):
            self.number += 1
            result.append(Record(b"x" * size, self.number, batch=of))
        self.window.add_records(result)
        for record in result:
            record.expect(events)
        self.window.record_opened(result)
        return result


@pytest.fixture
def world() -> World:
    return World()


def settle(records: Sequence[Record]) -> None:
    for record in records:
        for line in range(record.events):
            record.settle(line)


STEPS = st.tuples(
    st.integers(0, 3), st.sampled_from([0, 10, 300]), st.integers(1, 4), st.integers(0, 90), st.integers(0, 2)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_window_is_full_by_what_is_under_way(steps: list[tuple[int, int, int, int, int]]) -> None:
    """By the bytes of what is not settled; by what would come again after a crash, settled or not, and its age.

    Few events may be as old as they like. A batch closes once, when all of it is opened and settled, with its counts.
    """
    world, open_, batches = World(), list[Record](), list[Batch]()
    window, above = world.window, list[tuple[float, list[Record]]]()
    with mock.patch.multiple(module, MIN_EVENTS_FOR_SPAN_LIMIT=5, MAX_RECORDS_ABOVE_CHECKPOINT=6):
        for count, size, events, pause, checkpoints in steps:
            world.now += pause
            if count:
                batches.append(Batch(1))
                created = world.take(count, size, events, batches[-1])
                settle(open_[::2])
                open_ = open_[1::2] + created
                assert batches[-1] not in world.closed
                window.record_batch_opened(batches[-1])
                above.append((world.now, created))
            for _ in range(checkpoints):
                if above:
                    _, created = above.pop(0)
                    window.record_checkpoint(RecordPosition(created[-1].sequence_number, 0))
            records = [record for _, result in above for record in result]
            assert window.pending_bytes == sum(record.size_bytes for record in open_)
            assert window.events_above_checkpoint == sum(record.events for record in records)
            assert window.span_s == (world.now - above[0][0] if above else 0.0)
            is_old = window.events_above_checkpoint > 5 and window.span_s >= 120
            assert window.is_full == (window.pending_bytes >= 1_000 or len(records) >= 6 or is_old)
    settle(open_)
    assert sorted(map(id, world.closed)) == sorted(map(id, batches))
    assert [(batch.records, batch.events) for batch in batches] == [
        (step[0], step[0] * step[2]) for step in steps if step[0]
    ]


def test_where_the_bus_cannot_be_asked_the_span_is_half_an_hour(world: World) -> None:
    """An outage of the control plane stops nothing for so long."""
    world.take(1, 0, 5_000)
    world.now += UNANSWERED_LIMIT_S - 1
    assert world.window.is_full
    world.proof.unanswered = True
    assert not world.window.is_full
    world.now += 1
    assert world.window.is_full


def test_a_small_batch_comes_every_five_seconds_while_only_sick_entries_fill(world: World) -> None:
    """It is let in until it is opened, and then no other; memory stays bounded all the same."""
    world.take(10, 100)
    world.now += SMALL_BATCH_INTERVAL_S
    assert world.window.is_full, "others will tell whether the bus is well"
    world.router.has_only_failing_items = True
    for _ in range(3):
        assert not world.window.is_full
        assert world.window.max_slice_records == MAX_SMALL_BATCH_RECORDS
        world.take(1, 1)
        assert world.window.max_slice_records == MAX_SLICE_RECORDS
        assert world.window.is_full
        world.now += SMALL_BATCH_INTERVAL_S
    world.take(1, 2 * 1024 * 1024)
    assert world.window.is_full


READY = ("ready", "ready_letters")


def test_what_else_keeps_records_out_lets_no_small_batch_in(world: World) -> None:
    """Events that wait for a call, a bus that is known to be gone."""
    world.now, world.router.has_only_failing_items = world.now + SMALL_BATCH_INTERVAL_S, True
    for place, wrong, right in (
        (world.router, {"ready": MAX_READY_EVENTS + 1}, {"ready": MAX_READY_EVENTS}),
        (world.router, dict.fromkeys(READY, MAX_READY_LETTERS + 1), dict.fromkeys(READY, MAX_READY_LETTERS)),
        (world.proof, {"problem": "rule r does not exist"}, {"problem": ""}),
    ):
        vars(place).update(wrong)
        assert world.window.is_full
        assert world.window.is_crowded == (place is world.router)
        vars(place).update(right)
        assert not world.window.is_full


def test_holding_is_said_once_a_minute_and_back_pressure_never(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Catch-up may last for hours: it holds only where no record is settled, and no event accepted, for 5 s."""
    for number in range(1_000):
        if number % 2:
            settle(world.take())
        else:
            world.router.accepted_at = world.now
        world.now += HOLD_THRESHOLD_S - 0.5
        world.window.record_wait("bytes")
        assert world.window.hold_reason == ""
    moved_at = world.now - HOLD_THRESHOLD_S + 0.5
    for _ in range(600):
        world.now += 1
        world.window.record_wait("bytes")
    assert [record.message for record in caplog.records] == [
        f"The shard holds. Events wait in the stream, and none is lost. Reason: {HOLD_REASONS['bytes']}."
    ] * 10
    assert (world.window.hold_began_at, world.window.hold_reason) == (moved_at, "bytes")
    world.now += 2.0
    assert world.window.hold_reason == "", "no record waits any more"
    settle(world.take())
    world.window.record_wait("bytes")
    assert world.window.hold_reason == ""
