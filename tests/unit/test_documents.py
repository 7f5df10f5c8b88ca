"""Lines that the fast parser does not take: several documents end to end, and true reasons for what cannot be read."""

import orjson
import pytest

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Event, Record
from tests.events import BODY, IDENTITY, RECEIVED_MS

IVR = [b'{"eventTime":"2026-11-24T09:30:00.%03dZ","contactId":%d,"ani":"+1"}' % (n, n) for n in range(3)]
INDENTED = [orjson.dumps(orjson.loads(item), option=orjson.OPT_INDENT_2) for item in IVR]
ENVELOPE = seal(IDENTITY, "delivery", RECEIVED_MS, orjson.dumps(BODY))
BROKEN, BIG, LONE, DEEP = "MalformedJson", "NumberOutOfRange", "LoneSurrogate", "TooDeep"
EVENTS = [(item, "") for item in IVR]
NO_REST = [b'{"contactId":', b"xyz", b"}", b"\xff{}", b"17", b'{"a":1,}']

ROWS: dict[str, tuple[bytes, list[tuple[bytes, str]]]] = {
    # Of each document its own bytes, and the code of the dead letter that it is, if it is one.
    **{f"end to end, {between!r}": (between.join(IVR), EVENTS) for between in (b"", b" ", b" \t\r", b"\n", b"\n\n")},
    "an envelope, a document and an array": (
        ENVELOPE + IVR[0] + b"[" + IVR[1] + b"," + IVR[2] + b"]",
        [(ENVELOPE, ""), *EVENTS],
    ),
    **{
        f"each over several lines, {between!r}": (between.join(INDENTED) + b"\n", [(item, "") for item in INDENTED])
        for between in (b"", b" ", b"\n", b"\r\n\r\n")
    },
    "its lines belong together, so it can be mended": (
        b"\n".join(INDENTED)[:-1],
        [(INDENTED[0], ""), (INDENTED[1], ""), (INDENTED[2][:-1], BROKEN)],
    ),
    "over several lines, a half character": (b'{\n"a":"\\ud83d"\n}\n', [(b'{\n"a":"\\ud83d"\n}\n', LONE)]),
    "over several lines, too big": (b"[\n{\n},\n1e400\n]", [(b"[\n{\n},\n1e400\n]", BIG)]),
    **{f"what was before {rest!r} is delivered": (IVR[0] + rest, [(IVR[0], ""), (rest, BROKEN)]) for rest in NO_REST},
    "its end is known, so the next is read": (
        IVR[0] + b'{"a":"\\ud83d"}' + IVR[1] + b'{"a":1e400}' + IVR[2],
        [EVENTS[0], (b'{"a":"\\ud83d"}', LONE), EVENTS[1], (b'{"a":1e400}', BIG), EVENTS[2]],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_documents_one_behind_the_other_are_as_many_events(row: str) -> None:
    """As CXone Data Streams writes format JSON, without line feeds; what cannot be read, and on, is one dead letter."""
    data, wanted = ROWS[row]
    record = Record(data, 1, arrived_at_ms=RECEIVED_MS)
    result = open_record(record)
    events = [item if isinstance(item, Event) else item.event for item in result]
    assert [(event.raw, getattr(item, "code", "")) for event, item in zip(events, result, strict=True)] == wanted
    assert [event.line for event in events] == [*range(len(wanted))], "each has its place"
    assert events[0].event_id == IDENTITY or data[:5] != ENVELOPE[:5]
    for line in range(len(result)):
        record.settle(line)
    assert record.unsettled == 0, "the tally were opened for as many"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":"\\ud83d"}', LONE),
        (b'{"\\udc00":1}', LONE),
        (b'{"a":1e400}', BIG),
        (b'{"a":-1E+999}', BIG),
        (b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}", DEEP),
        (b'{"a":"\\ud83d', BROKEN),
        (b'{"a":NaN}', BROKEN),
        (b'{"a":\xff}', BROKEN),
        # how deep it nests is told before what is wrong within
        (b"[" * 100_000, DEEP),
        (b"", BROKEN),
    ],
)
def test_malformed_is_only_what_is_no_json(text: bytes, code: str) -> None:
    """What RFC 8259 takes and we cannot send has a reason of its own; the bytes are kept, the identity too."""
    wanted = Reason.MALFORMED_JSON if code == BROKEN else Reason.SCHEMA_MISMATCH
    for line in (text, seal(IDENTITY, "delivery", RECEIVED_MS, text) if text else b""):
        (letter,) = open_record(Record(line, 1, arrived_at_ms=RECEIVED_MS))
        assert isinstance(letter, DeadLetter)
        assert (letter.reason, letter.code, letter.event.raw) == (wanted, code, line)
        assert line == text or letter.event.event_id == IDENTITY
