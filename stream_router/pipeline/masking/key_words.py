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

    def stands_at(self, words: list[str], at: int) -> bool:
        """Whether a key of these words has it at this place; a plural is the word too."""
        there = words[at : at + len(self.words)]
        return len(there) == len(self.words) and all(map(_same, self.words, there))


def _same(wanted: str, given: str) -> bool:
    return given in (wanted, f"{wanted}s", f"{wanted}es")


class KeyWords:
    """Which of some words a key has. Senders choose keys, ids among them, so only words that may fit are tried."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._words = tuple(sorted(words))
        self._by_first: dict[str, list[Word]] = {}
        for word in self._words:
            self._by_first.setdefault(word.words[0], []).append(word)
        self._by_joined: dict[str, list[Word]] = {}
        for word in self._words:
            if len(joined := "".join(word.words)) >= _GLUED_MIN_CHARS:
                self._by_joined.setdefault(joined, []).append(word)
        self._lengths = sorted(set(map(len, self._by_joined)))
        self._starts = tuple(self._by_joined)
        self._ends = self._starts + tuple(f"{name}s" for name in self._starts)

    def of(self, key: str) -> tuple[Word, ...]:
        """The words of `key`, in a fixed order."""
        words = [word.lower() for word in _WORDS.findall(key)]
        glued = "".join(words)
        found: set[Word] = set()
        if glued.startswith(self._starts) or glued.endswith(self._ends):
            bare = glued.removesuffix("s")
            for length in self._lengths:
                for part in (glued[:length], glued[-length:], bare[-length:]):
                    found.update(self._by_joined.get(part, ()))
        known = self._by_first
        if not (known.keys().isdisjoint(words) and known.keys().isdisjoint(_singular(words))):
            # Each place once: a key may have as many words as a body has room for.
            for at, name in enumerate(words):
                may_stand = [word for first in (name, *_singular([name])) for word in known.get(first, ())]
                found.update(word for word in may_stand if word.stands_at(words, at))
        return tuple(sorted(found))


def _singular(words: Iterable[str]) -> list[str]:
    """What these words may be the plurals of."""
    return [word[:-cut] for word in words for cut in (1, 2) if word.endswith("es"[-cut:])]
