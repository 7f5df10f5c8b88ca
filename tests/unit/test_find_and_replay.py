"""`find`, case by case: only what stream, checkpoints, queues and today's settings make certain is said. And `replay`.

Of `replay`: what goes back, as what, and what does not; how a run goes on: tests/property/test_replay_goes_on.py.
"""

import base64
import json
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Self

import orjson
import pytest

from stream_router import limits
from stream_router.envelope import Resubmitted, open_record, seal, seal_line
from stream_router.errors import UnforeseenError
from stream_router.model import PROBE_TYPE, Event, Record
from stream_router.operate import find
from stream_router.operate.console import Stop
from stream_router.operate.find import CANNOT_JUDGE, DEAD, FOUND, NOT_FOUND, UNDELIVERED, UNKNOWN, Options
from stream_router.operate.queue import Message
from stream_router.operate.replay import DONE, INCOMPLETE, Replay
from stream_router.operate.resubmit import ResubmitRun, Selection
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.process import iso, now_ms
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests.kinesis_shelf import Kept, Puts, Shelf, quick, refusal
from tests.leases import listed_shard

SHARD, STREAM, APPLICATION = "shard-1", "cxone-events", "cxone-event-router"
BEGUN_MS = int(now_ms()) - 3_600_000
ID = "0123456789abcdef0123456789abcdef"
BY_ID, BY_CONVERSATION = Options([ID], None, None, "2h"), Options([], None, "c-1", "2h")
GONE = "past the checkpoint, and its dead letter is gone today's settings make it a dead letter: "
ACCEPTED = "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
WAITING = "not settled yet: the consumer's checkpoint is not past it"
NO_LEASES = [
    {"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "1"}},
    {"leaseKey": {"S": "w"}, "entityType": {"S": "WORKER_METRIC_STATS"}},
    {"leaseKey": {"S": "acc:stream:1:shardId-3"}, "checkpoint": {"S": "1"}, "streamName": {"S": "acc:stream:1"}},
    {"leaseKey": {"S": "no-checkpoint"}},
    {"leaseKey": {"S": "shardId-5"}, "checkpoint": {"S": "neither"}},
]
"""What the KCL keeps in the same table: its leader, its workers, and what is not ours."""


def arrived_ms(number: int) -> int:
    """When the record of that number came: 41 s after the one before."""
    return BEGUN_MS + number * 41_000


def line(identity: str = ID, **more: Any) -> bytes:
    output = {"interactionId": "i-1", "conversationId": "c-1", "eventType": "interaction.created"}
    body = {**output, "timestamp": "2026-11-24T09:30:00Z", "payload": {}, **more}
    return seal(identity, "delivery", 1_000, orjson.dumps(body))


def resubmit(way: str, application: str = APPLICATION, times: int = 1, identity: str = ID) -> bytes:
    return seal_line(line(identity), identity, "delivery", 1_000, Resubmitted(way, application, "run-1", times))


def letter(
    number: Any = 10, at: int = 0, stream: str = STREAM, data: bytes | None = None, **more: Any
) -> dict[str, Any]:
    origin = {"stream": stream, "shardId": SHARD, "sequenceNumber": str(number), "subSequenceNumber": 0, "line": at}
    return {
        "schema": SCHEMA,
        "reason": "refused",
        "error": {"code": "MalformedDetail", "message": "no"},
        "failedAt": "2026-11-24T09:30:00.000Z",
        "origin": {**origin, "eventId": ID, "receivedAt": "2026-11-24T09:29:00.000Z"},
        "record": {"encoding": "base64", "data": base64.b64encode(data or line()).decode()},
        **more,
    }


def undelivered(number: int = 10) -> dict[str, Any]:
    """Of the copy that was published when the record of that number came."""
    detail = {"eventId": ID, "conversationId": "c-1", "processedAt": iso(arrived_ms(number))}
    return {"detail-type": "t", "detail": detail}


def of_v2(token: str) -> dict[str, Any]:
    return {"errorCode": "X", "errorMessage": "y", "failedMessages": [{"deduplicationId": token}]}


class Held:
    """A queue's messages in hand, as `Queue` gives them; `missing` says that not all were."""

    def __init__(self, bodies: Sequence[Any], unseen_reason: str = "") -> None:
        self._bodies, self.unseen_reason = bodies, unseen_reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> Any:
        for n, body in enumerate(self._bodies):
            text = body if isinstance(body, str) else json.dumps(body)
            yield Message({"MessageId": str(n), "ReceiptHandle": "r", "Body": text}, 0.0)


def asked(
    *datas: bytes,
    options: Options = BY_ID,
    checkpoint: str = "99",
    lease_of: str = SHARD,
    children: Sequence[dict[str, Any]] = (),
    letters: Sequence[Any] = (),
    undelivered: Sequence[Any] | None = (),
    unseen_reason: str = "",
    refuses: str = "",
    **settings: Any,
) -> tuple[int, str]:
    """Exit status and words of the command: a shard with records from 10 on, its checkpoint, what is in both queues.

    `children` are listed once the stream is read; `refuses` is an operation to which AWS says no.
    """
    shelf, written = Shelf({SHARD: ()}, {SHARD}), list[str]()
    shelf.kept[SHARD] = [Kept(n, arrived_ms(n), data) for n, data in enumerate(datas, 10)]
    queues = {"letters": Held(letters, unseen_reason)}
    if undelivered is not None:
        queues[f"{STREAM}-undelivered"] = Held(undelivered)

    def denied(operation: str, _: str = "") -> Exception | None:
        return refusal("AccessDeniedException", operation=operation) if operation == refuses else None

    def scan(**_: Any) -> Any:
        if error := denied("Scan"):
            raise error
        return [{"Items": [*NO_LEASES, {"leaseKey": {"S": lease_of}, "checkpoint": {"S": checkpoint}}]}]

    def queue_url(QueueName: str, **_: Any) -> Any:  # noqa: N803 - the API's own name
        if QueueName not in queues:
            raise refusal("QueueDoesNotExist", operation="GetQueueUrl")
        return {"QueueUrl": f"https://sqs/1/{QueueName}"}

    shelf.refuse = denied
    listed = iter([[], children])
    shelf.describe_stream_summary = lambda **_: {"StreamDescriptionSummary": {"RetentionPeriodHours": 24}}  # type: ignore[attr-defined]
    shelf.list_shards = lambda **_: {"Shards": [listed_shard(SHARD), *next(listed)]}  # type: ignore[attr-defined]
    clients = shelf.clients
    clients.sqs = SimpleNamespace(get_queue_url=queue_url)
    clients.dynamodb = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=scan))
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        patch.setattr(find, "Clients", lambda _: clients)
        patch.setattr(find, "QueueReader", lambda _sqs, url, _stop: queues[url.rpartition("/")[2]])
        patch.setattr(find, "print_line", written.append)
        patch.setattr(find, "write_line", lambda _, text: written.append(text))
        result = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/letters", **settings)
        return find.run(result, options), " ".join(" ".join(written).split())


