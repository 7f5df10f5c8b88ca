"""In which languages a text may be, and whose national phone numbers its speakers write (languages.toml)."""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

_TABLES: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "languages.toml").read_text("utf-8"))

_LETTER_SHARE = 0.6
"""What a letter counts beside a word of the language: names have letters of other languages."""

_LIKELY_SHARE = 0.7
"""A language with at least this share of the likeliest one's score may be meant too: some share most of their words."""

_LANGUAGES_MAX = 3


def _languages_by_part(parts_of: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for language, parts in parts_of.items():
        for part in parts:
            found[part].append(language)
    return dict(found)


_BY_WORD = _languages_by_part({language: words.split() for language, words in _TABLES["words"].items()})
_BY_LETTER = _languages_by_part(_TABLES["letters"])
_REGIONS = {language: tuple(regions.split()) for language, regions in _TABLES["regions"].items()}

_REGIONS_BY_WORD = {
    word: frozenset(region for language in known for region in _REGIONS[language]) for word, known in _BY_WORD.items()
}

COUNTING = frozenset(_TABLES["counting"]["all"].split())
"""Such words of theirs as stand before what is counted: `we have 20000000 screws`."""


def languages(words: Sequence[str], least: float, also_of: Callable[[str], Collection[str]] | None = None) -> list[str]:
    """The languages in which words (small letters) may stand, the likeliest first; those with a score of `least` only.

    Each word that a sentence of a language can hardly be without scores 1 for it, once; so does one of which `also_of`
    knows the languages.
    """
    score = defaultdict[str, float](float)
    for word in dict.fromkeys(words):
        known: Collection[str] = _BY_WORD.get(word, ())
        for language in known or (also_of(word) if also_of else ()):
            score[language] += 1
        if not word.isascii():
            for language in dict.fromkeys(one for letter in word for one in _BY_LETTER.get(letter, ())):
                score[language] += _LETTER_SHARE
    enough = max(least, _LIKELY_SHARE * max(score.values(), default=0))
    return sorted((one for one in score if score[one] >= enough), key=lambda one: -score[one])[:_LANGUAGES_MAX]


def is_word_of(word: str, among: Sequence[str] = tuple(_REGIONS)) -> bool:
    """Whether a word is one that a sentence of one of these languages (all, if none is named) can hardly be without."""
    return any(language in among for language in _BY_WORD.get(word, ()))


def may_be_of(words: Iterable[str], regions: frozenset[str]) -> bool:
    """Whether one of the words is of a language of one of the regions; in one loop, since most texts are asked."""
    for word in words:
        known = _REGIONS_BY_WORD.get(word)
        if known is not None and not known.isdisjoint(regions):
            return True
    return False


def regions_of(among: Sequence[str]) -> list[str]:
    """The regions (ISO 3166) in which these languages are spoken, each once."""
    return list(dict.fromkeys(region for language in among for region in _REGIONS[language]))


def regions_spoken() -> list[str]:
    """The regions of every language that is known here."""
    return regions_of(list(_REGIONS))
