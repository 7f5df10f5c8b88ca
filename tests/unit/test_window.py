"""What one child has under way: taken in slices, bounded in bytes, span and records; whether one more may come in."""

import base64
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.consumer.child import window as module
from stream_router.consumer.child.room import HOLDING_AFTER_S, READY_MAX, SMALL_BATCH_EVERY_S, SMALL_BATCH_RECORDS, Room
from stream_router.consumer.child.watermark import Position
from stream_router.consumer.child.window import SLICE_BYTES, SLICE_RECORDS, SPAN_FREE_EVENTS, Window, slices
from stream_router.consumer.target_proof import UNASKED_S
from stream_router.model import Batch, Reason, Record
from stream_router.pipeline.delivery.blame import Policy
from tests.fakes import entry, rig

_PLAIN = {"subSequenceNumber": 0, "approximateArrivalTimestamp": 1_000}


def told(number: int, size: int = 1, **changes: Any) -> dict[str, Any]:
    """A record as the daemon writes it."""
    data = base64.b64encode(b"x" * size).decode()
    return {"data": data, "sequenceNumber": str(number), **_PLAIN, **changes}


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


def test_a_slice_ends_with_the_record_that_reaches_its_bytes() -> None:
    """The bytes of each slice are counted from nothing; one that is too large by itself is a slice of its own."""
    half = SLICE_BYTES // 2
    assert sizes(told(1, half - 1), told(2, half), told(3, 1), told(4, half), told(5, half), told(6)) == [3, 2, 1]
    assert sizes(told(1, 3 * half), told(2)) == [1, 1]


def test_what_was_aggregated_into_one_record_stays_in_one_slice() -> None:
    """However many parts it has, and however large they are; the slice ends behind it."""
    parts = [told(2, subSequenceNumber=number) for number in range(3 * SLICE_RECORDS)]
    assert sizes(told(1), *parts, told(3)) == [1 + len(parts), 1]
    large = [told(2, SLICE_BYTES, subSequenceNumber=number) for number in range(3)]
    assert sizes(told(1), *large, told(3), told(4)) == [4, 2]


def test_a_slice_has_the_records_that_may_come_at_that_moment() -> None:
    """Each slice asks anew how many: a small batch may be let in between two of the usual size."""
    allowed = iter([2, 1, 4])
    taken = slices([told(number) for number in range(6)], Batch(1), lambda: next(allowed))
    assert [[record.sequence_number for record in records] for records in taken] == [[0, 1], [2], [3, 4, 5]]
    assert sizes(*[told(number) for number in range(SLICE_RECORDS + 1)]) == [SLICE_RECORDS, 1]


class World:
    """A window of 1,000 bytes and 120 s, and what it closed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.closed: list[Batch] = []
        self.window = Window(lambda: self.now, self.closed.append, 1_000, 120.0)
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
    world.now += UNASKED_S - 1
    assert world.window.full_by() == "span"
    assert world.window.full_by(unasked=True) == ""
    world.now += 1
    assert world.window.full_by(unasked=True) == "span"


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


class Bench:
    """A room whose router, window and checkpoints say what the test wants."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.router = SimpleNamespace(ready=0, only_sick=True, limit=SimpleNamespace(passed_by=None), backlog=1)
        self.router.accepted_at = 0.0
        self.proof = SimpleNamespace(unasked=False, problem="")
        self.checkpoints = SimpleNamespace(proof=self.proof)
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
    bench.now += SMALL_BATCH_EVERY_S - 0.01
    assert bench.room.is_full
    assert bench.room.slice_records == SLICE_RECORDS
    for _ in range(3):
        bench.now += SMALL_BATCH_EVERY_S
        assert not bench.room.is_full
        assert bench.room.slice_records == SMALL_BATCH_RECORDS
        bench.room.taken()
        assert bench.room.slice_records == SLICE_RECORDS
        assert bench.room.is_full


