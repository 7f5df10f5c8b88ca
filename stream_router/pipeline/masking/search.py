"""Search for addresses and numbers in a text: e-mail, IBAN, card, IP, US social security, phone.

It masks too much rather than too little. It does not find names, postal addresses, or numbers written in words. Before
the search the text is folded: full-width characters, digits of other scripts, dashes and spaces become plain, and
invisible characters are removed. If anything is found, the result is the folded text.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import accumulate

from phonenumbers import PhoneNumberMatcher
from stdnum import iban

from stream_router.pipeline.masking.actions import REDACTED

MAX_DIGITS = 4_000
"""Maximum number of digits of a text that is searched, since a search reads on around each digit.

No text that people write has more. A text with more is redacted whole.
"""

MAX_SIGNS = 40_000
"""Maximum number of digits, `@`, `:` and opening brackets of one event that are searched, times the regions.

At each of them a match may begin, which takes up to 5 µs of CPU. One event may take 0.5 s in all.
"""

MAX_TRIES = 2_000
"""Maximum number of candidates of one event that a library checks, in all regions, at about 50 µs of CPU each.

A digit between hyphens is up to four candidates, so a limit on digits alone is too weak.
"""

_TRIES_PER_PHONE = 4
"""Number of failing candidates that take as long as one phone number that is found."""

_MAX_MARKS = 30
"""Maximum number of marks over one letter. No script has more, and the standard library sorts them quadratically."""

_GROWING = re.compile("[\u3300-\u3357\u33ae\u33af\ufdfa\ufdfb]")
_MAX_GROWING_CHARS = 1_000
"""Maximum number of characters that become 5 to 18 plain characters: a megabyte of them would become six."""

_END = r"\s<>()\[\]{}\",;"
_EMAIL = re.compile(rf"(?<![^@{_END}])[^@{_END}]++@[^{_END}]*[^{_END}.:!?]")
"""Pattern of an e-mail address: text without a blank on both sides of an `@`. Its cost is linear."""

_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:[ .-]?[A-Za-z0-9]){11,30}")

_DIGITS = re.compile(r"\d(?:[ ./_-]{0,3}\d)*+")
_GROUP = re.compile(r"\d+")
_CARD_DIGITS = range(12, 20)
_CARD_PREFIX = re.compile(r"4|5|2[2-7]|3[04-9]|6|81|0604|1800|2131")
"""Prefixes of cards of Visa, Mastercard, Maestro, American Express, Diners, JCB, Discover, UnionPay, RuPay and Mir."""

_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![0-9A-Za-z_])"
)

_SSN = re.compile(r"(?<!\d)(?!000|666|9)\d{3}([ .-])(?!00)\d{2}\1(?!0000)\d{4}(?!\d)")

_REST = r"(?:[ ./()-]{0,3}\d){7,}"
_PLUS, _ZEROS = re.compile(r"\+" + _REST), re.compile(r"(?<!\d)00(?=[ ./()-]?[1-9])" + _REST)
"""Patterns of phone numbers in international form, valid or not, with all digits that follow them."""

_SLASHES = re.compile(r"(?<!\d)\d{2,4}(?:/\d{2,4}){3,}(?!\d)")
"""Pattern of digits with more slashes than a date has: libphonenumber ignores a text in which it sees a date."""

_NEAR_DIGITS = re.compile(r"\d(?:\D{0,40}+\d)*+")
_CONTEXT_CHARS = 16
"""Number of characters beside the digits that libphonenumber gets, since it takes up to 1 µs a character.

