"""What a verified body becomes: events with the contract's identity, in their buckets, or a refusal with a code."""

import json
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import conversation_hash, conversation_of_line, open_record
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.transform import Transform
from stream_router.receiver.intake import Body, Intake, ProblemError
from stream_router.settings.receiver import Receiver
from tests import events
from tests.receiver_kit import expected_id

NOW_S = 1_780_000_000.1234


def intake(**settings: Any) -> Intake:
    made = Receiver(aws_region="x", **{"webhook_scheme": "hmac", "webhook_secrets": "s", **settings})
    return Intake(made, lambda: NOW_S)


def problem(body: bytes, **settings: Any) -> tuple[int, str]:
    with pytest.raises(ProblemError) as caught:
        intake(**settings).events(Body(body, None))
    assert body.decode("utf-8", "replace")[:40] not in caught.value.message or len(body) < 4
    return caught.value.status, caught.value.code


def test_an_object_is_one_event_with_its_own_bytes() -> None:
    """The envelope carries the contract's identity, the time of receipt and the sender's very bytes."""
    body = '{"conversationId": "c",\t"name":"José", "n":1.0}'.encode()
    (event,) = intake().events(Body(body, "d-1"))
    assert event.identity == expected_id("hmac", "d-1", 0, body)
    head = f'{{"v":1,"id":"{event.identity}","idFrom":"delivery","receivedAt":1780000000123,"body":'
    assert event.line == head.encode() + body + b"}"


def test_without_a_delivery_id_the_identity_is_the_content() -> None:
    """Such an event says so, and so is never taken for a repeat."""
    (event,) = intake().events(Body(b'{"a":1}', None))
    assert orjson.loads(event.line)["idFrom"] == "content"
    assert event.identity == expected_id("hmac", "", 0, b'{"a":1}')


def test_an_array_is_its_elements_each_with_an_identity_of_its_own() -> None:
    """The identity covers the whole body and the place in it; each element keeps its bytes."""
    body = b'[ {"a": 1} ,\r\n{"a": 1}, {"b":[1,2]}]'
    events = intake().events(Body(body, "d"))
    assert [event.identity for event in events] == [expected_id("hmac", "d", index, body) for index in range(3)]
    assert [event.line.partition(b'"body":')[2][:-1] for event in events] == [b'{"a": 1}', b'{"a": 1}', b'{"b":[1,2]}']


def test_line_breaks_between_tokens_become_spaces() -> None:
    """A pretty-printed body is one line of a record; its value stays the same."""
    body = json.dumps({"a": [1, 2], "b": "x\ny"}, indent=2).replace("\n", "\r\n").encode()
    (event,) = intake().events(Body(body, None))
    assert b"\n" not in event.line
    assert b"\r" not in event.line
    assert orjson.loads(event.line)["body"] == {"a": [1, 2], "b": "x\ny"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800",}',
        b'{"a":1e999,"b":NaN}',
        b'{"a":1e999,"b":-Infinity}',
        b'{"a":1e999,"b":"\xff"}',
        b'{"a":1e999,"b":"\x01"}',
        b'{"a":1e999,"b":01}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b"\0",
        b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}",
        b"[" + b'{"a":' * 1020 + b"1" + b"}" * 1020 + b",]",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """400 malformed_json: broken, not UTF-8, with a byte order mark, NaN, too deep."""
    assert problem(body) == (400, "malformed_json")


UNREADABLE = [
    b'{"conversationId":"c","text":"cut \\ud83d"}',
    b'{"conversationId":"c","a":-1e999}',
    b'{"conversationId":"c","a":' + b"7" * 100_000 + b"}",
    b'{"\\udc00":{},\r\n"conversationId":"c"}',
]
"""JSON that orjson refuses."""


@pytest.mark.parametrize("body", UNREADABLE)
def test_json_that_the_consumer_cannot_read_is_taken_and_buried_as_it_came(body: bytes) -> None:
    """A 4xx is final for a sender: the consumer buries the sender's own bytes, and its neighbours pass."""
    (event,) = intake().events(Body(body, "d"))
    (good,) = intake().events(Body(b'{"conversationId":"c"}', "d"))
    assert event.conversation == good.conversation
    assert conversation_hash(conversation_of_line(event.line, [["conversationId"]])) == event.conversation
    data = b"\n".join([good.line, event.line, good.line])
    first, letter, last = open_record(Record(data, 1))
    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.SCHEMA_MISMATCH
    assert letter.event.raw == event.line
    assert [found.__class__ for found in open_record(Record(event.line, 1))] == [DeadLetter]
    assert event.line.endswith(body.replace(b"\r\n", b"  ") + b"}")


