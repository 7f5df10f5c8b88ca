"""`find`, case by case: only what stream, checkpoints, queues and today's settings make certain is said."""

import base64
import json
import uuid
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Self

import orjson
import pytest

from stream_router import limits
from stream_router.envelope import Resubmitted, seal, seal_line
from stream_router.errors import SettingsError, UnforeseenError
from stream_router.operate import find
from stream_router.operate.find import CANNOT_JUDGE, DEAD, FOUND, NOT_FOUND, UNKNOWN, Options
from stream_router.operate.queue import Message
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.process import iso, now_ms
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load
from tests.kinesis_shelf import Kept, Shelf, quick, refusal

SHARD, STREAM, APPLICATION = "shard-1", "cxone-events", "cxone-event-router"
ID = "0123456789abcdef0123456789abcdef"
BY_ID, BY_CONVERSATION = Options([ID], None, None, "1h"), Options([], None, "c-1", "1h")
GONE = "past the checkpoint, and its dead letter is gone"
ACCEPTED = "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
WAITING = "not settled yet: the consumer's checkpoint is not past it"


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def line(identity: str = ID, **more: Any) -> bytes:
    said = {"interactionId": "i-1", "conversationId": "c-1", "eventType": "interaction.created"}
    body = {**said, "timestamp": "2026-11-24T09:30:00Z", "payload": {}, **more}
    return seal(identity, "delivery", 1_000, orjson.dumps(body))


def put_back(way: str, application: str = APPLICATION, times: int = 1) -> bytes:
    return seal_line(line(), ID, "delivery", 1_000, Resubmitted(way, application, "run-1", times))


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


def undelivered(processed_ms: float = 2_000) -> dict[str, Any]:
    return {"detail-type": "t", "detail": {"eventId": ID, "conversationId": "c-1", "processedAt": iso(processed_ms)}}


class Held:
    """A queue's messages in hand, as `Queue` gives them; `missing` says that not all were."""

    def __init__(self, bodies: Sequence[Any], missing: str = "") -> None:
        self._bodies, self.missing = bodies, missing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> Any:
        for n, body in enumerate(self._bodies):
            text = body if isinstance(body, str) else json.dumps(body)
            yield Message({"MessageId": str(n), "ReceiptHandle": "r", "Body": text}, 0.0)


