"""Numbers of which the words around them say that they are phones'."""

import re

from stream_router.pipeline.masking.detectors.phones.compounds import SUBSCRIBERS
from stream_router.pipeline.masking.detectors.phones.counted import may_count, thing_after, unit_after
from stream_router.pipeline.masking.detectors.phones.languages import languages, regions_of
from stream_router.pipeline.masking.detectors.phones.naming import is_named
from stream_router.pipeline.masking.detectors.phones.predicates import is_said_to_be, is_this_phone, kept_as
from stream_router.pipeline.masking.detectors.phones.said import MAY_SAY
from stream_router.pipeline.masking.detectors.phones.shapes import DASH, LETTER, could_be, digit_count, is_coordinate
from stream_router.pipeline.masking.detectors.phones.text import folded_case, has_unspaced, words_of
from stream_router.pipeline.masking.detectors.phones.vocabulary import KIND_ALONE, of_pairs
from stream_router.pipeline.masking.detectors.phones.words import (
    Said,
    is_signed,
    said_before,
    said_behind,
    unnamed_in_script,
)
from stream_router.pipeline.masking.detectors.phones.written import could_be_of
from stream_router.pipeline.masking.detectors.remembered import Remembered
from stream_router.pipeline.masking.detectors.software import is_of_software

_COUNT_BEHIND = re.compile(r"[ \u00a0]\d[ \u00a0]?[^\W\d_]")
_HOUR_BEHIND = re.compile(
    r"[ \u00a0](?:[01]?\d|2[0-4])(?=[ \u00a0]?(?:h\b|uhr\b|ór[aá]|ora\b|час|годин|時|시(?!간)|[点點]|[ap]\.?m\b))",
    re.IGNORECASE,
)
"""`call 2125550199 5 pm`: the hour is none of its digits."""

_HOUR_CHARS, _HOUR_WORD_CHARS = 3, 8
_BETWEEN_GROUPS = " \u00a0./-"
"""Behind one of these stands a group of one digit: such a number has groups like that."""

_DIGITS_MIN = 8

_FOUND_BEFORE = "[PHONE]"
"""Stands in the place of a found number; like the number it announces nothing that follows."""

_WITH_TRUNK = re.compile(rf"(?:0[1-9]\d{{6,9}}|8[3489]\d{{9}}|1[3-9]\d{{9}})(?!{LETTER}|[.{DASH}:,]\d)")
"""A trunk 0, Russia's 8, or a Chinese mobile: what else has a number seldom has such a one."""

_CYRILLIC = re.compile(r"[\u0410-\u044f]")
"""In other scripts nobody writes the 8 of Russia."""

_BEFORE_CHARS = 64
_NEAR_CHARS = 20
_KNOWN_WORDS, _POINTS, _SOFTWARE_CHARS = 3, 3, 32


def may_announce(text: str) -> bool:
    """Whether a word of a text may say of a number in it that it is a phone's: a look at all of them at once."""
    small = folded_case(text)
    if has_unspaced(small):
        return True
    words = words_of(small)
    return any(map(_MAY_SAY.__getitem__, words)) or of_pairs(words, MAY_SAY)


def _may_say(word: str) -> bool:
    return bool(KIND_ALONE[word] & MAY_SAY) or any(subscriber in word for subscriber in SUBSCRIBERS)


_MAY_SAY = Remembered(_may_say)


def said_end(text: str, found: re.Match[str], *, speaks: bool) -> int:
    """The end of a number found of which the words around it say that it is a phone's; 0 if they do not.

    `speaks` where a word of the text may say so: without one, only a sign does, or its trunk prefix beside little.
    """
    at = found.start()
    likely = _WITH_TRUNK.match(text, at) is not None
    if not (speaks or likely or is_signed(text, at)):
        return 0
    end = _without_count(text, found)
    number = text[at : min(end, found.end("number"))]
    if not could_be(number) or is_coordinate(text, at, end) or unit_after(text, end) or is_version(text, at, number):
        return 0
    if likely and text[at] == "8":
        likely = _CYRILLIC.search(text, max(0, at - _BEFORE_CHARS), end + _NEAR_CHARS) is not None
    elif likely:
        near, chinese = (text[max(0, at - _NEAR_CHARS) : at], text[end : end + _NEAR_CHARS]), text[at] == "1"
        if unnamed_in_script(*near, chinese=chinese):
            return end
        likely = not chinese
    said = _said(text, at, end, likely=likely)
    if said is Said.NOTHING or thing_after(text, end):
        return 0
    if said is not Said.DIRECTLY and not likely and may_count(text, end):
        return 0
    return 0 if said is Said.FROM_AFAR and _is_foreign(text, at, end, number) else end


def is_version(text: str, at: int, number: str) -> bool:
    """Whether a number is the version of software named before it."""
    if number.count(".") != _POINTS:
        return False
    return is_of_software(words_of(folded_case(text[max(0, at - _SOFTWARE_CHARS) : at])))


def _without_count(text: str, found: re.Match[str]) -> int:
    """The end of a number without a digit that counts what follows: `… 2 days ago`, `… 3회`."""
    end = found.end()
    hour = _HOUR_BEHIND.search(text, end - _HOUR_CHARS, end + _HOUR_WORD_CHARS) if end < len(text) else None
    if hour is not None and hour.end() == end and digit_count(found[0]) > _DIGITS_MIN + 1:
        return hour.start()
    counts = end == found.end("number") and _COUNT_BEHIND.match(text, end - 2) and text[end - 4] not in _BETWEEN_GROUPS
    if counts and digit_count(found[0]) > _DIGITS_MIN:
        return found.start() + len(text[found.start() : end - 2].rstrip())
    return end


def _said(text: str, at: int, end: int, *, likely: bool) -> Said:
    """What the words before a number, or those behind it, say of it."""
    before = _said_before(text, at, likely=likely)
    if before in (Said.PLAINLY, Said.DIRECTLY):
        return before
    if is_said_to_be(text, at, end):
        return Said.DIRECTLY
    behind = said_behind(text, at, end, likely=likely)
    if (
        behind is Said.NOTHING
        and (kept_as(text, end) or is_this_phone(text, end))
        and not is_named(text[max(0, at - _BEFORE_CHARS) : at])
    ):
        return Said.PLAINLY
    return before if behind is Said.NOTHING else behind


def _is_foreign(text: str, at: int, end: int, number: str) -> bool:
    """Whether a number has as many digits as no country writes in which the sentence's language is spoken.

    Where a colon sets it apart, or the language is told by a word or two, it is none.
    """
    before = text[max(0, at - _BEFORE_CHARS) : at]
    if before.rstrip().endswith(":"):
        return False
    around = f"{before} {text[end : end + _BEFORE_CHARS]}"
    regions = regions_of(languages(words_of(folded_case(around)), _KNOWN_WORDS))
    return bool(regions) and not could_be_of(number.replace("(0)", ""), regions)


def _said_before(text: str, at: int, *, likely: bool) -> Said:
    """What the words before a number say of it; of one that stands before it they say nothing."""
    to = at + 1 if text[at] == "(" else at
    before = folded_case(text[max(0, at - _BEFORE_CHARS) : to].replace(_FOUND_BEFORE, "\0"))
    return said_before(before, likely=likely)
