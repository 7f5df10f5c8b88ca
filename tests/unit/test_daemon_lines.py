"""The daemon's lines: whole, however a pipe cuts them; each says what a JSON parser says, its data cut out or not."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_router.consumer.child import daemon_lines

LARGE = "QUJD" * 1_100
SEPARATORS = [(",", ":"), (", ", ": ")]
"""As the daemon writes a line, and as Python does."""


def plain(message: Any) -> Any:
    """The message with its data as text."""
    for record in message["records"]:
        if isinstance(record.get("data"), memoryview):
            record["data"] = bytes(record["data"]).decode()
    return message


def line(records: list[Any], separators: tuple[str, str]) -> bytes:
    message = {"action": "processRecords", "records": records, "millisBehindLatest": 0}
    return json.dumps(message, separators=separators, ensure_ascii=False).encode() + b"\n"


WORDS = st.sampled_from(["data", '"data":', 'x"data":"', "0", "1", LARGE, "", "\\", "ü", '","data":"', "null", "k"])
VALUES = WORDS | st.none() | st.integers(0, 2) | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, WORDS, max_size=2)
RECORDS = st.dictionaries(st.sampled_from(["action", "partitionKey", "data", "x", 'a"data']), VALUES, max_size=4)


@example([{"data": LARGE + "1"}, {"data": LARGE + "2"}], SEPARATORS[0])
@given(
    st.lists(RECORDS | RECORDS.map(lambda record: {**record, "data": LARGE}), max_size=4), st.sampled_from(SEPARATORS)
)
def test_a_line_says_what_a_parser_says(records: list[dict[str, Any]], separators: tuple[str, str]) -> None:
    """Texts that look like data, data that is none, records without any, the key where it does not belong."""
    text = line(records, separators)
    assert plain(daemon_lines.parse_line(text)) == orjson.loads(text)


@contextmanager
def pipe() -> Iterator[tuple[int, daemon_lines.DaemonInput]]:
    """The daemon's end of a pipe, and the child's input at the other."""
    read, write = os.pipe()
    try:
        yield write, daemon_lines.DaemonInput(read)
    finally:
        os.close(read)


@given(
    st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\n", b"")), max_size=8),
    st.sampled_from([b"", b"half a li"]),
    st.data(),
)
@example([b"half a line"], b"", None)
def test_lines_come_as_they_were_written_however_the_pipe_cuts_them(
    lines: list[bytes], rest: bytes, data: st.DataObject | None
) -> None:
    """No byte is lost, doubled or given to another line, and none is waited for; an end in a line shows."""
    written = b"".join(line + b"\n" for line in lines) + rest
    result: list[bytes] = []
    with pipe() as (write, source):
        assert source.read_line() is None
        at = 0
        while at < len(written):
            size = data.draw(st.integers(1, len(written) - at)) if data else 5
            os.write(write, written[at : at + size])
            at += size
            while (line := source.read_line()) is not None:
                result.append(line)
        os.close(write)
        assert result == [line + b"\n" for line in lines]
        if rest:
            assert source.read_line() == rest
        assert source.read_line() == b""


@pytest.mark.parametrize(
    "text",
    [
        b'{"records":[{"data":"%b","data":"1"}]}',
        b'{"records":[{"data":"%b"},{"data":1}]}',
        b'{"data":"%b","records":[{"data":"0"}]}',
        b'{"records":[{"data":"%b","x":{"data":"1"}},{"data":"1"}]}',
    ],
)
def test_numbers_that_were_in_the_line_are_not_taken_for_ours(text: bytes) -> None:
    """A number stands for what was cut out."""
    text %= LARGE.encode()
    assert plain(daemon_lines.parse_line(text)) == orjson.loads(text)
