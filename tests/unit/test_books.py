"""A shard's telemetry: what the pipeline reports becomes counts, latencies, CloudWatch requests and audit records."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_router.aws import endpoints
from stream_router.consumer.child.intake.window import Window
from stream_router.consumer.child.progress.crash_guard import CrashGuard
from stream_router.consumer.child.telling import shard_telemetry
from stream_router.consumer.child.telling.shard_telemetry import ShardTelemetry
from stream_router.errors import Answer
from stream_router.model import Batch, DeadLetter, Dropped, Entry, Event, Reason, Record
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from stream_router.telemetry.audit import audit_chain
from stream_router.telemetry.shards import shard_metrics
from stream_router.telemetry.shards.shard_metrics import read_snapshots

Done = Callable[[Answer], None]


class Wire:
    """A transport that keeps what is sent, and answers it on `pump` with `status`."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.waiting: list[Done] = []
        self.status, self.body = 200, b"{}"
        self.at_pump: Callable[[], object] = lambda: None

    def start(self, target: Any, body: bytes, timeout_s: float, done: Done) -> None:
        self.sent.append(body)
        self.waiting.append(done)

    def pump(self, wait_s: float) -> int:
        self.at_pump()
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(Answer(self.status, self.body, {}, ""))
        return len(waiting)


