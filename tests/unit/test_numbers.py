"""Numbers arrive with the decimal value with which they were written, or are refused with a true reason."""

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stream_router.core.dead_letter_reasons import Reason
from stream_router.core.envelope import open_record
from stream_router.core.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of, entry, event

HEAD = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,"payload":'
PLAIN, MASKED = (Transform(config_of(masking=masking), lambda: NOW_MS) for masking in ("off", "default"))
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


@pytest.mark.parametrize("transform", [PLAIN, MASKED], ids=["unmasked", "masked"])
@pytest.mark.parametrize("number", NUMBERS)
def test_number_keeps_its_decimal_value(number: str, transform: Transform) -> None:
    """And its sign, where it is a zero."""
    (found,) = arrived(transform, [number])
    assert (found, found.is_signed()) == (Decimal(number), Decimal(number).is_signed())


@pytest.mark.parametrize("transform", [PLAIN, MASKED], ids=["unmasked", "masked"])
def test_numbers_of_any_form_keep_their_value(transform: Transform) -> None:
    """Drawn at random: up to 40 digits, a point anywhere, any exponent that a double does not overflow."""
    draw = random.Random(5)
    for _ in range(100):
        numbers = [drawn(draw) for _ in range(100)]
        assert arrived(transform, numbers) == [Decimal(number) for number in numbers]


def drawn(draw: random.Random) -> str:
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 40)))
    whole = draw.choice("123456789") + digits[: draw.randint(0, len(digits))]
    number = f"{draw.choice(('', '-'))}{whole}.{digits}"
    return number + (f"{draw.choice('eE')}{draw.randint(-330, 200)}" if draw.random() < 0.5 else "")


def test_exact_number_can_be_masked_like_any_other(tmp_path: Path) -> None:
    """Redacted, cut to its last digits, hashed, searched: it is a number with a text."""
    file = tmp_path / "policy.toml"
    file.write_text(
        'id = "p"\nversion = "1"\n[hmac]\nkey_id = "k"\n'
        '[[rules]]\naction = "redact"\npaths = ["**.a"]\n[[rules]]\naction = "keep_last"\nn = 4\npaths = ["**.b"]\n'
        '[[rules]]\naction = "hmac"\npaths = ["**.c"]\n[[rules]]\naction = "keep"\npaths = ["**.d"]\n'
    )
    number = b"123456789.123456789"
    body = HEAD + b'{"a":%s,"b":%s,"c":{"x":%s},"d":%s}}' % (number, number, number, number)
    detail = entry(body, masking=str(file), masking_key="0123456789abcdef").detail
    assert detail.count(number) == 1
    payload: dict[str, Any] = json.loads(detail)["payload"]
    assert (payload["a"], payload["b"], payload["c"][:7]) == ("[REDACTED]", "****6789", "hmac:k:")


def test_number_of_an_envelopes_end_and_of_a_foreign_document(tmp_path: Path) -> None:
    """However the event came into the stream; also as an element of an array, and as the event's time."""
    alone = HEAD.replace(b"1795512600", b"1795512600.0000000000001") + b'{"count":0.10000000000000000001}}'
    for data in (alone, b"[" + alone + b"]", b"\n" + alone + b"\n"):
        (found,) = open_record(Record(data, 1))
        assert isinstance(found, Event)
        result = PLAIN(found)
        assert isinstance(result, Entry)
        assert b'"count":0.10000000000000000001' in result.detail


def test_exact_number_in_an_event_too_deep_for_it_is_refused() -> None:
    """Where only Python's writer goes deep enough, which cannot keep the digits: a true reason, and nothing changed."""
    body = HEAD + b'{"count":' + b"[" * 300 + b"0.10000000000000000001" + b"]" * 300 + b"}}"
    result = PLAIN(event(body))
    assert isinstance(result, DeadLetter)
    assert (result.reason, result.code) == (Reason.SCHEMA_MISMATCH, "NumberOutOfRange")
