"""What the operators' commands have in common on a terminal."""

import os
import sys

import pytest

from stream_router.errors import SettingsError
from stream_router.operate.console import moment_ms, readable, say, tell, write_line

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


def test_nothing_that_others_wrote_drives_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No escape sequence of somebody's message in a queue is written, and no line of its own; numbers as they stand."""
    tell("x\nredriven 99 \x1b[2J \x9b31m \u202eë")
    assert capsys.readouterr().out == "x�redriven 99 �[2J �31m �ë\n"
    assert readable(b'{"n":1.50,"n":1e-400, "a":"\x1b[2J\xff"}') == '{"n":1.50,"n":1e-400, "a":"�[2J�"}'


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("2025-11-24T16:00:00Z", 1_764_000_000_000),
        ("2025-11-24T16:00:00", 1_764_000_000_000),
        ("2025-11-24T17:00:00.250+01:00", 1_764_000_000_250),
        ("90m", NOW_MS - 5_400_000),
        ("3d", NOW_MS - 259_200_000),
        *((text, None) for text in ("", "yesterday", "2h30m", "-1h", "2025-13-01T00:00:00Z")),
        *((text, None) for text in ("999999d", "1960-01-01", "0001-01-01", "9999-12-31T23:59:59.9999")),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, epoch_ms: int | None) -> None:
    """UTC where no zone is given. What is none is one line that names the option."""
    if epoch_ms is not None:
        assert moment_ms(text, "--since", NOW_MS) == epoch_ms
        return
    with pytest.raises(SettingsError, match=r"^--since: "):
        moment_ms(text, "--since", NOW_MS)
