"""What becomes of an event between receiver and consumer: its bytes, its bucket, what only the consumer buries."""

import json
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import conversation_hash, find_line_conversation, open_record
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.transform import Transform
from stream_router.receiver.intake import Intake, ProblemError, SealedEvent, VerifiedBody
from stream_router.settings.receiver import Receiver
from tests import events
from tests.receiver_kit import expected_id


def sealed(body: bytes, event_type: str = "", **settings: Any) -> list[SealedEvent]:
    receiver = Receiver(aws_region="x", **{"webhook_scheme": "hmac", "webhook_secrets": "s", **settings})
    return Intake(receiver, lambda: 1_780_000_000.1234).events(VerifiedBody(body, "d", event_type=event_type))


def body_of(event: SealedEvent) -> bytes:
    return event.line.partition(b'"body":')[2][:-1]


def test_the_envelope_carries_the_sender_s_very_bytes_on_one_line() -> None:
    """Of an object and of each element of an array, with an identity of its own; line breaks become spaces."""
    item, other = '{"conversationId": "c",\t"name":"José", "n":1.0}'.encode(), b'{"a":\r\n[1,2]}'
    (event,) = sealed(item)
    head = f'{{"v":1,"id":"{expected_id("hmac", "d", 0, item)}","idFrom":"delivery","receivedAt":1780000000123,"body":'
    assert event.line == head.encode() + item + b"}"
    array = b"[ " + item + b" ,\r\n" + other + b", " + other + b"]"
    result = sealed(array)
    assert [body_of(event) for event in result] == [item, *[other.replace(b"\r\n", b"  ")] * 2]
    assert [event.identity for event in result] == [expected_id("hmac", "d", index, array) for index in range(3)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"conversationId":"c","text":"cut \\ud83d"}',
        b'{"conversationId":"c","a":-1e999}',
        b'{"conversationId":"c","a":' + b"7" * 100_000 + b"}",
        b'{"\\udc00":{},\r\n"conversationId":"c"}',
    ],
)
def test_json_that_the_consumer_cannot_read_is_taken_and_buried_as_it_came(body: bytes) -> None:
    """A 4xx is final for a sender: the consumer buries the sender's own bytes, and its neighbours pass."""
    good = b'{"conversationId":"c","n":1.50}'
    first, event, _ = sealed(b"[" + good + b", " + body + b"," + good + b"]")
    assert (body_of(event), event.conversation) == (body.replace(b"\r\n", b"  "), first.conversation)
    assert conversation_hash(find_line_conversation(event.line, [["conversationId"]])) == event.conversation
    before, letter, behind = open_record(Record(b"\n".join([first.line, event.line, first.line]), 1))
    assert isinstance(before, Event)
    assert isinstance(behind, Event)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event.raw) == (Reason.SCHEMA_MISMATCH, event.line)


@pytest.mark.parametrize("inside", [b"", b'"a":1e999,'])
def test_an_event_as_deep_as_is_taken_finds_its_conversation_again(inside: bytes) -> None:
    """An envelope nests one level deeper than its body: the body alone is read, as it was when it was taken."""
    levels = EVENT_MAX_DEPTH - 1
    (event,) = sealed(b'{"conversationId":"c",' + inside + b'"payload":' + b"[" * levels + b"]" * levels + b"}")
    assert conversation_hash(find_line_conversation(event.line, [["conversationId"]])) == event.conversation


def test_an_event_beyond_a_kinesis_record_is_too_large() -> None:
    """Whatever the body's limit is set to, an event must fit a record."""
    with pytest.raises(ProblemError) as caught:
        sealed(b'{"a":"' + b"x" * 1_048_576 + b'"}')
    assert (caught.value.status, caught.value.code) == (413, "too_large")


@pytest.mark.parametrize(
    ("candidate", "other", "settings"),
    [
        ({"conversationId": "c1", "x": 1}, {"conversationId": "c1", "interactionId": "i9"}, {}),
        ({"interactionId": "i1"}, {"interactionId": "i1", "conversationId": ""}, {}),
        ({"conversationId": 17}, {"conversationId": 17, "y": 2}, {}),
        ({"conversationId": {"no": "key"}, "interactionId": "i1"}, {"interactionId": "i1"}, {}),
        ({"data": {"case": {"id": "k"}}, "n": 1}, {"data": {"case": {"id": "k"}}}, {"partition_path": "data.case.id"}),
    ],
)
def test_one_conversation_is_one_bucket(
    candidate: dict[str, Any], other: dict[str, Any], settings: dict[str, str]
) -> None:
    """conversationId decides, else interactionId, where they are a text or a number; or the place that a setting names.
    An event without a conversation goes by its id."""
    first, second = sealed(orjson.dumps([candidate, other]), **settings)
    assert first.conversation == second.conversation
    alone = sealed(orjson.dumps([{"data": [], "n": n} for n in range(20)]), **settings)
    assert len({event.conversation for event in alone}) > 10


NICE: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-examples.json").read_text())
EXPERT = {"name": "expert", "event": {"id": "1", "page": {"id": "p-7"}}}


@pytest.mark.parametrize("example", [*NICE, EXPERT], ids=lambda example: str(example["name"]))
def test_an_event_of_nices_is_grouped_by_the_conversation_that_the_consumer_reads(example: dict[str, Any]) -> None:
    """Else a conversation's events are spread over the shards, and no consumer can keep their order."""
    (event,) = sealed(orjson.dumps(example["event"]), "page:update" if example is EXPERT else "")
    (opened,) = open_record(Record(event.line, 1))
    assert isinstance(opened, Event)
    transform = Transform(events.config_of(unroutable="publish"), lambda: events.NOW_MS)(opened)
    assert isinstance(transform, Entry)
    assert event.conversation == zlib.crc32((transform.order_key or event.identity).encode())
