"""Conversion of all timestamps that senders write, to UTC ISO 8601 with `Z` and milliseconds, and to epoch seconds."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from email.utils import parsedate_to_datetime

from stream_router.pipeline.mapping.exact_json import ExactNumber
from stream_router.process import iso

_SECONDS_FROM, _SECONDS_TO = 10**9, 10**10
"""Range of epoch seconds of an event: ten digits, from 2001 to 2286. Thirteen digits are milliseconds.

Any other number is a time in another form, or no time: as an epoch, 20261124093000 would be in the year 2612.
"""

_from_iso = datetime.fromisoformat
_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)

_MARKS = "--T::"
"""Marks of 2026-11-24T09:30:00: every third character from the first hyphen on. Nearly all senders use this form."""
_MARKS_WITH_MILLISECONDS = _MARKS + "."
_UTC_OFFSETS = ("Z", "+00:00")

_NUMBER = re.compile(r"\d{10,13}(?:\.\d{1,9})?", re.ASCII)
_COMPACT = re.compile(r"\d{14}", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt _](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?"
    r" ?(?:(Z|z|UTC|GMT)|([+-]\d\d:?(?:\d\d)?))?",
    re.ASCII,
)
"""ISO 8601 with at least hours and minutes. A time without seconds has no fraction: it would be one of a minute."""
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3},\s*)?\d{1,2}\s+[A-Za-z]{3}\s+[1-9]\d{3}\s+\d\d:\d\d(?::\d\d)?"
    r"\s+(?:[+-]\d{4}|UT|UTC|GMT|Z|[ECMP][SD]T)",
    re.ASCII,
)


def to_utc(value: object, zone: tzinfo | None) -> tuple[str, float]:
    """Return a timestamp as (`2026-11-24T09:30:00.123Z`, epoch seconds). Digits beyond milliseconds are cut off.

    The forms are ISO 8601 with or without offset and fraction, the text YYYYMMDDHHMMSS, and RFC 2822. Epoch seconds and
    milliseconds from 2001 to 2286 may be number or text. A time without an offset is in `zone`, or in UTC if there is
    none. If a local hour occurs twice, the first is meant. Raise ValueError, whose text quotes nothing, for any other
    value, and for times before 1970 or after 9999.
    """
    if type(value) is str:
        marks = value[4:20:3]
        # A timestamp in our own form is kept, since rewriting costs several times as much. An hour 24, which Python
        # accepts from 3.14 on, is rewritten, since not every reader accepts it.
        if marks == _MARKS_WITH_MILLISECONDS and value[23:] in _UTC_OFFSETS and value[11:13] != "24":
            time_s = _from_iso(value).timestamp()
            if time_s >= 0:
                return value if value[23] == "Z" else f"{value[:23]}Z", time_s
        if marks[:5] == _MARKS and value.isprintable():
            return _from_moment(_from_iso(value), zone)
        return _from_text(value.strip(), zone)
    if type(value) is int or type(value) is float:
        return _from_number(Decimal(repr(value)))
    if type(value) is ExactNumber:
        return _from_number(Decimal(value.text))
    raise ValueError("is neither text nor a number")


def _from_text(text: str, zone: tzinfo | None) -> tuple[str, float]:
    """Parse the forms that few senders write."""
    if _NUMBER.fullmatch(text):
        return _from_number(Decimal(text))
    if _COMPACT.fullmatch(text):
        return _from_moment(_from_iso(f"{text[:8]}T{text[8:]}"), zone)
    if match := _ISO.fullmatch(text):
        year, month, day, hour, minute, second, fraction, is_utc, offset = match.groups()
        time = f"{hour}:{minute}:{second or '00'}.{(fraction or '0')[:6]}"
        return _from_moment(_from_iso(f"{year}-{month}-{day}T{time}{offset or ('Z' if is_utc else '')}"), zone)
    if _RFC_2822.fullmatch(text):
        # An offset of -0000 gives a moment without a zone. By RFC 2822 such a time is in UTC.
        return _from_moment(parsedate_to_datetime(text), UTC)
    raise ValueError("is not a timestamp in a known format")


def _from_moment(moment: datetime, zone: tzinfo | None) -> tuple[str, float]:
    """Return the time of a moment. A moment without an offset is in `zone`; ValueError if the zone skips that time."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone or UTC)
        # A local time that the zone skips becomes another local time on the way to UTC and back. `fold` is set again,
        # so that an hour that occurs twice does not look skipped.
        if zone is not None and moment.astimezone(UTC).astimezone(zone).replace(fold=moment.fold) != moment:
            raise ValueError("is a local time that its zone skips (the clocks go forward)")
    return _from_ms((moment - _EPOCH) // _MILLISECOND)


def _from_number(number: Decimal) -> tuple[str, float]:
    """Return the time of epoch seconds or epoch milliseconds, which differ by their number of digits."""
    if _SECONDS_FROM <= number < _SECONDS_TO:
        return _from_ms(int(number * 1000))
    if _SECONDS_FROM * 1000 <= number < _SECONDS_TO * 1000:
        return _from_ms(int(number))
    raise ValueError("is not a Unix time between 2001 and 2286, in seconds or milliseconds")


def _from_ms(epoch_ms: int) -> tuple[str, float]:
    return iso(epoch_ms), epoch_ms / 1000


class IsoMs:
    """Cached `iso`, which is much cheaper if successive times are in the same second or millisecond."""

    __slots__ = ("_epoch_ms", "_prefix", "_second", "_text")

    def __init__(self) -> None:
        self._second = self._epoch_ms = -1
        self._prefix = self._text = ""

    def text(self, epoch_ms: int) -> str:
        """Return the time as `iso` writes it."""
        if epoch_ms == self._epoch_ms:
            return self._text
        second, milli = divmod(epoch_ms, 1000)
        if second != self._second:
            self._prefix = iso(epoch_ms)[:20]
            self._second = second
        self._epoch_ms, self._text = epoch_ms, f"{self._prefix}{milli:03d}Z"
        return self._text
