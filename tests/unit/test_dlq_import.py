"""What `dlq import` takes of a file: every edit, and nothing of a file that `export` did not write."""

from pathlib import Path

import orjson
import pytest

from stream_router.control.dead_letters import exporting, importing
from stream_router.control.dead_letters.importing import Line
from stream_router.core.envelope import seal
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA


def exported(raw: bytes) -> bytes:
    """The line that `export` writes of an event."""
    content = {"schema": SCHEMA, "reason": "schema_mismatch", "record": reader.encoded(raw)}
    return orjson.dumps(exporting.line_of(reader.of_content(content), raw, 0))


def imported(folder: Path, text: bytes) -> Line:
    """What `import` makes of one line."""
    file = folder / "letters.jsonl"
    file.write_bytes(text + b"\n")
    (line,) = importing.read(file)
    return line


def event(payload: bytes) -> bytes:
    """An event's line, as the receiver stores it."""
    return seal("0" * 32, "delivery", 1_795_512_600_000, b'{"interactionId":"i","payload":{%b}}' % payload)


BIG = b'"n":12345678901234567890123'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"n":123.0', b'"n":123'),
        (b'"n":123', b'"n":"123"'),
        (b'"n":"123.0"', b'"n":123.0'),
        (b'"n":1', b'"n":true'),
        (b'"n":0.0', b'"n":false'),
        (b'"n":-0', b'"n":0'),
        (BIG, BIG[:-3] + b"999"),
        (b'"n":0.1000000000000000055', b'"n":0.1'),
        (b'"n":1,"n":2', b'"n":2'),
        (b'"n":["a","b"]', b'"n":["b","a"]'),
    ],
)
def test_every_edit_is_taken(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Values that Python takes for equal may be the very repair: what was written counts."""
    raw = event(before)
    line = imported(tmp_path, exported(raw).replace(before, after, 1))
    assert line.letter.edited
    assert line.raw == raw.replace(before, after)
    assert reader.original(line.letter) == line.raw


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"n":1.10', b'"n" :  1.10'),
        (b'"a":1,"n":{"x":2,"y":3}', b'"n":{"y":3,"x":2},"a":1'),
        ('"n":"Zoë"'.encode(), rb'"n":"Zo\u00eb"'),
        (b'"n":"x\\/y"', b'"n":"x/y"'),
    ],
)
def test_another_way_to_write_the_same_is_no_edit(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Blanks, the order of members and the form of a text's characters: an editor may change them by itself."""
    raw = event(before)
    line = imported(tmp_path, exported(raw).replace(before, after, 1))
    assert not line.letter.edited
    assert line.raw == raw


@pytest.mark.parametrize("levels", [700, 900, 1020])
def test_an_event_that_nests_deep_comes_back_as_it_was(tmp_path: Path, levels: int) -> None:
    """Deeper than Python follows it is no edit, and no crash."""
    raw = event(b'"n":' + b"[" * levels + b"]" * levels)
    line = imported(tmp_path, exported(raw))
    assert not line.letter.edited
    assert line.raw == raw