class World:
    """Telemetry and window of one shard on a wall clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 1_767_225_600.0
        self.wire = Wire()
        configured = load(Consumer)
        transform: Any = SimpleNamespace(policy=None, masking="off", take_masked_counts=Counter)
        wire: Any = self.wire
        target = endpoints.target(endpoints.session("us-east-1"), "cloudwatch", "PutMetricData")
        self.guard = CrashGuard(folder / "shards", "shardId-0", "TRIM_HORIZON:0")
        self.books = ShardTelemetry(
            "shardId-0", configured, transform, wire, target, self.guard, now_s=lambda: self.now_s
        )
        self.window = Window(10**9, 120.0, lambda: self.now_s, self.books.batch_closed)
        self.newest = 0

    def record(self, events: int, batch: Batch | None = None) -> Record:
        """A record whose events were received 2 s, and stored 1 s, before now, alone in its batch or in `batch`."""
        of = batch or self.batch()
        self.newest += 1
        record = Record(b"", self.newest, 0, int(self.now_s * 1000) - 1000, of)
        self.window.take_charge([record])
        self.books.opened([record])
        record.expect(events)
        self.window.opened([record])
        if batch is None:
            self.window.all_opened(of)
        return record

    def batch(self) -> Batch:
        """The shard has taken charge of a batch."""
        return Batch(self.guard.took_charge(self.newest + 1, 0))

    def event(self, record: Record, line: int) -> Event:
        return Event(record, line, b"", "id", "delivery", int(self.now_s * 1000) - 2000, {})

    def accept(self, record: Record, *lines: int) -> None:
        events = [self.event(record, line) for line in lines]
        for event in events:
            record.batch.delivered += 1
            record.settle(event.line)
        self.books.accepted([Entry(event, "t", b"{}", 0.0, 1, "") for event in events])

    def bury(self, record: Record, line: int, reason: Reason) -> None:
        event = self.event(record, line)
        record.batch.dead_letters[reason.value] += 1
        record.settle(line)
        self.books.buried(DeadLetter(event, reason, "", ""))

    def audited(self) -> list[dict[str, Any]]:
        path = self.folder / "audit" / "cxone-event-router.shardId-0.jsonl"
        assert audit_chain.verify(path, None).problem == ""
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SQS_DLQ_URL": "http://127.0.0.1/q",
        "STREAM_ROUTER_STATE_DIR": str(tmp_path),
        "STREAM_ROUTER_AUDIT_DIR": str(tmp_path / "audit"),
    }.items():
        monkeypatch.setenv(name, value)
    return World(tmp_path)


def test_a_batch_that_adds_up_is_verified(world: World) -> None:
    """Delivered, buried and dropped together are the events of the batch: verified, with the figures."""
    record = world.record(4)
    world.accept(record, 0, 1)
    world.books.retried([(Entry(world.event(record, 2), "t", b"{}", 0.0, 1, ""), "InternalFailure")] * 5)
    world.bury(record, 2, Reason.REFUSED)
    record.batch.dropped += 1
    world.books.dropped([Dropped(world.event(record, 3), "t")])
    record.settle(3)
    [line] = world.audited()
    assert line["eventsProcessed"] == 4
    assert line["complianceStatus"] == "verified"
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


def test_a_record_is_written_when_the_last_event_of_its_batch_is_settled(world: World) -> None:
    """Not before: no record claims what was not seen. A batch of two records waits for both."""
    batch = world.batch()
    one, other = world.record(1, batch), world.record(2, batch)
    world.accept(one, 0)
    world.accept(other, 0)
    world.window.all_opened(batch)
    assert not (world.folder / "audit").exists() or not list((world.folder / "audit").iterdir())
    world.accept(other, 1)
    [line] = world.audited()
    assert (line["eventsProcessed"], line["metrics"]["records"]) == (3, 2)


def test_a_batch_whose_records_are_not_all_opened_is_not_closed(world: World) -> None:
    """What is settled before the rest is read closes nothing."""
    batch = world.batch()
    world.accept(world.record(1, batch), 0)
    assert batch.number in world.guard._life.open_batches
    world.window.all_opened(batch)
    assert [line["metrics"]["batch"] for line in world.audited()] == [batch.number]


def test_records_stand_in_the_order_of_settling_each_with_its_own_figures(world: World) -> None:
    """The first batch has a sick entry and closes last; `batch` says in which order they came."""
    slow = world.record(2)
    world.accept(slow, 0)
    for _ in range(2):
        world.accept(world.record(1), 0)
    world.bury(slow, 1, Reason.RETRIES_EXHAUSTED)
    told = [line["metrics"] for line in world.audited()]
    assert [one["batch"] for one in told] == [2, 3, 1]
    assert [(one["delivered"], one["dead_lettered"]) for one in told] == [(1, 0), (1, 0), (1, 1)]
    assert all(line["complianceStatus"] == "verified" for line in world.audited())


def test_an_event_that_nobody_accounts_for_is_said(world: World) -> None:
    """One event that is settled but neither delivered, buried nor dropped: unverified."""
    record = world.record(2)
    world.accept(record, 0)
    record.settle(1)
    [line] = world.audited()
    assert line["complianceStatus"] == "unverified"
    assert line["complianceReasons"] == ["events_unaccounted"]


def test_an_event_that_could_not_be_masked_is_no_verified_batch(world: World) -> None:
    """It was buried, not delivered; yet masking did not run where the policy asks."""
    world.bury(world.record(1), 0, Reason.MASKING_FAILED)
    assert world.audited()[0]["complianceReasons"] == ["masking_failed"]


def test_what_was_open_is_named_once_by_the_next_process(world: World) -> None:
    """Two batches were open when the process ended: the next one's first record says so, the second does not."""
    world.record(1)
    world.accept(world.record(1), 0)
    world.record(1)
    world.books.close()
    after = World(world.folder)
    for _ in range(2):
        after.accept(after.record(1), 0)
    told = [line["metrics"] for line in after.audited()]
    assert [(one["batch"], one.get("unclosed")) for one in told] == [(2, None), (4, [1, 3]), (5, None)]


def no_room(world: World) -> Path:
    """From now on the audit's folder cannot be made; what stands in its way is returned."""
    in_the_way = world.folder / "audit"
    in_the_way.write_text("no folder")
    return in_the_way