STRANGERS = ["{}", "no json", "[]", {"detail": 7}, {"failedMessages": [7]}]
FOREIGN = orjson.dumps({"interactionId": "i-1", "eventType": "t"})
BY_INTERACTION = {"options": Options([], "i-1", None, "2h")}
SOME_PARTS = [letter(part={"n": n, "of": 2}) for n in (1, 2, 1)]
CHILD = {"lease_of": "child", "checkpoint": "20"}
REDRIVEN = (line(), resubmit("redrive"))


@pytest.mark.parametrize(
    ("datas", "values", "status", "fate"),
    [
        ([line()], {}, FOUND, f"{ACCEPTED} today's settings publish it as interaction.created"),
        ([line()], {"checkpoint": "9"}, FOUND, f"{WAITING} it will be .* when its turn comes"),
        ([line()], {"letters": [letter(11)]}, FOUND, ACCEPTED),
        ([line()], {"letters": [letter(at=1)]}, FOUND, ACCEPTED),
        ([line()], {"letters": [letter(stream="another")]}, FOUND, ACCEPTED),
        ([line()], {"letters": [letter()], "undelivered": [undelivered()]}, FOUND, DEAD),
        ([line(timestamp="never")], {}, FOUND, rf"{GONE}schema_mismatch \(BadTimestamp\)"),
        ([line()[:-1]], {}, FOUND, f"{GONE}malformed_json"),
        ([line(payload={"text": "x" * 1_500})], {}, FOUND, f"{GONE}oversize"),
        ([line(payload={"text": "x" * 1_500})], {"offload_bucket": "a-bucket"}, FOUND, ACCEPTED),
        ([line()], {"checkpoint": "LATEST"}, CANNOT_JUDGE, f"{UNKNOWN} .*a keyword .*, not a position"),
        ([line()], {"unseen_reason": "3 unseen"}, CANNOT_JUDGE, f"{UNKNOWN} it may be in the dead-.*queue: 3 unseen"),
        ([line()], {"unseen_reason": "3 unseen", "checkpoint": "9"}, FOUND, WAITING),
        ([line()], {"letters": STRANGERS, "undelivered": STRANGERS}, FOUND, ACCEPTED),
        ([line()], {"letters": [letter(schema=f"{SCHEMA[:-1]}9")]}, CANNOT_JUDGE, f"{UNKNOWN} .* 1 message of the"),
        ([line().replace(b'"v":1', b'"v":2', 1)], {}, CANNOT_JUDGE, f"{UNKNOWN} .* version of the consumers"),
        ([resubmit("redrive", "another")], {}, FOUND, "settled unsent it was resubmitted for another application"),
        # of several copies the newest that is ours
        (REDRIVEN, {"checkpoint": "10"}, FOUND, WAITING),
        (REDRIVEN, {}, FOUND, ACCEPTED),
        ([line(), resubmit("redrive", times=2)], {"letters": [letter(11)]}, FOUND, DEAD),
        ([line(), resubmit("replay")], {"letters": [letter(10)]}, FOUND, ACCEPTED),
        ([line(), resubmit("redrive", "another")], {"letters": [letter(10)]}, FOUND, DEAD),
        # EventBridge tries for a day: its message may come long after the event was put back and arrived
        (REDRIVEN, {"undelivered": [undelivered(10)]}, FOUND, ACCEPTED),
        (REDRIVEN, {"undelivered": [undelivered(11)]}, FOUND, UNDELIVERED),
        # a v2 bus tells it by token: the id, with the run of what was put back, or the place in the stream
        ([line()], {"undelivered": [of_v2(ID)]}, FOUND, f"{UNDELIVERED} X: y"),
        ([line()], {"undelivered": [of_v2(f"{ID}:another")]}, FOUND, ACCEPTED),
        ([resubmit("redrive")], {"undelivered": [of_v2(f"{ID}:run-1")]}, FOUND, f"{UNDELIVERED} X: y"),
        ([], {"undelivered": [of_v2(f"{ID}:run-1")]}, FOUND, f"{UNDELIVERED} X: y"),
        ([FOREIGN], {"undelivered": [of_v2(f"{SHARD}:10:0:0")], **BY_INTERACTION}, FOUND, f"{UNDELIVERED} X: y"),
        # not in the stream: what is in a queue is found all the same, once
        ([], {"unseen_reason": "2 unseen"}, CANNOT_JUDGE, r"not in the .* queue that was seen \(not all was: 2 unseen"),
        ([], {"letters": [letter("abc"), letter("9" * 5_000)]}, FOUND, DEAD),
        ([], {"letters": SOME_PARTS}, FOUND, DEAD),
        ([], {"undelivered": [undelivered()]}, FOUND, UNDELIVERED),
        # what cannot be read is not a judgement; where the rules are others' there need be no queue of the undelivered
        ([line()], {"refuses": "GetRecords"}, CANNOT_JUDGE, f"{UNKNOWN}: stream cxone-events cannot be read"),
        ([line()], {"refuses": "Scan"}, CANNOT_JUDGE, f"{UNKNOWN} .*AccessDenied"),
        ([line()], {"undelivered": None}, FOUND, f"{ACCEPTED} .*; it may be undelivered at the target: the queue"),
        ([line()], {"undelivered": None, "rule": "none"}, FOUND, f"{ACCEPTED} .* as interaction.created$"),
        # resharded while it was read: the KCL deletes its lease once a child is under way
        ([line()], {**CHILD}, FOUND, WAITING),
        ([line()], {**CHILD, "children": [listed_shard("child", SHARD)]}, FOUND, ACCEPTED),
    ],
)  # fmt: skip
def test_only_what_is_certain_is_said(
    monkeypatch: pytest.MonkeyPatch, datas: Sequence[bytes], values: dict[str, Any], status: int, fate: str
) -> None:
    """A letter counts for its own place; what was not seen makes a fate uncertain only where it can."""
    monkeypatch.setattr(limits, "REQUEST_BYTES_1MB", 1_400)
    result, text = asked(*datas, **values)
    assert re.search(f"verdict {fate}", text), text
    assert (result, text.count("verdict")) == (status, 1), text


