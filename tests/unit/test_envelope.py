"""The wire contract: what the receiver seals the consumer opens, and one bad line kills only itself."""

import gzip
import hashlib

import orjson
import pytest

from stream_router import envelope
from stream_router.envelope import open_record, seal
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Event, Reason, Record, correlation_id, event_id
from stream_router.pipeline.mapping import exact_json
from stream_router.receiver.intake import Body, Intake, ProblemError
from stream_router.settings.receiver import Receiver

ID = "0123456789abcdef0123456789abcdef"
NOW_MS = 1_795_000_000_123


def record(data: bytes) -> Record:
    return Record(data, 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898, 0, NOW_MS)


def events(data: bytes) -> list[Event]:
    found = open_record(record(data))
    assert all(isinstance(one, Event) for one in found), found
    return [one for one in found if isinstance(one, Event)]


def letters(data: bytes) -> list[DeadLetter]:
    return [one for one in open_record(record(data)) if isinstance(one, DeadLetter)]


def test_an_identity_is_the_contracts_digest() -> None:
    """32 hex digits of SHA-256 over scheme, delivery id, index and body, joined by zero bytes."""
    digest = hashlib.sha256(b"expert\x00d-1\x000\x00" + hashlib.sha256(b"{}").digest()).hexdigest()[:32]
    assert event_id("expert", "d-1", 0, b"{}") == digest
    assert event_id("expert", None, 0, b"{}") == event_id("expert", "", 0, b"{}")


def test_a_correlation_id_is_the_same_bits_as_a_uuid() -> None:
    """Same 128 bits, written with dashes."""
    assert correlation_id(ID) == "01234567-89ab-cdef-0123-456789abcdef"


def test_a_sealed_event_is_opened_as_it_was() -> None:
    """Identity, time and body come back; the raw line is what was sealed; the tally expect one event."""
    sealed = seal(ID, "delivery", NOW_MS, b'{"a": 1.50, "b":"\xc3\xa9"}')
    opened = record(sealed)
    event = open_record(opened)[0]
    assert isinstance(event, Event)
    assert (event.event_id, event.id_from, event.received_at_ms, event.line) == (ID, "delivery", NOW_MS, 0)
    assert event.body == {"a": 1.5, "b": "é"}
    assert event.raw == sealed
    assert b'{"a": 1.50, "b":"\xc3\xa9"}' in sealed
    assert opened.unsettled == 1
    event.record.settle(event.line)
    assert opened.unsettled == 0


def test_line_breaks_between_tokens_become_spaces() -> None:
    """An envelope is one line, and no value changes."""
    body = b'{\r\n "a":\n[1,\r2], "b":"x\\ny"\n}'
    sealed = seal(ID, "content", NOW_MS, body)
    assert b"\n" not in sealed
    assert b"\r" not in sealed
    assert events(sealed)[0].body == orjson.loads(body)
    assert len(sealed) == len(seal(ID, "content", NOW_MS, body.translate(bytes.maketrans(b"\r\n", b"  "))))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", Reason.MALFORMED_JSON),
        (b"\xff\xfe", Reason.MALFORMED_JSON),
        (b'{"v":1,"id":"x","idFrom":"delivery","receivedAt":1,"body":{}}', Reason.SCHEMA_MISMATCH),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_line_kills_only_itself(bad: bytes, reason: Reason, place: int) -> None:
    """The neighbours of an unreadable line are events; the line is a dead letter with its own bytes."""
    good = seal(ID, "delivery", NOW_MS, b"{}")
    data = [good, good, good]
    data[place] = bad
    opened = record(b"\n".join(data))
    found = open_record(opened)
    assert [type(one) for one in found] == [DeadLetter if at == place else Event for at in range(3)]
    letter = found[place]
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event.raw, letter.event.line) == (reason, bad, place)
    assert opened.unsettled == 0b111


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b" ", b"not json", b"\x00", b"\xf3\x89\x9a\xc2rest", b'{"a":1', b"1 2", b"[1,2", b'"\xff"']
)
def test_a_record_that_cannot_be_read_is_one_dead_letter(data: bytes) -> None:
    """Whatever is in it, a record yields something, and never raises."""
    opened = record(data)
    found = open_record(opened)
    assert [one.reason for one in found if isinstance(one, DeadLetter)] == [Reason.MALFORMED_JSON]
    assert len(found) == 1
    assert opened.unsettled == 1


@pytest.mark.parametrize(
    "data",
    [gzip.compress(bytes(range(256)) * 9, 0), b"Obj\x01\xff\n \n7\n\t\r\n\x00\x9d", '{"a":1}\n'.encode("utf-16")],
    ids=["gzip", "avro", "utf-16"],
)
def test_a_record_that_is_no_text_is_one_dead_letter_with_all_its_bytes(data: bytes) -> None:
    """Bytes that happen to be line feeds cut nothing apart, and none is left out for a blank."""
    assert data.count(b"\n") > 0
    (letter,) = letters(data)
    assert (letter.reason, letter.event.raw) == (Reason.MALFORMED_JSON, data)


def test_an_unknown_version_says_so() -> None:
    """A newer envelope is not guessed at."""
    newer = seal(ID, "delivery", NOW_MS, b"{}").replace(b'"v":1', b'"v":2')
    (letter,) = letters(newer)
    assert (letter.reason, letter.event.event_id, letter.event.body) == (Reason.UNSUPPORTED_VERSION, ID, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"n":1e999}', "NumberOutOfRange"),
        (b'{"s":"\\ud800"}', "LoneSurrogate"),
        (b"[" * 1_024 + b"]" * 1_024, "TooDeep"),
        (b'{"cut":', "MalformedJson"),
    ],
)
def test_an_envelope_whose_body_cannot_be_read_keeps_its_identity(body: bytes, code: str) -> None:
    """The sender was answered with this id: it is the one under which the dead letter is found."""
    (letter,) = letters(seal(ID, "delivery", NOW_MS, body))
    event = letter.event
    assert letter.code == code
    assert (event.event_id, event.id_from, event.received_at_ms) == (ID, "delivery", NOW_MS)


