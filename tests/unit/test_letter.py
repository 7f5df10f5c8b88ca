"""Dead letters: always fit, keep the original bytes, say where they came from and why."""

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router import limits
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import MINIMAL_BYTES, LetterWriter, Message

WRITER = LetterWriter("my-stream", "shard-7", lambda: 1_764_000_000_123.0, ordered=False)


def letter(raw: bytes, entry: Entry | None = None, event_type: str = "") -> DeadLetter:
    record = Record(raw, 49_590_338_271_490_256_608_559_692_538_361_571_095, 3)
    event = Event(record, 5, raw, "0" * 31 + "a", "content", 1_764_000_000_001, None)
    return DeadLetter(event, Reason.REFUSED, "MalformedDetail", "why", 2, entry, event_type, raw)


def original(messages: list[Message]) -> bytes:
    """What the reader gets back."""
    whole = reader.join(reader.read(message.body, message.attributes) for message in messages)
    assert whole
    return reader.original(whole)


def test_a_letter_says_that_it_is_masked() -> None:
    """In either form: a redrive passes it over, for its bytes are not the event's own."""
    writer = LetterWriter("my-stream", "shard-7", lambda: 0.0, ordered=False, masking="default 2")
    for messages in (writer.write(letter(b"x")), writer.write_parts(letter(b"x"), minimal=True)):
        assert reader.read(messages[0].body).masking == "default 2"


def test_a_letter_says_what_the_contract_says() -> None:
    """The body has every field of the contract, times in UTC with milliseconds, the sequence number as text."""
    (message,) = WRITER.write(letter(b'{"a":1}', event_type="interaction.created"))
    assert json.loads(message.body) == {
        "schema": "stream-router.dead-letter/1",
        "reason": "refused",
        "error": {"code": "MalformedDetail", "message": "why"},
        "attempts": 2,
        "failedAt": "2025-11-24T16:00:00.123Z",
        "origin": {
            "stream": "my-stream",
            "shardId": "shard-7",
            "sequenceNumber": "49590338271490256608559692538361571095",
            "subSequenceNumber": 3,
            "line": 5,
            "receivedAt": "2025-11-24T16:00:00.001Z",
            "eventId": "0" * 31 + "a",
            "idFrom": "content",
        },
        "entry": None,
        "record": {"encoding": "base64", "data": base64.b64encode(b'{"a":1}').decode()},
        "part": None,
        "resubmitted": None,
    }
    assert message.attributes == {
        "reason": "refused",
        "eventType": "interaction.created",
        "eventId": "0" * 31 + "a",
    }


@pytest.mark.parametrize("millisecond", [0, 1, 7, 57, 123, 290, 580, 999])
def test_an_entry_s_time_keeps_its_milliseconds(millisecond: int) -> None:
    """The moment of the event is written as it was sent to the bus, though no float holds it exactly."""
    entry = Entry(letter(b"").event, "t", b"{}", 1_764_000_000 + millisecond / 1000, 50, "")
    (message,) = WRITER.write(letter(b"x", entry))
    assert json.loads(message.body)["entry"] == {
        "Source": "nice.cxone.webhook",
        "DetailType": "t",
        "Time": f"2025-11-24T16:00:00.{millisecond:03}Z",
        "Detail": "{}",
    }


def test_illegal_characters_break_neither_body_nor_attributes() -> None:
    """Control characters, U+FFFE and lone halves are outside XML; SQS would refuse the message for one of them."""
    entry = Entry(letter(b"").event, "t", '{"a":"\ufffe\x01"}'.encode(), 1.0, 50, "")
    (message,) = WRITER.write(letter(b"\x00\xff\xfe", entry, "bad\x00\x0b\ufffetype"))
    assert message.body.isascii()
    assert all(character >= " " for character in message.body)
    assert message.attributes["eventType"] == "bad\ufffd\ufffd\ufffdtype"
    assert original([message]) == b"\x00\xff\xfe"


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_a_large_entry_is_left_out_before_the_original_is() -> None:
    """Entry and original together may not fit: the original is kept, the entry can be made again."""
    raw = noise(700_000)
    entry = Entry(letter(b"").event, "t", b'{"a":"' + b"x" * 700_000 + b'"}', 1.0, 700_100, "")
    (message,) = WRITER.write(letter(raw, entry))
    assert json.loads(message.body)["entry"] is None
    assert original([message]) == raw


def test_what_fits_no_message_goes_over_several() -> None:
    """Three megabytes of noise are spread over numbered parts, each a valid message; joined they are the original."""
    raw = noise(3 * 1024 * 1024)
    assert WRITER.write(letter(raw)) == []
    messages = WRITER.write_parts(letter(raw))
    parts = [json.loads(message.body)["part"] for message in messages]
    assert parts == [{"n": n + 1, "of": len(messages), "cut": parts[0]["cut"]} for n in range(len(messages))]
    assert max(message.size_bytes for message in messages) <= limits.SQS_MESSAGE_BYTES
    assert original(messages) == raw


def test_a_minimal_letter_fills_messages_of_200_kib() -> None:
    """A queue that was left at the former limit of 256 KiB takes each; fewer bytes in each would be more messages."""
    raw = noise(500_000)
    messages = WRITER.write_parts(letter(raw), minimal=True)
    sizes = [message.size_bytes for message in messages]
    assert max(sizes) <= MINIMAL_BYTES
    assert min(sizes[:-1]) > MINIMAL_BYTES - 1_000
    assert all(message.minimal and not message.attributes for message in messages)
    assert original(messages) == raw


@pytest.mark.parametrize(("ordered", "conversation"), [(True, "c-1"), (True, ""), (False, "c-1")])
def test_a_gap_in_a_conversation_is_said_where_order_was_asked_for(ordered: bool, conversation: str) -> None:
    """Elsewhere nobody relies on it, and an entry without a conversation leaves none."""
    writer = LetterWriter("my-stream", "shard-7", lambda: 1_764_000_000_123.0, ordered=ordered)
    (message,) = writer.write(letter(b"x", Entry(letter(b"").event, "t", b"{}", 1.0, 50, conversation)))
    expected = {"conversationId": "c-1", "gap": True} if ordered and conversation else None
    assert json.loads(message.body).get("ordering") == expected


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.text(max_size=300))
def test_every_letter_keeps_its_bytes_and_counts_its_size(raw: bytes, event_type: str) -> None:
    """Whatever the bytes, they come back exactly, and the size is what SQS will count."""
    for messages in (WRITER.write(letter(raw, event_type=event_type)), WRITER.write_parts(letter(raw), minimal=True)):
        assert original(messages) == raw
        for message in messages:
            attributes = sum(len(n) + 6 + len(v.encode()) for n, v in message.attributes.items())
            assert message.size_bytes == len(message.body.encode()) + attributes
            assert not message.minimal or (message.size_bytes <= 256 * 1024 and not message.attributes)
