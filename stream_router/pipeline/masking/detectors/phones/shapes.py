"""How phone numbers are written, as patterns, and what is written like one and is none."""

import re

LETTER = r"[A-Za-z0-9_\u00c0-\u024f\u0370-\u052f]"
"""A letter, digit or underscore of a script that sets numbers apart with spaces. Others glue particles to them."""

DASH = r"\u2010-\u2013-"
SEP = rf"[ \u00a0./{DASH}]"
_EXTENSION = r"(?:,?[ \u00a0]{0,2}(?:x|ext\.?|extension|(?:доб|дод|вн|wew)\.)[ \u00a0]{0,2}\d{1,6})?"
_END = rf"{_EXTENSION}(?!{LETTER}|[.{DASH}:]\d|,\d\d?(?!\d|,| \d|[\u4e00-\u9fff]))"
"""A comma and one or two digits are a fraction; a comma and more is the next field."""

_NO_MORE = r"(?![ \u00a0]?\d|[^\W\d_])"
TIMES = (
    r"(?:\d\d?(?:[ \u00a0-]?(?:(?:times|fois|veces|vezes|volte|keer|maal|razy|krát|krat|gange|ganger|gånger|ggr|kertaa|"
    r"alkalommal|kez|kere|defa|φορές|φορες|раза|рази|разів)(?![^\W\d_])|[回번])|"
    rf"[x\u00d7]{_NO_MORE})|\d[ \u00a0-]?(?:(?:[Mm]al|time|vez|volta|gang|gång|раз|ori|szer|ször|szor)(?![^\W\d_])|"
    rf"[x\u00d7]{_NO_MORE}))"
)
"""`3 times`, of what was done with the number before it. Two digits before `mal`, also `once`, may be a group,
and so may two before an `x` set apart, which is a kiss.

In small letters: to look for both costs more, at each group of each number.
"""

NO_TIME_NEXT = (
    r"(?![ \u00a0](?:(?:19|20)\d\d[./-](?:0?[1-9]|1[0-2])[./-]\d{1,2}(?!\d)|"
    r"(?!\d{3}|\d\d?[ \u00a0]\d)(?:\d{1,2}:\d\d|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d(?!\d)|"
    r"(?:24|7)[ \u00a0]?[hj]?/(?:24|7)(?!\d)|24[ \u00a0]?h(?![A-Za-z])|"
    rf"{TIMES})))"
)
"""A date or an hour behind a number, as lists of calls have them, is none of its groups; nor are `24/7`, `3 times`.

Of most groups three digits in a row, or a group behind, show at once that they are nothing of the kind.
"""

_DIGIT = rf"(?:(?:[0-9]|(?!\d){NO_TIME_NEXT}{SEP}{{0,3}}(?:\((?=0\)|\d{{2,5}}\)))?\d)\)?)"
"""Most digits stand directly behind another: there nothing else is tried."""

_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|"
    r"8[058]\d|9[679]\d)"
)
_IN_PARENTHESES = (
    # North America: (555) 234-5678, 1(555)234-5678
    rf"(?:1[ .{DASH}]?)?\([2-9]\d\d\)[ .{DASH}]?[2-9]\d\d[ .{DASH}]?\d{{4}}",
)
_WITH_0 = (
    rf"00 ?{_COUNTRY}(?:(?!{SEP}+00 ?[1-9]{SEP}?\d{{3}}){_DIGIT}){{6,12}}",
    # France, before what follows can look like more groups of two: 01 23 45 67 89
    rf"0[1-9](?:{SEP}\d\d){{4}}",
    # Japan 03(1234)5678; Korea 02)123-4567
    r"0\d{1,4}(?:\(\d{1,4}\)\d{4}|\)\d{3,4}-\d{4})",
    # with a trunk 0: 030 901820, 0171/1234567, 03-1234-5678
    rf"0[1-9]\d{{0,4}}\)?(?:{NO_TIME_NEXT}{SEP}{{1,3}}\d{{2,8}}){{1,4}}",
    # mobiles with a trunk 0 in one run: Britain, Germany, France, Australia, Netherlands, Poland's neighbours
    r"0(?:7\d{9}|1[567]\d{8,9}|[67]\d{8}|4\d{8})",
)
_WITHOUT_0 = (
    *_IN_PARENTHESES,
    # North America: 555-234-5678, 1-800-555-0199, 555-2345678
    rf"(?:1[ .{DASH}])?[2-9]\d\d(?:[ .{DASH}][2-9]\d\d[ .{DASH}]|-[2-9]\d\d)\d{{4}}",
    # India 98765 43210; Mexico 55 1234 5678; China 138 1234 5678; Italy 347 123 4567
    r"[6-9]\d{4}[ -]\d{5}",
    r"[1-9]\d[ -]\d{4}[ -]\d{4}",
    r"1[3-9]\d[ -]\d{4}[ -]\d{4}",
    r"3[2-9]\d[ .-]\d{3}[ .-]\d{4}",
    # Russia 8 (495) 123-45-67, 8 916 123 4567
    r"8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d\d[ -]\d\d",
    r"8[ -]\(?9\d\d\)?[ -]\d{3}[ -]\d{4}",
    # Russia without its 8: 916 123-45-67
    r"[3-9]\d\d \d{3}-\d\d-\d\d",
    # Israel 1-800-123-456
    r"1-[78]00-\d{3}-\d{3}",
)
_OPENED = (
    *_IN_PARENTHESES,
    # with a trunk 0: (020) 7946 0958, (020)79460958; Brazil (11) 91234-5678
    rf"\(0[1-9]\d{{0,4}}\){SEP}{{0,3}}\d{{2,8}}(?:{NO_TIME_NEXT}{SEP}{{1,3}}\d{{2,8}}){{0,3}}",
    r"\(\d\d\) ?9?\d{4}[ -]\d{4}",
    # Russia, without its 8: (495) 123-45-67
    r"\([2-9]\d\d\) ?\d{3}-\d\d-\d\d",
    # Hungary: (06 1) 231 7891
    r"\(06[ -]?\d\d?\)[ -]?\d{3}[ -]\d{3,4}",
)


