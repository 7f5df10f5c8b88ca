"""Payment cards (Luhn, and the lengths that issuers use) and IBANs (mod 97, and each country's length) in free text."""

import re
from collections.abc import Iterator

from stream_router.pipeline.masking.detectors.spans import Span

_RUN = re.compile(r"\d(?:[\s._/\u2010-\u2015-]{0,3}\d){11,}")
_GROUP = re.compile(r"\d+")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CARD_DIGITS = range(12, 20)
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


def cards(text: str) -> list[Span]:
    """Payment cards, in one run of digits or in groups; also where other numbers follow (an expiry date, a code)."""
    spans: list[Span] = []
    for run in _RUN.finditer(text):
        spans += _cards_of_run(text, run, spans[-1][1] if spans else 0)
    return spans


def _cards_of_run(text: str, run: re.Match[str], end: int) -> Iterator[Span]:
    """In a run of groups of digits, the first groups that make a card, then on behind it. `end`: of the card before.

    Glued to a word (`Visa4111…`) the first group may begin a card; else (`a4111…`, `+4111…`) it is
    the rest of something. A country's letters and two check digits begin an IBAN, mistyped or not.
    """
    groups = [found.span() for found in _GROUP.finditer(text, *run.span())]
    before = text[max(end, run.start() - _WORD_CHARS) : run.start()]
    if groups[0][1] - groups[0][0] == _CHECK_DIGITS and _COUNTRY_BEFORE.search(before):
        return
    begins = not before or not (before[-1].isalnum() or before[-1] == "+") or _WORD_BEFORE.search(before) is not None
    first = 0 if begins else 1
    while first < len(groups):
        last = _last_of_card(text, groups, first, begins=begins)
        begins = last is not None
        if last is None:
            first += 1
        else:
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
        if len(digits) in _CARD_DIGITS and (begins or len(digits) >= _INNER_DIGITS) and is_card(digits):
            found = last
    return found


def is_card(digits: str) -> bool:
    """Whether digits have an issuer's prefix and length, and a right check digit."""
    if len(digits) not in _CARD_DIGITS or not digits.isdecimal():
        return False
    if not digits.isascii():
        digits = "".join(str(int(digit)) for digit in digits)  # digits of any script
    if not _luhn(digits):
        return False
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)


def _luhn(digits: str) -> bool:
    plain, doubled = digits[::-1][::2], digits[::-1][1::2]
    return (sum(map(int, plain)) + sum(_DOUBLED[int(digit)] for digit in doubled)) % 10 == 0


# Source: SWIFT's IBAN registry (ISO 13616), lengths by country.
_IBAN_LENGTHS = dict(
    pair.split(":")
    for pair in [
        "AD:24",
        "AE:23",
        "AL:28",
        "AT:20",
        "AZ:28",
        "BA:20",
        "BE:16",
        "BG:22",
        "BH:22",
        "BI:27",
        "BR:29",
        "BY:28",
        "CH:21",
        "CR:22",
        "CY:28",
        "CZ:24",
        "DE:22",
        "DJ:27",
        "DK:18",
        "DO:28",
        "EE:20",
        "EG:29",
        "ES:24",
        "FI:18",
        "FK:18",
        "FO:18",
        "FR:27",
        "GB:22",
        "GE:22",
        "GI:23",
        "GL:18",
        "GR:27",
        "GT:28",
        "HN:28",
        "HR:21",
        "HU:28",
        "IE:22",
        "IL:23",
        "IQ:23",
        "IS:26",
        "IT:27",
        "JO:30",
        "KW:30",
        "KZ:20",
        "LB:28",
        "LC:32",
        "LI:21",
        "LT:20",
        "LU:20",
        "LV:21",
        "LY:25",
        "MC:27",
        "MD:24",
        "ME:22",
        "MK:19",
        "MN:20",
        "MR:27",
        "MT:31",
        "MU:30",
        "NI:28",
        "NL:18",
        "NO:15",
        "OM:23",
        "PK:24",
        "PL:28",
        "PS:29",
        "PT:25",
        "QA:29",
        "RO:24",
        "RS:22",
        "RU:33",
        "SA:24",
        "SC:31",
        "SD:18",
        "SE:24",
        "SI:19",
        "SK:24",
        "SM:27",
        "SO:23",
        "ST:25",
        "SV:28",
        "TL:23",
        "TN:24",
        "TR:26",
        "UA:29",
        "VA:22",
        "VG:24",
        "XK:20",
        "YE:30",
    ]
)
_IBAN_START = re.compile(
    r"[A-Za-z]{2}(?=[ \u00a0-]?[0-9]{2}[\s.-]{0,3}[A-Za-z0-9])(?:(?<![^\W_]..)|(?<=[Ii][Bb][Aa][Nn]..))"
)
_BETWEEN = frozenset(" \u00a0\t\n\r.-")
_BETWEEN_MAX = 3


def ibans(text: str) -> list[Span]:
    """International bank account numbers, grouped or not, in any case."""
    spans: list[Span] = []
    for found in _IBAN_START.finditer(text):
        if spans and found.start() < spans[-1][1]:
            continue
        end = _iban_end(text, found.start())
        if end is not None:
            spans.append((found.start(), end))
    return spans


def _iban_end(text: str, start: int) -> int | None:
    """Where the IBAN that begins at `start` ends, if it is one."""
    length = int(_IBAN_LENGTHS.get(text[start : start + 2].upper(), "0"))
    if not length:
        return None
    kept, at = "", start
    while len(kept) < length and at < len(text):
        char = text[at]
        if char.isascii() and char.isalnum():
            kept += char.upper()
        elif char not in _BETWEEN or _BETWEEN.issuperset(text[max(start, at - _BETWEEN_MAX) : at]):
            return None
        at += 1
    if len(kept) < length or (at < len(text) and text[at].isalnum()):
        return None
    return at if int("".join(str(int(char, 36)) for char in kept[4:] + kept[:4])) % 97 == 1 else None
