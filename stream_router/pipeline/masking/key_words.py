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
    """Which of some words a key has. Senders choose keys, ids among them, so only words that may fit are tried."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._words = tuple(sorted(words))
        self._by_first: dict[str, list[Word]] = {}
        for word in self._words:
            self._by_first.setdefault(word.words[0], []).append(word)
        joined = ["".join(word.words) for word in self._words]
        self._starts = tuple(name for name in joined if len(name) >= _GLUED_MIN_CHARS)
        self._ends = self._starts + tuple(f"{name}s" for name in self._starts)

    def of(self, key: str) -> tuple[Word, ...]:
        """The words of `key`, in a fixed order."""
        words = [word.lower() for word in _WORDS.findall(key)]
        glued = "".join(words)
        if glued.startswith(self._starts) or glued.endswith(self._ends):
            return tuple(word for word in self._words if word.fits(words, glued))
        known = self._by_first
        if known.keys().isdisjoint(words) and known.keys().isdisjoint(_singular(words)):
            return ()
        may_fit = {word for first in (*words, *_singular(words)) for word in known.get(first, ())}
        return tuple(sorted(word for word in may_fit if word.fits(words, glued)))


def _singular(words: Iterable[str]) -> list[str]:
    """What these words may be the plurals of."""
    return [word[:-cut] for word in words for cut in (1, 2) if word.endswith("es"[-cut:])]