def test_a_record_that_waits_is_written_while_the_shard_ends(world: World) -> None:
    """The end has a second: what makes room within it loses no record."""
    in_the_way = no_room(world)
    world.accept(world.record(1), 0)
    world.wire.at_pump = lambda: in_the_way.unlink(missing_ok=True)
    world.books.close()
    assert [line["metrics"]["batch"] for line in world.audited()] == [1]
    assert world.guard._life.open_batches == []


def test_a_record_that_could_not_be_written_is_named_by_the_next_process(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full to the end: the log says how many are missing, and the next record names their batches."""
    monkeypatch.setattr(shard_telemetry, "CLOSE_WITHIN_S", 0.01)
    in_the_way = no_room(world)
    for _ in range(2):
        world.accept(world.record(1), 0)
    world.books.close()
    assert "2 audit records were not written before the end" in caplog.text
    in_the_way.unlink()
    after = World(world.folder)
    after.accept(after.record(1), 0)
    assert [line["metrics"]["unclosed"] for line in after.audited()] == [[1, 2]]


def test_records_that_wait_name_the_batches_of_earlier_processes_once(world: World) -> None:
    """A thousand records may wait, and a thousand batches be named: in each of them that is a million numbers."""
    world.record(1)
    after = World(world.folder)  # the one before was killed
    in_the_way = no_room(after)
    for _ in range(2):
        after.accept(after.record(1), 0)
    assert after.guard.unclosed == [1], "while no record says so, the file does"
    in_the_way.unlink()
    after.books._metrics._snapshot_due = 0.0
    after.books.tick()
    after.accept(after.record(1), 0)
    told = [line["metrics"] for line in after.audited()]
    assert [(one["batch"], one.get("unclosed")) for one in told] == [(2, [1]), (3, None), (4, None)]
    assert after.guard.unclosed == []


def test_a_record_that_waits_needs_no_further_batch(world: World) -> None:
    """On a quiet shard it is written as soon as there is room."""
    in_the_way = no_room(world)
    world.accept(world.record(1), 0)
    in_the_way.unlink()
    world.books._metrics._snapshot_due = 0.0
    world.books.tick()
    assert [line["metrics"]["batch"] for line in world.audited()] == [1]


def test_a_failure_is_counted_for_as_long_as_a_record_waits(world: World) -> None:
    """A quiet shard has no further batch that fails: its alarm would end while the disk is as full as before."""
    in_the_way = no_room(world)
    world.accept(world.record(1), 0)
    counted = []
    for _ in range(3):
        world.books._metrics._snapshot_due = 0.0
        world.books.tick()
        counted.append(world.books._metrics.value("audit_failed"))
    assert counted == [2, 3, 4]
    in_the_way.unlink()
    world.books._metrics._snapshot_due = 0.0
    world.books.tick()
    assert world.books._metrics.value("audit_failed") == 4


def test_a_record_that_is_given_up_is_not_named_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lostBefore` counts it: were it kept in the shard's file, a full disk would make that grow without end."""
    monkeypatch.setattr(audit_chain, "WAITING_MAX", 2)
    in_the_way = no_room(world)
    for _ in range(5):
        world.accept(world.record(1), 0)
    assert world.guard._life.open_batches == [1, 2]
    in_the_way.unlink()
    world.accept(world.record(1), 0)
    assert [line.get("lostBefore") for line in world.audited()] == [None, None, 3]


def test_the_stages_add_up_to_the_whole_way(world: World) -> None:
    """2.5 s in all: one to the stream, one to the child, and half a one in it, of which 0.3 s for the calls."""
    record = world.record(1)
    world.now_s += 0.5
    event = world.event(record, 0)._replace(received_at_ms=int(world.now_s * 1000) - 2500)
    world.books.accepted([Entry(event, "t", b"{}", 0.0, 1, "")], 0.3)
    world.books.close()
    [snapshot] = read_snapshots(world.folder)
    largest = {stage: found["largestMs"] for stage, found in snapshot["latenciesMs"].items()}
    assert largest == {
        "received_to_stored": 1000,
        "stored_to_read": 1000,
        "read_to_sent": pytest.approx(200),
        "sent_to_accepted": 300,
        "received_to_accepted": 2500,
        "received_to_dead_lettered": 0,
    }


def test_the_last_metrics_are_sent_at_the_end_and_once(world: World) -> None:
    """Closing publishes; closing again (shutdown, then the lost lease) does not."""
    record = world.record(1)
    world.accept(record, 0)
    world.books.close()
    world.books.close()
    [body] = world.wire.sent
    success = [one for one in orjson.loads(body)["MetricData"] if one["MetricName"] == "RoutingSuccessCount"]
    assert [one["Values"] for one in success] == [[1.0], [1.0]]
    assert [len(one["Dimensions"]) for one in success] == [2, 3]


def publish(world: World) -> None:
    world.books._metrics._due = 0.0
    world.books.tick()
    world.wire.pump(0.0)


def test_a_request_that_fails_is_sent_again_with_the_next(world: World) -> None:
    """503 from CloudWatch: nothing is lost, the same bytes come again."""
    world.wire.status = 503
    publish(world)
    world.wire.status = 200
    publish(world)
    assert world.wire.sent[0] == world.wire.sent[1]
    assert len(world.wire.sent) == 3


def test_a_request_that_is_refused_for_its_content_is_not_sent_for_ever(world: World) -> None:
    """The same request would be refused again and again: it is given up, counted and logged."""
    world.wire.status, world.wire.body = 400, b'{"__type":"InvalidParameterValueException"}'
    publish(world)
    world.wire.status = 200
    publish(world)
    assert len(world.wire.sent) == 2
    assert world.books._metrics.value("metrics_lost") == 1


def test_missing_permission_for_metrics_never_reaches_the_pipeline(world: World) -> None:
    """AccessDenied is nothing that the events feel: tried again, no exception."""
    world.wire.status, world.wire.body = 400, b'{"__type":"AccessDeniedException"}'
    for _ in range(3):
        publish(world)
    assert world.books._metrics.value("metrics_lost") == 0


def test_a_cloudwatch_that_refuses_everything_is_not_asked_with_all_that_waits(world: World) -> None:
    """Without the right, or throttled, a day of requests would be sent each minute, by each shard: some tell enough."""
    world.wire.status, world.wire.body = 400, b'{"__type":"AccessDeniedException"}'
    for _ in range(100):
        publish(world)
    world.wire.sent = []
    publish(world)
    for _ in range(100):
        world.books.tick()
        world.wire.pump(0.0)
    assert len(world.wire.sent) < 2 * shard_telemetry.SENT_AT_ONCE
    world.wire.status, world.wire.sent = 200, []
    publish(world)
    for _ in range(100):
        world.books.tick()
        world.wire.pump(0.0)
    assert len(world.wire.sent) == 102, "all of it, once it is taken"


def test_a_cloudwatch_that_stalls_takes_bounded_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests under way, waiting and failed count together: beyond the cap the oldest are given up, and counted."""
    monkeypatch.setattr(shard_metrics, "WAITING_MAX", 20)
    world.wire.status = 0
    for _ in range(100):
        publish(world)  # one new request a minute, eight of the old ones time out
    kept = len(world.books._to_send) + len(world.books._metrics._waiting)
    assert kept <= 21
    assert world.books._metrics.value("metrics_lost") == 100 - kept
    world.wire.status, world.wire.sent = 200, []
    publish(world)
    for _ in range(10):
        world.books.tick()
        world.wire.pump(0.0)
    assert len(world.wire.sent) == min(kept, 20) + 1


def test_a_batch_that_is_cut_short_has_no_record(world: World) -> None:
    """SIGTERM in an outage, a lost lease: nobody saw its end, so the next process only names it."""
    world.accept(world.record(2), 0)
    world.books.close()
    world.books.close()
    assert world.audited() == []
    assert world.guard._life.open_batches == [1]
