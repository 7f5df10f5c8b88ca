"""What an operator is shown of an event: as it was written, only on more lines."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.control.indented_json import indented, readable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=200)
def test_any_json_is_laid_out_as_orjson_does_it(value: object) -> None:
    """Two spaces a level, empty ones on one line."""
    assert indented(orjson.dumps(value)) == orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def test_numbers_and_equal_keys_are_shown_as_they_were_written() -> None:
    """A parser would show 1.2345678901234568e+28, 0.0, and one of the two keys."""
    shown = indented(b'{"n" :12345678901234567890123456789, "small":1e-400,\n"k":[1.50,-0],"k":"\\u00e9 {,}\\n"}')
    assert shown == (
        '{\n  "n": 12345678901234567890123456789,\n  "small": 1e-400,\n  "k": [\n    1.50,\n    -0\n  ],\n'
        '  "k": "é {,}\\n"\n}'
    )


@pytest.mark.parametrize("data", [b"", b"{", b"hello", b"\xff", b"[" * 255 + b"]" * 255])
def test_what_is_no_json_is_said_to_be_none(data: bytes) -> None:
    """The caller shows such bytes as they are."""
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's message is its own
        indented(data)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ('{"a":"x\u009b31m\\u001b[2J\\u202ey"}'.encode(), '{\n  "a": "x�31m\\u001b[2J�y"\n}'),
        (b"no json \x1b[2J\r\n\tat all", "no json �[2J�\n\tat all"),
        (b'{"a":\xff', '{"a":�'),
        (b"[" * 255 + b'"\xc2\x9b"' + b"]" * 255, "[" * 255 + '"�"' + "]" * 255),
    ],
    ids=["json", "text", "no UTF-8", "deep"],
)
def test_nothing_in_an_event_drives_a_terminal(data: bytes, shown: str) -> None:
    """C0 and C1 characters and what turns the direction of writing are replaced; its lines stay lines."""
    assert readable(data) == shown
