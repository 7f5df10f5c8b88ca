"""Numbers as text for an operator: three figures and a unit, or - if the value is unknown."""

from typing import Any

UNKNOWN = "-"
MINUTE, HOUR, DAY = 60, 3600, 86_400


def get(status: Any, path: str) -> Any:
    """Return the value at a dotted path; None if the value, or a step of the path, is missing.

    A percentile of no values counts as missing too, since 0 ms would be a very good result.
    """
    for step in path.split("."):
        status = status.get(step) if isinstance(status, dict) and status.get("count") != 0 else None
    return None if isinstance(status, dict) and status.get("count") == 0 else status


def number(value: Any) -> str:
    """Return the number with three figures, from a hundred on with all figures of its whole part."""
    if not isinstance(value, int | float):
        return UNKNOWN
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def events_a_second(value: Any) -> str:
    """Return a rate of events."""
    return UNKNOWN if number(value) is UNKNOWN else f"{number(value)} events/s"


def records_a_second(value: Any) -> str:
    """Return a rate of records. A record of the stream holds one event or several."""
    return UNKNOWN if number(value) is UNKNOWN else f"{number(value)} records/s"


def seconds(value: Any) -> str:
    """Return three figures below a minute, then the two largest units: `4.25s`, `2m05s`, `3h10m`, `6d23h`."""
    if not isinstance(value, int | float):
        return UNKNOWN
    if value < 0:
        return f"-{seconds(-value)}"
    if value < MINUTE:
        return f"{number(value)}s"
    whole = int(value)
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02}m"
    return f"{whole // DAY}d{whole % DAY // HOUR:02}h"


def millis(value: Any) -> str:
    """Return milliseconds below a second, longer times as `seconds` does."""
    if not isinstance(value, int | float):
        return UNKNOWN
    return f"{number(value)}ms" if value < 999.5 else seconds(value / 1000)


def size(value: Any) -> str:
    """Return bytes in units of 1024."""
    if not isinstance(value, int | float):
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{number(round(value, 1))}{unit}"


def since(value: Any, at: Any) -> str:
    """Return the time of day (UTC) of a moment, with the day if it is not that of `at`."""
    if not isinstance(value, str) or len(value) < 19:
        return ""
    return value[11:19] if str(at)[:10] == value[:10] else f"{value[:10]} {value[11:19]}"
