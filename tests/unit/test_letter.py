"""Dead letters: always fit, keep the original bytes, say where they came from and why."""

import base64
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router import limits
from stream_router.dead_letter_reasons import Reason
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import MINIMAL_BYTES, LetterMessage, LetterWriter

WRITER = LetterWriter("my-stream", "shard-7", lambda: 1_764_000_000_123.0, ordered=False)
REFUSED_BY_SQS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def letter(raw: bytes, entry: Entry | None = None, event_type: str = "") -> DeadLetter:
    record = Record(raw, 49_590_338_271_490_256_608_559_692_538_361_571_095, 3)
    event = Event(record, 5, raw, "0" * 31 + "a", "content", 1_764_000_000_001, None)
    return DeadLetter(event, Reason.REFUSED, "MalformedDetail", "why", 2, entry, event_type, raw)


def entry_of(detail: str = "{}", time_s: float = 1.0, conversation: str = "") -> Entry:
    return Entry(letter(b"").event, "t", detail.encode(), time_s, 50, conversation)


def original(messages: list[LetterMessage]) -> bytes:
    """What the reader gets back."""
    whole = reader.join(reader.read(message.body, message.attributes) for message in messages)
    assert whole
    return reader.original(whole)


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
    named = {"reason": "refused", "eventType": "interaction.created", "eventId": "0" * 31 + "a"}
    assert message.attributes == named


@pytest.mark.parametrize(("ordered", "conversation"), [(True, "c-1"), (True, ""), (False, "c-1")])
def test_a_letter_says_of_a_mask_and_of_a_gap(ordered: bool, conversation: str) -> None:
    """A masked one is passed over by a redrive; a gap in a conversation matters where order was asked for alone."""
    writer = LetterWriter("s", "shard-7", lambda: 0.0, ordered=ordered, masking="default 2")
    item = letter(b"x", entry_of(conversation=conversation))
    gap = {"conversationId": "c-1", "gap": True} if ordered and conversation else None
    for messages in (writer.write(item), writer.write_parts(item, minimal=True)):
        assert reader.read(messages[0].body).masking == "default 2"
        assert json.loads(messages[0].body).get("ordering") == gap


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize(
    ("minimal", "size", "most"), [(False, 3 * 1024 * 1024, limits.SQS_MESSAGE_BYTES), (True, 500_000, MINIMAL_BYTES)]
)
def test_what_fits_no_message_goes_over_several(minimal: bool, size: int, most: int) -> None:
    """Numbered parts of one cut, all but the last full. Minimal ones fit a queue left at the former limit, 256 KiB."""
    raw = noise(size)
    assert minimal or WRITER.write(letter(raw)) == []
    messages = WRITER.write_parts(letter(raw), minimal=minimal)
    parts = [json.loads(message.body)["part"] for message in messages]
    assert parts == [{"n": n + 1, "of": len(messages), "cut": parts[0]["cut"]} for n in range(len(messages))]
    sizes = [message.size_bytes for message in messages]
    assert max(sizes) <= most
    assert min(sizes[:-1]) > most - 1_000
    assert original(messages) == raw


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.text(max_size=300), st.integers(0, 999))
def test_every_letter_keeps_its_bytes_and_counts_its_size(raw: bytes, event_type: str, millisecond: int) -> None:
    """Whatever the bytes, they come back exactly, the size is what SQS will count, and no character is one it refuses.

    So does the moment at which the entry was sent, though no float holds it exactly.
    """
    item = letter(raw, entry_of('{"a":"\ufffe\x01"}', 1_764_000_000 + millisecond / 1000), event_type)
    (whole,) = WRITER.write(item)
    wanted = {"Source": "nice.cxone.webhook", "DetailType": "t", "Detail": '{"a":"\ufffe\x01"}'}
    assert json.loads(whole.body)["entry"] == {**wanted, "Time": f"2025-11-24T16:00:00.{millisecond:03}Z"}
    for messages in ([whole], WRITER.write_parts(item, minimal=True)):
        assert original(messages) == raw
        for message in messages:
            attributes = sum(len(n) + 6 + len(v.encode()) for n, v in message.attributes.items())
            assert message.size_bytes == len(message.body.encode()) + attributes
            assert message.body.isascii()
            assert not any(map(REFUSED_BY_SQS.search, (message.body, *message.attributes.values())))
            assert not message.minimal or not message.attributes