def _sure(shapes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?P<number>{'|'.join(shapes)}){_END}")


SURE = {"0": _sure(_WITH_0), "(": _sure(_OPENED), **dict.fromkeys("123456789", _sure(_WITHOUT_0))}
"""By the first character; a digit of another script begins no national number."""

INTERNATIONAL = re.compile(rf"\+ ?[1-9]{_DIGIT}{{6,14}}(?!\d|<(?![A-Za-z/!])){_EXTENSION}")
"""On a payment slip of Denmark, `+71<… +12345678<`, no sign behind it begins a tag."""

NUMBER = re.compile(rf"(?P<number>\(?\d\)?{_DIGIT}{{5,14}}){_END}")

_YEAR = r"(?:19|20)\d\d"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3])[0-5]\d"
_HOUR = r"(?:[01]?\d|2[0-4])[.:][0-5]\d"
DATE = re.compile(
    rf"\(?(?:\d{{1,2}}(?:[./-]\d{{1,2}}[./-]\d{{4}}| \d{{1,2}} {_YEAR})|[12]\d{{3}}[./-]\d{{1,2}}[./-]\d{{1,2}}|"
    rf"{_YEAR}{_MONTH}{_DAY}(?:\d{{4}}|\d{{6}})?|{_DAY}{_MONTH}{_YEAR}|{_TIME}(?: {_TIME}){{2,}}|"
    rf"{_HOUR}[ \u00a0]?[{DASH}][ \u00a0]?{_HOUR}|"
    r"1[4-9]\d{8}(?:\d{3})?)(?!\d)"
)
"""Dates, lists of times (0930 1015 1100), hours (08.00-17.00), and seconds or milliseconds of the epoch."""

_DAY_FIRST = re.compile(rf"{_DAY}{_MONTH}{_YEAR}")
"""A date that nobody writes so where a phone is announced; Danish and Norwegian numbers are of eight digits."""

TAX_NUMBER = re.compile(r"(?:\d{3}\.\d{3}\.\d{3}-\d\d|\d{3}-\d\d-\d{4})(?!\d)")
_VERSION = re.compile(r"(?=(?:\d+\.)*\d(?:\.|$))\d{1,3}(?:\.\d{1,3}){3}")
"""Four numbers with dots between, one of them a single digit: phones have groups of two or more."""

_AMOUNT = re.compile(r"\d{1,2}(?:\.\d{3}){2,}|[\d. ]*0(?:[. ]?0){4}|\d{3,}\.\d\d?")
"""Thousands set apart by dots (1.234.567), round figures (2500000), and cents behind a point (12345.20)."""


_DEGREES = re.compile(r"\d{1,3}\.\d{4,}")
_DEGREES_BEFORE = re.compile(r"(?<![\d.])\d{1,2}\.\d{4,}°?[,;]?\s?-?$")
_DEGREES_BEHIND = re.compile(r"°?[,;]?\s?-?1?\d{1,2}\.\d{4,}")
_DEGREES_CHARS = 16


def is_coordinate(text: str, at: int, end: int) -> bool:
    """Whether what stands from `at` to `end` is one of two degrees, as maps give a place: `52.51863, 13.40512`."""
    if text.count(".", at, end) != 1 or not _DEGREES.fullmatch(text, at, end):
        return False
    if _DEGREES_BEFORE.search(text[max(0, at - _DEGREES_CHARS) : at]):
        return True
    return text.index(".", at) - at <= 2 and _DEGREES_BEHIND.match(text, end) is not None


def is_no_phone(number: str) -> bool:
    """Whether a number is a date, a time, an amount, a version or a tax number by how it is written."""
    other = DATE.match(number) or _AMOUNT.fullmatch(number) or TAX_NUMBER.match(number) or _VERSION.fullmatch(number)
    return other is not None


def could_be(number: str) -> bool:
    """Whether a number is none of the things that numbers mostly are, by how it is written."""
    date = DATE.match(number) and not _DAY_FIRST.fullmatch(number)
    return not (date or _AMOUNT.fullmatch(number) or _VERSION.fullmatch(number))


def digit_count(number: str) -> int:
    """How many digits a number has, however it is written."""
    return sum(map(str.isdecimal, number))
