"""What parsing would change is seen: integers outside 64 bits, keys that come twice."""

import orjson
import pytest

from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.mapping import exact_json
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, entry, letter

HEAD = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,"payload":'


def body(payload: bytes) -> bytes:
    return HEAD + payload + b"}"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"n":9223372036854775808}', "IntegerOutOfRange"),
        (b'{"n":18446744073709551615}', "IntegerOutOfRange"),
        (b'{"n":18446744073709551616}', "IntegerOutOfRange"),
        (b'{"n":-9223372036854775809}', "IntegerOutOfRange"),
        (b'{"n":[1,{"m":123456789012345678901234567890}]}', "IntegerOutOfRange"),
        (b'{"n":' + b"9" * 300 + b"}", "IntegerOutOfRange"),
        (b'{"a":1,"a":1}', "DuplicateKey"),
        (b'{"a":{"b":1,"c":2,"b":1}}', "DuplicateKey"),
        (b'{"a":1,"\\u0061":2}', "DuplicateKey"),
        (b'{},"payload":{}', "DuplicateKey"),
    ],
)
def test_what_would_be_changed_is_a_dead_letter(payload: bytes, code: str) -> None:
    """The reason is clear and quotes nothing."""
    dead = letter(body(payload))
    assert (dead.reason, dead.code) == (Reason.SCHEMA_MISMATCH, code)
    assert "9" * 10 not in dead.message


@pytest.mark.parametrize(
    "payload",
    [
        b'{"n":9223372036854775807,"m":-9223372036854775808}',
        b'{"n":9007199254740993}',
        b'{ "a" : [ 1 , 2.50 , -0 , 1E2 ] }',
        b'{"a":"\\u00e4\\/"}',
        b'{"a":1e20}',
        b'{"payload":{"body":{"a":1}}}',
        b'{"a":",\\"body\\":{}"}',
        b'{"a":{"b":1},"c":{"b":1}}',
    ],
)
def test_what_is_only_written_otherwise_passes(payload: bytes) -> None:
    """Spaces, escapes, exponents and integers within 64 bits change nothing."""
    detail = orjson.loads(entry(body(payload)).detail)
    assert detail["payload"] == orjson.loads(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"url":"https:\\/\\/x.example\\/a"}',
        b'{"a\\/b":1,"a":"\\\\","c":"\\/","d":"\\\\\\/"}',
    ],
)
def test_escaped_slashes_are_proven_without_reading_twice(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """NICE's own examples and PHP write them, so they take the quick way."""
    monkeypatch.setattr(exact_json, "_read_carefully", None)
    assert orjson.loads(entry(body(payload)).detail)["payload"] == orjson.loads(payload)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"a\\/b":1,"a/b":2}', "DuplicateKey"),
        (b'{"a":"\\/","n":18446744073709551616}', "IntegerOutOfRange"),
        (b'{"a":"\\\\/","n":18446744073709551616}', "IntegerOutOfRange"),
    ],
)
def test_escaped_slashes_hide_nothing(payload: bytes, code: str) -> None:
    """What parsing changes is seen beside them as well."""
    assert letter(body(payload)).code == code


def test_a_body_that_is_smuggled_beside_the_real_one_is_seen() -> None:
    """An envelope of someone else, whose end looks like a faithful copy of its body, is still read with care."""
    inner = body(b'{"n":18446744073709551616}')
    copy = orjson.dumps(orjson.loads(inner))
    line = b'{"v":1,"id":"%s","idFrom":"content","receivedAt":1,"body":%s,"z":{"y":1,"body":%s}}' % (
        b"0" * 32,
        inner,
        copy,
    )
    (found,) = open_record(Record(line, 1))
    assert isinstance(found, Event)
    result = Transform(config_of(), lambda: NOW_MS)(found)
    assert isinstance(result, DeadLetter)
    assert result.code == "IntegerOutOfRange"


@pytest.mark.parametrize("depth", [200, 248])
def test_deep_nesting_passes_unchanged(depth: int) -> None:
    """As deep as an event may nest."""
    nested = b"[" * depth + b"]" * depth
    result = entry(body(b'{"a":%s}' % nested))
    assert b'"payload":{"a":' + nested + b"}" in result.detail
    assert b'"complianceTag":"unmasked"' in result.detail


def test_nesting_beyond_the_limit_is_a_dead_letter() -> None:
    """What is deeper than an event may be gets a reason and no exception."""
    nested = b"[" * 1001 + b"]" * 1001
    dead = letter(body(b'{"a":%s}' % nested))
    assert (dead.reason, dead.code) == (Reason.SCHEMA_MISMATCH, "TooDeep")


def test_foreign_record_is_checked_as_well() -> None:
    """A record that no receiver of ours sealed is the body itself."""
    transform = Transform(config_of(), lambda: NOW_MS)
    for data, kind in ((orjson.dumps(BODY), Entry), (body(b'{"a":1,"a":2}'), DeadLetter)):
        (found,) = open_record(Record(data, 1, arrived_at_ms=5))
        assert isinstance(found, Event)
        assert type(transform(found)) is kind
