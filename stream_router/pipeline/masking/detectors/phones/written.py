"""How countries write their national phone numbers, by libphonenumber's own rules."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cache

import phonenumbers

from stream_router.pipeline.masking.detectors.phones.languages import regions_spoken

_NATIONAL = phonenumbers.PhoneNumberFormat.NATIONAL
_WITHOUT_TRUNK = frozenset(["AE", "BR", "HU", "IL", "IN", "JP", "KR", "RU", "SA", "TR", "UA"])
"""Where many leave the trunk prefix out."""

_NO_SPACES = str.maketrans("", "", " \u00a0")
_MOBILE, _FIXED_LINE = phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE


def parsed(number: str, region: str) -> phonenumbers.PhoneNumber | None:
    """The number as one of a region; None if it is not valid there."""
    try:
        found = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    return found if phonenumbers.is_valid_number(found) else None


def is_written_in(number: str, region: str) -> bool:
    """Whether a number is valid in a region, with its trunk prefix where the region writes one, without elsewhere."""
    found = parsed(number, region)
    return found is not None and _as_digits(phonenumbers.format_number(found, _NATIONAL)) == _as_digits(number)


def regions_by_shape(number: str) -> frozenset[str]:
    """The regions of the known languages that write so many digits, with a 0 in front or without: a first look."""
    written = number if number.isdecimal() else _as_digits(number)
    return _shapes().get((written[0] == "0", len(written)), frozenset())


def could_be_of(number: str, regions: Collection[str]) -> bool:
    """Whether a number has as many digits as one of the regions writes, its trunk prefix or its country code before."""
    digits = _as_digits(number)
    if any(len(digits) in _local_lengths(region) for region in regions):
        return True
    here, shapes = frozenset(regions), _shapes()
    if not here.isdisjoint(shapes.get((digits[0] == "0", len(digits)), frozenset())):
        return True
    for region in here:
        code = str(phonenumbers.country_code_for_region(region))
        if digits.startswith(code) and len(digits) - len(code) in _subscriber_lengths(region):
            return True
        if region in _WITHOUT_TRUNK and len(digits) in _subscriber_lengths(region):
            return True
    return False


def is_grouped_as_in(number: str, regions: Collection[str]) -> bool:
    """Whether spaces set apart just such groups in a number as one of the regions writes."""
    if " " not in number and "\u00a0" not in number:
        return False
    lengths = tuple(map(len, number.replace("\u00a0", " ").split(" ")))
    return number.translate(_NO_SPACES).isdecimal() and any(lengths in _groups(region) for region in regions)


@cache
def _groups(region: str) -> frozenset[tuple[int, ...]]:
    """How many digits the groups have in which a region writes its numbers."""
    examples = (phonenumbers.example_number_for_type(region, kind) for kind in (_MOBILE, _FIXED_LINE))
    written = (phonenumbers.format_number(example, _NATIONAL) for example in examples if example is not None)
    return frozenset(tuple(map(len, one.split(" "))) for one in written)


@cache
def _local_lengths(region: str) -> frozenset[int]:
    """How many digits a number has without its area, where the region allows that."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    fixed = metadata.fixed_line if metadata is not None else None
    return frozenset(fixed.possible_length_local_only if fixed is not None else ())


@cache
def _subscriber_lengths(region: str) -> frozenset[int]:
    return frozenset(length for _, lengths in _lengths(region) for length in lengths)


@cache
def _shapes() -> dict[tuple[bool, int], frozenset[str]]:
    found = defaultdict[tuple[bool, int], set[str]](set)
    for region in regions_spoken():
        for kind, lengths in _lengths(region):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                written = _as_digits(phonenumbers.format_number(example, _NATIONAL))
                prefix_digits = len(written) - len(phonenumbers.national_significant_number(example))
                for length in lengths:
                    found[written[0] == "0", length + prefix_digits].add(region)
    return {shape: frozenset(regions) for shape, regions in found.items()}


def _lengths(region: str) -> Iterator[tuple[int, Sequence[int]]]:
    """How many digits a region's mobile and its fixed-line numbers have behind the trunk prefix."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is not None and metadata.general_desc is not None:
        kinds = ((_MOBILE, metadata.mobile), (_FIXED_LINE, metadata.fixed_line))
        for kind, described in kinds:
            if described is not None:
                yield kind, described.possible_length or metadata.general_desc.possible_length


def _as_digits(number: str) -> str:
    return "".join(filter(str.isdecimal, number))
