"""National phone numbers that nothing announces, by libphonenumber's own rules (docs/decisions/0012).

They are those of the regions that a policy names, and those of the language of the sentence around them.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

import phonenumbers

from stream_router.pipeline.masking.detectors.phones.announced import is_version
from stream_router.pipeline.masking.detectors.phones.counted import may_count, thing_after
from stream_router.pipeline.masking.detectors.phones.expected import expected_regions
from stream_router.pipeline.masking.detectors.phones.naming import named_otherwise
from stream_router.pipeline.masking.detectors.phones.numbers import phones
from stream_router.pipeline.masking.detectors.phones.shapes import NO_TIME_NEXT, is_coordinate, is_no_phone
from stream_router.pipeline.masking.detectors.phones.written import is_written_in, parsed, regions_by_shape
from stream_router.pipeline.masking.detectors.spans import Span, without_overlaps

_CANDIDATE = re.compile(
    r"[(0-9](?<![A-Za-z0-9_.,:/-].)(?:(?<=\d)|(?<=\()(?=[^()]{1,8}\)[ ().\-/]{0,3}\d)\d)"
    rf"(?:[0-9]|(?!\d){NO_TIME_NEXT}[ ).\-/]{{0,3}}(?:\((?=\d{{1,5}}\)))?\d){{5,13}}(?![A-Za-z0-9_]|[.,:/-]\d)"
)
"""What must stand before it is looked at behind its first character, since a pattern that begins with one is faster."""

_DIGIT = re.compile("[0-9]")
_BEFORE_CHARS = 48


def is_country(name: str) -> bool:
    """Whether libphonenumber knows the numbers of a country (ISO 3166, as `DE`)."""
    return name in phonenumbers.SUPPORTED_REGIONS


def phones_of(regions: Sequence[str]) -> Callable[[str], list[Span]]:
    """A detector that also finds what is a valid number in one of `regions`, or where the text's language is spoken.

    Costs some 15 µs for each candidate and region.
    """

    def detector(text: str) -> list[Span]:
        found = phones(text)
        if found and _holds_nothing_beside(text, found):
            return found
        more = [
            candidate.span()
            for candidate in _CANDIDATE.finditer(text)
            if not (found and _overlaps(candidate.span(), found))
            and (_is_expected(text, candidate) or (regions and _is_valid(text, candidate, regions)))
        ]
        return without_overlaps(found + more) if more else found

    return detector


def _is_valid(text: str, found: re.Match[str], regions: Sequence[str]) -> bool:
    return _could_be(text, found) and any(parsed(found[0], region) for region in regions)


def _is_expected(text: str, found: re.Match[str]) -> bool:
    """Whether a candidate is written as a country writes it in which the language of its sentence is spoken."""
    possible = regions_by_shape(found[0])
    if possible and not found[0].isdecimal() and is_no_phone(found[0]):
        return False  # a date, mostly, which costs less to see than what stands around it
    regions = expected_regions(text, *found.span(), possible) if possible else []
    return (
        bool(regions)
        and _could_be(text, found)
        and not thing_after(text, found.end())
        and any(is_written_in(found[0], region) for region in regions)
    )


def _holds_nothing_beside(text: str, found: Sequence[Span]) -> bool:
    """Whether there are no digits beside the one number found, as in most texts."""
    (start, end), *others = found
    return not (others or _DIGIT.search(text, 0, start) or _DIGIT.search(text, end))


def _overlaps(span: Span, found: Sequence[Span]) -> bool:
    """Whether a span touches one of those found, which are in order and apart from each other."""
    start, end = span
    following = bisect_left(found, (end,))
    return following > 0 and found[following - 1][1] > start


def _could_be(text: str, found: re.Match[str]) -> bool:
    """Whether a candidate is nothing else by how it is written, and by what stands directly beside it."""
    if is_no_phone(found[0]) or is_coordinate(text, *found.span()) or may_count(text, found.end()):
        return False
    if is_version(text, found.start(), found[0]):
        return False
    return not named_otherwise(text[max(0, found.start() - _BEFORE_CHARS) : found.start()])
