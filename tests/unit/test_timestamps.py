"""Timestamps of every form met come out as UTC with milliseconds, and as epoch seconds."""

from zoneinfo import ZoneInfo

import pytest

from stream_router.pipeline.mapping.timestamps import IsoMs, to_utc
from stream_router.process import iso

BERLIN = ZoneInfo("Europe/Berlin")


FORMS: dict[str, list[object]] = {
    "2026-11-24T09:30:00.000Z": [
        *("2026-11-24T09:30:00Z", "2026-11-24T09:30Z", "2026-11-24t09:30:00z", "2026-11-24 09:30:00 UTC"),
        *("2026-11-24 10:30:00 +01:00", "2026-11-24T00:30:00-09:00", "2026-11-24T10:30:00+0100", "20261124T093000Z"),
        *("2026-11-24T10:30:00+01", "2026-11-24T10:30:00", "20261124103000", 1795512600, "1795512600"),
        *("Tue, 24 Nov 2026 10:30:00 +0100", "24 Nov 2026 09:30 GMT", "Tue, 24 Nov 2026 09:30:00 -0000"),
        "Tue, 24 Nov 2026 04:30:00 EST",
    ],
    "2026-11-24T09:30:00.123Z": [
        *("2026-11-24T09:30:00.123Z", "2026-11-24T09:30:00.123456789Z", 1795512600.123, 1795512600123, "1795512600123"),
    ],
    "2026-11-24T09:30:00.500Z": ["2026-11-24T09:30:00,5Z", "2026-11-24_09:30:00.5Z", "1795512600.5"],
    "2026-11-24T09:30:00.999Z": ["2026-11-24T09:30:00.999999Z"],
    "2026-07-24T09:30:00.250Z": ["2026-07-24 11:30:00.250"],  # naive, summer in Berlin
    "2026-10-25T00:30:00.000Z": ["2026-10-25T02:30:00"],  # an hour that comes twice: the first
    "2024-04-03T02:43:32.345Z": ["1712112212345"],  # could be read as a day in 1712
    "2001-09-09T01:46:40.000Z": [1_000_000_000],
    "2286-11-20T17:46:39.999Z": [9_999_999_999.999, "9999999999999"],
    "1970-01-01T00:00:00.000Z": ["1970-01-01T00:00:00Z"],
    "9999-12-31T23:59:59.999Z": ["9999-12-31T23:59:59.999Z"],
}


@pytest.mark.parametrize(("given", "wanted"), [(given, wanted) for wanted, row in FORMS.items() for given in row])
def test_every_form_is_normalised(given: object, wanted: str) -> None:
    """The text is UTC with milliseconds; the epoch seconds are the same moment."""
    text, time_s = to_utc(given, BERLIN)
    assert text == wanted
    assert type(time_s) is float
    assert iso(round(time_s * 1000)) == wanted


UNREADABLE: list[object] = [
    *(
        "",
        "yesterday",
        "2026-11-24",
        "20261124",
        "2026-13-24T09:30:00Z",
        "2026-11-24T25:00:00Z",
        "2026-02-30T09:30:00Z",
    ),
    *("0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "Tue, 24 Nov 2026 09:30:00 CET"),
    *("Tue, 99 Nov 2026 09:30:00 +0000", "24 Nov 0026 09:30:00 +0000", "12345", "202611240930", "20261324093000"),
    *("20261124093000Z", "20261124093000123", "2026-11-24-05:00", "2026-11-24+09", "2026-11-24Z09:30"),
    "2026-11-24T09:30.5Z",  # a fraction of a minute, which Python reads as one of a second
    "2026-11-24 09.30",  # half past nine in some places, a fraction of an hour by ISO 8601
    *("2026-11-24T0930,25+01:00", "20261124T09.5Z", "2026-11-24t09:30.5 UTC", "2026-W48-2T09:30:00.123Z"),
    *("1795512600123456789", 20261124093000, 202611240930, 20261124, 999_999_999, 10_000_000_000, 999_999_999_999),
    *(0, -1, 1795512600123456, 1e300, 10**30, True, None, [1795512600], {"seconds": 1795512600}),
    "\uff12\uff10\uff12\uff16-11-24T09:30:00Z",  # full-width digits
    *("2026-11-24T09:30:00Z\x00", "2026-11-24T09:30:00\x00"),
    "2026-03-29T02:30:00",  # in Berlin the clocks go from two to three
]


@pytest.mark.parametrize("given", UNREADABLE)
def test_what_is_unreadable_is_refused_without_being_quoted(given: object) -> None:
    """Neither another form, nor a date alone, nor digits that are no epoch of our time are taken for something."""
    with pytest.raises((ValueError, OverflowError)):
        to_utc(given, BERLIN)


def test_stamp_writer_equals_the_plain_one() -> None:
    """What is remembered between stamps changes none of them."""
    stamp = IsoMs().text
    for epoch_ms in (0, 1, 999, 1000, 1001, 1001, 999, 1_795_512_600_123, 1_795_512_600_122, 253_402_300_799_999):
        assert stamp(epoch_ms) == iso(epoch_ms)
