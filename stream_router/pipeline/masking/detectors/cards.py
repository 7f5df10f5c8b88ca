"""Payment cards in free text: by Luhn, and by the prefixes and lengths that issuers use."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator

from stream_router.pipeline.masking.detectors.spans import Span, without_overlaps

_RUN = re.compile(r"[0-9](?<!\d.)(?=[0-9\s._/\u2010-\u2015-]{11})(?:[\s._/\u2010-\u2015-]{0,3}\d){11,}")
"""It begins with the first digit of a group: one inside has fewer behind it. Most numbers are too short at a glance."""

_READ_OUT = re.compile(r"[0-9](?<!\d.)(?<!\d, .)\d{3}, (?:\d{4}, \d{4}, \d{4}|\d{6}, \d{5})(?!,? ?\d)")
"""Groups with commas between them, as transcripts have what was read out."""

_COMMAS_MIN = 2

_GAPS = re.compile(r"\D+")
_NEW_SENTENCE = re.compile(r"[.;:]\s")
_GROUP = re.compile(r"\d+")
_DATE = re.compile(r"(?<=[ /])\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d$")
"""Behind a number, and none of its groups."""

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CARD_DIGITS = range(12, 20)
_FIRST_GROUP_DIGITS = 4
_GROUPS_MAX = 6
"""More groups are taken only where they are of one size: digits read out one by one, or in pairs."""

_INNER_DIGITS = 15
"""Shorter cards and more groups are taken only where a run of digits begins: inside, chance finds too many."""

_WORD_BEFORE = re.compile(r"(?:^|[\W_])[^\W\d_]{2,20}$")
_WORD_CHARS = 21
_CHECK_DIGITS = 2
_COUNTRY_BEFORE = re.compile(r"(?:^|[\W_])[A-Za-z]{2}$")

# Issuers' ranges as (first prefix, last prefix, lengths). Source: ISO/IEC 7812 ranges as published by the schemes.
_ISSUERS = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),
    ("644", "649", (16, 17, 18, 19)),
    ("65", "65", (16, 17, 18, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("3528", "3589", (16, 17, 18, 19)),
    ("35", "35", (16,)),  # beyond 3528 to 3589 no issuer's, but made-up cards have it
    ("2131", "2131", (15,)),
    ("1800", "1800", (15,)),
    ("300", "305", (14, 16, 17, 18, 19)),
    ("36", "36", (14, 16, 17, 18, 19)),
    ("38", "39", (14, 16, 17, 18, 19)),
    ("5018", "5018", tuple(_CARD_DIGITS)),
    ("5019", "5019", (16,)),
    ("5020", "5020", tuple(_CARD_DIGITS)),
    ("5038", "5038", tuple(_CARD_DIGITS)),
    ("56", "58", tuple(_CARD_DIGITS)),
    ("6304", "6304", tuple(_CARD_DIGITS)),
    ("6759", "6763", tuple(_CARD_DIGITS)),
    ("67", "67", (16, 17, 18, 19)),
    ("504175", "504175", (16,)),
    ("5060", "5061", (16, 18, 19)),
    ("506699", "506778", (16,)),
    ("507865", "507964", (16, 18, 19)),
    ("508", "509", (16,)),
    ("636297", "636297", (16,)),
    ("636368", "636368", (16,)),
    ("2200", "2204", (16, 17, 18, 19)),
    ("9792", "9792", (16,)),
    ("60", "60", (16,)),
    ("81", "82", (16,)),
)


def _by_start() -> dict[tuple[str, int], list[tuple[str, str]]]:
    found = defaultdict[tuple[str, int], list[tuple[str, str]]](list)
    for low, high, lengths in _ISSUERS:
        for first, length in itertools.product(range(int(low[0]), int(high[0]) + 1), lengths):
            found[str(first), length].append((low, high))
    return dict(found)


_BY_START = _by_start()
"""The issuers by first digit and length: most numbers have none, which costs less to see than a check digit."""


def cards(text: str) -> list[Span]:
    """Payment cards, in one run of digits or in groups; also where other numbers follow (an expiry date, a code)."""
    spans: list[Span] = []
    for run in _RUN.finditer(text):
        if _is_shortest(run[0]):
            continue
        spans += _cards_of_run(text, run, spans[-1][1] if spans else 0)
    if text.count(", ") >= _COMMAS_MIN:
        read_out = [found.span() for found in _READ_OUT.finditer(text) if is_card(_GAPS.sub("", found[0]))]
        return without_overlaps(spans + read_out) if read_out else spans
    return spans


def _is_shortest(run: str) -> bool:
    """Whether a run has no more digits than the shortest card, and begins like none of that length: most ids do."""
    digits = _GAPS.sub("", run)
    return len(digits) == _CARD_DIGITS[0] and (digits[0], len(digits)) not in _BY_START and digits.isascii()


def _cards_of_run(text: str, run: re.Match[str], end: int) -> Iterator[Span]:
    """In a run of groups of digits, the first groups that make a card, then on behind it. `end`: of the card before.

    Glued to a word (`Visa4111…`) the first group may begin a card, but behind capitals (`SN5869…`) no short one; else
    (`a4111…`, `+4111…`) it is the rest of something. Two letters and two check digits begin an IBAN, mistyped or not.
    """
    dated = _DATE.search(run[0])
    groups = [
        found.span()
        for found in _GROUP.finditer(text, run.start(), run.start() + dated.start() if dated else run.end())
    ]
    before = text[max(end, run.start() - _WORD_CHARS) : run.start()]
    if groups[0][1] - groups[0][0] == _CHECK_DIGITS and _COUNTRY_BEFORE.search(before):
        return
    word = _WORD_BEFORE.search(before)
    glued = bool(before) and (before[-1].isalnum() or before[-1] == "+")
    begins = not glued or bool(word and not word[0].isupper())
    first = 0 if begins or word else 1
    while first < len(groups) and groups[-1][1] - groups[first][0] >= _CARD_DIGITS[0]:
        if first and _NEW_SENTENCE.match(text, groups[first - 1][1]):
            begins = True
        last = _last_of_card(text, groups, first, begins=begins)
        begins = last is not None
        if last is None:
            first += 1
        else:
            if not _is_chance(text, groups[first][0], groups[last][1]):
                yield groups[first][0], groups[last][1]
            first = last + 1


def _last_of_card(text: str, groups: list[Span], first: int, *, begins: bool) -> int | None:
    """The last group of the longest card that begins with the group `first`."""
    digits, found = "", None
    for last in range(first, len(groups) if begins else min(first + _GROUPS_MAX, len(groups))):
        digits += text[slice(*groups[last])]
        if len(digits) > _CARD_DIGITS[-1]:
            break
        if last - first >= _GROUPS_MAX and len({end - start for start, end in groups[first:last]}) > 1:
            break
        long_enough = len(digits) in _CARD_DIGITS and (begins or len(digits) >= _INNER_DIGITS)
        if long_enough and is_card(digits) and not _is_in_odd_groups(groups[first : last + 1]):
            found = last
    return found


def _is_in_odd_groups(groups: list[Span]) -> bool:
    """Whether a number begins with a short group, and a longer one follows: an order's (305-1234567-1234567)."""
    first, *rest = (end - start for start, end in groups)
    return bool(rest) and first < _FIRST_GROUP_DIGITS and max(rest) > first