A phone number with its extension has at most 40 other characters between two digits, and fewer than 16 before the first
digit and behind the last.
"""

Spans = Iterator[tuple[int, int]]
"""Places in a text: beginning and end of each."""


class _Folded(dict[int, str | int | None]):
    """Table for `str.translate` that computes the replacement of each character only once."""

    def __missing__(self, code: int) -> str | int | None:
        char = chr(code)
        category = unicodedata.category(char)
        plain: str | int | None = code
        # Unicode's categories: Cf is invisible, Nd is a digit, Pd is a dash, Zs is a space.
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
    """Return the text in plain characters, or None if that costs too much.

    The cost is too high if a letter has too many marks, or if too many characters become several.
    """
    if text.isascii():
        return text
    if len(_GROWING.findall(text)) > _MAX_GROWING_CHARS:
        return None
    text = text.translate(_FOLDED)
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MAX_MARKS:
            return None
    return unicodedata.normalize("NFKC", text).translate(_FOLDED)


class _Matcher(PhoneNumberMatcher):
    """Matcher of phone numbers that shows its remaining number of candidates."""

    @property
    def tries_left(self) -> int:
        """Number of further candidates that it would try; 0 if it gave the text up."""
        return int(self._max_tries)


class TextSearch:
    """Search through the texts of events, one event after the other.

    `regions` are the countries whose phone numbers are also found in their national form, without the country's code.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)
        # The order matters: a card may contain two zeros, and an international number may have the digits of a card.
        self._finders = (
            ("email", lambda text: _find_spans(_EMAIL, text)),
            ("iban", self._find_ibans),
            ("phone", lambda text: _find_spans(_PLUS, text)),
            ("card", _find_cards),
            ("ip", _find_ips),
            ("ssn", lambda text: _find_spans(_SSN, text)),
            ("phone", self._find_phones),
        )
        self.begin()

    def begin(self) -> None:
        """Begin another event, with the full limits of an event."""
        self._signs_left = MAX_SIGNS
        self._tries_left = MAX_TRIES

    def text(self, text: str) -> tuple[str, list[str]]:
        """Return the text with all matches masked, and the kinds of the matches.

        The whole text is redacted, with the kind `redact`, if it cannot be folded, if it has more than MAX_DIGITS
        digits, or if the event has exceeded MAX_SIGNS or MAX_TRIES.
        """
        folded = _fold(text)
        if folded is None:
            return REDACTED, ["redact"]
        digits = sum(map(folded.count, "0123456789"))
        if not digits and "@" not in folded and "::" not in folded:
            return text, []
        signs = (digits + sum(map(folded.count, "@:(["))) * max(1, len(self._regions))
        if digits > MAX_DIGITS or signs > self._signs_left or self._tries_left <= 0:
            return REDACTED, ["redact"]
        self._signs_left -= signs
        kinds: list[str] = []
        masked = folded
        for kind, spans in self._finders:
            masked = _replace_spans(masked, kind, spans(masked), kinds)
        if self._tries_left <= 0:  # candidates that were not checked may be private
            return REDACTED, ["redact"]
        return (masked, kinds) if kinds else (text, kinds)

    def _find_phones(self, text: str) -> Spans:
        """Find international numbers, and the numbers that libphonenumber accepts in one of the regions.

        libphonenumber sees only the texts around digits, since it reads each candidate many times. The tries that it
        used, and those of a found number, count against the event's limit.
        """
        yield from _find_spans(_ZEROS, text)
        text = _SLASHES.sub(lambda match: match[0].replace("/", " "), text)
        for near in _NEAR_DIGITS.finditer(text):
            begin = max(0, near.start() - _CONTEXT_CHARS)
            part = text[begin : near.end() + _CONTEXT_CHARS]
            for region in self._regions:
                matcher = _Matcher(part, region, max_tries=max(0, self._tries_left))
                tries_before = self._tries_left
                phones = 0
                for match in matcher:
                    yield begin + match.start, begin + match.end
                    phones += 1
                self._tries_left = min(tries_before, matcher.tries_left) - phones * _TRIES_PER_PHONE

    def _find_ibans(self, text: str) -> Spans:
        """Find the longest IBANs with correct check digits: whole words, or texts in their country's form."""
        # The check of ISO 7064: the first four characters go to the end, a letter is a number of two digits, and the
        # remainder by 97 is 1. `rest` is the remainder of the characters behind the first four.
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
                    if is_word or self._is_iban(text[start : place + 1]):
                        stop = place + 1
            if stop:
                yield start, stop
                at = stop

    def _is_iban(self, text: str) -> bool:
        """Return whether a text with correct check digits has its country's form. It counts as a try."""
        self._tries_left -= 1
        return self._tries_left >= 0 and iban.is_valid(text, check_country=False)


def _replace_spans(text: str, kind: str, spans: Spans, kinds: list[str]) -> str:
    """Return the text with these places, which may overlap, replaced by the kind's name."""
    # Overlapping places are joined to one, from `begin` to `end`, which is written when a later place begins behind it.
    # The last place lies behind the text, so that the place before it is written too.
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
            kinds.append(kind)
        begin, end = start, stop
    return "".join(parts) + text[done:] if parts else text


def _find_spans(pattern: re.Pattern[str], text: str) -> Spans:
    return (match.span() for match in pattern.finditer(text))


def _find_cards(text: str) -> Spans:
    """Find groups of digits that together are a card number. Other digits, as of an expiry date, may be beside them."""
    for run in _DIGITS.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        digits = "".join([text[begin:stop] for begin, stop in groups])
        if len(digits) < _CARD_DIGITS[0]:
            continue
        # A number may begin and end with any group. From each beginning the longest with a valid check digit is taken.
        sums = _luhn_sums(digits)
        ends = [*accumulate(stop - begin for begin, stop in groups)]
        place = 0
        for first, (start, _) in enumerate(groups):
            if _CARD_PREFIX.match(text, start):
                longest = -1
                for last in range(first, len(groups)):
                    end = ends[last]
                    if end - place > _CARD_DIGITS[-1]:
                        break
                    sum_to = sums[end & 1]
                    if end - place in _CARD_DIGITS and (sum_to[end] - sum_to[place]) % 10 == 0:
                        longest = groups[last][1]
                if longest >= 0:
                    yield start, longest
            place = ends[first]


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Return the running sums of Luhn's check, for numbers that end before an even and before an odd place.

    The check doubles every second digit, from the last but one on, so its sum is a difference of two running sums.
    """
    plain = [*map(int, digits)]
    doubled = [digit * 2 if digit <= 4 else digit * 2 - 9 for digit in plain]
    even, odd = doubled.copy(), plain.copy()
    even[1::2], odd[1::2] = plain[1::2], doubled[1::2]
    return [0, *accumulate(even)], [0, *accumulate(odd)]


def _find_ips(text: str) -> Spans:
    """Find IPv4 and IPv6 addresses. The numbers of an IPv4 address may have leading zeros."""
    for pattern, colons in ((_IPV4, 0), (_IPV6, 2)):
        for match in pattern.finditer(text):
            # One colon at the end belongs to the sentence, so it is left out; two belong to the address.
            stop = match.end() - (match[0].endswith(":") and not match[0].endswith("::"))
            address = text[match.start() : stop]
            if address.count(":") >= colons and address.strip(":"):
                with contextlib.suppress(ValueError):
                    ip_address(address if colons else ".".join(str(int(part)) for part in address.split(".")))
                    yield match.start(), stop