class World:
    """A stream of one shard, whose records are numbered from 10 on, its checkpoint, what is in both queues."""

    def __init__(
        self,
        *datas: bytes,
        checkpoint: str = "99",
        letters: Sequence[Any] = (),
        undelivered: Sequence[Any] = (),
        missing: str = "",
        **settings: Any,
    ) -> None:
        self.begun_ms = int(now_ms()) - 60_000
        self.shelf = Shelf({SHARD: ()}, {SHARD})
        self.shelf.kept[SHARD] = [Kept(n, self.at_ms(n), data) for n, data in enumerate(datas, 10)]
        self.queues = {"letters": Held(letters, missing), f"{STREAM}-undelivered": Held(undelivered)}
        self.children: list[dict[str, Any]] = []
        """Shards that are listed once the stream is read."""
        self.leases: list[dict[str, Any]] = [{"leaseKey": {"S": SHARD}, "checkpoint": {"S": checkpoint}}]
        self.settings = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/letters", **settings)

    def at_ms(self, number: int) -> int:
        """When its record of that number arrived."""
        return self.begun_ms + number * 1_000

    def _scan(self, **_: Any) -> Any:
        if not self.leases:
            raise refusal("ResourceNotFoundException", operation="Scan")
        return [{"Items": self.leases}]

    def _url(self, QueueName: str, **_: Any) -> Any:  # noqa: N803 - the API's own name
        if QueueName not in self.queues:
            raise refusal("QueueDoesNotExist", operation="GetQueueUrl")
        return {"QueueUrl": f"https://sqs/1/{QueueName}"}

    def find(self, options: Options = BY_ID) -> tuple[int, str]:
        """The exit status and what is written."""
        clients, written = self.shelf.clients, list[str]()
        clients.sqs = SimpleNamespace(get_queue_url=self._url)
        clients.dynamodb = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=self._scan))
        listed = iter([[], self.children])
        summary = {"StreamDescriptionSummary": {"RetentionPeriodHours": 24}}
        told = {"HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}, "SequenceNumberRange": {}}
        self.shelf.describe_stream_summary = lambda **_: summary  # type: ignore[attr-defined]
        self.shelf.list_shards = lambda **_: {  # type: ignore[attr-defined]
            "Shards": [{**told, **one} for one in ({"ShardId": SHARD}, *next(listed))]
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(find, "Clients", lambda _: clients)
            patch.setattr(find, "Queue", lambda _sqs, url, _stop: self.queues[url.rpartition("/")[2]])
            patch.setattr(find, "tell", written.append)
            patch.setattr(find, "write_line", lambda _, text: written.append(text))
            return find.run(self.settings, options), "\n".join(written)


def verdicts(text: str) -> list[str]:
    """The verdict of each event, and the words below it."""
    lines = text.splitlines()
    at = [n for n, one in enumerate(lines) if one.startswith("  verdict")]
    return [f"{lines[n][14:]}; {''.join(lines[n + 1 : n + 2]).strip()}" for n in at]


STRANGERS = ["{}", "no json", "[]", {"detail": 7}, {"failedMessages": [7]}]


@pytest.mark.parametrize(
    ("data", "given", "status", "fate", "why"),
    [
        (line(), {}, FOUND, ACCEPTED, "publish it as interaction.created"),
        (line(), {"checkpoint": "9"}, FOUND, WAITING, "when its turn comes"),
        (line(), {"letters": [letter()]}, FOUND, DEAD, "refused (MalformedDetail): no; since 2026-"),
        (line(), {"letters": [letter(11)]}, FOUND, ACCEPTED, ""),
        (line(), {"letters": [letter(at=1)]}, FOUND, ACCEPTED, ""),
        (line(), {"letters": [letter(stream="another")]}, FOUND, ACCEPTED, ""),
        (line(), {"undelivered": [undelivered()]}, FOUND, find.UNDELIVERED, "no code: EventBridge gives no reason"),
        (line(), {"letters": [letter()], "undelivered": [undelivered()]}, FOUND, DEAD, "refused"),
        (line(eventType="t"), {"drop_types": "t"}, FOUND, "past the checkpoint, and a setting drops it", "type t"),
        (line(eventType="t"), {}, FOUND, GONE, "unroutable (UnroutableEventType)"),
        (line(timestamp="never"), {}, FOUND, GONE, "schema_mismatch (BadTimestamp)"),
        (line()[:-1], {}, FOUND, GONE, "malformed_json"),
        (line(), {"checkpoint": "LATEST"}, CANNOT_JUDGE, UNKNOWN, "a word, not a position"),
        (line(), {"missing": "3 not seen"}, CANNOT_JUDGE, UNKNOWN, "it may be in the dead-letter queue: 3 not seen"),
        (line(), {"missing": "3 not seen", "checkpoint": "9"}, FOUND, WAITING, ""),
        (line(), {"letters": STRANGERS, "undelivered": STRANGERS}, FOUND, ACCEPTED, ""),
        (line(), {"letters": [letter(schema=f"{SCHEMA[:-1]}9")]}, CANNOT_JUDGE, UNKNOWN, "1 message of the"),
        (line().replace(b'"v":1', b'"v":2', 1), {}, CANNOT_JUDGE, UNKNOWN, "look with the version of the consumers"),
        (put_back("redrive"), {}, FOUND, ACCEPTED, ""),
        (put_back("redrive", "another"), {}, FOUND, "settled unsent", "put back for another application"),
    ],
)  # fmt: skip
def test_only_what_is_certain_is_said(data: bytes, given: dict[str, Any], status: int, fate: str, why: str) -> None:
    """A letter counts for its own place; what was not seen makes a fate uncertain only where it can."""
    found, text = World(data, **given).find()
    (verdict,) = verdicts(text)
    assert (found, verdict.startswith(f"{fate}; ")) == (status, True), text
    assert why in verdict


def test_what_no_call_can_carry_was_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bucket it is a dead letter `oversize`, whatever the mapping makes of it."""
    monkeypatch.setattr(limits, "REQUEST_BYTES_1MB", 1_024)
    large = line(payload={"text": "x" * 1_024})
    assert verdicts(World(large).find()[1])[0].startswith(f"{GONE}; today's settings make it a dead letter: oversize")
    assert verdicts(World(large, offload_bucket="a-bucket").find()[1])[0].startswith(ACCEPTED)


@pytest.mark.parametrize(
    ("later", "given", "fate"),
    [
        (put_back("redrive"), {"checkpoint": "10"}, WAITING),
        (put_back("redrive"), {}, ACCEPTED),
        (put_back("redrive", times=2), {"letters": [letter(11)]}, DEAD),
        (put_back("replay"), {"letters": [letter(10)]}, ACCEPTED),
        (put_back("redrive", "another"), {"letters": [letter(10)]}, DEAD),
        (line(), {"letters": [letter(10)]}, ACCEPTED),
    ],
)
def test_the_verdict_is_that_of_the_newest_place(later: bytes, given: dict[str, Any], fate: str) -> None:
    """Each place is said, and what it is; a letter of an older copy is said there."""
    status, text = World(line(), later, **given).find()
    assert (status, verdicts(text)[0].split("; ")[0]) == (FOUND, fate)
    assert text.index("record 10") < text.index("record 11") < text.index("verdict")
    way, times = "replay" if b"replay/" in later else "redrive", 2 if b"/2" in later else 1
    assert (f"; put back by {way} (run run-1, time {times})" in text) == (later != line())
    if given.get("letters") and fate == ACCEPTED:
        assert f"{DEAD}: refused" in text


@pytest.mark.parametrize("offset_s", [0, 1])
def test_what_is_undelivered_is_the_copy_that_was_published_last_before(offset_s: int) -> None:
    """EventBridge tries for a day: its message may come long after the event was put back and arrived."""
    world = World(line())
    world.shelf.kept[SHARD].append(Kept(11, world.at_ms(50), put_back("undelivered")))
    world.queues[f"{STREAM}-undelivered"] = Held([undelivered(world.at_ms(10 + offset_s * 41))])
    assert verdicts(world.find()[1])[0].startswith(find.UNDELIVERED if offset_s else ACCEPTED)


def test_a_v2_bus_tells_of_the_undelivered_by_token() -> None:
    """The event's id where the sender gave one, else the place in the stream; of what was put back with its run."""
    foreign = orjson.dumps({"interactionId": "i-1", "eventType": "t"})
    for data, token, options in (
        (line(), ID, BY_ID),
        (put_back("redrive"), f"{ID}:run-1", BY_ID),
        (foreign, f"{SHARD}:10:0:0", Options([], "i-1", None, "1h")),
    ):
        told = {"errorCode": "X", "errorMessage": "y", "failedMessages": [{"deduplicationId": token}]}
        assert verdicts(World(data, undelivered=[told]).find(options)[1]) == [f"{find.UNDELIVERED}; X: y"]
        if options is BY_ID:
            assert verdicts(World(undelivered=[told]).find()[1]) == [f"{find.UNDELIVERED}; X: y"]
        other = {**told, "failedMessages": [{"deduplicationId": f"{token}:another"}]}
        assert not verdicts(World(data, undelivered=[other]).find(options)[1])[0].startswith(find.UNDELIVERED)


PARTS = [letter(part={"n": n, "of": 2}) for n in (1, 2)]


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({}, NOT_FOUND, "and in no queue: not received since then, unless a receiver's spill still has it"),
        ({"missing": "2 not seen"}, CANNOT_JUDGE, "in no queue that was seen (not all was: 2 not seen"),
        ({"letters": [letter()]}, FOUND, DEAD),
        ({"letters": [letter("abc"), letter("9" * 5_000)]}, FOUND, DEAD),
        ({"letters": [*PARTS, PARTS[0]]}, FOUND, DEAD),
        ({"undelivered": [undelivered()]}, FOUND, find.UNDELIVERED),
    ],
)
def test_an_event_that_is_not_in_the_stream(given: dict[str, Any], status: int, says: str) -> None:
    """What is in a queue is found all the same, once; where the letters were not all seen nothing is certain."""
    found, text = World(**given).find()
    assert (found, says in text, text.count("verdict")) == (status, True, 1), text


