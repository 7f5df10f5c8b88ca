"""The account of a span: how many events have which fate, and what does not agree."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from stream_router.control.fates.books import Letters, UndeliveredBook
from stream_router.control.fates.judge import Fate, Verdict
from stream_router.control.stream.positions import Position
from stream_router.control.stream.sightings import Sighting, StreamPlace
from stream_router.pipeline.sinks.dead_letters.reader import Letter

MOST_KEPT = 1_000
"""Differences of which each is kept; beyond that they are counted alone."""


class Difference(NamedTuple):
    """One event of which stream, checkpoint and queues do not agree, and how."""

    event_id: str
    shard_id: str
    sequence_number: int
    line: int
    what: str


class Account:
    """Counts the events of a span, each once by its place."""

    def __init__(self, judge: Callable[[Sighting], Verdict], letters: Letters) -> None:
        self._judge = judge
        self._letters = letters
        self._unmet = dict(letters.places)
        self._of_letters = {place.record for place in letters.places}
        self._outside: set[tuple[str, int, int]] = set()
        self._read: dict[str, tuple[int, int]] = {}
        self.records = 0
        self.events = 0
        self.fates: Counter[Fate] = Counter()
        self.reasons: Counter[str] = Counter()
        self.why_unjudged: Counter[str] = Counter()
        self.oldest_waiting_ms = 0
        self.differences = 0
        self.kept: list[Difference] = []

    @property
    def unjudged(self) -> int:
        """Events of which nothing certain can be said."""
        return self.fates[Fate.UNKNOWN]

    def unseen(self, undelivered: UndeliveredBook) -> str:
        """Why events that count as accepted may be undelivered; "" where none may."""
        return undelivered.missing if self.fates[Fate.ACCEPTED] else ""

    def note(self, sighting: Sighting) -> None:
        """An event was met in the stream."""
        verdict = self._judge(sighting)
        self.events += 1
        self.fates[verdict.fate] += 1
        self._unmet.pop(sighting.place, None)
        self._widen(sighting)
        if verdict.letter is not None:
            self.reasons[verdict.letter.reason] += 1
        elif verdict.fate is Fate.UNKNOWN:
            self.why_unjudged[verdict.why] += 1
        elif verdict.fate is Fate.WAITING:
            oldest = self.oldest_waiting_ms or sighting.arrived_at_ms
            self.oldest_waiting_ms = min(oldest, sighting.arrived_at_ms)
        elif verdict.fate in (Fate.LETTER_GONE, Fate.PASSED_OVER):
            self._differ(sighting.event.event_id, sighting.place, f"{verdict.fate.value}: {verdict.why}")

    def note_outside(self, shard_id: str, position: Position) -> None:
        """A record was met that arrived before or after the span: it is there, and is not of this account."""
        if (record := (shard_id, *position)) in self._of_letters:
            self._outside.add(record)

    def close(self) -> None:
        """The whole span is read: letters of events between the first and the last of a shard must have been met."""
        for place, letter in self._unmet.items():
            first, last = self._read.get(letter.origin.shard_id, (1, 0))
            if first <= place.sequence_number <= last and place.record not in self._outside:
                self._differ(letter.origin.event_id, place, _stray(letter))

    def _widen(self, sighting: Sighting) -> None:
        number = sighting.position.sequence_number
        first, last = self._read.get(sighting.shard_id, (number, number))
        self._read[sighting.shard_id] = min(first, number), max(last, number)

    def _differ(self, event_id: str, place: StreamPlace, what: str) -> None:
        self.differences += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Difference(event_id, place.shard_id, place.sequence_number, place.line, what))


def _stray(letter: Letter) -> str:
    return f"a dead letter ({letter.reason}) of an event that is not there in the stream"
