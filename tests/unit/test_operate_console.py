"""What the operators' commands have in common on a terminal."""

import os
import signal
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.errors import SettingsError
from stream_router.log import plain
from stream_router.operate.console import duration, moment_ms, readable, say, stopping, write_line

NOW_MS = 1_764_000_000_500


def test_a_search_whose_reader_went_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`find ID 2>&1 | head -1` does not end with 1: that says that the event was never received."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody:
        monkeypatch.setattr(sys, "stderr", nobody)
        say("reading")
        say("reading more")
        write_line(nobody, "found")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_sigterm_and_a_closed_terminal_ask_for_a_stop(number: signal.Signals) -> None:
    """While the command waits, and twice at once too (systemd sends SIGTERM and SIGHUP together)."""
    with stopping() as stop:
        assert not stop.wait(0.01)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert stop.asked


def test_nohup_stays_nohup() -> None:
    """`nohup stream-router replay` goes on without its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_others_wrote_drives_no_terminal() -> None:
    """A message of somebody else's in a queue: no escape sequence of it is written, and no line of its own."""
    assert plain("x\nredriven 99 \x1b[2J \x9b31m \u202eë") == "x�redriven 99 �[2J �31m �ë"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (600, "10 min"), (8000, "2.2 h")])
def test_durations_are_said_as_a_person_says_them(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("2025-11-24T16:00:00Z", 1_764_000_000_000),
        ("2025-11-24T16:00:00", 1_764_000_000_000),
        ("2025-11-24T17:00:00.250+01:00", 1_764_000_000_250),
        ("90m", NOW_MS - 5_400_000),
        ("2h", NOW_MS - 7_200_000),
        ("3d", NOW_MS - 259_200_000),
        ("45s", NOW_MS - 45_000),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, epoch_ms: int) -> None:
    """UTC where no zone is given."""
    assert moment_ms(text, "--since", NOW_MS) == epoch_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-1h", "2025-13-01T00:00:00Z"])
def test_what_is_no_moment_is_one_line(text: str) -> None:
    """It names the option and shows the forms."""
    with pytest.raises(SettingsError, match=r"--since: is no moment; give one as 2026-"):
        moment_ms(text, "--since", NOW_MS)


@pytest.mark.parametrize("text", ["999999d", "1960-01-01", "0001-01-01", "9999-12-31T23:59:59.9999"])
def test_a_moment_that_cannot_be_written_is_one_line(text: str) -> None:
    """Every command writes its span; years before 1970 and after 9999 have no form for that."""
    with pytest.raises(SettingsError, match=r"--since: is before 1970 or after 9999; give a moment that"):
        moment_ms(text, "--since", NOW_MS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=200)
def test_any_json_is_laid_out_as_orjson_does_it(value: object) -> None:
    """Two spaces a level, empty ones on one line."""
    assert readable(orjson.dumps(value)) == plain(
        orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), keeps="\n\t"
    )


def test_numbers_and_equal_keys_are_shown_as_they_were_written() -> None:
    """A parser would show 1.2345678901234568e+28, 0.0, and one of the two keys."""
    shown = readable(b'{"n" :12345678901234567890123456789, "small":1e-400,\n"k":[1.50,-0],"k":"\\u00e9 {,}\\n"}')
    assert shown == (
        '{\n  "n": 12345678901234567890123456789,\n  "small": 1e-400,\n  "k": [\n    1.50,\n    -0\n  ],\n'
        '  "k": "é {,}\\n"\n}'
    )


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
