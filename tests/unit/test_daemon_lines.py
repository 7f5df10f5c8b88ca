"""The daemon's lines: whatever stands in one, it says what a JSON parser says, its data cut out or not."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.consumer.child.daemon import daemon_lines

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
