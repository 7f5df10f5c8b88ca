"""Properties of the wire contract: round trips, bytes kept, damage contained."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from stream_router.envelope import (
    Resubmitted,
    cut_array,
    holds_crashed,
    make_unparsed_event,
    open_record,
    seal,
    seal_line,
)
from stream_router.event_id import event_id
from stream_router.model import DeadLetter, Event, Record

_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(_TEXT, JSON, max_size=4)


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> bytes:
    """A JSON document in one of the ways in which senders write it."""
    value, ascii_only = draw(values), draw(st.booleans())
    indent = draw(st.sampled_from([None, 1, "\t"]))
    separators = draw(st.sampled_from([(",", ":"), (" , ", " : "), (",\r\n", ":\n")]))
    return json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators).encode()


def opened(data: bytes) -> tuple[Record, list[Event | DeadLetter]]:
    record = Record(data, 7, 0, 5)
    return record, open_record(record)


@given(st.lists(written(OBJECTS), min_size=1, max_size=6))
def test_what_is_sealed_is_opened_as_it_was(bodies: list[bytes]) -> None:
    """Any bodies, sealed into one record, come back in order with their values, identities and times."""
    ids = [event_id("s", str(at), 0, body) for at, body in enumerate(bodies)]
    sealed = [seal(identity, "delivery", at, body) for at, (identity, body) in enumerate(zip(ids, bodies, strict=True))]
    record, result = opened(b"\n".join(sealed))
    assert all(isinstance(event, Event) for event in result)
    events = [event for event in result if isinstance(event, Event)]
    assert [event.event_id for event in events] == ids
    assert [event.body for event in events] == [orjson.loads(body) for body in bodies]
    assert [event.raw for event in events] == sealed
    assert [event.received_at_ms for event in events] == list(range(len(bodies)))
    assert record.unsettled == (1 << len(bodies)) - 1


@given(written(OBJECTS))
def test_a_bodys_bytes_are_kept_but_for_line_breaks(body: bytes) -> None:
    """Sealing replaces line breaks between tokens by spaces and changes no other byte."""
    sealed = seal("0" * 32, "content", 1, body)
    kept = sealed[sealed.index(b'"body":') + 7 : -1]
    assert len(kept) == len(body)
    assert all(a == b or (a in b"\r\n" and b == 32) for a, b in zip(body, kept, strict=True))


@given(st.lists(written(JSON), max_size=6), st.sampled_from([b"", b" ", b"\n", b"\t\r\n"]))
def test_array_elements_keep_their_bytes(elements: list[bytes], blank: bytes) -> None:
    """Splitting an array gives back exactly the bytes that it was joined from."""
    array = blank + b"[" + blank + (blank + b"," + blank).join(elements) + blank + b"]" + blank
    assert list(cut_array(array)) == elements


@given(st.binary(max_size=200))
def test_any_bytes_are_opened_into_something(data: bytes) -> None:
    """No record raises, none yields nothing, and the tally expect what was yielded, each place once."""
    record, result = opened(data)
    assert result
    assert record.unsettled == (1 << len(result)) - 1
    places = [item.line if isinstance(item, Event) else item.event.line for item in result]
    assert places == list(range(len(result)))


@given(st.lists(written(OBJECTS), min_size=2, max_size=5), st.data())
def test_one_damaged_line_kills_only_itself(bodies: list[bytes], data: st.DataObject) -> None:
    """Cutting any one line anywhere leaves every other event as it was."""
    sealed = [seal(event_id("s", str(at), 0, body), "delivery", at, body) for at, body in enumerate(bodies)]
    at = data.draw(st.integers(0, len(sealed) - 1))
    cut = data.draw(st.integers(1, len(sealed[at]) - 1))
    damaged = [line[:cut] if n == at else line for n, line in enumerate(sealed)]
    _, result = opened(b"\n".join(damaged))
    assert [type(item) for item in result] == [DeadLetter if n == at else Event for n in range(len(sealed))]
    assert [item.raw for item in result if isinstance(item, Event)] == [
        line for n, line in enumerate(sealed) if n != at
    ]


@given(st.lists(st.tuples(_TEXT, st.none() | _TEXT, st.integers(0, 9), st.binary(max_size=9)), max_size=8, unique=True))
def test_identities_are_a_function_of_the_delivery(deliveries: list[tuple[str, str | None, int, bytes]]) -> None:
    """The same delivery has the same identity every time; it is 32 hex digits."""
    for delivery in deliveries:
        identity = event_id(*delivery)
        assert identity == event_id(*delivery)
        assert len(identity) == 32
        assert int(identity, 16) >= 0


_RUN = Resubmitted("redrive", "app", "run", 2)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line as it may stand in the stream, or in a dead letter: sealed, foreign, broken, cut off, binary."""
    bodies = st.builds(seal, st.just("1" * 32), st.just("delivery"), st.integers(0, 10**12), written(OBJECTS))
    foreign = written(JSON).map(lambda text: text.replace(b"\n", b" "))
    line = draw(bodies | foreign | st.binary(max_size=100))
    if draw(st.booleans()):
        return line[: draw(st.integers(0, len(line)))]
    return seal_line(line, "2" * 32, "content", 7, _RUN) if draw(st.booleans()) else line


@given(lines(), st.sampled_from([False, True]))
def test_a_line_that_is_put_back_survives_byte_for_byte(line: bytes, crashed: bool) -> None:
    """Whatever it is, it is one event or one dead letter under the new identity, and its own bytes are as they were."""
    sealed = seal_line(line, "0" * 32, "delivery", 5, _RUN, crashed=crashed)
    assert b"\n" not in sealed
    _, (result,) = opened(sealed)
    event = result if isinstance(result, Event) else result.event
    assert (event.raw, event.event_id, event.received_at_ms, event.resubmitted) == (line, "0" * 32, 5, str(_RUN))
    assert make_unparsed_event(event.record, 0, sealed)._replace(body=event.body) == event
    assert holds_crashed(sealed) is crashed


@given(written(OBJECTS), st.dictionaries(st.sampled_from(["reason", "body", "v", "id", "idFrom", "receivedAt"]), _TEXT))
def test_no_body_passes_for_what_an_operator_put_back(body: bytes, more: dict[str, str]) -> None:
    """Whatever a sender posts, its envelope says of nobody that he put it back."""
    posted = orjson.dumps({**orjson.loads(body), **more, "kind": "line", "resubmitted": str(_RUN)})
    sealed = seal("0" * 32, "delivery", 5, posted)
    _, (event,) = opened(sealed)
    assert isinstance(event, Event)
    assert not event.resubmitted
    assert not make_unparsed_event(event.record, 0, sealed).resubmitted
