"""National phone numbers of the regions that a policy names, by libphonenumber's own rules (docs/decisions/0012)."""

import re
from collections.abc import Callable, Sequence

from stream_router.pipeline.masking.detectors.phone_naming import named_otherwise, unit_after
from stream_router.pipeline.masking.detectors.phones import is_no_phone, phones
from stream_router.pipeline.masking.detectors.spans import Span, without_overlaps

_CANDIDATE = re.compile(r"(?<![A-Za-z0-9_.,:/-])\(?\d(?:[ ().\-/]{0,3}\d){5,13}(?![A-Za-z0-9_]|[.,:/-]\d)")
_BEFORE_CHARS = 48


def phones_of(regions: Sequence[str]) -> Callable[[str], list[Span]]:
    """A detector that also finds what is a valid number in one of `regions`. Costs some 15 µs for each candidate."""
    import phonenumbers

    def valid(number: str) -> bool:
        for region in regions:
            try:
                if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                    return True
            except phonenumbers.NumberParseException:
                continue
        return False

    def detector(text: str) -> list[Span]:
        found = phones(text)
        candidates = [candidate for candidate in _CANDIDATE.finditer(text) if not _overlaps(candidate.span(), found)]
        more = [found.span() for found in candidates if _could_be(text, found) and valid(found[0])]
        return without_overlaps(found + more) if more else found

    return detector


def _overlaps(span: Span, found: Sequence[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in found)


def _could_be(text: str, found: re.Match[str]) -> bool:
    """Whether a candidate is nothing else by how it is written, and by what stands directly beside it."""
    if is_no_phone(found[0]) or unit_after(text, found.end()):
        return False
    return not named_otherwise(text[max(0, found.start() - _BEFORE_CHARS) : found.start()])
