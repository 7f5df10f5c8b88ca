"""What masking one event noted on its way: what it did, what it took away, what it let pass."""

from collections import Counter
from collections.abc import Callable
from typing import Any

Hits = list[str]
"""What was done, by name, once for each time it was done: a list takes that at half the cost of counting."""

MOST_HITS = 100_000
"""Uncounted actions that are kept: a command that transforms a week of events asks for no count."""

Find = Callable[[str, Hits], str]
"""A search in a text: gives the text with what is private in it masked, and notes what it found."""


class Trace:
    """Notes of one event's masking.

    `redacted` are the texts that rules replaced by `[REDACTED]`, `secrets` pairs of what else was taken away and what
    was left. `known` are texts and numbers that pass on purpose, but are searched for secrets; `typed` those that a
    rule has searched for more, too; `unknown` are those of fields that no rule names, `keys` the names of these fields.
    """

    __slots__ = ("hits", "keys", "known", "redacted", "secrets", "typed", "unknown")

    def __init__(self, hits: Hits) -> None:
        self.hits = hits
        self.redacted: list[str] = []
        self.secrets: list[tuple[Any, Any]] = []
        self.known: list[Any] = []
        self.typed: list[Any] = []
        self.unknown: list[Any] = []
        self.keys: list[str] = []


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
