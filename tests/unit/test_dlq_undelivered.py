"""EventBridge's own dead letters, and what somebody else put beside them, as letters."""

import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_router.aws import endpoints
from stream_router.aws.endpoints import Target
from stream_router.control.dead_letters.desk import Depth, undelivered_url
from stream_router.control.dead_letters.queue.gathering import Whole
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.queue.messages import HIDE_S, Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.redriving.summary import How
from stream_router.control.dead_letters.redriving.trial import Trial
from stream_router.control.dead_letters.undelivered import others, reading, stream
from stream_router.control.dead_letters.undelivered import redrive as redriving
from stream_router.control.dead_letters.undelivered.redrive import UndeliveredRedrive, UndeliveredTrials
from stream_router.control.dead_letters.undelivered.stream import Found
from stream_router.control.republish import preconditions
from stream_router.control.republish.republisher import Outcome
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import Position
from stream_router.control.stream.reader import Piece, Span
from stream_router.control.stream.shards import Shard, TooOldError
from stream_router.envelope import seal
from stream_router.errors import SettingsError
from stream_router.model import SOURCE, DeadLetter, Entry
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import iso
from stream_router.settings.operators import DeadLetters
from tests.sqs_in_time import Sqs


@pytest.mark.parametrize("tries", ["", "x", "-1", "9" * 5_000])
def test_a_number_of_retries_that_is_none_is_not_known(tries: str) -> None:
    """Python refuses to read thousands of digits: one message must not end a listing of all."""
    body = orjson.dumps({"detail-type": "t", "detail": {}}).decode()
    assert reading.read(body, {"RETRY_ATTEMPTS": tries}).attempts == 0


@pytest.mark.parametrize("condition", [7, ["x"], {"a": 1}, True])
def test_a_condition_that_is_no_text_is_told_as_it_stands(condition: object) -> None:
    """Whatever a message says, it is one line of a listing."""
    body = orjson.dumps({"failedMessages": [], "exhaustedRetryCondition": condition}).decode()
    assert reading.read(body, {}).condition == str(condition)