def test_what_cannot_be_read_is_no_judgement() -> None:
    """The stream, the lease table; where the rules are others' there need be no queue of the undelivered."""
    world = World(line())
    world.shelf.refuse = lambda *_: refusal("AccessDeniedException")
    status, text = world.find()
    assert (status, "cannot be judged: stream cxone-events cannot be read (AccessDen" in text) == (CANNOT_JUDGE, True)
    world = World(line())
    world.leases = []
    status, text = world.find()
    assert (status, "there is no lease table" in text) == (CANNOT_JUDGE, True)
    for rule, is_said in (("cxone-webhook-router", True), ("none", False)):
        world = World(line(), rule=rule)
        del world.queues[f"{STREAM}-undelivered"]
        status, text = world.find()
        assert (status, "the queue" in text) == (FOUND, is_said)


def test_a_shard_that_was_resharded_while_it_was_read_is_judged_by_its_children() -> None:
    """The KCL deletes its lease once a child is under way, and a reading takes hours."""
    for children, fate in (([], WAITING), ([{"ShardId": "child", "ParentShardId": SHARD}], ACCEPTED)):
        world = World(line())
        world.leases = [{"leaseKey": {"S": "child"}, "checkpoint": {"S": "20"}}]
        world.children = children
        assert verdicts(world.find()[1])[0].startswith(fate)


