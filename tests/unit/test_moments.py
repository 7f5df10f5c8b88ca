"""Moments that an operator types."""

import pytest

from stream_router.control.moments import moment_ms
from stream_router.errors import SettingsError

NOW_MS = 1_764_000_000_500


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