BENT: dict[str, list[object]] = {
    "id": [ID.upper(), ID[:-1], 7, None],
    "idFrom": ["nowhere", None],
    "receivedAt": ["2026", 1.5, True, -1, 10**17],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, row in BENT.items() for value in row])
def test_a_bent_envelope_is_a_dead_letter(name: str, value: object) -> None:
    """Its fields are ours: a wrong form is never worked around. The message names the field, and quotes nothing."""
    fields = {"v": 1, "id": ID, "idFrom": "delivery", "receivedAt": NOW_MS, "body": {"s": "secret"}, name: value}
    found = letters(orjson.dumps(fields))
    assert [(letter.reason, letter.code) for letter in found] == [(Reason.SCHEMA_MISMATCH, "MalformedEnvelope")]
    assert found[0].message.startswith(f"the envelope's `{name}` is ")
    assert "secret" not in found[0].message


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (b'{"a":1}\r\n {"a":2} ', [(0, b'{"a":1}\r'), (0, b' {"a":2} ')]),
        (b'{\n"a":1}\n', [(0, b'{\n"a":1}\n')]),
        (b' {"a":1} {"a":2} ', [(0, b'{"a":1}'), (0, b'{"a":2}')]),
        (b'{\n"a":1}\n{\n"a":2}\n', [(0, b'{\n"a":1}'), (0, b'{\n"a":2}')]),
        (b' [ {"a":1} ,\n{"a":2} ] ', [(0, b'{"a":1}'), (1, b'{"a":2}')]),
    ],
)
def test_a_foreign_event_is_known_by_these_bytes(data: bytes, bodies: list[tuple[int, bytes]]) -> None:
    """docs/contract.md, "Identity": with the blanks around a document that stands alone, else without them."""
    digests = [b"stream\x00\x00%d\x00" % index + hashlib.sha256(body).digest() for index, body in bodies]
    assert [one.event_id for one in events(data)] == [hashlib.sha256(digest).hexdigest()[:32] for digest in digests]


@pytest.mark.parametrize("version", [b"1", b'"2.0"'])
def test_a_foreign_document_may_have_a_version_an_id_and_a_body(version: bytes) -> None:
    """As many have: only ours says by what its id was made."""
    data = b'{"v":%s,"id":"o-7","type":"order","body":{"total":12.50, "n":0.10000000000000000001}}' % version
    (event,) = events(data)
    assert (event.raw, event.id_from) == (data, "content")
    assert isinstance(event.body, dict)
    assert event.body["id"] == "o-7"
    assert str(exact_json.read(event)["body"]["n"]) == "0.10000000000000000001"


@pytest.mark.parametrize("blank", [b"", b" ", b"\r", b" \t\r"])
def test_a_blank_line_is_no_event(blank: bytes) -> None:
    """Wherever it stands: a file with CRLF, or with an empty last line, has no dead letter for it."""
    data = b"\n".join([blank, b'{"a":1}', blank, b'{"a":2}', blank])
    assert [event.body for event in events(data)] == [{"a": 1}, {"a": 2}]


def test_a_record_of_bad_lines_is_tried_as_a_whole_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it tried for each of them, a record of a megabyte of bad lines would hold its shard for minutes."""
    tried: list[bytes] = []

    def broken(data: bytes) -> object:
        tried.append(data)
        return envelope._BROKEN

    monkeypatch.setattr(envelope, "_parse", broken)
    data = b'{"a":1\n' * 100
    assert len(open_record(Record(data, 1))) == 100
    assert tried.count(data) == 1


def test_a_foreign_array_is_an_event_each_with_its_own_bytes() -> None:
    """Elements keep their bytes; equal ones are events of their own."""
    found = events(b'[ {"a": 1.0},{"a": 1.0} , {"b":"]"}]')
    assert [event.raw for event in found] == [b'{"a": 1.0}', b'{"a": 1.0}', b'{"b":"]"}']
    assert len({event.event_id for event in found}) == 3


def nested(levels: int, core: bytes = b"1") -> bytes:
    return b'{"a":' * levels + core + b"}" * levels


@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"', b"1e999"])
def test_the_receiver_takes_an_event_of_just_the_depth_and_none_deeper(core: bytes) -> None:
    """Whichever of the two parsers reads it; an array counts as a level, and the message says the bound."""
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"))
    assert len(intake.events(Body(nested(EVENT_MAX_DEPTH, core), "d"))) == 1
    array = b"[" + nested(EVENT_MAX_DEPTH, core) + b"]"
    for body in (nested(EVENT_MAX_DEPTH + 1, core), nested(90_000, core), array):
        with pytest.raises(ProblemError, match="malformed_json") as refused:
            intake.events(Body(body, "d"))
        assert refused.value.message == f"the body nests deeper than {EVENT_MAX_DEPTH} levels"


def test_a_document_that_nests_too_deep_ends_a_line_of_several() -> None:
    """What stands before it is an event; it and what follows is one dead letter, on every Python."""
    deep = nested(EVENT_MAX_DEPTH + 1)
    first, letter = open_record(Record(b'{"a":1}' + deep + b'{"b":2}', 1))
    assert isinstance(first, Event)
    assert isinstance(letter, DeadLetter)
    assert letter.event.raw == deep + b'{"b":2}'