# --- what is asked for


def test_one_question_at_a_time() -> None:
    """An event by either of its names, which are the same 128 bits; neither none, nor two, nor an id that is none."""
    for identity in (ID.upper(), str(uuid.UUID(ID))):
        assert World(line()).find(BY_ID._replace(ids=[identity]))[0] == FOUND
    nobodys = (["not-an-id"], None, None)
    for ids, interaction, conversation in (([], None, None), ([ID], "i", None), nobodys, (list[str](), "i", "c")):
        with pytest.raises(SettingsError, match=r"^find: "):
            World().find(Options(ids, interaction, conversation, "1h"))


@pytest.mark.parametrize(
    ("data", "is_found"),
    [
        (line(), True),
        (line(conversationId="c-2"), False),
        (line(conversationId="c-11", payload={"c-1": "c-1"}), False),
        (line(timestamp="not a time"), True),
        (line(timestamp="not a time", conversationId="c-11"), False),
        (line()[:-3], True),
        (put_back("replay"), True),
    ],
)
def test_a_conversation_is_looked_for_in_the_mapped_event_else_in_what_was_sent(data: bytes, is_found: bool) -> None:
    """An event that mapping refuses was received all the same, and is a dead letter: it is not "not received"."""
    status, text = World(data).find(BY_CONVERSATION)
    assert status == (FOUND if is_found else NOT_FOUND)
    assert ("conversation c-1: not in the stream" in text) is not is_found


MASKED = {"interactionId": "i", "eventType": "t", "timestamp": "2026-11-24T09:30:00Z", "payload": {}}


@pytest.mark.parametrize(
    ("held", "status"),
    [
        (letter(), FOUND),
        (letter(data=line(conversationId="c-2")), NOT_FOUND),
        (letter(data=b'{"conversationId":"c-1"', reason="malformed_json"), FOUND),
        (letter(reason="crashed"), FOUND),
        (letter(part={"n": 1, "of": 2}), CANNOT_JUDGE),
        (letter(record={"encoding": "base64", "data": "%"}), CANNOT_JUDGE),
        (letter(data=b'{"withheld":"the policy masks dead letters"}', masking="default 3"), CANNOT_JUDGE),
        *((letter(data=json.dumps({**MASKED, "conversationId": one}).encode()), CANNOT_JUDGE)
          for one in ("[REDACTED]", "chat-[EMAIL]-1", "****4567", f"hmac:k1:{'0' * 32}")),
    ],
)  # fmt: skip
def test_a_dead_letter_is_compared_by_what_it_holds(held: dict[str, Any], status: int) -> None:
    """What is not whole, or was masked, may be of this conversation: that is said, and is no "not received"."""
    found, text = World(letters=[held]).find(BY_CONVERSATION)
    assert found == status
    assert ("could not be compared" in text or "cannot be read" in text) == (status == CANNOT_JUDGE)


def test_the_event_is_shown_where_it_is_asked_for() -> None:
    """As it was sent, masked where a policy is in force."""
    data = line(payload={"text": "Anna Meyer", "n": 1.50})
    assert "Anna" not in World(data).find()[1]
    assert data.decode() in World(data).find(BY_ID._replace(payload=True))[1]
    shown = World(data, masking="default").find(BY_ID._replace(payload=True))[1]
    assert '"text":"[' in shown
    assert "Anna" not in shown


def test_an_unforeseen_error_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's own answer to one is 1, which means "not received" here."""
    monkeypatch.setattr(find, "open_record", lambda _: 1 // 0)
    with pytest.raises(UnforeseenError, match="cannot judge: ZeroDivisionError") as raised:
        World(line()).find()
    assert raised.value.status == CANNOT_JUDGE
