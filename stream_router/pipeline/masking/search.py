"""Finds addresses and numbers in a text: e-mail, IBAN, card, IP, US social security, phone.

It takes too much rather than too little, and knows no names, no postal addresses, no number that is written in words.
Before the search the text is folded: full-width characters, digits of other scripts, dashes and spaces become the plain
ones, and what is invisible goes. Where something is found, the folded text is what is left of it.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from phonenumbers import PhoneNumberMatcher
from stdnum import iban, luhn

from stream_router.pipeline.masking.actions import REDACTED

DIGITS_MAX = 100_000
"""Digits of one event that are searched, each as often as there are regions: what is around a number is read too, some
microseconds for each digit, and an event must be done in seconds. A text with more is hidden whole."""

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
    """The text in plain characters; None where it has more marks over a letter than can be put in order."""
    if text.isascii():
        return text
    text = text.translate(_FOLDED)
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MARKS_MAX:
            return None
    return unicodedata.normalize("NFKC", text).translate(_FOLDED)


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
        self._digits_left = DIGITS_MAX

    def begin(self) -> None:
        """Another event begins."""
        self._digits_left = DIGITS_MAX

    def text(self, text: str) -> tuple[str, list[str]]:
        """The text, with what is found masked, and the kinds of what was found (`redact`: all of it is hidden)."""
        folded = _fold(text)
        if folded is None:
            return REDACTED, ["redact"]
        digits = sum(map(folded.count, "0123456789"))
        if digits:
            self._digits_left -= digits * max(1, len(self._regions))
            if self._digits_left < 0:
                return REDACTED, ["redact"]
        if not digits and "@" not in folded and "::" not in folded:
            return text, []
        found: list[str] = []
        masked = folded
        for kind, spans in self._finders:
            masked = _replaced(masked, kind, spans(masked), found)
        return (masked, found) if found else (text, found)

    def _phones(self, text: str) -> Spans:
        yield from _spans(_ZEROS, text)
        text = _SLASHES.sub(lambda match: match[0].replace("/", " "), text)
        for region in self._regions:
            for match in PhoneNumberMatcher(text, region, max_tries=len(text)):
                yield match.start, match.end


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
    """Groups of digits that are a card's together; what stands beside them, an expiry date say, may be digits too."""
    for run in _DIGITS.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        for first, (start, _) in enumerate(groups):
            digits, longest = "", -1
            if not _CARD_PREFIX.match(text, start):
                continue
            for begin, stop in groups[first:]:
                digits += text[begin:stop]
                if len(digits) > _CARD_DIGITS[-1]:
                    break
                if len(digits) in _CARD_DIGITS and luhn.is_valid(digits):
                    longest = stop
            if longest >= 0:
                yield start, longest


def _ips(text: str) -> Spans:
    for pattern, colons in ((_IPV4, 0), (_IPV6, 2)):
        for match in pattern.finditer(text):
            stop = match.end() - (match[0].endswith(":") and not match[0].endswith("::"))
            address = text[match.start() : stop]
            if address.count(":") >= colons and address.strip(":"):
                with contextlib.suppress(ValueError):
                    ip_address(address if colons else ".".join(str(int(part)) for part in address.split(".")))
                    yield match.start(), stop
