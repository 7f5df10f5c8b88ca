"""Numbers of a `/status` as text for an operator: three figures and a unit, or - if the value is unknown.

A program of an earlier version may lack a field, so every function takes any value, and shows what is not a number
as unknown.
"""

from typing import Any

UNKNOWN = "-"
MINUTE, HOUR, DAY = 60, 3600, 86_400


def get(status: Any, path: str) -> Any:
    """Return the value at a dotted path; None if the value, or a step of the path, is missing.

    A percentile of no values counts as missing too, since 0 ms would be a very good result. Such a summary has a
    `count` of 0.
    """
    for step in path.split("."):
        status = status.get(step) if isinstance(status, dict) and status.get("count") != 0 else None
    return None if isinstance(status, dict) and status.get("count") == 0 else status


def number(value: Any) -> str:
    """Return a number as text: three figures below 100, the whole part with all its figures from 100 on."""
    if not isinstance(value, int | float):
        return UNKNOWN
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def events_a_second(value: Any) -> str:
    """Return a rate of events per second as text with its unit."""
    return UNKNOWN if number(value) is UNKNOWN else f"{number(value)} events/s"


def records_a_second(value: Any) -> str:
    """Return a rate of records per second as text with its unit.

    The unit is not `events/s`, since a record of the stream holds one event or several.
    """
    return UNKNOWN if number(value) is UNKNOWN else f"{number(value)} records/s"


def seconds(value: Any) -> str:
    """Return a duration as text: three figures below a minute, then two units: `4.25s`, `2m05s`, `3h10m`, `6d23h`.

    A negative duration gets a minus sign.
    """
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
    """Return a duration that is given in milliseconds as text: in ms below a second, longer ones as `seconds` does."""
    if not isinstance(value, int | float):
        return UNKNOWN
    # From 999.5 on `number` would round up to 1,000ms.
    return f"{number(value)}ms" if value < 999.5 else seconds(value / 1000)


def size(value: Any) -> str:
    """Return a number of bytes as text, in the largest of B, KiB, MiB and GiB of which there is at least one."""
    if not isinstance(value, int | float):
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{number(round(value, 1))}{unit}"


def since(value: Any, at: Any) -> str:
    """Return the time of day (UTC) of the moment `value`, with its date if that is not the date of `at`.

    Both are texts in ISO 8601. Return "" if `value` is not such a text.
    """
    if not isinstance(value, str) or len(value) < 19:
        return ""
    return value[11:19] if str(at)[:10] == value[:10] else f"{value[:10]} {value[11:19]}"
