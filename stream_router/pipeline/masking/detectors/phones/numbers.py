"""Phone numbers in free text.

International ones anywhere; national ones by their country's way of writing them, or where the text says what they are.
"""

import re

from stream_router.pipeline.masking.detectors.phones.naming import named_otherwise, unit_after
from stream_router.pipeline.masking.detectors.phones.text import folded_case
from stream_router.pipeline.masking.detectors.phones.words import (
    SAYING_AFTER,
    is_out_of_range,
    said_before,
    said_behind,
    thing_after,
    unnamed_in_script,
)
from stream_router.pipeline.masking.detectors.spans import Span

_LETTER = r"[A-Za-z0-9_\u00c0-\u024f\u0370-\u052f]"
"""A letter, digit or underscore of a script that sets numbers apart with spaces. Others glue particles to them."""

_DASH = r"\u2010-\u2013-"
_SEP = rf"[ \u00a0./{_DASH}]"
_EXTENSION = r"(?:,?[ \u00a0]{0,2}(?:x|ext\.?|extension)[ \u00a0]{0,2}\d{1,6})?"
_END = rf"{_EXTENSION}(?!{_LETTER}|[.{_DASH}:]\d|,\d\d?(?!\d|,| \d))"
"""A comma and one or two digits are a fraction; a comma and more is the next field."""

_DIGIT = rf"(?:{_SEP}{{0,3}}\(?\d\)?)"

_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[789]\d|"
    r"8[058]\d|9[679]\d)"
)
_IN_PARENTHESES = (
    # North America: (555) 234-5678, 1(555)234-5678
    rf"(?:1[ .{_DASH}]?)?\([2-9]\d\d\)[ .{_DASH}]?[2-9]\d\d[ .{_DASH}]?\d{{4}}",
)
_WITH_0 = (
    rf"00 ?{_COUNTRY}(?:(?!{_SEP}+00){_DIGIT}){{6,12}}",
    # France, before what follows can look like more groups of two: 01 23 45 67 89
    rf"0[1-9](?:{_SEP}\d\d){{4}}",
    # with a trunk 0: 030 901820, 0171/1234567, 03-1234-5678
    rf"0[1-9]\d{{0,4}}\)?(?:{_SEP}{{1,3}}\d{{2,8}}){{1,4}}",
    # mobiles with a trunk 0 in one run: Britain, Germany, France, Australia, Netherlands, Poland's neighbours
    r"0(?:7\d{9}|1[567]\d{8,9}|[67]\d{8}|4\d{8})",
)
_WITHOUT_0 = (
    *_IN_PARENTHESES,
    # North America: 555-234-5678, 1-800-555-0199, 555-2345678
    rf"(?:1[ .{_DASH}])?[2-9]\d\d(?:[ .{_DASH}][2-9]\d\d[ .{_DASH}]|-[2-9]\d\d)\d{{4}}",
    # India 98765 43210; Mexico 55 1234 5678; China 138 1234 5678; Italy 347 123 4567
    r"[6-9]\d{4}[ -]\d{5}",
    r"[1-9]\d[ -]\d{4}[ -]\d{4}",
    r"1[3-9]\d[ -]\d{4}[ -]\d{4}",
    r"3[2-9]\d[ .-]\d{3}[ .-]\d{4}",
    # Russia 8 (495) 123-45-67
    r"8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d\d[ -]\d\d",
)
_OPENED = (
    *_IN_PARENTHESES,
    # with a trunk 0: (020) 7946 0958, (020)79460958; Brazil (11) 91234-5678
    rf"\(0[1-9]\d{{0,4}}\){_SEP}{{0,3}}\d{{2,8}}(?:{_SEP}{{1,3}}\d{{2,8}}){{0,3}}",
    r"\(\d\d\) ?9?\d{4}[ -]\d{4}",
)


def _sure(shapes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?P<number>{'|'.join(shapes)}){_END}")


_SURE = {"0": _sure(_WITH_0), "(": _sure(_OPENED), **dict.fromkeys("123456789", _sure(_WITHOUT_0))}
"""By the first character; a digit of another script begins no national number."""

_INTERNATIONAL = re.compile(rf"\+ ?[1-9]{_DIGIT}{{6,14}}(?!\d){_EXTENSION}")
_NUMBER = re.compile(rf"(?P<number>\(?\d\)?{_DIGIT}{{5,14}}){_END}")

_STARTS = re.compile(rf"[+(\d](?<!{_LETTER}.)(?<!\+.)(?:(?<=\+)|(?<!\d[ \u00a0./:,{_DASH}].))")
"""Where a number may begin; the patterns are tried nowhere else, since trying them at every character costs much."""

_GLUED = frozenset("./\u2010\u2011\u2012\u2013-")
"""Behind one of these, what looks like a national number is the rest of something longer."""

_NEXT = re.compile(r"[\s:,;|/]{0,3}(?=[+(])|[\s:,;|/]{1,3}(?=\d)")
"""What stands between the numbers of a list."""

_LAST_GROUP = re.compile(r"\D+\d+$")
_GROUP_WITH_0 = re.compile(rf"{_SEP}+0\d\d")
_FOUND_BEFORE = "[PHONE]"
"""Stands in the place of a found number; like the number it announces nothing that follows."""

_YEAR = r"(?:19|20)\d\d"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3])[0-5]\d"
_DATE = re.compile(
    rf"\(?(?:\d{{1,2}}(?:[./-]\d{{1,2}}[./-]\d{{4}}| \d{{1,2}} {_YEAR})|\d{{4}}[./-]\d{{1,2}}[./-]\d{{1,2}}|"
    rf"{_YEAR}{_MONTH}{_DAY}(?:\d{{4}}|\d{{6}})?|{_DAY}{_MONTH}{_YEAR}|{_TIME}(?: {_TIME}){{2,}}|"
    r"1[4-9]\d{8}(?:\d{3})?)(?!\d)"
)
"""Dates, lists of times (0930 1015 1100), and seconds or milliseconds of the epoch."""

