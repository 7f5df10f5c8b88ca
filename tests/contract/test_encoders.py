"""What we write of a call: our CBOR against botocore's own serializer for `eventbridgev2`, and our JSON."""

import datetime as dt
import functools
import json
from typing import Any

import botocore.session
import cbor2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.model import SOURCE, Entry
from stream_router.pipeline.sinks.eventbridge import wire_format
from tests.fakes import event

TOKEN_OF = functools.partial(wire_format.deduplication_id, "shard-1")
BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"


class _Caught(Exception):  # noqa: N818 - not an error
    pass


@pytest.fixture(scope="module")
def client() -> Any:
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    return session.create_client("eventbridgev2", region_name="us-east-1")


def botocore_body(client: Any, operation: str, **arguments: Any) -> bytes:
    """What botocore would send."""
    sent: list[bytes] = []

    def catch(request: Any, **_: Any) -> None:
        sent.append(request.body)
        raise _Caught

    client.meta.events.register_last("before-send", catch, unique_id="catch")
    try:
        getattr(client, operation)(**arguments)
    except _Caught:
        pass
    finally:
        client.meta.events.unregister("before-send", unique_id="catch")
    return sent[0]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(TEXT, TEXT, st.integers(0, 4_000_000_000_000), TEXT, st.booleans()), min_size=1, max_size=25),
    st.booleans(),
)
def test_our_body_says_what_botocores_says(
    client: Any, rows: list[tuple[str, str, int, str, bool]], grouped: bool
) -> None:
    """The same entries, serialized by botocore and by us, decode to the same request."""
    entries, theirs = [], []
    for number, (detail_type, detail, time_ms, key, from_delivery) in enumerate(rows):
        item = event(number)._replace(id_from="delivery" if from_delivery else "content")
        entries.append(Entry(item, detail_type, detail.encode(), time_ms / 1000, 1, key[:128]))
        place = f"shard-1:{item.record.sequence_number}:0:0"
        metadata = {"DeduplicationId": item.event_id if from_delivery else place}
        if grouped:
            metadata["EventGroupId"] = key[:128]
        theirs.append(
            {
                "Source": SOURCE,
                "DetailType": detail_type,
                "Detail": detail,
                "Time": dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC),
                "SystemMetadata": metadata,
            }
        )
    ours = cbor2.loads(wire_format.V2Encoder(BUS, TOKEN_OF, grouped=grouped).put_events(entries))
    expected = cbor2.loads(botocore_body(client, "put_events", EventBusArn=BUS, Entries=theirs))
    for mine, other in zip(ours["Entries"], expected["Entries"], strict=True):
        assert abs((mine.pop("Time") - other.pop("Time")).total_seconds()) < 0.001
    assert ours == expected


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536, 700_000])
def test_a_text_of_any_length_has_the_shortest_head(size: int) -> None:
    """At each length at which CBOR's head grows, and just below it."""
    assert wire_format._text("x" * size) == cbor2.dumps("x" * size)


def test_an_entry_without_a_conversation_is_in_no_group() -> None:
    """In order or not: an empty group's name would be one that AWS refuses, or one group for all of them."""
    alone = Entry(event(1), "t", b"{}", 1.0, 50, "")
    in_order = wire_format.V2Encoder(BUS, TOKEN_OF, grouped=True).put_events([alone])
    assert in_order == wire_format.V2Encoder(BUS, TOKEN_OF, grouped=False).put_events([alone])
    assert b"EventGroupId" not in in_order


def test_a_long_conversation_id_still_groups() -> None:
    """EventGroupId takes 128 characters: a longer id is hashed, the same every time."""
    assert wire_format.group_id("c" * 128) == "c" * 128
    assert len(wire_format.group_id("c" * 129)) == 64
    assert wire_format.group_id("c" * 129) == wire_format.group_id("c" * 129)


PIECES = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ['"', "\\", '\\"', "\n", "\x00", "\x7f", "ü"]
)


@given(st.lists(PIECES, min_size=1, max_size=5), st.sampled_from([1, 40, 400, 4_000]))
def test_a_detail_arrives_as_it_was_written(pieces: list[str], times: int) -> None:
    """Above and below the size from which it is escaped as bytes: as the standard library reads the call."""
    detail = orjson.dumps({"payload": {"text": "".join(pieces) * times}})
    item = Entry(event(1), "a.b", detail, 1.0, 0, "")
    (entry,) = json.loads(wire_format.put_events("bus", [item]))["Entries"]
    assert entry["Detail"].encode() == detail
