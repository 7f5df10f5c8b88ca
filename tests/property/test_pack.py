"""The packer against an oracle of its own: AWS's formula applied to what would go over the wire."""

from collections import deque

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.model import Entry
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, take
from tests.fakes import event

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
LIMIT_BYTES = 2000


def aws_size(wire_entry: dict[str, object]) -> int:
    """The EventBridge user guide's formula, on the entry as sent."""
    size = 14 if "Time" in wire_entry else 0
    for field in ("Source", "DetailType", "Detail"):
        size += len(str(wire_entry[field]).encode("utf-8"))
    return size


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    result = []
    for number in range(draw(st.integers(0, 40))):
        detail_type = draw(TEXT)
        filler = draw(TEXT) * draw(st.integers(0, 30))
        detail = orjson.dumps({"f": filler})
        size = 14 + len(b"nice.cxone.webhook") + len(detail_type.encode()) + len(detail)
        result.append(Entry(event(number), detail_type, detail, 1.0, size, ""))
    return result


@settings(max_examples=300, deadline=None)
@given(entries(), st.integers(1, 25))
def test_calls_are_valid_full_and_in_order(created: list[Entry], most: int) -> None:
    """Every call is within both limits by AWS's own formula, could not have taken the next entry, and order is kept."""
    limits = CallLimits(most, LIMIT_BYTES)
    oversize = [item for item in created if item.size_bytes > LIMIT_BYTES]
    ready = deque(item for item in created if item not in oversize)
    calls = []
    while ready:
        calls.append(take(ready, limits))
    assert [item for call in calls for item in call] == [item for item in created if item not in oversize]
    sizes = [[aws_size(sent) for sent in orjson.loads(wire_format.put_events("b", call))["Entries"]] for call in calls]
    for number, call_sizes in enumerate(sizes):
        assert len(call_sizes) <= most
        assert sum(call_sizes) <= LIMIT_BYTES
        if number + 1 < len(sizes):
            assert len(call_sizes) == most or sum(call_sizes) + sizes[number + 1][0] > LIMIT_BYTES
    for candidate in oversize:
        (sent,) = orjson.loads(wire_format.put_events("b", [candidate]))["Entries"]
        assert aws_size(sent) > LIMIT_BYTES


def test_the_byte_limit_is_exact() -> None:
    """Two entries share a call to the very byte."""
    first, second = (Entry(event(n), "t", b"{}", 1.0, n, "") for n in (400, 600))
    assert len(take(deque([first, second]), CallLimits(10, 1000))) == 2
    assert len(take(deque([first, second]), CallLimits(10, 999))) == 1
