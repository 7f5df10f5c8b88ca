"""The daemon's lines: whole, however a pipe cuts them; each says what a JSON parser says, its data cut out or not."""

import json
import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.consumer.child import daemon_lines

LARGE = "QUJD" * 1_100
SEPARATORS = [(",", ":"), (", ", ": ")]


def plain(message: Any) -> Any:
    """The message with its data as text."""
    for record in message["records"]:
        if isinstance(record.get("data"), memoryview):
            record["data"] = bytes(record["data"]).decode()
    return message


def line(records: list[Any], separators: tuple[str, str]) -> bytes:
    message = {"action": "processRecords", "records": records, "millisBehindLatest": 0}
    return json.dumps(message, separators=separators, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize("separators", SEPARATORS)
def test_large_data_is_a_view_of_the_line(separators: tuple[str, str]) -> None:
    """As the daemon writes a line, and as Python does."""
    records = [
        {"action": "record", "data": LARGE + str(n), "partitionKey": "k", "sequenceNumber": str(n)} for n in (1, 2)
    ]
    text = line(records, separators)
    found = daemon_lines.read(text)
    assert [type(record["data"]) for record in found["records"]] == [memoryview] * 2
    assert found["records"][0]["data"].obj is text
    assert plain(found) == orjson.loads(text)


WORDS = st.sampled_from(["data", '"data":', 'x"data":"', "0", "1", LARGE, "", "\\", "ü", '","data":"', "null", "k"])
VALUES = WORDS | st.none() | st.integers(0, 2) | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, WORDS, max_size=2)
RECORDS = st.dictionaries(st.sampled_from(["action", "partitionKey", "data", "x", 'a"data']), VALUES, max_size=4)


@given(
    st.lists(RECORDS | RECORDS.map(lambda record: {**record, "data": LARGE}), max_size=4), st.sampled_from(SEPARATORS)
)
def test_a_line_says_what_a_parser_says(records: list[dict[str, Any]], separators: tuple[str, str]) -> None:
    """Texts that look like data, data that is none, records without any, the key where it does not belong."""
    text = line(records, separators)
    assert plain(daemon_lines.read(text)) == orjson.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"records":[{"data":"%b","data":"1"}]}' % LARGE.encode(),
        b'{"records":[{"data":"%b"},{"data":1}]}' % LARGE.encode(),
        b'{"data":"%b","records":[{"data":"0"}]}' % LARGE.encode(),
        b'{"records":[{"data":"%b","x":{"data":"1"}},{"data":"1"}]}' % LARGE.encode(),
    ],
)
def test_numbers_that_were_in_the_line_are_not_taken_for_ours(text: bytes) -> None:
    assert plain(daemon_lines.read(text)) == orjson.loads(text)


@pytest.mark.parametrize(
    "cut", [b'{"records":[{"data":"%b', b'{"records":[{"data":"%b"}', b'{"records":[{"data":"%b"}]} x']
)
def test_what_is_no_json_is_refused(cut: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        daemon_lines.read(cut % LARGE.encode())


class Pipe:
    """The daemon's end of a pipe, and the child's input at the other."""

    def __init__(self) -> None:
        read, self.write = os.pipe()
        self.input = daemon_lines.DaemonInput(read)

    def say(self, data: bytes) -> None:
        os.write(self.write, data)

    def end(self) -> None:
        if self.write >= 0:
            os.close(self.write)
        self.write = -1

    def close(self) -> None:
        self.end()
        os.close(self.input.fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_nothing_is_waited_for(pipe: Pipe) -> None:
    """While no whole line is there the answer is None, at once."""
    assert pipe.input.line() is None
    pipe.say(b"half a ")
    assert pipe.input.line() is None
    pipe.say(b"line\n")
    assert pipe.input.line() == b"half a line\n"
    assert pipe.input.line() is None


@pytest.mark.parametrize("rest", [b"", b"half a li"])
def test_at_the_end_comes_what_is_left_and_then_nothing(pipe: Pipe, rest: bytes) -> None:
    """As a file's readline has it: an end in the middle of a line shows by the missing end of line."""
    pipe.say(b"whole\n" + rest)
    pipe.end()
    assert pipe.input.line() == b"whole\n"
    assert pipe.input.line() == rest
    assert pipe.input.line() == b""


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_come_as_they_were_written_however_the_pipe_cuts_them(lines: list[bytes], data: st.DataObject) -> None:
    """No byte is lost, doubled or given to another line."""
    pipe = Pipe()
    written = b"".join(line + b"\n" for line in lines)
    found: list[bytes] = []
    at = 0
    while at < len(written):
        size = data.draw(st.integers(1, len(written) - at))
        pipe.say(written[at : at + size])
        at += size
        while (line := pipe.input.line()) is not None:
            found.append(line)
    pipe.close()
    assert found == [line + b"\n" for line in lines]
