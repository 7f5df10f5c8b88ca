"""The members of a JSON object, each as its own text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.control.dead_letters.json_members import member_texts

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.sampled_from([None, 1]))
def test_each_value_is_what_a_parser_finds(value: dict[str, object], indent: int | None) -> None:
    """However it is laid out."""
    found = member_texts(" " + json.dumps(value, indent=indent) + "\n")
    assert {name: json.loads(text) for name, text in found.items()} == value


def test_a_value_keeps_its_digits() -> None:
    """A parser would make another number of them."""
    text = '{"a": {"n" : 1.000000000000000000000000001e400}, "b":[ 1 ]}'
    assert member_texts(text) == {"a": '{"n" : 1.000000000000000000000000001e400}', "b": "[ 1 ]"}


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{", '{"a"}', '{"a":1 "b":2}', '{"a":}', "{1:2}", "{} 1", '{"a":1,', "x"]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    """As a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own text
        member_texts(text)
