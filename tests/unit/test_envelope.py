"""The wire contract: what a record's bytes are opened into, which bytes each event keeps, who it is, in any version.

`tests/data/first-envelope-reader.txt` is the reader of the first commit that had one, word for word: a frozen
program, no description of it. `tests/data/first-envelopes.jsonl` is what its `seal` wrote.
"""

import gzip
import hashlib
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from stream_router import limits
from stream_router.envelope import open_record, read_added_fields, seal
from stream_router.event_id import correlation_id, event_id
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.receiver.intake import Intake, ProblemError, VerifiedBody
from stream_router.settings.receiver import Receiver
from tests.events import BODY, IDENTITY, RECEIVED_MS, code_of, door

DATA = Path(__file__).parents[1] / "data"


def nested(levels: int, core: bytes = b"1") -> bytes:
    return b'{"a":' * levels + core + b"}" * levels


def sealed(body: bytes) -> bytes:
    return seal(IDENTITY, "delivery", RECEIVED_MS, body)


def opened(data: bytes) -> list[tuple[str, Event]]:
    """Of each event of a record why it cannot be read ("" where it can), and itself."""
    record = open_record(Record(data, 7, 0, 5))
    return [(code_of(item), item.event if isinstance(item, DeadLetter) else item) for item in record]


def test_an_identity_is_the_contracts_digest() -> None:
    """SHA-256 over scheme, delivery id, index and body, joined by zero bytes; the correlation id is the same bits."""
    digest = hashlib.sha256(b"expert\x00d-1\x000\x00" + hashlib.sha256(b"{}").digest()).hexdigest()[:32]
    assert event_id("expert", "d-1", 0, b"{}") == digest
    assert event_id("expert", None, 0, b"{}") == event_id("expert", "", 0, b"{}")
    assert correlation_id(IDENTITY) == "01234567-89ab-cdef-0123-456789abcdef"


GOOD = sealed(b"{}")
BENT = GOOD.replace(IDENTITY.encode(), b"x")
DEEP = nested(EVENT_MAX_DEPTH + 1)
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
RECORDS: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    **{name: (data, [("MalformedJson", data)]) for name, data in NO_JSON.items()},
    "a number in a body": (line := sealed(b'{"n":1e999}'), [("NumberOutOfRange", line)]),
    "half a character in a body": (line := sealed(b'{"s":"\\ud800"}'), [("LoneSurrogate", line)]),
    "levels of a body": (line := sealed(b"[" * 1_024 + b"]" * 1_024), [("TooDeep", line)]),
    "a body cut off": (line := sealed(b'{"cut":'), [("MalformedJson", line)]),
    "a newer version": (line := GOOD.replace(b'"v":1', b'"v":2'), [("UnsupportedVersion", line)]),
    "one that is bent": (GOOD + b"\n" + BENT + b"\n" + GOOD, [("", GOOD), ("MalformedEnvelope", BENT), ("", GOOD)]),
    "one that is cut off": (GOOD + b"\n{\n" + GOOD, [("", GOOD), ("MalformedJson", b"{"), ("", GOOD)]),
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
    result = opened(data)
    assert [(code, event.raw) for code, event in result] == wanted
    for at, (_, event) in enumerate(result):
        ours = f'"id":"{IDENTITY}"'.encode() in event.raw
        place = at if data.startswith(b"[") else 0
        assert event.event_id == (IDENTITY if ours else event_id("stream", None, place, event.raw))
        assert (event.id_from, event.received_at_ms) == (("delivery", RECEIVED_MS) if ours else ("content", 5))


FORMS: dict[str, list[object]] = {
    "id": [IDENTITY.upper(), IDENTITY[:-1], 7, None],
    "idFrom": ["nowhere", None],
    "receivedAt": ["2026", 1.5, True, -1, 10**17],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, row in FORMS.items() for value in row])