def test_no_small_batch_comes_where_it_would_not_help(bench: Bench) -> None:
    """Others will tell whether the bus is well; memory stays bounded; what else keeps records out stays as it is."""
    bench.now += SMALL_BATCH_EVERY_S
    bench.router.only_sick = False
    assert bench.room.is_full
    bench.router.only_sick, bench.has_spare = True, False
    assert bench.room.is_full
    bench.has_spare, bench.full = True, "records"
    assert bench.room.is_full
    bench.full, bench.router.limit.passed_by = "", Reason.REFUSED
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


def test_a_bus_that_cannot_be_asked_gives_the_span_its_longer_bound(bench: Bench) -> None:
    """The checkpoint stands meanwhile; bytes keep out as before."""
    bench.router.only_sick, bench.full_unasked = False, ""
    assert bench.room.is_full
    bench.proof.unasked = True
    assert not bench.room.is_full
    bench.full_unasked = "bytes"
    assert bench.room.is_full


def test_while_nothing_may_be_published_nothing_is_opened(bench: Bench) -> None:
    """Bus or rule do not take our events: that is a hold, however much room there is."""
    bench.full, bench.proof.problem = "", "rule r does not exist"
    assert bench.room.is_full
    bench.proof.problem = ""
    assert not bench.room.is_full


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if "the shard holds" in one.message]


def test_a_full_window_in_which_something_is_settled_is_back_pressure(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Catch-up after an outage may last for hours: no line of it, as long as one record is settled in 5 s."""
    for _ in range(1_000):
        bench.settled_at = bench.now
        bench.now += HOLDING_AFTER_S - 0.5
        bench.room.waits("bytes")
        assert bench.room.holds_for == ""
    assert said(caplog) == []


def test_a_record_whose_events_go_out_one_after_the_other_is_back_pressure() -> None:
    """A thousand events of one record at 50 a second: it is settled after 20 s, and all the while nothing holds."""
    made = rig(policy=Policy(16, 16 * 1024 * 1024, 4, max_rate=50.0))
    window = Window(made.world.clock, lambda _: None)
    room = Room(
        made.router,
        window,
        cast("Any", SimpleNamespace(proof=SimpleNamespace(unasked=False, problem=""))),
        made.world.clock,
    )
    made.router.publisher.take([entry(number) for number in range(1_000)])
    while made.router.backlog:
        made.run_for(1.0)
        room.waits("calls")
        assert room.holds_for == ""
    made.world.now += HOLDING_AFTER_S
    room.waits("calls")
    assert HOLDING_AFTER_S <= made.world.now - room.held_since <= HOLDING_AFTER_S + 1.0


@pytest.mark.parametrize(
    ("full_by", "passed_by", "means"),
    [
        ("bytes", None, "as many bytes are under way as one child may hold"),
        ("calls", None, "see the line on the destination"),
        ("span", None, "as much work is above it as may be"),
        ("records", None, "a million records"),
        ("dead letters", Reason.SCHEMA_MISMATCH, "correct mapping, masking or sender"),
        ("dead letters", Reason.OVERSIZE, "STREAM_ROUTER_OFFLOAD_BUCKET"),
        ("dead letters", Reason.INTERNAL_ERROR, "go back to the version before"),
    ],
)
def test_holding_is_said_once_a_minute_with_its_meaning(
    bench: Bench, full_by: str, passed_by: Reason | None, means: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten minutes without anything settled are ten lines, each with its cure; it is over once something is settled."""
    began, bench.router.limit.passed_by = bench.now, passed_by
    for _ in range(600):
        bench.room.waits(full_by)
        bench.now += 1
    assert len(said(caplog)) == 10
    assert all(means in line for line in said(caplog))
    assert (bench.room.held_since, bench.room.holds_for) == (began, full_by)
    bench.settled_at = bench.now
    bench.room.waits(full_by)
    assert bench.room.holds_for == ""
