"""`find` as a command: how it ends where nothing can be judged, and what it looks at."""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router import cli
from stream_router.control.fates import find, looks
from stream_router.control.fates.books import Letters, Look, Message, UndeliveredBook
from stream_router.control.fates.found_report import Answer
from stream_router.control.fates.wanted import Wanted
from stream_router.control.stream import leases, session, shards
from stream_router.control.stream.leases import Lease
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import SHARD_END, Position
from stream_router.control.stream.reader import Piece, Span
from stream_router.control.stream.session import Checkpoints, Stops
from stream_router.control.stream.shards import Shard, Stream
from stream_router.control.stream.sightings import of_record
from stream_router.errors import SettingsError
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests import broken_off

ID = "0123456789abcdef0123456789abcdef"
FIND = find.Wish([ID], None, None, "1h")


@pytest.fixture
def settings() -> DeadLetters:
    return load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")


def broken(*_: object) -> None:
    raise RuntimeError("something\nbroke")


def test_an_unforeseen_error_of_find_is_no_judgement(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 would mean that the event was not received."""
    monkeypatch.setattr(find, "Clients", broken)
    monkeypatch.setattr(cli, "app", lambda: find.run(settings, FIND))
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("stream-router: cannot judge: RuntimeError: something broke, unforeseen; try again")
    assert said.endswith(" (--debug shows where)\n")
    assert said.count("\n") == 1


def test_a_search_of_all_that_the_stream_keeps_is_not_too_old(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--since 7d` of a stream that keeps 168 hours: it is so long ago as the command began, not some ms later."""
    clock, hours = itertools.count(1_795_000_000_000), []

    def describe(_kinesis: object, _name: str, since_ms: int, now_ms: int) -> Stream:
        hours.append((now_ms - since_ms) / 3_600_000)
        raise shards.UnreadableError("enough")

    monkeypatch.setattr(find, "now_ms", lambda: next(clock))
    monkeypatch.setattr(find, "Clients", lambda _: SimpleNamespace(kinesis=None))
    monkeypatch.setattr(looks, "both", lambda *_: (Letters(Look(()), "s"), UndeliveredBook(Look(()))))
    monkeypatch.setattr(shards, "describe", describe)
    assert find.run(settings, FIND._replace(since="7d")) == 2
    assert hours == [168.0]


def test_a_bad_setting_stays_one(settings: DeadLetters) -> None:
    """Its status is 78 for every command."""
    with pytest.raises(SettingsError, match="--since"):
        find.run(settings, FIND._replace(since="999999d"))


@pytest.mark.parametrize("ids", [[], [ID]], ids=["conversation", "id"])
def test_find_keeps_what_it_can_compare(ids: list[str]) -> None:
    """By its id an event is known from the text of its letter; by its conversation only from the event itself."""
    keep = find.keeping(ids)
    assert keep(letter().body)
    assert keep(letter().body.replace(ID, "f" * 32)) is not bool(ids)


@pytest.mark.parametrize(
    ("code", "given", "is_seen"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", {"rule": "none"}, True),
        ("AWS.SimpleQueueService.NonExistentQueue", {}, False),
        ("AWS.SimpleQueueService.NonExistentQueue", {"rule": "none", "target_dlq_arn": "arn:aws:sqs:r:1:q"}, False),
        ("AccessDenied", {"rule": "none"}, False),
    ],
)
def test_where_the_rules_are_others_there_need_be_no_queue_of_undelivered_events(
    monkeypatch: pytest.MonkeyPatch, code: str, given: dict[str, str], is_seen: bool
) -> None:
    """Their targets' dead letters are theirs too. One that is named, or may not be asked for, is unseen."""
    client = SimpleNamespace(get_queue_url=refuses(code))
    monkeypatch.setattr(looks, "Clients", lambda *_: SimpleNamespace(sqs=client))
    monkeypatch.setattr(looks, "look", lambda *_: Look(()))
    settings = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", **given)
    _, undelivered = looks.both(settings, Stops())
    assert (undelivered.missing == "") is is_seen


def refuses(code: str) -> Callable[..., Any]:
    def call(**_: object) -> Any:
        raise ClientError({"Error": {"Code": code}}, "GetQueueUrl")

    return call


def test_what_the_first_look_saw_is_not_forgotten_by_a_second_that_saw_less() -> None:
    """Another reader took it in hand meanwhile, or Ctrl-C broke the second look off: it was there."""
    seen, half = Look([letter(), undelivered_message()]), Look((), "half of it")
    assert len(Letters(half, "s").after(Letters(seen, "s")).all) == 1
    assert len(list(UndeliveredBook(half).after(UndeliveredBook(seen)).all)) == 1
    whole = Look(())
    assert Letters(whole, "s").after(Letters(seen, "s")).all == []
    assert list(UndeliveredBook(whole).after(UndeliveredBook(seen)).all) == []


def letter() -> Message:
    origin = {"stream": "s", "shardId": "shard-1", "sequenceNumber": "10", "eventId": ID}
    record = {"encoding": "base64", "data": ""}
    body = {"schema": "stream-router.dead-letter/1", "reason": "refused", "origin": origin, "record": record}
    return Message(json.dumps(body), {}, 0)


def undelivered_message() -> Message:
    return Message(json.dumps({"detail": {"eventId": ID}}), {"ERROR_CODE": "NO_PERMISSIONS"}, 0)


def test_of_an_undelivered_event_no_more_is_kept_than_is_compared() -> None:
    """A target that was down for an hour leaves 100,000 of them: their payloads would be a gigabyte in memory."""
    detail = {"eventId": ID, "conversationId": "c", "originalEventId": "i", "payload": {"much": "x" * 99}}
    book = UndeliveredBook(Look([Message(json.dumps({"detail": detail}), {}, 0)]))
    (one,) = book.all
    assert one.detail == {"conversationId": "c", "originalEventId": "i"}
    mapping = config_file.load(None)
    validator = Validator(mapping.shapes, mapping.sources)
    for wanted in (
        Wanted([], "i", None, validator),
        Wanted([], None, "c", validator),
        Wanted([ID], None, None, validator),
    ):
        assert wanted.takes_detail(one.event_id, one.detail)


def test_more_events_than_are_kept_are_not_all(settings: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends there, and what was found is not said to be everything."""
    shard = Shard("shard-1", (), 0, 9, is_open=True)
    line = b'{"interactionId":"i","conversationId":"c","eventType":"t","timestamp":"2026-11-24T09:30:00Z","payload":{}}'
    records = [UserRecord(Position(n, 0), 1_000, line, passed_over=False) for n in range(3)]

    @contextlib.contextmanager
    def reading(*_: object, **__: object) -> Iterator[Iterator[Piece]]:
        yield iter([Piece(shard, records, 1, 1_000, 1_000)])

    monkeypatch.setattr(find, "MOST_FOUND", 2)
    monkeypatch.setattr(session, "reading", reading)
    monkeypatch.setattr(session, "checkpoints_of", lambda *_: Checkpoints({}))
    monkeypatch.setattr(shards, "describe", lambda *_: Stream("s", "arn", {"shard-1": shard}, 0))
    mapping = config_file.load(None)
    wanted = Wanted([], None, "c", Validator(mapping.shapes, mapping.sources))
    clients: Any = SimpleNamespace(kinesis=None)
    scan = find._scan(settings, clients, Span(0, 9_000), wanted, Stops())
    assert scan.missing == "more than 2 events were met, and the reading ended there; give a later --since"
    answer = Answer(wanted, Span(0, 9_000), scan.sightings, [], UndeliveredBook(Look(())), scan.missing, "")
    assert not answer.is_complete


def test_a_reading_that_was_broken_off_is_no_judgement(settings: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: what was not read may hold the event."""
    stops = Stops()
    monkeypatch.setattr(find, "Stops", lambda: stops)
    monkeypatch.setattr(find, "Clients", lambda _: SimpleNamespace(kinesis=None, dynamodb=None))
    nothing = Look(())
    monkeypatch.setattr(looks, "both", lambda *_: (Letters(nothing, settings.stream), UndeliveredBook(nothing)))
    monkeypatch.setattr(session, "reading", broken_off.reading(stops))
    monkeypatch.setattr(shards, "describe", lambda *_: Stream("s", "arn", {}, 0))
    monkeypatch.setattr(leases, "read", lambda *_: {})
    assert find.run(settings, FIND) == 2


class Consumer:
    """One record in the stream, which the consumer buries as soon as a command looks at `at`: the letter is stored
    before the checkpoint passes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
        self._at, self._is_buried = at, False
        line = b'{"interactionId":"i","conversationId":"c","eventType":"t","timestamp":"2026-11-24T09:30:00Z"}'
        (self.sighting,) = of_record("shard-1", UserRecord(Position(10, 0), 1_000, line, passed_over=False))
        shard = Shard("shard-1", (), 0, 9, is_open=True)
        piece = Piece(shard, [UserRecord(Position(10, 0), 1_000, line, passed_over=False)], 1, 1_000, 1_000)

        @contextlib.contextmanager
        def reading(*_: object, **__: object) -> Iterator[Iterator[Piece]]:
            yield iter([piece])
            self._looked("the stream")

        monkeypatch.setattr(session, "reading", reading)
        monkeypatch.setattr(session, "checkpoints_of", self._checkpoints)
        monkeypatch.setattr(looks, "both", self._both)
        monkeypatch.setattr(shards, "describe", lambda *_: Stream("s", "arn", {"shard-1": shard}, 0))
        monkeypatch.setattr(find, "Clients", lambda _: SimpleNamespace(kinesis=None, dynamodb=None))

    def _looked(self, at: str) -> None:
        self._is_buried |= at == self._at

    def _checkpoints(self, *_: object) -> Checkpoints:
        found = Checkpoints({"shard-1": Position(10 if self._is_buried else 9, 0)})
        self._looked("the checkpoints")
        return found

    def _both(self, *_: object) -> tuple[Letters, UndeliveredBook]:
        origin = {"stream": "s", "shardId": "shard-1", "sequenceNumber": "10"}
        record = {"encoding": "base64", "data": ""}
        body = {"schema": "stream-router.dead-letter/1", "reason": "unroutable", "origin": origin, "record": record}
        there = [Message(json.dumps(body), {}, 0)] if self._is_buried else []
        self._looked("the queues")
        return Letters(Look(there), "s"), UndeliveredBook(Look(()))


@pytest.mark.parametrize("at", ["the checkpoints", "the queues", "the stream"])
def test_what_is_buried_while_a_command_looks_is_no_lost_letter(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    """`find` looks at the queues once more behind the checkpoints."""
    settings = settings.model_copy(update={"stream": "s"})
    made = Consumer(monkeypatch, at)
    assert find.run(settings, FIND._replace(ids=[made.sighting.event.event_id])) == 0
    assert "letter is gone" not in capsys.readouterr().out


def test_a_shard_that_was_resharded_while_it_was_read_is_judged_by_its_children(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search takes hours. Meanwhile the KCL read the shard to its end, began its child, and took its lease away."""
    parent, child = Shard("parent", (), 0, 9, is_open=True), Shard("child", ("parent",), 0, 9, is_open=True)
    listed = iter([{"parent": parent}, {"child": child}])

    @contextlib.contextmanager
    def reading(*_: object, **__: object) -> Iterator[Iterator[Piece]]:
        yield iter([])

    monkeypatch.setattr(session, "reading", reading)
    monkeypatch.setattr(shards, "describe", lambda *_: Stream("s", "arn", next(listed), 0))
    monkeypatch.setattr(leases, "read", lambda *_: {"child": Lease("child", Position(5, 0), "")})
    mapping = config_file.load(None)
    wanted = Wanted([ID], None, None, Validator(mapping.shapes, mapping.sources))
    clients: Any = SimpleNamespace(kinesis=None, dynamodb=None)
    scan = find._scan(settings, clients, Span(0, 9_000), wanted, Stops())
    assert scan.checkpoints.of_shard == {"parent": SHARD_END, "child": Position(5, 0)}
