"""What a child tells of its shard: a snapshot that adds up, a line a dead letter, an audit record a settled batch."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_router.consumer.child.snapshot import LETTERS_A_SECOND, ShardTelemetry
from stream_router.consumer.child.window import Window
from stream_router.model import Batch, DeadLetter, Dropped, Entry, Event, Reason, Record
from stream_router.telemetry import audit
from stream_router.telemetry.metrics_catalogue import COUNTERS, STAGE_LATENCY
from stream_router.telemetry.snapshot import Snapshot
from tests.events import consumer
from tests.told import read_snapshots


class World:
    """A shard's telemetry over a folder, on clocks that the test moves."""

    def __init__(self, folder: Path, shard_id: str = "shardId-0") -> None:
        self.folder = folder
        self.now_s = 1_767_225_600.0
        transform: Any = SimpleNamespace(policy=None, masking="off", take_masked_counts=Counter)
        settings = consumer(state_dir=folder, audit_dir=folder / "audit")
        self.told = ShardTelemetry(shard_id, settings, transform, lambda: self.now_s, lambda: self.now_s)
        nobody: Any = None
        self.window = Window(nobody, nobody, self.told.batch_closed, lambda: self.now_s)
        self.records = self.batches = 0

    def record(self, events: int, batch: Batch | None = None) -> Record:
        """A record whose events were received 2 s, and stored 1 s, before now, alone in its batch or in `batch`."""
        of = batch or self.batch()
        self.records += 1
        record = Record(b"", self.records, 0, int(self.now_s * 1000) - 1000, of)
        self.window.take_charge([record])
        self.told.opened([record])
        record.expect(events)
        self.window.opened([record])
        if batch is None:
            self.window.all_opened(of)
        return record

    def batch(self) -> Batch:
        self.batches += 1
        return Batch(self.batches)

    def entry(self, record: Record, line: int, identity: str = "id") -> Entry:
        received_ms = int(self.now_s * 1000) - 2000
        return Entry(Event(record, line, b"c4n4ry", identity, "delivery", received_ms, {}), "t", b"{}", 0.0, 1, "")

    def accept(self, record: Record, *lines: int, took_s: float = 0.0) -> None:
        for line in lines:
            record.batch.delivered += 1
            record.settle(line)
        self.told.accepted([self.entry(record, line) for line in lines], took_s)

    def bury(self, record: Record, line: int, reason: Reason = Reason.REFUSED, identity: str = "id") -> None:
        record.batch.dead_letters[reason.value] += 1
        record.settle(line)
        self.told.buried(DeadLetter(self.entry(record, line, identity).event, reason, "SomeCode", ""))

    def after(self, seconds: float) -> None:
        self.now_s += seconds
        self.told.tick()

    def snapshot(self) -> Snapshot:
        (found,) = read_snapshots(self.folder)
        return found

    def audited(self) -> list[dict[str, Any]]:
        path = self.folder / "audit" / "cxone-event-router.shardId-0.jsonl"
        assert audit.verify(path, None).problem == ""
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_snapshot_holds_everything_since_the_child_began_a_second_old_at_most(world: World) -> None:
    """Counts, and the way of each event by stages that add up; the last at the shard's end."""
    record = world.record(4)
    world.told.retried([(world.entry(record, 2), "InternalFailure")] * 5)
    world.now_s += 0.5
    event = world.entry(record, 0).event._replace(received_at_ms=int(world.now_s * 1000) - 2500)
    for line, took_s in ((0, 0.3), (1, 0.3)):
        record.settle(line)
        world.told.accepted([Entry(event._replace(line=line), "t", b"{}", 0.0, 1, "")], took_s)
    world.bury(record, 2)
    world.told.dropped([Dropped(world.entry(record, 3).event, "t")])
    world.after(0.6)
    told = world.snapshot()
    counters = {name: count for name, metric in COUNTERS.items() if (count := told.total(metric.name))}
    assert counters == {"delivered": 2, "dead_lettered": 1, "dropped": 1, "retried": 5, "records": 1}
    assert told.counts[COUNTERS["dead_lettered"].name] == {("refused",): 1}
    assert told.counts[COUNTERS["retried"].name] == {("InternalFailure",): 5}
    assert {stage: found.largest_ms for (stage,), found in told.histograms[STAGE_LATENCY.name].items()} == {
        "received_to_stored": 1000,
        "stored_to_read": 1000,
        "read_to_sent": pytest.approx(200),
        "sent_to_accepted": 300,
        "received_to_accepted": 2500,
        "received_to_dead_lettered": 2000,
    }
    world.accept(world.record(1), 0)
    world.told.close()
    assert world.snapshot().total(COUNTERS["delivered"].name) == 3


