"""Finds addresses and numbers in a text: e-mail, IBAN, card, IP, US social security, phone.

It takes too much rather than too little, and knows no names, no postal addresses, no number that is written in words.
Before the search the text is folded: full-width characters, digits of other scripts, dashes and spaces become the plain
ones, and what is invisible goes. Where something is found, the folded text is what is left of it.
"""

import contextlib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from phonenumbers import PhoneNumberMatcher
from stdnum import iban

from stream_router.pipeline.masking.actions import REDACTED

TEXT_DIGITS_MAX = 4_000
"""Digits of one text that are searched. A text with more is redacted whole: nobody writes so many by hand."""

EVENT_WORK_MAX = 16_000
"""Characters of one event at which something may begin: digits, each counted once for every region, and BEGINNINGS.
A digit costs libphonenumber up to 15 us, an address up to 6, a parenthesis 1 (measured on made-up texts, 2026-12-02),
and no event may cost more than 0.5 s of CPU. A text beyond that is redacted whole."""

PHONE_TRIES_MAX = 8_000
"""Places of one event at which libphonenumber tries in vain to find a phone, over all regions: up to four for a digit,
35 us each. A text in which it gives up is redacted whole."""

FOLDED_GROWTH = 2
"""How much longer a text may become by folding; a few ligatures become up to 18 letters each."""

SHORTEST = 3
"""Characters of the shortest find: `a@b`, `::1`."""

BEGINNINGS = "@:([+"
"""Characters other than digits at which a search tries to find something, however much of them there is."""

_MARKS_MAX = 30
"""Marks over one letter, more than any writing has: the standard library sorts them in the square of the time."""

_END = r"\s<>()\[\]{}\",;"
_EMAIL = re.compile(rf"(?<![^@{_END}])[^@{_END}]++@[^{_END}]*[^{_END}.:!?]")
"""Whatever stands on both sides of an `@` without a blank. Nothing is tried twice, so a long text costs no more."""

_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:[ .-]?[A-Za-z0-9]){11,30}")

_DIGITS = re.compile(r"\d(?:[ ./_-]{0,3}\d)*+")
_GROUP = re.compile(r"\d+")
_CARD_DIGITS = range(12, 20)
_CARD_PREFIX = re.compile(r"4|5|2[2-7]|3[04-9]|6|81|0604|1800|2131")
"""Of Visa, Mastercard, Maestro, American Express, Diners, JCB, Discover, UnionPay, RuPay and Mir."""

_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_IPV6 = re.compile(r"(?<![0-9A-Za-z_:])[0-9A-Fa-f:]{2,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![0-9A-Za-z_])")

_SSN = re.compile(r"(?<!\d)(?!000|666|9)\d{3}([ .-])(?!00)\d{2}\1(?!0000)\d{4}(?!\d)")

_REST = r"(?:[ ./()-]{0,3}\d){7,}"
_PLUS, _ZEROS = re.compile(r"\+" + _REST), re.compile(r"(?<!\d)00(?=[ ./()-]?[1-9])" + _REST)
"""Numbers that are written internationally, valid or not, with all digits that stand behind them."""

_SLASHES = re.compile(r"(?<!\d)\d{2,4}(?:/\d{2,4}){3,}(?!\d)")
"""More groups than a date has: libphonenumber looks at nothing in which it sees one."""

_ANYTHING = re.compile(r"[0-9@]|::")
"""What every find has in it."""

Spans = Iterator[tuple[int, int]]
"""Places in a text: where each begins and ends."""


class _Folded(dict[int, str | int | None]):
    """What a character becomes, worked out once: a table for `str.translate`."""

    def __missing__(self, code: int) -> str | int | None:
        char = chr(code)
        category = unicodedata.category(char)
        plain: str | int | None = code
        if category == "Cf" or char in "\u034f\u115f\u1160\u3164" or "\ufe00" <= char <= "\ufe0f":
            plain = None
        elif category == "Nd":
            plain = str(unicodedata.decimal(char))
        elif category == "Pd" or char == "\u2212":
            plain = "-"
        elif category == "Zs":
            plain = " "
        self[code] = plain
        return plain


_FOLDED = _Folded()


def _fold(text: str) -> str | None:
    """Return the text in plain characters; None if that takes too long: too many marks over a letter, or ligatures."""
    if text.isascii():
        return text
    text = text.translate(_FOLDED)
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MARKS_MAX:
            return None
    normal = unicodedata.normalize("NFKC", text)
    return None if len(normal) > FOLDED_GROWTH * len(text) + 100 else normal.translate(_FOLDED)


