"""International bank account numbers (IBANs) in free text: by mod 97, and by each country's length."""

import re

from stream_router.pipeline.masking.detectors.spans import APART, Span

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
_DIGITS_ONLY = frozenset(
    [
        "AE",
        "AT",
        "BA",
        "BE",
        "BI",
        "CR",
        "CZ",
        "DE",
        "DK",
        "EE",
        "EG",
        "ES",
        "FI",
        "FO",
        "GL",
        "HR",
        "HU",
        "IL",
        "IS",
        "LT",
        "LY",
        "ME",
        "MR",
        "NO",
        "PL",
        "PT",
        "RS",
        "SD",
        "SE",
        "SI",
        "SK",
        "SO",
        "TL",
        "TN",
        "VA",
        "XK",
    ]
)
"""Countries whose account numbers have no letters: `at 0216710014 tomorrow` is none, whatever its check digits."""

_SPACE = r"[ \u00a0-]"


def _behind_country(between: str = "") -> str:
    """A pattern for a check digit behind two letters that stand apart, or behind the word `IBAN`."""
    country = f"[A-Za-z]{{2}}{between}."
    return rf"(?<={country})(?:(?<!{APART}{country})|(?<=[Ii][Bb][Aa][Nn]{country}))"


_CHECK_DIGITS = re.compile(
    rf"[0-9](?<![0-9].)(?:{_behind_country()}|{_behind_country(_SPACE)})(?=[0-9][\s.-]{{0,3}}[A-Za-z0-9])"
)
"""They are looked for, and the country before them: texts have more letters than digits."""

_NEW_SENTENCE = re.compile(r"\.\s")
_LETTER = re.compile(APART)
_BETWEEN = frozenset(" \u00a0\t\n\r.-")
_BETWEEN_MAX = 3


def ibans(text: str) -> list[Span]:
    """International bank account numbers, grouped or not, in any case."""
    spans: list[Span] = []
    for found in _CHECK_DIGITS.finditer(text):
        at = found.start()
        start = at - 2 if text[at - 1].isalpha() else at - 3
        if spans and start < spans[-1][1]:
            continue
        end = _iban_end(text, start)
        if end is not None:
            spans.append((start, end))
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
    if len(kept) < length or _LETTER.match(text, at):
        return None
    written = text[start + 2 : at]
    if _NEW_SENTENCE.search(written) or not (written.isupper() or written.islower() or kept[2:].isdecimal()):
        return None
    if kept[:2] in _DIGITS_ONLY and not kept[4:].isdecimal():
        return None
    return at if int("".join(str(int(char, 36)) for char in kept[4:] + kept[:4])) % 97 == 1 else None
