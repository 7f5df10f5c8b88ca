"""Nothing of an event changes on its way: numbers keep their value, no key is lost, or a true reason is given."""

import json
import random
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from stream_router.envelope import seal
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry
from tests.events import IDENTITY, code_of, door, sent

HEAD = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,"payload":'
NUMBERS = [
    *("123456789.123456789", "100000000000000000000000.5", "3.141592653589793238462643", "1e-400", "-0", "-0.0", "0"),
    *("0.1000000000000000055511151231257827", "12.50", "12.5", "0.1", "1E2", "1e20", "9007199254740993", "1e-5"),
    *("123456789012345678901234567890.0", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "-1.0e-999"),
]


def sealed(payload: str) -> bytes:
    return seal(IDENTITY, "delivery", 1, HEAD + payload.encode() + b"}")


def drawn(draw: random.Random) -> str:
    """A number with a point or an exponent: up to 40 digits, a point anywhere, no exponent that a double overflows."""
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 40)))
    whole = draw.choice("123456789") + digits[: draw.randint(0, len(digits))]
    number = f"{draw.choice(('', '-'))}{whole}.{digits}"
    return number + (f"{draw.choice('eE')}{draw.randint(-330, 200)}" if draw.random() < 0.5 else "")


def test_numbers_keep_their_decimal_value(tmp_path: Path) -> None:
    """And their sign, where they are a zero: those that are near an edge, and thousands drawn at random; masked too."""
    draw, file = random.Random(5), tmp_path / "policy.toml"
    file.write_text('allow_ids = ["payload.count[]"]')
    value = NUMBERS + [drawn(draw) for _ in range(5_000)]
    for masking in ("off", str(file)):
        (result,) = door(sealed(f'{{"count":[{",".join(value)}]}}'), masking=masking)
        assert isinstance(result, Entry)
        count = json.loads(result.detail, parse_float=Decimal, parse_int=Decimal)["payload"]["count"]
        assert [(n, n.is_signed()) for n in count] == [(Decimal(n), Decimal(n).is_signed()) for n in value]


REFUSED = {
    '{"n":9223372036854775808}': "IntegerOutOfRange",
    '{"n":-9223372036854775809}': "IntegerOutOfRange",
    '{"n":[1,{"m":18446744073709551616}]}': "IntegerOutOfRange",
    '{"n":' + "9" * 300 + "}": "IntegerOutOfRange",
    '{"a":{"b":1,"c":2,"b":1}}': "DuplicateKey",
    '{"a":1,"\\u0061":2}': "DuplicateKey",
    '{},"payload":{}': "DuplicateKey",
    '{"a":' * (EVENT_MAX_DEPTH + 4) + "1" + "}" * (EVENT_MAX_DEPTH + 4): "TooDeep",
}


@pytest.mark.parametrize(("payload", "code"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_would_be_changed_is_a_dead_letter(payload: str, code: str) -> None:
    """Whoever wrote it, sealed or not; the reason quotes nothing."""
    for data in (sealed(payload), HEAD + payload.encode() + b"}"):
        (letter,) = door(data)
        assert isinstance(letter, DeadLetter)
        assert (letter.reason, letter.code) == ("schema_mismatch", code)
        assert "9" * 10 not in letter.message


DEEP = '{"a":' * (EVENT_MAX_DEPTH - 1) + "1" + "}" * (EVENT_MAX_DEPTH - 1)


@pytest.mark.parametrize("payload", [DEEP, '{"low":-9223372036854775808,"high":9223372036854775807}'])
def test_what_is_just_within_the_bounds_is_delivered(payload: str) -> None:
    """By bounds of our own, so that the answer does not depend on the Python that gives it."""
    assert orjson.dumps(sent(sealed(payload))["payload"]) == payload.encode()


@pytest.mark.parametrize("blank", [b"", b" "])
@pytest.mark.parametrize("key", [b"bo dy", b"body", b" body"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_is_smuggled_in_beside_the_body_is_seen(key: bytes, inside: bool, blank: bytes) -> None:
    """A faithful copy of the body in another member, or in a member's member, stands for the body in no case."""
    inner = HEAD.replace(b":", b":" + blank) + b'{"n":%b18446744073709551616}}' % blank
    copy = orjson.dumps(orjson.loads(inner))
    member = b'"z":%b{"y":1,"%b":%b}' % (blank, key, copy) if inside else b'"%b":%b%b' % (key, blank, copy)
    start = b'{"v":1,"id":"%b","idFrom":"content","receivedAt":1' % IDENTITY.encode()
    first, last = b'%b,"body":%b,%b}' % (start, inner, member), b'%b,%b,"body":%b}' % (start, member, inner)
    for line in (first, last) if key != b"body" or inside else (last,):
        assert [code_of(result) for result in door(line)] == ["IntegerOutOfRange"]
