"""What masking one event noted on its way: what it did, what it took away, what it let pass."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from stream_router.pipeline.masking.actions import REDACTED

Hits = list[str]
"""What was done, by name, once for each time it was done: a list takes that at half the cost of counting."""

MOST_HITS = 100_000
"""Uncounted actions that are kept: a command that transforms a week of events asks for no count."""

Find = Callable[[str, Hits], str]
"""A search in a text: gives the text with what is private in it masked, and notes what it found."""


DIGITS_MAX = 250_000
"""Digits of one event that are searched: what is around a number is read too, some microseconds for each digit.

With many regions named a digit counts more than once. What stands beyond is hidden, and an event is done in time.
"""

LONG_CHARS = 4_000
"""A shorter event cannot have too many digits, whatever one counts."""

_DIGIT = re.compile(r"\d")
TOO_MANY_DIGITS = "too_many_digits"


class Trace:
    """Notes of one event's masking.

    `redacted` are the texts that rules replaced by `[REDACTED]`, `secrets` pairs of what else was taken away and what
    was left. `known` are texts and numbers that pass on purpose, but are searched for secrets; `typed` those that a
    rule has searched for more, too; `unknown` are those of fields that no rule names, `keys` the names of these fields.
    """

    __slots__ = ("_chars", "_digits", "hits", "keys", "known", "redacted", "secrets", "typed", "unknown")

    def __init__(self, hits: Hits) -> None:
        self.hits = hits
        self.redacted: list[str] = []
        self.secrets: list[tuple[Any, Any]] = []
        self.known: list[Any] = []
        self.typed: list[Any] = []
        self.unknown: list[Any] = []
        self.keys: list[str] = []
        self._chars = self._digits = 0

    def searched(self, find: Find, text: str) -> str:
        """A text searched, or hidden whole where it has a digit and the event had enough of them."""
        weight: int = getattr(find, "weight", 1)
        self._chars += weight * len(text)
        if self._chars > DIGITS_MAX:  # only now there may be so many
            digits = weight * len(_DIGIT.findall(text))
            self._digits += digits
            if digits and self._digits > DIGITS_MAX:
                self.hits.append(TOO_MANY_DIGITS)
                return REDACTED
        return find(text, self.hits)


class HitCounts:
    """How often each action ran, of all events of a process."""

    def __init__(self) -> None:
        self._hits: Hits = []
        self._counts: Counter[str] = Counter()

    def hits(self) -> Hits:
        """Where the next event's actions are noted."""
        if len(self._hits) > MOST_HITS:
            self._count()
        return self._hits

    def take(self) -> Counter[str]:
        """The counts since the last time."""
        self._count()
        counts, self._counts = self._counts, Counter()
        return counts

    def _count(self) -> None:
        self._counts.update(self._hits)
        self._hits.clear()
