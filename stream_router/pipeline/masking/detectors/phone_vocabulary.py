"""The vocabulary of phones by language (phone_vocabulary.toml), ready to be asked."""

import re
import tomllib
from pathlib import Path

_TABLES: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "phone_vocabulary.toml").read_text("utf-8"))


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
        self._stems = frozenset(word[:-1] for word in found if word.endswith("*"))
        self._lengths = sorted({len(stem) for stem in self._stems})

    def __contains__(self, word: str) -> bool:
        stems = self._stems
        return word in self._words or any(word[:length] in stems for length in self._lengths)


SAYING, PLACED, OTHER = Vocabulary("said"), Vocabulary("placed"), Vocabulary("other")
SAYING_INSIDE, OTHER_INSIDE = _parts("said_inside"), _parts("other_inside")
NUMBER, OWN, AT_NUMBER = (frozenset(_TABLES["number"][name].split()) for name in ("nouns", "owners", "places"))
