"""The forms in which one text is written: in capitals or not, with accents apart, in a URL, in HTML, in JSON."""

import html
import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from urllib.parse import unquote

_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|&#?\w{2,8};|\\[\"\\/nrtu]|\w\+\w")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/nrt]))')
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_DECODINGS_MAX = 2
"""A text that stands encoded in an encoded one is as deep as was met."""


_MAY_BE_MARKS = re.compile(r"[^\w\x00-\x7f]{32,}")
"""Marks over a letter, more of them than any writing has: no letter or digit is one."""


def composed(text: str) -> str:
    """A text with accents in one character with their letter; the i that programs make of the Turkish \u0130 is i."""
    if text.isascii():
        return text
    if _MAY_BE_MARKS.search(text):
        text = _MAY_BE_MARKS.sub(_in_order, text)
    return unicodedata.normalize("NFC", text).replace("i\u0307", "i")


def _in_order(run: re.Match[str]) -> str:
    """Marks in the order that normalizing gives them: its own sorting takes time by the square of their number."""
    apart = (one for char in run[0] for one in unicodedata.normalize("NFD", char))
    groups = groupby(apart, lambda char: unicodedata.combining(char) > 0)
    return "".join("".join(sorted(some, key=unicodedata.combining) if marks else some) for marks, some in groups)


def folded(text: str) -> str:
    """A text in small letters, accents composed, so that it is found however it is written.

    The Turkish i, with and without a dot, is i. As in capitals, the German sharp s is two s, and the Greek s has one
    form. A space that does not break is a space.
    """
    if text.isascii():
        return text.lower()
    small = composed(text).replace("\u0130", "i").casefold().replace("\u0131", "i")
    return small.replace("\u00a0", " ").replace("\u202f", " ").replace("\u3000", " ")


def places(text: str, in_small: str) -> Sequence[int]:
    """Where in a composed text each character of `in_small`, its folded form, stands, and where the text ends."""
    if len(in_small) == len(text):
        return range(len(text) + 1)
    return [at for at, char in enumerate(text) for _ in folded(char)] + [len(text)]


def is_encoded(text: str) -> bool:
    """Whether `decoded` may give something else than the text."""
    return _ENCODED.search(text) is not None


def decoded(text: str) -> str:
    """What a text says once percent-encoding, character references and JSON's escapes are undone.

    Where it has a plus, which is a space in a URL's query, it is given twice: once with each.
    """
    with_spaces = f"\n{_decoded(text.replace('+', ' '))}" if "+" in text else ""
    return _decoded(text) + with_spaces


def _decoded(text: str) -> str:
    for _ in range(_DECODINGS_MAX):
        before = text
        if "\\" in text:
            text = _ESCAPE.sub(_unescaped, text)
        text = html.unescape(unquote(text))
        if text == before:
            break
    return text


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2])