@pytest.mark.parametrize("arn", ["arn:x", "arn:aws:sqs:us-east-1", "arn:cxone-events-undelivered"])
def test_a_queue_that_is_named_by_no_arn_is_a_settings_error(arn: str) -> None:
    """One line with 78, before anything is asked."""
    settings = DeadLetters(aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", target_dlq_arn=arn)
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_TARGET_DLQ_ARN: is no ARN; "):
        undelivered_url(settings)


def test_who_looks_at_the_other_queue_is_told_so() -> None:
    """One URL or ARN in place of the other: a thousand unreadable messages alone tell nobody."""
    for body in (b'{"detail-type":"t","detail":{}}', b'{"failedMessages":[]}'):
        with pytest.raises(UnreadableLetterError, match=r"own of a target \(see SQS_DLQ_URL; --undelivered"):
            reader.read(body)
    with pytest.raises(UnreadableLetterError, match="one of ours"):
        reading.read(orjson.dumps({"schema": SCHEMA}).decode(), {})
    with pytest.raises(UnreadableLetterError, match=r"EventBridge.s$"):
        reading.read("{}", {})


@pytest.mark.parametrize("unread", [True, False])
def test_an_event_that_was_not_looked_for_is_told_from_one_that_is_gone(unread: bool) -> None:
    """A v2 bus keeps no payload: where the stream cannot be read now, the next redrive may find the event."""
    trials = UndeliveredTrials(lambda _: pytest.fail("nothing was found"))
    trials.found = Found({}, "why", unread=unread)
    body = orjson.dumps({"failedMessages": [{"deduplicationId": "t", "timestamp": "2026-11-24T09:30:00Z"}]}).decode()
    held = Held({"MessageId": "1", "ReceiptHandle": "r", "Body": body}, 0.0)
    made = trials(Whole(reading.read(body, {}), [held]))
    assert (made.skipped, made.unavailable) == ("why", unread)


def test_of_an_event_that_was_edited_by_hand_the_stream_has_another() -> None:
    """A v2 bus keeps no payload: what the stream holds is what was wrong, and is not published in the edit's place."""
    trials = UndeliveredTrials(lambda _: pytest.fail("it is not looked for"))
    token = "e" * 32 + "/0123456789abcdef"
    body = orjson.dumps({"failedMessages": [{"deduplicationId": token, "timestamp": "2026-11-24T09:30:00Z"}]}).decode()
    letter = reading.read(body, {})
    assert letter.origin.event_id == "e" * 32
    made = trials(Whole(letter, [Held({"MessageId": "1", "ReceiptHandle": "r", "Body": body}, 0.0)]))
    assert made.skipped == "it was edited by hand, and the stream has it as it was before"


def test_what_is_looked_for_in_the_stream_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand events of a megabyte are no host's memory: the rest waits for the next redrive, which is said."""
    shard = Shard("shard-1", (), 0, 9, is_open=True)
    lines = [seal(f"{n:032x}", "delivery", 0, b'{"n":%d}' % n) for n in range(9)]
    beside = seal("f" * 32, "delivery", 0, b'{"n":"of nobody that is looked for"}')
    records = [UserRecord(Position(n, 0), 0, line + b"\n" + beside, passed_over=False) for n, line in enumerate(lines)]
    pieces = [Piece(shard, records[n : n + 3], 0, 0, 0) for n in (0, 3, 6)]
    monkeypatch.setattr(stream, "describe", lambda *_: SimpleNamespace(shards={}))
    sources: list[Any] = []

    def reader(source: Any, *_: object) -> Any:
        sources.append(source)
        return SimpleNamespace(pieces=lambda: iter(pieces))

    monkeypatch.setattr(stream, "StreamReader", reader)
    monkeypatch.setattr(stream, "MOST_BYTES", 4 * len(lines[0]))
    wanted = [(f"{n:032x}", "2026-11-24T09:30:00Z") for n in range(9)]
    clients: Any = SimpleNamespace(kinesis=None, kinesis_reads="reads without botocore's own retries")
    found = stream.find(clients, "s", wanted, lambda: False, lambda: None, lambda _: None)
    assert (list(found.events), found.unread, found.why_not) == (
        [token for token, _ in wanted[:4]],
        True,
        stream.ENOUGH,
    )
    kept = [one.event if isinstance(one, DeadLetter) else one for one in found.events.values()]
    assert [event.raw for event in kept] == lines[:4]
    assert not any(event.record.data for event in kept)
    rest = stream.find(clients, "s", wanted[4:8], lambda: False, lambda: None, lambda _: None)
    assert (len(rest.events), rest.unread) == (4, False)
    assert {source.__self__._means.kinesis for source in sources} == {clients.kinesis_reads}


@pytest.mark.parametrize(("ages_h", "found"), [((8 * 24, 1), 1), ((8 * 24, 7 * 24), 0)])
def test_an_event_that_the_stream_keeps_no_longer_hides_none_that_it_does(
    monkeypatch: pytest.MonkeyPatch, ages_h: tuple[int, ...], found: int
) -> None:
    """The queue keeps a message twice as long as the stream its event: what is there of the others is found."""
    now_ms, spans = int(time.time() * 1000), list[Span]()
    oldest_ms = now_ms - 7 * 24 * 3_600_000

    def describe(_: object, name: str, since_ms: int, __: int) -> Any:
        if since_ms < oldest_ms:
            raise TooOldError("too old", oldest_ms)
        return SimpleNamespace(shards={})

    def reader(_: object, __: object, span: Span, *more: object) -> Any:
        spans.append(span)
        line = seal(f"{1:032x}", "delivery", 0, b"{}")
        record = UserRecord(Position(1, 0), 0, line, passed_over=False)
        return SimpleNamespace(pieces=lambda: iter([Piece(Shard("s", (), 0, 9, is_open=True), [record], 0, 0, 0)]))

    monkeypatch.setattr(stream, "describe", describe)
    monkeypatch.setattr(stream, "StreamReader", reader)
    wanted = [(f"{n:032x}", iso(now_ms - age_h * 3_600_000)) for n, age_h in enumerate(ages_h)]
    clients: Any = SimpleNamespace(kinesis=None, kinesis_reads=None)
    made = stream.find(clients, "s", wanted, lambda: False, lambda: None, lambda _: None)
    assert list(made.events) == [f"{1:032x}"][:found]
    assert not made.unread
    assert [oldest_ms <= span.since_ms < oldest_ms + 3_600_000 for span in spans] == [True] * found


class Bus:
    """A republisher that has everything accepted and proven at once; `then` hears of what was published."""

    has_room, bus_gone, unproven, in_flight, last_code = True, False, 0, 0, ""

    def __init__(self, then: Callable[[Entry], None]) -> None:
        self._then = then
        self._waiting: list[Entry] = []

    def publish(self, entries: Iterable[Entry]) -> None:
        self._waiting += entries

    def turn(self, _: float) -> list[Outcome]:
        ended, self._waiting = self._waiting, []
        for entry in ended:
            self._then(entry)
        return [Outcome(entry.event) for entry in ended]

    def stop(self) -> None:
        """Nothing is in flight."""


BEGUN_MS = 1_764_000_000_000


def of_event(number: int, message: int = 0) -> str:
    """What EventBridge puts there of an event; `message` tells one time from another."""
    detail = {"eventId": f"{number:032x}", "eventTimestamp": "2026-11-24T09:30:00Z"}
    whole = {"id": f"{number}-{message}", "source": SOURCE, "detail-type": "t", "time": "2026-11-24T09:30:00Z"}
    return orjson.dumps({**whole, "detail": detail}).decode()


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    monkeypatch.setattr(endpoints, "target", lambda _, service, operation: Target(operation, service, ()))
    monkeypatch.setattr(preconditions, "look", lambda *_: preconditions.Verdict([], []))
    monkeypatch.setattr(others, "look", lambda *_: others.Others([]))
    made = Sqs()
    made.world.now = time.monotonic()  # the redrive's own clock
    made.sent_ms = BEGUN_MS - 1
    made.bodies = [of_event(number) for number in range(3)]
    return made


def redrive(sqs: Sqs, then: Callable[[Entry], None], **how: Any) -> int:
    messages = Messages(sqs, "http://sqs/1/q", sqs.world.clock)  # type: ignore[arg-type]
    messages.begun_ms = BEGUN_MS
    bus = Bus(then)
    connection = SimpleNamespace(
        transform=lambda *_: SimpleNamespace(policy=None), republisher=lambda _: bus, wait=sqs.pump
    )
    settings = SimpleNamespace(
        stream="ours", ordering="none", event_bus="default", rule="r", offload_bucket=None, aws_region="us-east-1"
    )
    desk: Any = SimpleNamespace(
        messages=messages, settings=settings, connection=connection, fetch=None, depth=lambda: Depth(3, 0)
    )
    wish = How(rate=0.0, limit=0, dry_run=False, take_all=False, yes=False)._replace(**how)
    return UndeliveredRedrive(desk, Selection(), wish, lambda: False, "2026-11-26T00:00:00.000Z").run()


def test_what_is_published_again_is_not_said_to_be_delivered(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """EventBridge tries the target for an hour or so: what can be known is said, and where to look for the rest."""
    assert redrive(sqs, lambda _: None) == 0
    told = capsys.readouterr().out
    assert "published again 3\n" in told
    assert "redriven" not in told
    assert "whether the target takes them is not known yet" in told
    assert "stream-router dlq list --undelivered --since 2025-11-24T16:00:00.000Z" in told
    assert len(sqs.named("DeleteMessageBatch")) == 3


def test_what_comes_back_at_once_is_told_and_no_success(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """In one round: the queue is looked at once more, and none of it is published a second time."""
    published: list[str] = []

    def then(entry: Entry) -> None:
        identity = entry.event.event_id
        published.append(identity)
        sqs.sent_ms = BEGUN_MS
        sqs.bodies.append(of_event(int(identity, 16), message=1))
        sqs.bodies.append(of_event(int(identity, 16) + 100))  # others' events may come meanwhile

    assert redrive(sqs, then) == 1
    told = capsys.readouterr()
    assert "published again 3" in told.out
    assert "3 of them came back: the target still does not take them" in told.err
    assert sorted(published) == [f"{number:032x}" for number in range(3)]


def test_what_another_target_did_not_take_did_not_come_back(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """It is of the same event, and was there before: with --limit the rest of the queue is nobody's failure."""

    def then(_: Entry) -> None:
        sqs.bodies.append(of_event(0, message=1))

    assert redrive(sqs, then, limit=1) == 0
    assert "came back" not in capsys.readouterr().err


def test_an_event_that_two_targets_did_not_take_is_published_once(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """EventBridge has a message for each target, and PutEvents reaches both: each would get it twice.

    What was published twice is two events to EventBridge, and stays two.
    """
    other = orjson.loads(of_event(0))
    other["detail"]["metadata"] = {"replayed": "replay/1"}
    sqs.bodies = [of_event(0), " " + of_event(0), of_event(0, message=1), orjson.dumps(other).decode()]
    published: list[Entry] = []
    assert redrive(sqs, published.append) == 0
    assert len(published) == 3
    assert len(sqs.named("DeleteMessageBatch")) == 4
    assert "1 message is a copy of a letter" in capsys.readouterr().out


def at_second(number: int) -> str:
    return f"2026-11-24T09:30:{number:02d}.000Z"


def test_undelivered_events_are_published_in_the_order_in_which_they_were_received(sqs: Sqs) -> None:
    """SQS gives them in any order, and they tell no place in the stream: a conversation goes oldest first here too."""
    events = [orjson.loads(of_event(number)) for number in (2, 0, 3, 1)]
    for event in events:
        event["detail"]["receivedAt"] = at_second(int(event["detail"]["eventId"], 16))
    sqs.bodies = [orjson.dumps(event).decode() for event in events]
    published: list[Entry] = []
    assert redrive(sqs, published.append) == 0
    assert [int(entry.event.event_id, 16) for entry in published] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([at_second(3)], 3),
        ([at_second(9), at_second(1)], 1),
        (["never", at_second(2)], 2),
        (["never"], None),
        ([], None),
    ],
)
def test_of_a_v2_bus_the_first_time_that_it_tells_counts(times: list[str], wanted: int | None) -> None:
    """It keeps no event, so no other is known."""
    body = orjson.dumps({"failedMessages": [{"timestamp": at} for at in times]}).decode()
    at_ms = reading.read(body, {}).time_ms
    assert iso(at_ms) == at_second(wanted) if wanted is not None else not at_ms


def test_a_dry_run_of_undelivered_events_looks_once(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was published, so nothing comes back."""
    assert redrive(sqs, lambda _: None, dry_run=True) == 0
    told = capsys.readouterr().out
    assert "would be published again 3" in told
    assert "not known yet" not in told


def test_events_of_a_v2_bus_that_would_go_out_unmasked_want_a_word(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their Detail is made anew: whoever redrives them may not have the consumer's policy in his shell."""
    sqs.bodies = [orjson.dumps({"failedMessages": [{"deduplicationId": "e" * 32, "timestamp": ""}]}).decode()]
    event: Any = SimpleNamespace()
    monkeypatch.setattr(UndeliveredRedrive, "_of_stream", lambda *_: Found({"e" * 32: event}, ""))
    monkeypatch.setattr(UndeliveredTrials, "__call__", lambda _, whole: Trial(whole, 1, b"", ("t",)))
    assert redrive(sqs, lambda _: None) == 1
    told = capsys.readouterr()
    assert f"note: {redriving.UNMASKED}" in told.out
    assert "add --yes" in told.err
    assert sqs.named("DeleteMessageBatch") == []


def test_what_is_in_hand_stays_hidden_while_the_stream_is_read(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour of the stream takes longer than SQS hides a message: else it would all be left, and read in vain."""
    lines = [seal(f"{n:032x}", "delivery", 0, b'{"n":%d}' % n) for n in range(3)]
    records = [UserRecord(Position(n, 0), 0, line, passed_over=False) for n, line in enumerate(lines)]
    lost = [{"deduplicationId": f"{n:032x}", "timestamp": "2026-11-24T09:30:00Z"} for n in range(3)]
    sqs.bodies = [orjson.dumps({"failedMessages": [one]}).decode() for one in lost]

    def pieces() -> Iterator[Piece]:
        for _ in range(60):
            sqs.world.now += 30.0
            yield Piece(Shard("shard-1", (), 0, 9, is_open=True), [], 0, 0, 0)
        yield Piece(Shard("shard-1", (), 0, 9, is_open=True), records, 0, 0, 0)

    monkeypatch.setattr(stream, "describe", lambda *_: SimpleNamespace(shards={}))
    monkeypatch.setattr(stream, "StreamReader", lambda *_: SimpleNamespace(pieces=pieces))
    monkeypatch.setattr(redriving, "Clients", lambda _: SimpleNamespace(kinesis=None, kinesis_reads=None))
    monkeypatch.setattr(UndeliveredTrials, "__call__", lambda _, whole: Trial(whole, 1, b"", skipped="enough"))
    assert redrive(sqs, lambda _: None) == 0
    assert "3  enough" in capsys.readouterr().out
    hidden = [one for one in sqs.named("ChangeMessageVisibilityBatch") if one["VisibilityTimeout"]]
    assert len(hidden) >= 3 * 60 * 30 // HIDE_S