MASKED = {"interactionId": "i", "eventType": "t", "timestamp": "2026-11-24T09:30:00Z", "payload": {}}
WITHHELD = letter(data=b'{"withheld":"the policy masks dead letters"}', masking="default 3")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        # in the stream: as mapping finds it, else by whether it stands in what was sent
        (line(), FOUND),
        (line(conversationId="c-2"), NOT_FOUND),
        (line(conversationId="c-11", payload={"c-1": "c-1"}), NOT_FOUND),
        (line(timestamp="not a time"), FOUND),
        (line(timestamp="not a time", conversationId="c-11"), NOT_FOUND),
        (line()[:-3], FOUND),
        # a dead letter: what is not whole, or was masked, may be of this conversation
        (letter(), FOUND),
        (letter(data=line(conversationId="c-2")), NOT_FOUND),
        (letter(data=b'{"conversationId":"c-1"', reason="malformed_json"), FOUND),
        (letter(reason="crashed"), FOUND),
        (letter(part={"n": 1, "of": 2}), CANNOT_JUDGE),
        (letter(record={"encoding": "base64", "data": "%"}), CANNOT_JUDGE),
        (WITHHELD, CANNOT_JUDGE),
        *(
            (letter(data=orjson.dumps({**MASKED, "conversationId": name})), CANNOT_JUDGE)
            for name in ("[REDACTED]", "chat-[EMAIL]-1", "****4567", f"hmac:k1:{'0' * 32}")
        ),
    ],
)
def test_a_conversation_is_looked_for_in_all_that_was_received(values: Any, status: int) -> None:
    """An event that mapping refuses is not "not received", and neither is one that nobody can compare."""
    held = isinstance(values, dict)
    result, text = asked(*([] if held else [values]), letters=[values] if held else [], options=BY_CONVERSATION)
    assert result == status
    assert ("conversation c-1: not in the stream" in text) is (status != FOUND)
    assert ("could not be compared" in text or "cannot be read" in text) == (status == CANNOT_JUDGE)


