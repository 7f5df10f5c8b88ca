"""A limit on dead letters: where nearly everything is refused for its data, a setting is wrong, or a sender is new."""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from stream_router.dead_letter_reasons import REASONS_OF_DATA, Reason
from stream_router.model import LEAST_JUDGED, DeadLetter, DeadLetterShare


class DeadLetterLimit:
    """Counts judged events: those that became an entry, and those that are dead letters for a reason of data.

    Once passed it stays so: the hold ends with the process, and the next one counts anew. Times are monotonic seconds.
    """

    def __init__(self, allowed: DeadLetterShare | None, clock: Callable[[], float]) -> None:
        self._allowed = allowed
        self._clock = clock
        self._judged: deque[tuple[float, int, list[Reason]]] = deque()
        self._events = self._dead = 0
        self.passed_by: Reason | None = None
        """The commonest reason once the limit is passed, None until then."""

    def judge(self, entries: int, letters: Iterable[DeadLetter]) -> None:
        """So many events became entries, and these did not."""
        if self._allowed is None or self.passed_by:
            return
        dead = [letter.reason for letter in letters if letter.reason in REASONS_OF_DATA]
        self._add(entries + len(dead), dead)

    def refused(self, letter: DeadLetter) -> None:
        """An event that was judged to be an entry is a dead letter now."""
        if self._allowed is not None and not self.passed_by and letter.reason in REASONS_OF_DATA:
            self._add(0, [letter.reason])

    def _add(self, events: int, dead: list[Reason]) -> None:
        if not events and not dead:
            return
        allowed, now = self._allowed, self._clock()
        assert allowed
        self._judged.append((now, events, dead))
        self._events += events
        self._dead += len(dead)
        while self._judged and self._is_past(now, allowed):
            _, events, dead = self._judged.popleft()
            self._events -= events
            self._dead -= len(dead)
        if self._events >= LEAST_JUDGED and self._dead >= allowed.share * self._events:
            reasons = Counter(reason for _, _, dead in self._judged for reason in dead)
            self.passed_by = reasons.most_common(1)[0][0]

    def _is_past(self, now: float, allowed: DeadLetterShare) -> bool:
        """Whether the oldest of those judged is no longer looked at."""
        at, events, _ = self._judged[0]
        left = self._events - events
        return left >= allowed.events or (left >= LEAST_JUDGED and at < now - allowed.over_s)
