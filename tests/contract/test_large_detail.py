"""A Detail of any size says on the wire what it says, byte by byte."""

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from stream_router.model import Entry
from stream_router.pipeline.sinks.eventbridge import wire_format
from tests.fakes import event

PIECES = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ['"', "\\", '\\"', "\n", "\x00", "\x7f", "ü"]
)


@given(st.lists(PIECES, min_size=1, max_size=5), st.sampled_from([1, 40, 400, 4_000]))
def test_a_detail_arrives_as_it_was_written(pieces: list[str], times: int) -> None:
    """Above and below the size from which it is escaped as bytes: as the standard library reads the call."""
    detail = orjson.dumps({"payload": {"text": "".join(pieces) * times}})
    (entry,) = json.loads(wire_format.put_events("bus", [Entry(event(1), "a.b", detail, 1.0, 0, "")]))["Entries"]
    assert entry["Detail"].encode() == detail
