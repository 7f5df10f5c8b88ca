"""Phone numbers in free text.

International ones anywhere; national ones by their country's way of writing them, or where the text says what they are.
"""

import re

from stream_router.pipeline.masking.detectors.phones.announced import may_announce, said_end
from stream_router.pipeline.masking.detectors.phones.counted import unit_after
from stream_router.pipeline.masking.detectors.phones.naming import named_otherwise
from stream_router.pipeline.masking.detectors.phones.shapes import (
    DASH,
    DATE,
    INTERNATIONAL,
    LETTER,
    NUMBER,
    SEP,
    SURE,
    TAX_NUMBER,
    could_be,
    digit_count,
)
from stream_router.pipeline.masking.detectors.spans import Span

_STARTS = re.compile(rf"[+(0-9](?<!{LETTER}.)(?<!\+.)(?:(?<=\+)|(?<!\d[ \u00a0./:,{DASH}].)|(?<=\d:\d\d[ \u00a0].))")
"""Where a number may begin: not in another, but behind an hour. The patterns are tried nowhere else, since trying them
at every character costs much."""

_GLUED = frozenset("./\u2010\u2011\u2012\u2013-")
"""Behind one of these, what looks like a national number is the rest of something longer."""

_PREFIXED = re.compile(f"(?<![\u05d0-\u05ea])[\u05d1\u05d4\u05d5\u05dc\u05de\u05e9]{{1,2}}[{DASH}]$")
"""`to`, `at`, `from` in Hebrew: a letter or two that a hyphen sets apart from a number."""

_PREFIX_CHARS = 3

_NEXT = re.compile(r"[\s:,;|/]{0,3}(?=[+(])|[\s:,;|/]{1,3}(?=\d)")
"""What stands between the numbers of a list."""

_LAST_GROUP = re.compile(r"\D+\d+$")
_GROUP_WITH_0 = re.compile(rf"{SEP}+0\d\d")
_SHORT_CHARS = 256
"""The words of a longer text are not looked at first: one of them mostly may say it. A number alone is asked itself."""

_DIGITS = range(8, 16)
_TRUNK_DIGITS = range(9, 13)
_BEFORE_CHARS = 64


def phones(text: str) -> list[Span]:
    """Spans of phone numbers."""
    spans: list[Span] = []
    end, starts = 0, list(_STARTS.finditer(text))
    speaks = None if len(starts) > 1 and len(text) <= _SHORT_CHARS else True
    for start in starts:
        at = start.start()
        if at < end:
            continue
        stop, said = _sure_end(text, at, glued=_is_glued(text, at)), False
        if not stop and (found := NUMBER.match(text, at)):
            if speaks is None and not DATE.match(text, at):
                speaks = may_announce(text)
            stop, said = said_end(text, found, speaks=speaks is not False), True
        while stop:
            spans.append(_bare(text, at, stop))
            end = stop
            at, stop = _next_of_list(text, end, said=said)
    return spans


def _is_glued(text: str, at: int) -> bool:
    """Whether what begins at `at` is joined to something before it, which is no word of its own."""
    if not at or text[at - 1] not in _GLUED:
        return False
    return not _PREFIXED.search(text, max(0, at - _PREFIX_CHARS), at)


def _bare(text: str, at: int, stop: int) -> Span:
    """The span without parentheses that stand around the whole number: they are the sentence's."""
    if text[at] == "(" and (closes := _closing(text, at, stop)) in (-1, stop - 1):
        return at + 1, stop - (closes > 0)
    return at, stop - (text[stop - 1] == ")" and text.count("(", at, stop) < text.count(")", at, stop))


def _closing(text: str, at: int, stop: int) -> int:
    """Where the parenthesis closes that opens at `at`; -1 if not before `stop`."""
    depth = 0
    for place in range(at, stop):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place
    return -1


def _next_of_list(text: str, end: int, *, said: bool) -> Span:
    """Start and end of a number that stands directly behind another, whatever else would speak against its start."""
    between = _NEXT.match(text, end)
    if between is None:
        return end, 0
    at = between.end()
    stop = _sure_end(text, at, glued=False)
    if not stop and said:
        found = NUMBER.match(text, at)
        if found is not None and digit_count(found["number"]) in _DIGITS and could_be(found["number"]):
            stop = 0 if unit_after(text, found.end()) else found.end()
    return at, stop


def _sure_end(text: str, at: int, *, glued: bool) -> int:
    """The end of a number at `at` that is one by how it is written; 0 if there is none."""
    if text[at] == "+":
        found = INTERNATIONAL.match(text, at)
        return found.end() if found else 0
    shapes = None if glued else SURE.get(text[at])
    found = shapes.match(text, at) if shapes else None
    if found is None:
        return 0
    number, lengths = found["number"], _DIGITS
    if number.lstrip("(")[0] == "0" and number[:2] != "00":
        number, lengths = _cut(number), _TRUNK_DIGITS
    if digit_count(number) not in lengths or DATE.match(number) or TAX_NUMBER.match(number):
        return 0
    if named_otherwise(text[max(0, at - _BEFORE_CHARS) : at]):
        return 0
    return found.end() if number == found["number"] else at + len(number)


def _cut(number: str) -> str:
    """A number with a trunk 0, without the groups that make it too long: they are the next number."""
    while digit_count(number) >= _TRUNK_DIGITS.stop:
        following = [found.start() for found in _GROUP_WITH_0.finditer(number)]
        number = number[: following[-1]] if following else _LAST_GROUP.sub("", number)
    return number