def test_each_dead_letter_is_a_line_and_more_than_ten_in_a_second_are_a_number(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What it was and where to look, by the event's id where it has one; never a payload."""
    record = world.record(92)
    world.bury(record, 0, Reason.UNROUTABLE, "a" * 32)
    world.bury(record, 1, identity="")
    for line in range(2, 90):
        world.bury(record, line)
    first, second, *others = caplog.records
    assert first.getMessage() == (
        f"an event became a dead letter: unroutable (SomeCode); see stream-router dlq show {'a' * 32}"
    )
    assert (first.levelno, first.__dict__["shard"]) == (logging.WARNING, "shardId-0")
    assert second.getMessage().endswith("see stream-router dlq list")
    assert len(others) == LETTERS_A_SECOND - 2
    for _ in range(2):
        world.after(1)
    world.bury(record, 90)
    *_, many, last = [one.getMessage() for one in caplog.records]
    assert many == "80 events more became dead letters; see stream-router dlq list"
    assert len(caplog.records) == LETTERS_A_SECOND + 2
    assert "c4n4ry" not in caplog.text
    assert last.startswith("an event became a dead letter")


def test_a_batch_that_adds_up_is_accounted_for(world: World) -> None:
    """Delivered, buried and dropped together are the events of the batch, with the figures; here nothing was masked."""
    record = world.record(4)
    world.accept(record, 0, 1)
    world.told.retried([(world.entry(record, 2), "InternalFailure")] * 5)
    world.bury(record, 2)
    record.batch.dropped += 1
    assert not list((world.folder / "audit").glob("*")), "no record claims what was not seen"
    record.settle(3)
    [line] = world.audited()
    assert (line["eventsProcessed"], line["complianceReasons"]) == (4, ["masking_off"])
    assert line["metrics"] == {
        "batch": 1,
        "deadLetters": {"refused": 1},
        "masking": "off",
        "delivered": 2,
        "dead_lettered": 1,
        "dropped": 1,
        "retried": 5,
        "records": 1,
    }


def test_records_stand_in_the_order_of_settling_each_with_its_own_figures(world: World) -> None:
    """The first batch has a sick entry and closes last, with both of its records; `batch` says how they came."""
    slow = world.batch()
    one, other = world.record(2, slow), world.record(1, slow)
    world.window.all_opened(slow)
    world.accept(one, 0)
    for _ in range(2):
        world.accept(world.record(1), 0)
    world.accept(other, 0)
    world.bury(one, 1, Reason.RETRIES_EXHAUSTED)
    told = [line["metrics"] for line in world.audited()]
    assert [(line["batch"], line["delivered"], line["dead_lettered"]) for line in told] == [
        (2, 1, 0),
        (3, 1, 0),
        (1, 2, 1),
    ]


@pytest.mark.parametrize(
    ("settle", "reason"),
    [
        (lambda world, record: record.settle(0), "events_unaccounted"),
        (lambda world, record: world.bury(record, 0, Reason.MASKING_FAILED), "masking_failed"),
    ],
)
def test_what_nobody_accounts_for_or_could_not_be_masked_is_no_verified_batch(
    world: World, settle: Callable[[World, Record], None], reason: str
) -> None:
    settle(world, world.record(1))
    [line] = world.audited()
    assert (line["complianceStatus"], line["complianceReasons"]) == ("unverified", [reason])


def test_a_record_that_waits_for_room_is_written_by_itself_and_counted_until_then(world: World) -> None:
    """On a quiet shard no further batch would write it, and the alarm must not end while the disk is full."""
    in_the_way = world.folder / "audit"
    in_the_way.write_text("no folder")
    world.accept(world.record(1), 0)
    for failures in (2, 3):
        world.after(1)
        assert world.told.snapshot().total(COUNTERS["audit_failed"].name) == failures
    in_the_way.unlink()
    world.after(1)
    assert [line["metrics"]["batch"] for line in world.audited()] == [1]


def test_records_that_were_not_written_before_the_end_are_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The disk is full to the end: the log says how many are missing. A batch that is not settled has no record."""
    (world.folder / "audit").write_text("no folder")
    world.record(1)
    for _ in range(2):
        world.accept(world.record(1), 0)
    for _ in range(2):
        world.told.close()
    assert caplog.text.count("2 audit records were not written before the end") == 1