def test_the_event_is_shown_where_it_is_asked_for() -> None:
    """As it was sent, masked where a policy is in force."""
    data, options = line(payload={"text": "Anna Meyer", "n": 1.50}), BY_ID._replace(payload=True)
    assert "Anna" not in asked(data)[1]
    assert data.decode() in asked(data, options=options)[1]
    shown = asked(data, options=options, masking="default")[1]
    assert ('"text":"[' in shown, "Anna" in shown) == (True, False)


def test_an_unforeseen_error_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's own answer to one is 1, which means "not received" here."""
    monkeypatch.setattr(find, "open_record", lambda _: 1 // 0)
    with pytest.raises(UnforeseenError, match="cannot judge: ZeroDivisionError") as raised:
        asked(line())
    assert raised.value.status == CANNOT_JUDGE


# --- replay

ALL = Selection(0, 1_000)
ONE, TWO, NINE = (f"{number:032x}" for number in (1, 2, 9))


def replayed(*datas: bytes, wanted: Selection = ALL) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the lines that are put."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        shelf, puts, stop = Shelf({"a": ()}, set()), Puts(), Stop()
        shelf.put_records = puts.put_records  # type: ignore[attr-defined]
        shelf.kept["a"] = [Kept(n, 100 + n, data) for n, data in enumerate(datas, 1)]
        result = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
        back = ResubmitRun(result, shelf.clients, 0.0, stop, dry_run=False)
        status = Replay(result, wanted, (), shelf.stream, back).run(shelf.clients, stop)
    return status, [orjson.loads(line) for line in puts.stored]


def opened(*datas: bytes) -> list[tuple[str, str, bytes, Any]]:
    result = [item for data in datas for item in open_record(Record(data, 1, 0, 100)) if isinstance(item, Event)]
    return sorted((event.event_id, event.id_from, event.raw, event.body) for event in result)


def test_an_event_goes_back_as_its_line_stood_under_its_id() -> None:
    """Also what others wrote, an element of an array, what a redrive put there; marked with the run, counted."""
    array = b'[{"eventType":"a"},{"eventType":"b","n":1.0}]'
    status, put = replayed(line(ONE), FOREIGN, array, resubmit("redrive", identity=TWO))
    assert (status, len(put)) == (DONE, 5)
    assert opened(*[orjson.dumps(item) for item in put]) == opened(line(ONE), FOREIGN, array, line(TWO))
    (run,) = {item["resubmitted"] for item in put}
    assert re.fullmatch(f"replay/{APPLICATION}/[^/]+/1", run)


def test_what_is_nobodys_or_no_event_is_passed_over_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay's own lines, another application's, a probe, garbage, what fits no record."""
    whys = {
        "resubmitted by a replay": resubmit("replay"),
        "resubmitted for application another-router": resubmit("redrive", "another-router"),
        "a test event of": line(eventType=PROBE_TYPE),
        "no event, but a dead letter: malformed_json": b"{broken",
        "fits no record": line(payload={"text": "x" * 900_000}),
    }
    assert replayed(*whys.values()) == (DONE, [])
    out = capsys.readouterr().out
    assert not [why for why in whys if not re.search(rf"^ +1  {why}", out, re.MULTILINE)]


def test_a_choice_by_type_and_by_id(capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for and not there is said, and ends it with 1."""
    datas = (line(ONE), line(TWO, eventType="conversation.updated"), resubmit("replay", identity=ONE))
    status, put = replayed(*datas, wanted=ALL._replace(event_types=("conversation.updated",)))
    assert (status, [item["id"] for item in put]) == (DONE, [TWO])
    wanted = ALL._replace(ids=(ONE, TWO, NINE), event_types=("interaction.created",))
    status, put = replayed(*datas, wanted=wanted)
    assert (status, [item["id"] for item in put]) == (INCOMPLETE, [ONE])
    out = capsys.readouterr().out
    assert [item for item in wanted.ids if f"not resubmitted: {item}" in out] == [TWO, NINE]
    assert replayed(line(ONE), wanted=ALL._replace(event_types=("conversation.updated",))) == (INCOMPLETE, [])