class Search:
    """Searches the texts of one event after the other.

    `regions` are the countries whose phones are found as they are written there, without their country's code.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)
        # A card may hold two zeros, and an international number be a card's by its digits: hence this order.
        self._finders = (
            ("email", lambda text: _spans(_EMAIL, text)),
            ("iban", _ibans),
            ("phone", lambda text: _spans(_PLUS, text)),
            ("card", _cards),
            ("ip", _ips),
            ("ssn", lambda text: _spans(_SSN, text)),
            ("phone", self._phones),
        )
        self.begin()

    def begin(self) -> None:
        """Begin another event."""
        self._work_left = EVENT_WORK_MAX
        self._phone_tries_left = PHONE_TRIES_MAX

    def text(self, text: str) -> tuple[str, list[str]]:
        """Return the text with its finds masked, and their kinds; the kind `redact` means that all of it is hidden."""
        if len(text) < SHORTEST:
            return text, []
        folded = _fold(text)
        if folded is None:
            return REDACTED, ["redact"]
        if not _ANYTHING.search(folded):
            return text, []
        if self._work_left < 0:  # what was counted before is too much already
            return REDACTED, ["redact"]
        digits = sum(map(folded.count, "0123456789"))
        self._work_left -= digits * max(1, len(self._regions)) + sum(map(folded.count, BEGINNINGS))
        if digits > TEXT_DIGITS_MAX or self._work_left < 0:
            return REDACTED, ["redact"]
        found: list[str] = []
        masked = folded
        for kind, spans in self._finders:
            masked = _replaced(masked, kind, spans(masked), found)
        if self._phone_tries_left <= 0:
            return REDACTED, ["redact"]
        return (masked, found) if found else (text, found)

    def _phones(self, text: str) -> Spans:
        yield from _spans(_ZEROS, text)
        text = _SLASHES.sub(lambda match: match[0].replace("/", " "), text)
        for region in self._regions:
            if self._phone_tries_left <= 0:
                return
            matcher = PhoneNumberMatcher(text, region, max_tries=self._phone_tries_left)
            for match in matcher:
                yield match.start, match.end
            self._phone_tries_left = matcher._max_tries  # noqa: SLF001 - nothing else tells whether it gave up


def _replaced(text: str, kind: str, spans: Spans, found: list[str]) -> str:
    """The text with these places, which may overlap, replaced by the kind's name."""
    parts: list[str] = []
    done = 0
    begin = end = -1
    for start, stop in [*sorted(spans), (len(text) + 1, len(text) + 1)]:
        if start < end:
            end = max(end, stop)
            continue
        if end >= 0:
            parts += text[done:begin], f"[{kind.upper()}]"
            done = end
            found.append(kind)
        begin, end = start, stop
    return "".join(parts) + text[done:] if parts else text


def _spans(pattern: re.Pattern[str], text: str) -> Spans:
    return (match.span() for match in pattern.finditer(text))


def _ibans(text: str) -> Spans:
    """The longest whose check digits are right: as a word, or in its country's form, since words may follow it."""
    at = 0
    while match := _IBAN.search(text, at):
        start, at, stop = match.start(), match.start() + 1, 0
        country_and_check = int("".join(str(int(char, 36)) for char in text[start : start + 4]))
        chars, rest = 4, 0
        for place in range(start + 4, match.end()):
            if (char := text[place]) in " .-":
                continue
            value = int(char, 36)
            rest = (rest * (100 if value > 9 else 10) + value) % 97
            chars += 1
            if chars >= 15 and (rest * 10**6 + country_and_check) % 97 == 1:  # the shortest, of Norway, has 15
                is_word = not text[place + 1 : place + 2].isalnum()
                if is_word or iban.is_valid(text[start : place + 1], check_country=False):
                    stop = place + 1
        if stop:
            yield start, stop
            at = stop


def _cards(text: str) -> Spans:
    """Groups of digits that are a card's together; what stands beside them, an expiry date say, may be digits too.

    Each group is compared with at most 19 digits behind it, whose Luhn sums are known, so the time grows with the text.
    """
    for run in _DIGITS.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        ends = list(itertools.accumulate(stop - start for start, stop in groups))
        if ends[-1] < _CARD_DIGITS[0]:
            continue
        sums = LuhnSums("".join(text[start:stop] for start, stop in groups))
        for first, (start, stop) in enumerate(groups):
            if not _CARD_PREFIX.match(text, start):
                continue
            begin, longest = ends[first] - (stop - start), -1
            for last in range(first, len(groups)):
                length = ends[last] - begin
                if length > _CARD_DIGITS[-1]:
                    break
                if length in _CARD_DIGITS and sums.is_valid(begin, ends[last]):
                    longest = groups[last][1]
            if longest >= 0:
                yield start, longest


class LuhnSums:
    """Luhn sums of every piece of a row of digits, each in constant time (ISO/IEC 7812-1, annex B)."""

    def __init__(self, digits: str) -> None:
        plain = [int(digit) for digit in digits]
        doubled = [2 * value - 9 * (value > 4) for value in plain]
        # From the last digit of a piece to its first every second one is doubled: which ones depends on where it ends.
        self._sums = [
            [0, *itertools.accumulate(plain[at] if at % 2 == parity else doubled[at] for at in range(len(plain)))]
            for parity in (0, 1)
        ]

    def is_valid(self, begin: int, end: int) -> bool:
        """Return whether the digits from `begin` to before `end` have the check digit of a card."""
        sums = self._sums[(end - 1) % 2]
        return (sums[end] - sums[begin]) % 10 == 0


def _ips(text: str) -> Spans:
    for pattern, colons in ((_IPV4, 0), (_IPV6, 2)):
        for match in pattern.finditer(text):
            stop = match.end() - (match[0].endswith(":") and not match[0].endswith("::"))
            address = text[match.start() : stop]
            if address.count(":") >= colons and address.strip(":"):
                with contextlib.suppress(ValueError):
                    ip_address(address if colons else ".".join(str(int(part)) for part in address.split(".")))
                    yield match.start(), stop