def test_a_bent_envelope_is_a_dead_letter(name: str, value: object) -> None:
    """Its fields are ours: a wrong form is never worked around. The message names the field, and quotes nothing."""
    fields = {"v": 1, "id": IDENTITY, "idFrom": "delivery", "receivedAt": 1, "body": {"s": "secret"}, name: value}
    (result,) = door(orjson.dumps(fields))
    assert isinstance(result, DeadLetter)
    assert result.code == "MalformedEnvelope"
    assert f"`{name}`" in result.message
    assert "secret" not in result.message


@pytest.mark.parametrize("data", [b"x\n" * 11, b"1\n" * 11, b"{}" * 11, b"[1" + b",1" * 10 + b"]"])
def test_a_record_of_too_many_lines_is_one_dead_letter(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are opened together, and millions of tiny ones would fill the memory; nothing of them is lost."""
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 10)
    assert [(code, event.raw) for code, event in opened(data)] == [("TooManyEvents", data)]
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 11)
    assert len(opened(data)) == 11


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[\n1,\n2,\n" + b"{},\n" * 8 + b"{}]", ""),
        (b"{}\n" + b"x\n" * 20, "TooManyEvents"),
        (b"\0\n" * 20, "MalformedJson"),
    ],
    ids=["a document over all of them", "lines of which one is read", "no text"],
)
def test_a_record_of_more_lines_than_events_is_read_as_any_other(
    data: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One document may go over any number of lines. Blank lines count nowhere."""
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 11)
    assert {code for code, _ in opened(data.replace(b"\n", b"\n \n\n"))} == {code}


@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"', b"1e999"])
def test_the_receiver_takes_an_event_of_just_the_depth_and_none_deeper(core: bytes) -> None:
    """Whichever of the two parsers reads it; an array counts as a level."""
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"))
    just = nested(EVENT_MAX_DEPTH, core)
    assert len(intake.events(VerifiedBody(just, "d"))) == 1
    for body in (b'{"a":' + just + b"}", nested(90_000, core), b"[" + just + b"]"):
        with pytest.raises(ProblemError, match="malformed_json"):
            intake.events(VerifiedBody(body, "d"))


def first_reader() -> ModuleType:
    """The frozen program, at work on today's events and records: what it imports has moved into `model` since."""
    text = (DATA / "first-envelope-reader.txt").read_text("utf-8")
    for module in ("stream_router.errors", "stream_router.records"):
        text = text.replace(module, "stream_router.model")
    module_type = ModuleType("first_envelope_reader")
    exec(compile(text, "first-envelope-reader.txt", "exec"), module_type.__dict__)
    return module_type


def received(body: bytes, content_type: str = "application/json") -> bytes:
    """What today's receiver writes with everything that it can add."""
    added = {"source": "crm", "traceparent": f"00-{'4b' * 16}-{'0a' * 8}-01", "eventTypeHeader": "interaction.created"}
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"), source=added["source"], takes_xml=True)
    (event,) = intake.events(VerifiedBody(body, "d-1", content_type, added["eventTypeHeader"], added["traceparent"]))
    assert added.items() <= read_added_fields(event.line).items(), "it adds all that it can"
    return event.line


NOTICE = received(orjson.dumps(BODY))
VERSIONS = {
    **{f"first {at}": line for at, line in enumerate((DATA / "first-envelopes.jsonl").read_bytes().splitlines())},
    "json": NOTICE,
    "text": received(b'<event id="1"/>', "text/xml"),
    "base64": received(b"<event>\xff</event>", "text/xml"),
    "tomorrow's fields": NOTICE[:-1] + b',"ofTomorrow":{"a":[1,null]},"more":true}',
}


@pytest.mark.parametrize("line", VERSIONS.values(), ids=VERSIONS)
def test_both_readers_say_the_same_of_any_versions_envelope(line: bytes) -> None:
    """Identity, time and body, whoever is upgraded first; fields that a reader does not know are passed over.

    A stream keeps records for a week or a year, so what the first receiver sealed becomes an entry today.
    """
    (then,), (now,) = first_reader().open_record(Record(line, 1)), open_record(Record(line, 1))
    assert isinstance(now, Event)
    assert now[2:] == then[2:]
    assert b"xml" in line or isinstance(door(line)[0], Entry)
