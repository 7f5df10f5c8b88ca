"""The wire contract: what a record's bytes are opened into, which bytes each event keeps, and who it is."""

import gzip
import hashlib

import orjson
import pytest

from stream_router import limits
from stream_router.envelope import open_record, seal
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Event, Record, correlation_id, event_id
from stream_router.receiver.intake import Body, Intake, ProblemError
from stream_router.settings.receiver import Receiver
from tests.events import IDENTITY, RECEIVED_MS, code_of, door


def nested(levels: int, core: bytes = b"1") -> bytes:
    return b'{"a":' * levels + core + b"}" * levels


def sealed(body: bytes) -> bytes:
    return seal(IDENTITY, "delivery", RECEIVED_MS, body)


def events(data: bytes) -> list[Event]:
    """What a record is opened into, each with the bytes that a dead letter would carry."""
    return [one.event if isinstance(one, DeadLetter) else one for one in open_record(Record(data, 7, 0, 5))]


def codes(data: bytes) -> list[str]:
    return [code_of(one) for one in open_record(Record(data, 7, 0, 5))]


def test_an_identity_is_the_contracts_digest() -> None:
    """SHA-256 over scheme, delivery id, index and body, joined by zero bytes; the correlation id is the same bits."""
    digest = hashlib.sha256(b"expert\x00d-1\x000\x00" + hashlib.sha256(b"{}").digest()).hexdigest()[:32]
    assert event_id("expert", "d-1", 0, b"{}") == digest
    assert event_id("expert", None, 0, b"{}") == event_id("expert", "", 0, b"{}")
    assert correlation_id(IDENTITY) == "01234567-89ab-cdef-0123-456789abcdef"


GOOD = sealed(b"{}")
NO_JSON = {
    "nothing": b"",
    "blank lines": b"\n \n",
    "a word": b"not json",
    "an aggregate cut off": b"\xf3\x89\x9a\xc2rest",
    "an array cut off": b"[1,2",
    "two numbers": b"1 2",
    "half a character": b'"\xff"',
    "gzip": gzip.compress(bytes(range(256)) * 9, 0),
    "avro": b"Obj\x01\xff\n \n7\n\t\r\n\x00\x9d",
    "utf-16": '{"a":1}\n'.encode("utf-16"),
}
DEEP = nested(EVENT_MAX_DEPTH + 1)
RECORDS: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    **{name: (data, [("MalformedJson", data)]) for name, data in NO_JSON.items()},
    "a number in a body": (line := sealed(b'{"n":1e999}'), [("NumberOutOfRange", line)]),
    "half a character in a body": (line := sealed(b'{"s":"\\ud800"}'), [("LoneSurrogate", line)]),
    "levels of a body": (line := sealed(b"[" * 1_024 + b"]" * 1_024), [("TooDeep", line)]),
    "a body cut off": (line := sealed(b'{"cut":'), [("MalformedJson", line)]),
    "a newer version": (line := GOOD.replace(b'"v":1', b'"v":2'), [("UnsupportedVersion", line)]),
    "lines with CRLF": (b'{"a":1}\r\n {"a":2} ', [("", b'{"a":1}\r'), ("", b' {"a":2} ')]),
    "blank lines between": (b'\r\n{"a":1}\n \t\r\n{"a":2}\n', [("", b'{"a":1}'), ("", b'{"a":2}')]),
    "one over several lines": (b'{\n"a":1}\n', [("", b'{\n"a":1}\n')]),
    "several over several lines": (b'{\n"a":1}\n{\n"a":2}\n', [("", b'{\n"a":1}'), ("", b'{\n"a":2}')]),
    "several on a line": (b' {"a":1} {"a":2} ', [("", b'{"a":1}'), ("", b'{"a":2}')]),
    "the third of a line": (b'{"a":1}[2]{"b":', [("", b'{"a":1}'), ("", b"2"), ("MalformedJson", b'{"b":')]),
    "levels on a line": (b'{"a":1}' + DEEP + b"{}", [("", b'{"a":1}'), ("MalformedJson", DEEP + b"{}")]),
    "an array": (b'[ {"a": 1.0},{"a": 1.0} ,\n{"b":"]"}]', [("", b'{"a": 1.0}')] * 2 + [("", b'{"b":"]"}')]),
    "a document of another's": (line := b'{"v":1,"id":"o-7","type":"order","body":{"n":1}}', [("", line)]),
}


@pytest.mark.parametrize(("data", "wanted"), RECORDS.values(), ids=RECORDS)
def test_a_record_is_opened_into_these(data: bytes, wanted: list[tuple[str, bytes]]) -> None:
    """Each event, readable or not, keeps its own bytes; ours their id, others are known by these bytes (contract)."""
    found = events(data)
    assert [*zip(codes(data), (event.raw for event in found), strict=True)] == wanted
    for at, event in enumerate(found):
        ours = f'"id":"{IDENTITY}"'.encode() in event.raw
        place = at if data.startswith(b"[") else 0
        assert event.event_id == (IDENTITY if ours else event_id("stream", None, place, event.raw))
        assert (event.id_from, event.received_at_ms) == (("delivery", RECEIVED_MS) if ours else ("content", 5))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", [b"{", b"\xff\xfe", GOOD.replace(IDENTITY.encode(), b"x")])
def test_one_bad_line_kills_only_itself(bad: bytes, place: int) -> None:
    """The neighbours of an unreadable line are events; the line is a dead letter with its own bytes."""
    lines = [GOOD, GOOD, GOOD]
    lines[place] = bad
    data = b"\n".join(lines)
    assert [bool(code) for code in codes(data)] == [at == place for at in range(3)]
    assert [event.raw for event in events(data)] == lines


BENT: dict[str, list[object]] = {
    "id": [IDENTITY.upper(), IDENTITY[:-1], 7, None],
    "idFrom": ["nowhere", None],
    "receivedAt": ["2026", 1.5, True, -1, 10**17],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, row in BENT.items() for value in row])
def test_a_bent_envelope_is_a_dead_letter(name: str, value: object) -> None:
    """Its fields are ours: a wrong form is never worked around. The message names the field, and quotes nothing."""
    fields = {"v": 1, "id": IDENTITY, "idFrom": "delivery", "receivedAt": 1, "body": {"s": "secret"}, name: value}
    (found,) = door(orjson.dumps(fields))
    assert isinstance(found, DeadLetter)
    assert found.code == "MalformedEnvelope"
    assert f"`{name}`" in found.message
    assert "secret" not in found.message


@pytest.mark.parametrize("data", [b"x\n" * 11, b"1\n" * 11, b"{}" * 11, b"[1" + b",1" * 10 + b"]"])
def test_a_record_of_too_many_lines_is_one_dead_letter(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are opened together, and millions of tiny ones would fill the memory; nothing of them is lost."""
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 10)
    assert (codes(data), [event.raw for event in events(data)]) == (["TooManyEvents"], [data])
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 11)
    assert len(codes(data)) == 11


@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"', b"1e999"])
def test_the_receiver_takes_an_event_of_just_the_depth_and_none_deeper(core: bytes) -> None:
    """Whichever of the two parsers reads it; an array counts as a level, and the message says the bound."""
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"))
    assert len(intake.events(Body(nested(EVENT_MAX_DEPTH, core), "d"))) == 1
    array = b"[" + nested(EVENT_MAX_DEPTH, core) + b"]"
    for body in (nested(EVENT_MAX_DEPTH + 1, core), nested(90_000, core), array):
        with pytest.raises(ProblemError, match="malformed_json") as refused:
            intake.events(Body(body, "d"))
        assert str(EVENT_MAX_DEPTH) in refused.value.message
