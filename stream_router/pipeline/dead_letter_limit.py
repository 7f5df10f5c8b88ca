"""A limit on dead letters: where nearly everything is refused for its data, a setting is wrong, or a sender is new."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from stream_router.core.dead_letter_reasons import REASONS_OF_DATA, Reason
from stream_router.core.model import DeadLetter

LEAST_JUDGED = 100
"""Fewer events prove no mistake."""


class LimitConfig(NamedTuple):
    """Which `share` of the last `events` judged events, of the last `over_s` seconds, makes the shard hold."""

    share: float
    events: int
    over_s: float


class DeadLetterLimit:
    """Counts judged events: those that became an entry, and those that are dead letters for a reason of data.

    Once passed it stays so: the hold ends with the process, and the next one counts anew. Times are monotonic seconds.
    """

    def __init__(self, config: LimitConfig | None, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._judged: deque[tuple[float, int, list[Reason]]] = deque()
        self._events = self._dead = 0
        self.passed_by: Reason | None = None
        """The commonest reason once the limit is passed, None until then."""

    def judge(self, entries: int, letters: Iterable[DeadLetter]) -> None:
        """So many events became entries, and these did not."""
        if self._config is None or self.passed_by:
            return
        dead = [letter.reason for letter in letters if letter.reason in REASONS_OF_DATA]
        self._add(entries + len(dead), dead)

    def refused(self, letter: DeadLetter) -> None:
        """An event that was judged to be an entry is a dead letter now."""
        if self._config is not None and not self.passed_by and letter.reason in REASONS_OF_DATA:
            self._add(0, [letter.reason])

    def _add(self, events: int, dead: list[Reason]) -> None:
        if not events and not dead:
            return
        config, now = self._config, self._clock()
        assert config
        self._judged.append((now, events, dead))
        self._events += events
        self._dead += len(dead)
        while self._judged and self._is_past(now, config):
            _, events, dead = self._judged.popleft()
            self._events -= events
            self._dead -= len(dead)
        if self._events >= LEAST_JUDGED and self._dead >= config.share * self._events:
            reasons = Counter(reason for _, _, dead in self._judged for reason in dead)
            self.passed_by = reasons.most_common(1)[0][0]

    def _is_past(self, now: float, config: LimitConfig) -> bool:
        """Whether the oldest of those judged is no longer looked at."""
        at, events, _ = self._judged[0]
        left = self._events - events
        return left >= config.events or (left >= LEAST_JUDGED and at < now - config.over_s)
