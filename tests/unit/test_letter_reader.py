"""The reader of dead letters: every form that the writer knows comes back whole, exact, and as one typed object."""

import base64
import gzip
import json
import random
from typing import Any

import pytest

from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA, Message
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from tests.unit.test_letter import WRITER, letter


def read(message: Message) -> Letter:
    return reader.read(message.body, message.attributes)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_a_letter_of_another_version_is_told_from_a_strangers_message() -> None:
    """On the way back from an upgrade the queue may hold newer ones: they are no waste to be purged."""
    (message,) = WRITER.write(letter(b"{}"))
    newer = message.body.replace(SCHEMA, SCHEMA[:-1] + "2")
    with pytest.raises(UnreadableLetterError, match=r"is no stream-router\.dead-letter/1, but one of another version"):
        reader.read(newer, message.attributes)
    with pytest.raises(UnreadableLetterError, match=r"is no stream-router\.dead-letter/1$"):
        reader.read('{"schema":"another/1"}')


@pytest.mark.parametrize("minimal", [False, True])
def test_parts_are_joined_in_any_order_and_though_one_comes_twice(minimal: bool) -> None:
    """Until the last is there the letter is not whole; what is joined is the original."""
    raw = noise(1_700_000)
    messages = WRITER.write_parts(letter(raw), minimal=minimal)
    shuffled = [read(one) for one in random.Random(1).sample(messages, len(messages))]
    whole = reader.join([shuffled[0], *shuffled])
    assert whole
    assert reader.original(whole) == raw
    assert reader.join([shuffled[0], *shuffled[:-1]]) is None


def test_two_writings_of_one_letter_do_not_mix() -> None:
    """A process that died before it was settled, and the next one, perhaps of another version, may cut it elsewhere."""
    raw = noise(200_000)
    parts = [read(one) for at in (9, 10) for one in WRITER.write_parts(letter(raw)._replace(attempts=at), minimal=True)]
    assert len({len(part.record.data) for part in parts}) == len(parts) == 4
    for key in {reader.parts_key(part) for part in parts}:
        whole = reader.join(part for part in reversed(parts) if reader.parts_key(part) == key)
        assert whole
        assert reader.original(whole) == raw


def test_what_is_in_s3_is_fetched_by_its_url() -> None:
    """Where nobody can fetch, it says so."""
    (message,) = WRITER.write(letter(b"x")._replace(location="s3://bucket/dead-letters/1-0-0"))
    found = read(message)
    assert reader.original(found, {"s3://bucket/dead-letters/1-0-0": b"whole"}.__getitem__) == b"whole"
    with pytest.raises(UnreadableLetterError, match="S3"):
        reader.original(found)


def _changed(**fields: Any) -> str:
    (message,) = WRITER.write(letter(b"secret words"))
    return json.dumps({**json.loads(message.body), **fields})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("no json: secret words", "no JSON"),
        ("[]", "no stream-router.dead-letter/1"),
        (_changed(schema="other/1"), "no stream-router.dead-letter/1"),
        (_changed(record="secret words"), "record has a wrong form"),
        (_changed(part={"n": 0, "of": 2}), "part.n has a wrong form"),
        (_changed(origin={"line": "secret words"}), "origin.line has a wrong form"),
    ],
)
def test_what_is_no_dead_letter_is_told_in_words_that_quote_nothing(body: str, says: str) -> None:
    """Somebody else's message in the queue is an error by name, not a crash."""
    with pytest.raises(UnreadableLetterError, match=says) as refused:
        reader.read(body)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"encoding": "base64", "data": "!!"}, "damaged"),
        ({"encoding": "base64+gzip", "data": base64.b64encode(b"no gzip").decode()}, "damaged"),
        ({"encoding": "base64+gzip", "data": base64.b64encode(gzip.compress(b"{}")[:-1]).decode()}, "damaged"),
        ({"encoding": "base64+gzip", "data": base64.b64encode(gzip.compress(b"{}") + b"x").decode()}, "damaged"),
        ({"encoding": "base64+gzip", "data": base64.b64encode(gzip.compress(b" " * 17_000_000)).decode()}, "larger"),
        ({"encoding": "zstd", "data": ""}, "unknown"),
    ],
)
def test_data_that_cannot_be_decoded_are_told(record: dict[str, str], says: str) -> None:
    """A letter of a later version, or one that somebody damaged."""
    with pytest.raises(UnreadableLetterError, match=says):
        reader.original(reader.read(_changed(record=record)))
