"""What a rule took away, found again elsewhere in the same event: what is private once is private everywhere."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from stream_router.pipeline.exact_number import ExactNumber
from stream_router.pipeline.masking.actions import GONE, REDACTED, is_mask
from stream_router.pipeline.masking.trace import Trace

MIN_CHARS = 4
"""Shorter values (`1`, `yes`) stand in too many places by chance."""

Replace = Callable[[str], str]

_WRITTEN_OTHERWISE = re.compile(r"%[0-9A-Fa-f]{2}|&#?\w{2,8};")
_APART = r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]"
"""A letter or digit of a script that sets words apart: beside one of these a value is a part of a longer word."""
_EDGE = re.compile(_APART)


def replacer(trace: Trace) -> Replace | None:
    """A function that replaces in a text every secret that stands in what passes; None where none does.

    A secret is replaced by what its rule left of it, as a whole word, in any case. A text in which one stands only
    once percent-encoding or character references are undone is redacted whole.
    """
    joined = _joined(trace.known + trace.unknown if trace.unknown else trace.known)
    if "%" in joined or "&" in joined:
        joined += "\n" + _decoded(joined)
    joined = _folded(joined)
    found: dict[str, Any] = {}
    for text in set(trace.redacted):
        if (same := _folded(text)) in joined and len(same) >= MIN_CHARS:
            found[same] = REDACTED
    secrets: list[tuple[Any, Any]] = []
    for value, left in trace.secrets:
        if type(value) is not str:
            _take_apart(value, left, secrets)
        elif _folded(value) in joined:
            secrets.append((value, left))
    for value, left in secrets:
        same = _folded(str(value))
        if same in joined and len(same) >= MIN_CHARS and not is_mask(value):
            found[same] = left
    if not found:
        return None
    found.pop(REDACTED.lower(), None)
    return _replace({text: left if type(left) is str else REDACTED for text, left in found.items()}) if found else None


def _joined(values: Sequence[Any]) -> str:
    try:
        return "\n".join(values)
    except TypeError:  # one of them is a number
        return "\n".join(map(str, values))


def _folded(text: str) -> str:
    """A text in small letters, accents in one character with their letter, so that it is found however it is written.

    The Turkish i, with and without a dot, and the Greek s at a word's end are those that the search in any case takes
    for i and s, too. `str.lower` makes two characters of the Turkish capital, which nothing would be equal to.
    """
    if text.isascii():
        return text.lower()
    return (
        unicodedata.normalize("NFC", text)
        .replace("\u0130", "i")
        .lower()
        .replace("\u0131", "i")
        .replace("\u03c2", "\u03c3")
    )


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _take_apart(value: Any, left: Any, inside: list[tuple[Any, Any]]) -> None:
    """Add the texts and numbers that a secret holds; of an object or an array each by itself."""
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is ExactNumber:
        inside.append((value, left))
    elif kind is dict:
        for item in value.values():
            _take_apart(item, GONE, inside)
    elif kind is list:
        for item in value:
            _take_apart(item, GONE, inside)


def _replace(found: dict[str, str]) -> Replace:
    longest_first = sorted(found, key=len, reverse=True)
    any_of_them = re.compile("|".join(map(_as_word, longest_first)), re.IGNORECASE)

    def instead(match: re.Match[str]) -> str:
        return found.get(_folded(match[0]), REDACTED)

    def replace(text: str) -> str:
        composed = _composed(text)
        replaced = any_of_them.sub(instead, composed)
        if _WRITTEN_OTHERWISE.search(replaced) and any_of_them.search(_composed(_decoded(replaced))):
            return REDACTED
        return text if replaced == composed else replaced

    return replace


def _as_word(secret: str) -> str:
    before = rf"(?<!{_APART})" if _EDGE.match(secret[0]) else ""
    after = rf"(?!{_APART})" if _EDGE.match(secret[-1]) else ""
    return before + re.escape(secret) + after


def _decoded(text: str) -> str:
    return html.unescape(unquote(text))


def all_texts(value: Any) -> Iterator[str]:
    """Every text in an object or an array, at any depth."""
    if type(value) is str:
        yield value
    elif type(value) is dict or type(value) is list:
        for item in value.values() if type(value) is dict else value:
            yield from all_texts(item)
