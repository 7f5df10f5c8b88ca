"""The alarm for wrong data: in one minute more events of a shard became dead letters than were accepted.

Wrong data never holds a shard, since honest events would wait behind it. A person has to hear of it instead: the sender
is wrong, or a setting is.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import REASONS_OF_DATA
from stream_router.envelope import source_of
from stream_router.log import Seldom, is_name
from stream_router.model import DeadLetter
from stream_router.telemetry.shard_state import many_in_words

log = logging.getLogger(__name__)

MINUTE_S = 60.0
"""Time that is judged, and time that the alarm stays after it was last true: so that it does not flicker."""

SLOT_S = 5.0
"""Counts are kept by slots of so many seconds; the oldest slot goes once all of it is older than MINUTE_S."""

LEAST_LETTERS = 20
"""Dead letters in a minute below which there is no alarm: fewer prove no mistake in a setting."""

KINDS_MAX = 100
"""Kinds of letters that a slot tells apart. Senders choose the types, so their number must be bounded."""

CURES = (
    "If the sender is wrong, nothing is to be done here. If a setting is wrong (mapping, masking, event types), mend it"
    " and restart consume; then run `stream-router replay --since TIME`, while the stream keeps the events, or"
    " `stream-router dlq redrive`"
)
"""What to do, in a log line."""

OTHERS = "(others)"
NO_NAME = "(not shown: no name)"


class LetterGroup(NamedTuple):
    """What is counted of a dead letter: its reason, its source and its event type ("" if not known)."""

    reason: str
    source: str
    event_type: str


class Slot(NamedTuple):
    """Counts of SLOT_S seconds that began at `at` (monotonic)."""

    at: float
    accepted: list[int]
    letters: Counter[LetterGroup]


class DeadLetterAlarm:
    """Counts a shard's accepted events and its dead letters for data; raised while the letters prevail.

    What an operator put back is not to be counted. `clock` is monotonic, `now_s` the wall clock (epoch seconds).
    """

    def __init__(self, shard_id: str, clock: Callable[[], float], now_s: Callable[[], float]) -> None:
        self._shard_id = shard_id
        self._clock, self._now_s = clock, now_s
        self._slots: deque[Slot] = deque()
        self._true_at = 0.0
        self._warning_is_due = Seldom(clock)
        self.raised: dict[str, Any] | None = None
        """What snapshot and pages say of it; None if there is no alarm."""

    def count_accepted(self, events: int) -> None:
        """Count events that the bus accepted."""
        self._slot().accepted[0] += events

    def count_letter(self, letter: DeadLetter) -> None:
        """Count a stored dead letter, if its reason is one of data."""
        if letter.reason in REASONS_OF_DATA:
            letters = self._slot().letters
            letters[_bounded(_kind(letter), letters)] += 1

    def check(self) -> None:
        """Raise the alarm, log it once a minute, or end it. To be called once a second."""
        now = self._clock()
        while self._slots and self._slots[0].at + SLOT_S <= now - MINUTE_S:
            self._slots.popleft()
        letters = sum(slot.letters.total() for slot in self._slots)
        accepted = sum(slot.accepted[0] for slot in self._slots)
        if letters >= LEAST_LETTERS and letters > accepted:
            self._true_at = now
            since_s = self.raised["sinceS"] if self.raised else round(self._now_s(), 3)
            self.raised = {"sinceS": since_s, "letters": letters, "accepted": accepted, **self._commonest()._asdict()}
            self._warn()
        elif self.raised and now - self._true_at >= MINUTE_S:
            self.raised = None
            log.info(
                "dead letters no longer prevail on this shard",
                extra={"event": "many-dead-letters-ended", "shard": self._shard_id},
            )

    def _slot(self) -> Slot:
        now = self._clock()
        if not self._slots or now >= self._slots[-1].at + SLOT_S:
            self._slots.append(Slot(now, [0], Counter()))
        return self._slots[-1]

    def _commonest(self) -> LetterGroup:
        """Return the commonest reason, of its letters the commonest source, and of these the commonest type."""
        kinds = sum((slot.letters for slot in self._slots), Counter[LetterGroup]())
        for field in range(len(LetterGroup._fields)):
            by_value = Counter[str]()
            for kind, count in kinds.items():
                by_value[kind[field]] += count
            commonest = by_value.most_common(1)[0][0]
            kinds = Counter({kind: count for kind, count in kinds.items() if kind[field] == commonest})
        return next(iter(kinds))

    def _warn(self) -> None:
        if self.raised is None or not self._warning_is_due():
            return
        log.warning(
            "In one minute %s. No event is lost, and none waits behind them. %s",
            many_in_words(self.raised),
            CURES,
            extra={
                "event": "many-dead-letters",
                "shard": self._shard_id,
                "letters": self.raised["letters"],
                "accepted": self.raised["accepted"],
                "reason": self.raised["reason"],
                "source": self.raised["source"],
                "event_type": self.raised["event_type"],
            },
        )


def _kind(letter: DeadLetter) -> LetterGroup:
    """Tell what is counted of a letter. Others chose source and type, so only names are shown."""
    source, event_type = source_of(letter.event.raw), letter.event_type
    return LetterGroup(
        letter.reason.value,
        source if not source or is_name(source) else NO_NAME,
        event_type if not event_type or is_name(event_type) else NO_NAME,
    )


def _bounded(kind: LetterGroup, known: Counter[LetterGroup]) -> LetterGroup:
    """Return the kind itself, or without its type, or without its source too, once many are known."""
    if kind in known or len(known) < KINDS_MAX:
        return kind
    of_source = kind._replace(event_type=OTHERS)
    if of_source in known or len(known) < 2 * KINDS_MAX:
        return of_source
    return LetterGroup(kind.reason, OTHERS, OTHERS)
