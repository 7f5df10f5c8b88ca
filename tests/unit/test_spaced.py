"""Events whose JSON has blanks between its tokens are judged like compact ones, and as quickly."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Event, Record
from stream_router.pipeline.mapping import exact_json
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of

IDENTITY = "0" * 32
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s",:{}\[\]]+|[,:{}\[\]]')
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def opened(body: bytes) -> Event:
    (found,) = open_record(Record(seal(IDENTITY, "delivery", 1, body), 1))
    assert isinstance(found, Event)
    return found


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
    spaced = "".join(token + blanks[at % len(blanks)] for at, token in enumerate(tokens))
    try:
        event = opened(spaced.encode())
    except UnicodeEncodeError:
        return
    assert verdict(exact_json.read, event) == verdict(exact_json._read_carefully, event)


def test_an_event_as_python_writes_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful reader, which costs more than all else of the transform, is not asked."""
    body = {"interactionId": "i", "payload": {"text": "a b  c", "n": [1, 2.5, {"x": None}], "ü": '\\ " / é'}}
    event = opened(json.dumps(body, ensure_ascii=False).encode())
    monkeypatch.delattr(exact_json, "_read_carefully")
    assert exact_json.read(event) == body
    foreign = json.dumps(body, ensure_ascii=False, indent=None).encode()
    (bare,) = open_record(Record(foreign, 1))
    assert isinstance(bare, Event)
    assert exact_json.read(bare) == body


@pytest.mark.parametrize("key", ["bo dy", "body", " body"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_is_smuggled_in_with_blanks_is_seen(key: str, inside: bool) -> None:
    """A faithful copy of the body in another member, or in a member's member, stands for the body in no case."""
    head = b'{"interactionId": "i", "eventType": "conversation.updated", "timestamp": 1, "payload": '
    inner = head + b'{"n": 18446744073709551616}}'
    copy = orjson.dumps(orjson.loads(inner))
    member = b'"%b": %b' % (key.encode(), copy) if not inside else b'"z": {"y": 1,"%b":%b}' % (key.encode(), copy)
    start = b'{"v":1, "id":"%b", "idFrom":"content", "receivedAt":1' % IDENTITY.encode()
    first, last = b'%b,"body":%b, %b}' % (start, inner, member), b'%b, %b,"body":%b}' % (start, member, inner)
    for line in (first, last) if key != "body" or inside else (last,):
        (found,) = open_record(Record(line, 1))
        assert isinstance(found, Event)
        result = Transform(config_of(), lambda: NOW_MS)(found)
        assert isinstance(result, DeadLetter)
        assert result.code == "IntegerOutOfRange"
