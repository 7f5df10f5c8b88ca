"""Lines that the fast parser does not take: several documents end to end, and true reasons for what cannot be read."""

import orjson
import pytest

from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Event, Reason, Record
from tests.events import BODY, IDENTITY, RECEIVED_MS

IVR = [b'{"eventTime":"2026-11-24T09:30:00.%03dZ","contactId":%d,"ani":"+1"}' % (n, n) for n in range(3)]


def opened(data: bytes) -> list[Event | DeadLetter]:
    record = Record(data, 1, arrived_at_ms=RECEIVED_MS)
    found = open_record(record)
    for line in range(len(found)):
        record.settle(line)
    assert record.unsettled == 0, "the tally were opened for as many"
    return found


@pytest.mark.parametrize("between", [b"", b" ", b" \t\r", b"\n", b"\n\n"])
def test_documents_one_behind_the_other_are_as_many_events(between: bytes) -> None:
    """As CXone Data Streams writes format JSON, without line feeds; each keeps its own bytes, and its place."""
    found = opened(between.join(IVR))
    assert [one.raw for one in found if isinstance(one, Event)] == IVR
    assert [one.line for one in found if isinstance(one, Event)] == [0, 1, 2]


def test_envelopes_and_arrays_end_to_end() -> None:
    """What stands in the line is what it would be alone."""
    envelope = seal(IDENTITY, "delivery", RECEIVED_MS, orjson.dumps(BODY))
    found = opened(envelope + IVR[0] + b"[" + IVR[1] + b"," + IVR[2] + b"]")
    assert [one.raw for one in found if isinstance(one, Event)] == [envelope, *IVR]
    assert isinstance(found[0], Event)
    assert found[0].event_id == IDENTITY


INDENTED = [orjson.dumps(orjson.loads(one), option=orjson.OPT_INDENT_2) for one in IVR]


@pytest.mark.parametrize("between", [b"", b" ", b"\n", b"\r\n\r\n"])
def test_documents_over_several_lines_are_as_many_events(between: bytes) -> None:
    """Whoever indents what it writes may put several into a record: no line of one is a dead letter."""
    found = opened(between.join(INDENTED) + b"\n")
    assert [one.raw for one in found if isinstance(one, Event)] == INDENTED
    assert [one.line for one in found if isinstance(one, Event)] == [0, 1, 2]


def test_what_cannot_be_read_behind_documents_over_several_lines_is_one_dead_letter() -> None:
    """Its lines belong together, so it can be mended and redriven."""
    first, second, letter = opened(INDENTED[0] + b"\n" + INDENTED[1] + b"\n" + INDENTED[2][:-1])
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event.raw) == (Reason.MALFORMED_JSON, INDENTED[2][:-1])


@pytest.mark.parametrize(
    ("text", "code"), [(b'{\n"a":"\\ud83d"\n}\n', "LoneSurrogate"), (b"[\n{\n},\n1e400\n]", "NumberOutOfRange")]
)
def test_a_document_over_several_lines_that_cannot_be_sent_is_one_dead_letter(text: bytes, code: str) -> None:
    """With a true reason, and with all its bytes."""
    (letter,) = opened(text)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code, letter.event.raw) == (Reason.SCHEMA_MISMATCH, code, text)


@pytest.mark.parametrize("rest", [b'{"contactId":', b"xyz", b"}", b"\xff{}", b"17", b'{"a":1,}'])
def test_what_cannot_be_read_from_some_point_on_is_one_dead_letter(rest: bytes) -> None:
    """What stood before it is delivered, and nothing of the line is lost."""
    first, second, letter = opened(IVR[0] + IVR[1] + rest)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event.raw) == (Reason.MALFORMED_JSON, rest)


@pytest.mark.parametrize("bad", [b'{"a":"\\ud83d"}', b'{"a":1e400}'])
def test_a_document_among_others_that_cannot_be_sent_is_a_dead_letter_alone(bad: bytes) -> None:
    """Its end is known, so what stands behind it is read; each has a line of its own."""
    first, letter, last = opened(IVR[0] + bad + IVR[1])
    assert isinstance(first, Event)
    assert isinstance(letter, DeadLetter)
    assert isinstance(last, Event)
    assert (letter.reason, letter.event.raw) == (Reason.SCHEMA_MISMATCH, bad)
    assert (first.raw, last.raw) == (IVR[0], IVR[1])
    assert [first.line, letter.event.line, last.line] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":"\\ud83d"}', "LoneSurrogate"),
        (b'{"\\udc00":1}', "LoneSurrogate"),
        (b'{"a":1e400}', "NumberOutOfRange"),
        (b'{"a":-1E+999}', "NumberOutOfRange"),
        (b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}", "TooDeep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "TooDeep"),
        (b"[" * 100_000 + b"]" * 100_000, "TooDeep"),
        (b'{"a":"\\ud83d', "MalformedJson"),
        (b'{"a":NaN}', "MalformedJson"),
        (b'{"a":01}', "MalformedJson"),
        (b'{"a":"\x01"}', "MalformedJson"),
        (b'{"a":\xff}', "MalformedJson"),
        # how deep it nests is told before what is wrong within
        (b"[" * 5000, "TooDeep"),
        (b"[" * 5000 + b"," + b"]" * 5000, "TooDeep"),
        (b'{"a":' * 5000 + b"1" + b"]" * 5000, "TooDeep"),
        (b"[" * 5000 + b"1 2" + b"]" * 5000, "TooDeep"),
        (b'{"a":' * 5000 + b'{"b"}' + b"}" * 5000, "TooDeep"),
        (b"", "MalformedJson"),
    ],
)
def test_malformed_is_only_what_is_no_json(text: bytes, code: str) -> None:
    """What RFC 8259 takes and we cannot send has a reason of its own; the bytes are kept, the identity too."""
    wanted = Reason.MALFORMED_JSON if code == "MalformedJson" else Reason.SCHEMA_MISMATCH
    for line in (text, seal(IDENTITY, "delivery", RECEIVED_MS, text) if text else b""):
        (letter,) = opened(line)
        assert isinstance(letter, DeadLetter)
        assert (letter.reason, letter.code, letter.event.raw) == (wanted, code, line)
        assert line == text or letter.event.event_id == IDENTITY