@pytest.mark.parametrize("inside", [b"", b'"a":1e999,'])
def test_an_event_as_deep_as_is_taken_finds_its_conversation_again(inside: bytes) -> None:
    """An envelope nests one level deeper than its body: the body alone is read, as it was when it was taken."""
    levels = EVENT_MAX_DEPTH - 1
    body = b'{"conversationId":"c",' + inside + b'"payload":' + b"[" * levels + b"]" * levels + b"}"
    (event,) = intake().events(Body(body, None))
    assert conversation_hash(conversation_of_line(event.line, [["conversationId"]])) == event.conversation


@pytest.mark.parametrize("body", UNREADABLE)
def test_an_array_with_such_an_element_is_cut_as_any_other(body: bytes) -> None:
    """Only that element is the consumer's to bury."""
    good = b'{"conversationId":"c","n":1.50}'
    events = intake().events(Body(b"[" + good + b", " + body + b"]", "d"))
    parts = [event.line.partition(b'"body":')[2][:-1] for event in events]
    assert parts == [good, body.replace(b"\r\n", b"  ")]
    assert len({event.conversation for event in events}) == 1


@pytest.mark.parametrize("body", [b"1", b'"text"', b"null", b"true", b"[1]", b'[{"a":1},2]', b"[[]]", b"[null]"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """400 not_an_object: the body is an object, or an array of them."""
    assert problem(body) == (400, "not_an_object")


def test_an_array_of_too_many_events_is_too_large() -> None:
    """Their number is bounded."""
    assert problem(b"[" + b",".join([b"{}"] * 5_001) + b"]") == (413, "too_large")


def test_too_many_keys_are_too_large() -> None:
    """More keys than any honest event has are refused before they are parsed."""
    body = b"{" + b",".join(b'"%d":1' % number for number in range(100_002)) + b"}"
    assert problem(body) == (413, "too_large")


def test_an_event_beyond_a_kinesis_record_is_too_large() -> None:
    """Whatever the body's limit is set to, an event must fit a record."""
    assert problem(b'{"a":"' + b"x" * 1_048_576 + b'"}') == (413, "too_large")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"conversationId": "c1", "x": 1}, {"conversationId": "c1", "interactionId": "i9"}),
        ({"interactionId": "i1"}, {"interactionId": "i1", "conversationId": ""}),
        ({"conversationId": 17}, {"conversationId": 17, "y": 2}),
        ({"conversationId": None, "interactionId": "i1"}, {"interactionId": "i1"}),
        ({"conversationId": {"no": "key"}, "interactionId": "i1"}, {"interactionId": "i1"}),
    ],
)
def test_one_conversation_is_one_bucket(one: dict[str, Any], other: dict[str, Any]) -> None:
    """conversationId decides, else interactionId, where they are a text or a number."""
    made = intake()
    assert (
        made.events(Body(orjson.dumps(one), None))[0].conversation
        == made.events(Body(orjson.dumps(other), None))[0].conversation
    )


def test_the_partition_path_is_a_setting() -> None:
    """A path leads into the event; where it leads nowhere the id decides."""
    made = intake(partition_path="data.case.id")
    keys = {
        made.events(Body(orjson.dumps({"data": {"case": {"id": "k"}}, "n": n}), None))[0].conversation
        for n in range(20)
    }
    assert len(keys) == 1
    scattered = {made.events(Body(orjson.dumps({"data": [], "n": n}), None))[0].conversation for n in range(20)}
    assert len(scattered) > 10


NICE: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-examples.json").read_text())
EXPERT = {"name": "expert", "event": {"id": "1", "page": {"id": "p-7"}}}


@pytest.mark.parametrize("example", [*NICE, EXPERT], ids=lambda example: str(example["name"]))
def test_an_event_of_nices_is_grouped_by_the_conversation_that_the_consumer_reads(example: dict[str, Any]) -> None:
    """Else a conversation's events are spread over the shards, and no consumer can keep their order."""
    header = "page:update" if example is EXPERT else ""
    (sealed,) = intake().events(Body(orjson.dumps(example["event"]), "d", event_type=header))
    (opened,) = open_record(Record(sealed.line, 1))
    assert isinstance(opened, Event)
    made = Transform(events.config_of(unroutable="publish"), lambda: events.NOW_MS)(opened)
    assert isinstance(made, Entry)
    assert sealed.conversation == zlib.crc32((made.order_key or sealed.identity).encode())
