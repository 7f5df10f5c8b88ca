"""Finds e-mail addresses, phone numbers, cards, IBANs, US social security numbers and IP addresses in free text.

Each detector is a function from a text to the spans found, in order, without overlap, in time linear in the text.
They are patterns with checks (Luhn, mod 97), no language model: tests/data/detectors.txt measures how well they do.
They get folded texts, which have no digits but ASCII's: patterns that look through a text begin with `[0-9]`, since any
other digit is looked for at half the pace.
"""

import re
from collections.abc import Callable, Sequence

from stream_router.pipeline.masking.detectors.cards import cards
from stream_router.pipeline.masking.detectors.folding import DIGITS, Folded, fold
from stream_router.pipeline.masking.detectors.ibans import ibans
from stream_router.pipeline.masking.detectors.ips import ips
from stream_router.pipeline.masking.detectors.phones.regions import phones_of
from stream_router.pipeline.masking.detectors.spans import APART, UNSPACED_SCRIPTS, Span, widened

Detector = Callable[[str], list[Span]]

_ROUNDS_MAX = 8
"""A replaced find can uncover another (its neighbour was too close); more rounds than this were never seen."""

_ROUNDS_EXACT = 4
"""From then on a find takes with it the row of numbers in which it lies: one that hides the next would have no end."""

_REGIONS_FEW = 8
"""For so many regions a number is looked at in the time that the words around it take."""

_NEEDED = re.compile(rf"[0-9@\uff20&{DIGITS}]")
"""Nothing is found without a digit or an at sign; a character reference may stand for one."""

DIGITS_MIN = {"card": 12, "ssn": 9, "phone": 6}
"""A text with fewer digits has none of these: most have too few for a card, which costs less to see than to search."""

_BESIDE_DIGITS = re.compile("[^0-9]+")

_ROW = re.compile(r"\d(?:[\s.,:;/|+()_-]*\d)*")

_LOCAL_CHARS = 64
_LOCAL = re.compile(r"\w[\w.+%'&/=~!#$*^-]{0,63}$")
_GLUED_BEFORE = re.compile(
    rf".*[{UNSPACED_SCRIPTS}\u0590-\u06ff](?=[^{UNSPACED_SCRIPTS}\u0590-\u06ff]*[A-Za-z])", re.DOTALL
)
"""Words of a script that sets none apart, glued to a local part in Latin letters."""

_DOMAIN = re.compile(
    r"@(?:\w(?:[\w-]{0,61}\w)?\.){1,8}(?P<top>xn--[a-z0-9-]{2,59}|[a-z]{2,24}|[^\W\d_]{2,24})"
    rf"(?!{APART}|\.[^\W_])",
    re.IGNORECASE,
)
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "mp3", "mp4", "pdf"})

_DASHES = "-\u2010\u2011\u2012\u2013\u2014"
_SSN = re.compile(
    rf"[0-9](?<!\d.)(?:(?<!{APART}.)(?<![{_DASHES}_].)|(?<=[Ss][Ss][Nn].)|(?<=[Ss][Ss][Nn]_.))\d\d(?<!000|666)(?<!9..)"
    rf"(?P<between>\s{{0,2}}[{_DASHES}./]?\s{{0,2}})(?!00)\d{{2}}(?P=between)(?!0000)\d{{4}}(?!{APART}|_|[{_DASHES}]\d)"
)
"""What must stand before it is looked at behind its first digit, since a pattern that begins with one is faster."""

_SURELY_BETWEEN = frozenset(_DASHES)
_SSN_BEFORE = re.compile(
    r"\b(?:s\. ?s\. ?n\b|(?:ssn|social|soc\.? ?sec|ss number)(?:\b|_)|ss#)[^\n]{0,30}$|ssn_?$|ss#[^\n]{0,10}$",
    re.IGNORECASE,
)
_BEFORE_CHARS = 48


def emails(text: str) -> list[Span]:
    """Addresses with a domain of two labels or more; no file names such as `icon@2x.png`."""
    spans: list[Span] = []
    end, at = 0, text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at)
        if domain is not None and domain["top"].lower() not in _FILE_ENDINGS:
            start = max(end, at - _LOCAL_CHARS)
            local = _LOCAL.search(text[start:at])
            if local is not None:
                end = domain.end()
                glued = None if local[0].isascii() else _GLUED_BEFORE.match(local[0])
                spans.append((start + local.start() + (glued.end() if glued else 0), end))
        at = text.find("@", at + 1)
    return spans


def ssns(text: str) -> list[Span]:
    """US social security numbers: with hyphens anywhere, in another or no grouping where the text says what it is."""
    return [
        found.span()
        for found in _SSN.finditer(text)
        if found["between"] in _SURELY_BETWEEN
        or _SSN_BEFORE.search(text[max(0, found.start() - _BEFORE_CHARS) : found.start()])
    ]


DETECTORS: dict[str, Detector] = {
    "iban": ibans,
    "card": cards,
    "email": emails,
    "ip": ips,
    "ssn": ssns,
    "phone": phones_of(()),
}
"""By name, in the order in which they run: what is sure first.

A new one has to widen `prefilter.suspicious` too: fields that no rule names are searched only where that says so.
"""


class Finder:
    """Callable: replaces in a text what detectors find (`[EMAIL]` …) and says so.

    What it gives back holds nothing that it would find again. Raises RuntimeError where that cannot be reached.
    `weight` says what a digit costs beside one that is looked at for few regions: 0 where none is looked at.
    """

    def __init__(self, names: Sequence[str], regions: Sequence[str]) -> None:
        detectors = DETECTORS | {"phone": phones_of(regions)} if regions else DETECTORS
        self._chosen = [
            (f"detect.{name}", f"[{name.upper()}]", DIGITS_MIN.get(name, 0), detectors[name])
            for name in DETECTORS
            if name in names
        ]
        self.weight = 0 if set(names) == {"email"} else 1 + len(regions) // _REGIONS_FEW

    def __call__(self, text: str, hits: list[str]) -> str:
        for number in range(_ROUNDS_MAX):
            if not _NEEDED.search(text):
                return text
            before, folded = text, fold(text)
            digits = len(_BESIDE_DIGITS.sub("", folded.text))
            for name, placeholder, digits_min, detector in self._chosen:
                spans = detector(folded.text) if digits >= digits_min else ()
                if spans:
                    hits += [name] * len(spans)
                    seen, spans = spans, folded.original(spans)
                    if number >= _ROUNDS_EXACT:
                        seen = spans = widened(spans, [row.span() for row in _ROW.finditer(text)])
                    text = replaced(text, spans, placeholder)
                    # Where nothing was folded, both texts have the same places; else folding begins anew.
                    same = folded.as_it_was and number < _ROUNDS_EXACT
                    folded = Folded(replaced(folded.text, seen, placeholder)) if same else fold(text)
            if text is before:
                return text
        raise RuntimeError("the text keeps yielding finds")


def finder(names: Sequence[str], regions: Sequence[str] = ()) -> Finder:
    """The search by these detectors.

    `regions` are the countries (ISO 3166, as `DE`) whose national phone numbers are expected.
    """
    return Finder(names, regions)


def replaced(text: str, spans: Sequence[Span], placeholder: str) -> str:
    """The text with each span (in order, no overlap) replaced."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], placeholder]
        at = end
    return "".join([*parts, text[at:]])
