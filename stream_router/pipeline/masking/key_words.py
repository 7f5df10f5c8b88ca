"""Words in the keys of objects: `customerPhone`, `customer_phone`, `CUSTOMER-PHONE`, `customerphone` have `phone`."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_GLUED_MIN_CHARS = 5
"""A word of this length is also seen at the beginning or the end of a key that does not set its words apart."""


class Word(NamedTuple):
    """One or several words that stand in a key one behind the other."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Word":
        """`postal code` as a pattern has it. Raises ValueError where it holds no word."""
        words = tuple(text.lower().split())
        if not words or not all(word.isalnum() for word in words):
            raise ValueError("has a step <…> without a word in it")
        return cls(words)

    def fits(self, words: list[str], glued: str) -> bool:
        """Whether a key of these words (`glued`: all as one) has this one; a plural is the word too."""
        count = len(self.words)
        if any(all(map(_same, self.words, words[at:])) for at in range(len(words) - count + 1)):
            return True
        joined = "".join(self.words)
        return len(joined) >= _GLUED_MIN_CHARS and (glued.startswith(joined) or glued.endswith((joined, f"{joined}s")))


def _same(wanted: str, given: str) -> bool:
    return given in (wanted, f"{wanted}s", f"{wanted}es")


class KeyWords:
    """Which of some words a key has. One pattern for all of them tells quickly that a key has none."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._words = tuple(sorted(words))
        self._any = re.compile("|".join(sorted({re.escape(word.words[0]) for word in self._words})) or r"(?!)")

    def of(self, key: str) -> tuple[Word, ...]:
        """The words of `key`, in a fixed order."""
        if not self._any.search(key.lower()):
            return ()
        words = [word.lower() for word in _WORDS.findall(key)]
        glued = "".join(words)
        return tuple(word for word in self._words if word.fits(words, glued))
