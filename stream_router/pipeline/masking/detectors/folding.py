"""Texts as they are meant: digits, spaces and signs of other scripts and encodings folded to plain ones before looking.

What is found in the folded text is mapped back onto the text itself, so nothing else of it changes.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from urllib.parse import unquote

from stream_router.pipeline.masking.detectors.spans import Span

UNSEEN = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0f\ufeff"
"""Characters without a width: soft hyphen, zero-width space and joiners, marks of direction."""

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
_FULL_WIDTH = "\uff01-\uff5e"
_FULL_WIDTH_BY = 0xFEE0

_WRAPPED = r"(?<=[\d-])[ \t]*\r?\n[ \t>]{0,8}(?=\d[\d ()-]{1,16}(?![\d./:,-]*\d))"
"""A line break inside a number, where what follows on the next line is no date, time or amount."""

_PLUS = r"(?<=\d)(?<!\d{6})\+(?=\d{1,8}(?!\d| ?\(| \d))|(?<=\d)\+(?=%28\d)|(?<=\d%29)\+(?=\d)"
"""A plus between groups of digits, as a URL has it for a space; also beside a group in parentheses."""

_JSON = r"\\{1,4}u00[2-7][0-9A-Fa-f]"
"""A sign of ASCII as JSON may write it, in a text that holds JSON: some libraries write each plus so."""

_REFERENCE = r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
_PERCENT = r"(?:%(?:25)?[0-9A-Fa-f]{2})+"
"""Percent-encoding, also of what was percent-encoded before: a URL within a URL."""

_IN_ASCII = f"{_JSON}|{_REFERENCE}|{_PERCENT}|{_PLUS}|{_WRAPPED}"
_ODD_IN_ASCII = re.compile(_IN_ASCII)
_ZEROS = (
    *(0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20),
    *(0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0),
    *(0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10),
)
"""The digit 0 of other scripts; nine more follow each."""

_BEYOND = r"\U000104a0-\U0001e959\U0001fbf0-\U0001fbf9"
"""Where the scripts lie of which digits are folded too: that is found faster than each of them, and has no emoji."""

DIGITS = "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in _ZEROS) + _BEYOND
"""Other digits than ASCII's, as a character class has them, with letters of rare scripts. A folded text has none."""

_ODD_CHARACTERS = f"{DIGITS}{UNSEEN}{_SPACES}{_DASHES}{_FULL_WIDTH}"
_ODD = re.compile(rf"{_IN_ASCII}|[{_ODD_CHARACTERS}]+")
_ODD_CHARACTER = re.compile(f"[{_ODD_CHARACTERS}]")
_PLUS_HINT = re.compile(r"\d\+\d")
_UNSEEN_ONE = re.compile(f"[{UNSEEN}]")
_SPACE_ONE = re.compile(f"[{_SPACES}]")
_DASH_ONE = re.compile(f"[{_DASHES}]")
_OPEN_NUMBER = re.compile(r"(?:\+|00)[1-9][\d ()./-]{0,20}$")
_OPEN_DIGITS_MAX = 11
"""So many digits of a number in international form may stand before the line break; more are a whole number."""

_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{32,})"
    r"(?![0-9A-Za-z])"
)
_INSIDE_AN_ID = re.compile(r"-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-|[0-9A-Fa-f]{32}")
_HEX_CHARS = 32
"""The shorter of the two; most texts have no word so long, which costs less to see than to search them."""


class Folded:
    """A text folded, and the way back: `text` is what to look at, `original` gives a span of it in the text itself."""

    __slots__ = ("_marks", "text")

    def __init__(self, text: str, marks: Sequence[tuple[int, int, int, int]] = ()) -> None:
        self.text = text
        self._marks = marks

    @property
    def as_it_was(self) -> bool:
        """Whether every character stands where it stood."""
        return not self._marks

    def original(self, spans: list[Span]) -> list[Span]:
        """The spans as they stand in the text that was folded."""
        if not self._marks:
            return spans
        return [(self._at(start)[0], self._at(end - 1)[1]) for start, end in spans]

    def _at(self, place: int) -> Span:
        """Where the character at a place of the folded text begins and ends in the text itself."""
        number = bisect_right(self._marks, place, key=itemgetter(0)) - 1
        if number < 0:
            return place, place + 1
        begin, folded_end, start, end = self._marks[number]
        if place < folded_end:
            one_for_one = folded_end - begin == end - start
            return (start + place - begin, start + place - begin + 1) if one_for_one else (start, end)
        return end + place - folded_end, end + place - folded_end + 1


def fold(text: str) -> Folded:
    """`text` folded. Ids that are UUIDs or 32 hex digits and more are blanked out: they are that before all else."""
    if not _may_hold_odd(text):
        return Folded(_without_ids(text))
    odd = _ODD_IN_ASCII if text.isascii() else _ODD
    parts, marks, at, length = [], list[tuple[int, int, int, int]](), 0, 0
    for found in odd.finditer(text):
        plain = _plain(text, found)
        if plain == found[0]:
            continue
        start, end = found.span()
        parts += [text[at:start], plain]
        length += start - at
        marks.append((length, length + len(plain), start, end))
        length += len(plain)
        at = end
    if not marks:
        return Folded(_without_ids(text))
    return Folded(_without_ids("".join([*parts, text[at:]])), marks)


def _may_hold_odd(text: str) -> bool:
    """Whether something may have to be folded: a cheap first look."""
    if "&" in text or "%" in text or "\n" in text or "\\u00" in text or ("+" in text and _PLUS_HINT.search(text)):
        return True
    return not text.isascii() and _ODD_CHARACTER.search(text) is not None


def _plain(text: str, found: re.Match[str]) -> str:
    """What an odd piece of a text stands for."""
    piece = found[0]
    first = piece[0]
    if first == "&":
        return _characters(html.unescape(piece))
    if first == "%":
        return _characters(_unquoted(piece) or piece)
    if first == "\\":
        return chr(int(piece[-2:], 16))
    if piece == "+":
        return " "
    if "\n" in piece:
        open_number = _OPEN_NUMBER.search(text, max(0, found.start() - 24), found.start())
        return " " if open_number and sum(map(str.isdecimal, open_number[0])) <= _OPEN_DIGITS_MAX else piece
    return _characters(piece)


def _unquoted(piece: str) -> str | None:
    """What stands percent-encoded, once or twice: None where it is no UTF-8."""
    try:
        return unquote(unquote(piece, errors="strict"), errors="strict")
    except UnicodeDecodeError:
        return None


def _characters(piece: str) -> str:
    """Each character by its plain form."""
    return "".join(_character(char) for char in piece)


def _character(char: str) -> str:
    if char.isascii():
        return char
    if "\uff01" <= char <= "\uff5e":
        return chr(ord(char) - _FULL_WIDTH_BY)
    if _UNSEEN_ONE.match(char):
        return ""
    if _SPACE_ONE.match(char):
        return " "
    if _DASH_ONE.match(char):
        return "-"
    return str(unicodedata.decimal(char, char))


def ids_in(text: str) -> list[Span]:
    """Where UUIDs and runs of 32 hex digits and more stand."""
    return [found.span() for found in _ID.finditer(text)] if _may_hold_an_id(text) else []


def _without_ids(text: str) -> str:
    return _ID.sub(lambda found: "x" * len(found[0]), text) if _may_hold_an_id(text) else text


def _may_hold_an_id(text: str) -> bool:
    return max(map(len, text.split()), default=0) >= _HEX_CHARS and _INSIDE_AN_ID.search(text) is not None
