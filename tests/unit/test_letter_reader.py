"""The reader of dead letters: what it joins, what it refuses, and that it quotes nothing of either."""

import base64
import gzip
import json
import random
from typing import Any

import pytest

from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA, LetterMessage
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from tests.unit.test_letter import WRITER, letter


def read(message: LetterMessage) -> Letter:
    return reader.read(message.body, message.attributes)


@pytest.mark.parametrize("minimal", [False, True])
def test_parts_are_joined_in_any_order_and_those_of_one_writing_alone(minimal: bool) -> None:
    """Though one comes twice, or a process died before it was settled and the next one cut it elsewhere."""
    raw = random.Random(1).randbytes(1_700_000)
    written = [WRITER.write_parts(letter(raw)._replace(attempts=at), minimal=minimal) for at in (9, 10)]
    parts = [read(message) for messages in written for message in messages]
    random.Random(1).shuffle(parts)
    keys = {reader.parts_key(part) for part in parts}
    assert len(keys) == 2
    for key in keys:
        mine = [part for part in parts if reader.parts_key(part) == key]
        whole = reader.join([mine[0], *mine])
        assert whole
        assert reader.original(whole) == raw
        assert reader.join([mine[0], *mine[:-1]]) is None


def changed(**fields: Any) -> str:
    (message,) = WRITER.write(letter(b"secret words"))
    return json.dumps({**json.loads(message.body), **fields})


def held(data: bytes | str, encoding: str = "base64+gzip") -> str:
    """A letter whose line is held so."""
    text = data if isinstance(data, str) else base64.b64encode(data).decode()
    return changed(record={"encoding": encoding, "data": text})


NO_LETTER = "is not a stream-router.dead-letter/1"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("no json: secret words", "not JSON"),
        ("[]", NO_LETTER),
        (changed(schema="other/1"), f"{NO_LETTER}$"),
        (changed(schema=f"{SCHEMA[:-1]}2"), f"{NO_LETTER}, but one of another version"),
        (changed(record="secret words"), "record has a wrong form"),
        (changed(part={"n": 0, "of": 2}), "part.n has a wrong form"),
        (changed(origin={"line": "secret words"}), "origin.line has a wrong form"),
        (held("!!", "base64"), "damaged"),
        (held(b"no gzip"), "damaged"),
        (held(gzip.compress(b"{}")[:-1]), "damaged"),
        (held(gzip.compress(b"{}") + b"x"), "damaged"),
        (held(gzip.compress(b" " * 17_000_000)), "larger"),
        (held("", "zstd"), "unknown"),
        (held("s3://bucket/dead-letters/1-0-0", "s3"), "S3"),  # where nobody can fetch
    ],
)
def test_what_cannot_be_read_is_told_in_words_that_quote_nothing(body: str, says: str) -> None:
    """Somebody else's message, a letter of another version, damaged data: an error by name, not a crash."""
    with pytest.raises(UnreadableLetterError, match=says) as refused:
        reader.original(reader.read(body))
    assert "secret" not in str(refused.value)