_SAYS_CARD = re.compile(
    r"card|karte|carte|tarjeta|cart[aã]|kaart|kart|kort|kártya|kredit|cr[eé]dit|maestro|debit|visa|κάρτ|карт|بطاق|כרטיס|卡|カード|카드|pan\b",
    re.IGNORECASE,
)
_SURE_DIGITS, _SURE_DIGITS_OF_MAESTRO = 14, 16
_BEFORE_CHARS = 48


def _is_chance(text: str, start: int, end: int) -> bool:
    """Whether a short card is rather one of the many numbers of so many digits: nothing says `card`.

    Maestro's ranges (5, 6) have cards of twelve digits and more; nearly all that people hold have sixteen or more.
    """
    digits = sum(char.isdecimal() for char in text[start:end])
    if text[start] == "4" or digits >= (_SURE_DIGITS_OF_MAESTRO if text[start] in "56" else _SURE_DIGITS):
        return False
    return _SAYS_CARD.search(text, max(0, start - _BEFORE_CHARS), start) is None


def is_card(digits: str) -> bool:
    """Whether digits have an issuer's prefix and length, and a right check digit."""
    if len(digits) not in _CARD_DIGITS or not digits.isdecimal():
        return False
    if not digits.isascii():
        digits = "".join(str(int(digit)) for digit in digits)  # digits of any script
    issuers = _BY_START.get((digits[0], len(digits)), ())
    return any(low <= digits[: len(low)] <= high for low, high in issuers) and _luhn(digits)


def _luhn(digits: str) -> bool:
    plain, doubled = digits[::-1][::2], digits[::-1][1::2]
    return (sum(map(int, plain)) + sum(_DOUBLED[int(digit)] for digit in doubled)) % 10 == 0
