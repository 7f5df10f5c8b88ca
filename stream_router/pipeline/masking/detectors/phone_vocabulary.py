"""The vocabulary of phones by language (phone_vocabulary.toml), ready to be asked."""

import re
import tomllib
from pathlib import Path

_TABLES: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "phone_vocabulary.toml").read_text("utf-8"))


_HEAD_CHARS = 3
"""Most words begin like no entry, which one look at their first letters tells."""


def entries(table: str) -> set[str]:
    """The words and beginnings of words of a table, all languages together."""
    return {word for words in _TABLES[table].values() for word in words.split()}


def _parts(table: str) -> re.Pattern[str]:
    """Parts of words; an underscore is a space."""
    return re.compile("|".join(part.replace("_", " ") for part in sorted(entries(table), key=len, reverse=True)))


class Vocabulary:
    """Words and beginnings of words; `in` is asked of a word in small letters."""

    def __init__(self, table: str) -> None:
        found = entries(table)
        self._words = frozenset(word for word in found if not word.endswith("*"))
        stems = sorted(word[:-1] for word in found if word.endswith("*"))
        self._short = tuple(stem for stem in stems if len(stem) < _HEAD_CHARS)
        heads = {stem[:_HEAD_CHARS] for stem in stems}
        self._by_head = {head: (*self._short, *(stem for stem in stems if stem.startswith(head))) for head in heads}

    def __contains__(self, word: str) -> bool:
        return word in self._words or word.startswith(self._by_head.get(word[:_HEAD_CHARS], self._short))


SAYING, PLACED, OTHER = Vocabulary("said"), Vocabulary("placed"), Vocabulary("other")
SAYING_INSIDE, OTHER_INSIDE = _parts("said_inside"), _parts("other_inside")
NUMBER, OWN, AT_NUMBER = (frozenset(_TABLES["number"][name].split()) for name in ("nouns", "owners", "places"))