_DAY_FIRST = re.compile(rf"{_DAY}{_MONTH}{_YEAR}")
"""A date that nobody writes so where a phone is announced; Danish and Norwegian numbers are of eight digits."""

_WITH_TRUNK = re.compile(rf"(?:0[1-9]\d{{6,9}}|8[3489]\d{{9}}|1[3-9]\d{{9}})(?!{_LETTER}|[.{_DASH}:,]\d)")
"""A trunk 0, Russia's 8, or a Chinese mobile: what else has a number seldom has such a one."""
_TAX_NUMBER = re.compile(r"(?:\d{3}\.\d{3}\.\d{3}-\d\d|\d{3}-\d\d-\d{4})(?!\d)")
_AMOUNT = re.compile(r"\d{1,2}(?:\.\d{3}){2,}|[\d. ]*0(?:[. ]?0){4}")
"""Thousands set apart by dots (1.234.567), and round figures (2500000)."""

_DIGITS = range(8, 16)
_TRUNK_DIGITS = range(9, 13)
_BEFORE_CHARS = 64
_NEAR_CHARS = 20


def phones(text: str) -> list[Span]:
    """Spans of phone numbers."""
    spans: list[Span] = []
    end = 0
    for start in _STARTS.finditer(text):
        at = start.start()
        if at < end:
            continue
        stop, said = _sure_end(text, at, glued=at > 0 and text[at - 1] in _GLUED), False
        if not stop:
            stop, said = _said_end(text, at), True
        while stop:
            spans.append(_bare(text, at, stop))
            end = stop
            at, stop = _next_of_list(text, end, said=said)
    return spans


def _bare(text: str, at: int, stop: int) -> Span:
    """The span without parentheses that stand around the whole number: they are the sentence's."""
    if text[at] == "(" and ")" not in text[at : stop - 1]:
        at += 1
    if text[stop - 1] == ")" and text.count("(", at, stop) < text.count(")", at, stop):
        stop -= 1
    return at, stop


def _next_of_list(text: str, end: int, *, said: bool) -> Span:
    """Start and end of a number that stands directly behind another, whatever else would speak against its start."""
    between = _NEXT.match(text, end)
    if between is None:
        return end, 0
    at = between.end()
    stop = _sure_end(text, at, glued=False)
    if not stop and said:
        found = _NUMBER.match(text, at)
        if found is not None and _digits(found["number"]) in _DIGITS and _could_be(text, found):
            stop = found.end()
    return at, stop


def _sure_end(text: str, at: int, *, glued: bool) -> int:
    """The end of a number at `at` that is one by how it is written; 0 if there is none."""
    if text[at] == "+":
        found = _INTERNATIONAL.match(text, at)
        return found.end() if found else 0
    shapes = None if glued else _SURE.get(text[at])
    found = shapes.match(text, at) if shapes else None
    if found is None:
        return 0
    number, lengths = found["number"], _DIGITS
    if number.lstrip("(")[0] == "0" and number[:2] != "00":
        number, lengths = _cut(number), _TRUNK_DIGITS
    if _digits(number) not in lengths or _DATE.match(number) or _TAX_NUMBER.match(number):
        return 0
    if named_otherwise(text[max(0, at - _BEFORE_CHARS) : at]):
        return 0
    return found.end() if number == found["number"] else at + len(number)


def _cut(number: str) -> str:
    """A number with a trunk 0, without the groups that make it too long: they are the next number."""
    while _digits(number) >= _TRUNK_DIGITS.stop:
        following = [found.start() for found in _GROUP_WITH_0.finditer(number)]
        number = number[: following[-1]] if following else _LAST_GROUP.sub("", number)
    return number


def _said_end(text: str, at: int) -> int:
    """The end of a number at `at` of which the words around it say that it is a phone's; 0 if there is none."""
    found = _NUMBER.match(text, at)
    if found is None or not _could_be(text, found):
        return 0
    end = found.end()
    likely = _WITH_TRUNK.match(text, at) is not None
    if likely and text[at] != "8":
        near, chinese = (text[max(0, at - _NEAR_CHARS) : at], text[end : end + _NEAR_CHARS]), text[at] == "1"
        if unnamed_in_script(*near, chinese=chinese):
            return end
        likely = not chinese
    said = (
        _said_before(text, at, likely=likely)
        or SAYING_AFTER.match(text, end)
        or is_out_of_range(text, at, end)
        or said_behind(text, at, end, likely=likely)
    )
    return end if said and not thing_after(text, end) else 0


def is_no_phone(number: str) -> bool:
    """Whether a number is a date, a time, an amount or a tax number by how it is written."""
    return bool(_DATE.match(number) or _AMOUNT.fullmatch(number) or _TAX_NUMBER.match(number))


def _could_be(text: str, found: re.Match[str]) -> bool:
    """Whether a number is none of the things that numbers mostly are."""
    number = found["number"]
    date = _DATE.match(number) and not _DAY_FIRST.fullmatch(number)
    return not (date or _AMOUNT.fullmatch(number) or unit_after(text, found.end()))


def _said_before(text: str, at: int, *, likely: bool) -> bool:
    """Whether the words before a number say that it is a phone's; of one that stands before it they say it not."""
    to = at + 1 if text[at] == "(" else at
    before = folded_case(text[max(0, at - _BEFORE_CHARS) : to].replace(_FOUND_BEFORE, "\0"))
    return said_before(before, likely=likely)


def _digits(number: str) -> int:
    return sum(char.isdecimal() for char in number)
