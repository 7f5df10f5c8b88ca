"""Moments as an operator types them: ISO 8601, or so long ago."""

import re
from datetime import UTC, datetime

from stream_router.errors import SettingsError
from stream_router.process import iso

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment_ms(text: str, option: str, now_ms: int) -> int:
    """Epoch ms of a moment: `2026-11-24T09:30:00Z` (UTC where no zone is given), or `90m`, `2h`, `3d` ago.

    Raises SettingsError with one line that names the option.
    """
    found_ms = _found_ms(text, option, now_ms)
    try:
        iso(found_ms)
    except ValueError:
        raise SettingsError(
            f"{option}: is before 1970 or after 9999; give a moment that the stream or the queue can hold"
        ) from None
    return found_ms


def check_span(since_ms: int, until_ms: int) -> None:
    """Raises SettingsError where the span has no time in it."""
    if since_ms >= until_ms:
        raise SettingsError("--since: is not before --until, or is in the future; give an earlier moment")


def _found_ms(text: str, option: str, now_ms: int) -> int:
    if ago := _AGO.fullmatch(text.strip()):
        return now_ms - int(ago[1]) * _MS[ago[2]]
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SettingsError(
            f"{option}: is no moment; give one as 2026-11-24T09:30:00Z, or as 90m, 2h, 3d for so long ago"
        ) from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
