"""The alarm for wrong data: in one minute more events of a shard became dead letters than were accepted.

Wrong data never holds a shard, since correct events would wait behind it. An alarm reports it instead, since a person
must correct the sender or a setting.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import REASONS_OF_DATA
from stream_router.envelope import source_of
from stream_router.log import LogLimiter, is_name
from stream_router.model import DeadLetter
from stream_router.telemetry.shard_state import many_in_words

log = logging.getLogger(__name__)

MINUTE_S = 60.0
"""Seconds that are judged. The alarm stays for as long after its condition was last true, so as not to flicker."""

SLOT_S = 5.0
"""Length of a slot of counts, in seconds. A slot is dropped once all of it is older than MINUTE_S."""

LEAST_LETTERS = 20
"""Number of dead letters in a minute below which there is no alarm: fewer are no evidence of a wrong setting."""

KINDS_MAX = 100
"""Maximum number of groups in a slot. Senders choose the event types, so their number must be bounded."""

CURES = (
    "If the sender is wrong, nothing has to be done. If a setting is wrong (mapping, masking, event types), correct"
    " it and restart consume; then run `stream-router replay --since TIME`, while the stream keeps the events, or"
    " `stream-router dlq redrive`"
)
"""Advice in the alarm's log line."""

OTHERS = "(others)"
NO_NAME = "(not shown: no name)"


class LetterGroup(NamedTuple):
    """Attributes by which dead letters are counted: reason, source and event type ("" if not known)."""

    reason: str
    source: str
    event_type: str


class Slot(NamedTuple):
    """Counts of SLOT_S seconds that began at `at` (monotonic)."""

    at: float
    accepted: list[int]
    letters: Counter[LetterGroup]


class DeadLetterAlarm:
    """Alarm of one shard, raised while dead letters for wrong data outnumber the accepted events.

    Resubmitted events must not be counted. `clock` is monotonic, `now_s` the wall clock (epoch seconds).
    """

    def __init__(self, shard_id: str, clock: Callable[[], float], now_s: Callable[[], float]) -> None:
        self._shard_id = shard_id
        self._clock, self._now_s = clock, now_s
        self._slots: deque[Slot] = deque()
        self._true_at = 0.0
        self._warning_is_due = LogLimiter(clock)
        self.raised: dict[str, Any] | None = None
        """The alarm's fields in snapshot and pages; None if there is no alarm."""

    def count_accepted(self, events: int) -> None:
        """Count events that the bus accepted."""
        self._slot().accepted[0] += events

    def count_letter(self, letter: DeadLetter) -> None:
        """Count a stored dead letter, if its reason is one of data."""
        if letter.reason in REASONS_OF_DATA:
            letters = self._slot().letters
            letters[_bounded(_kind(letter), letters)] += 1

    def check(self) -> None:
        """Raise the alarm, log it once a minute, or end it. The shard calls this once a second."""
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
                "Dead letters no longer outnumber the accepted events of this shard.",
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
    """Return the group of a letter. Source and type come from outside, so only text that is a name is shown."""
    source, event_type = source_of(letter.event.raw), letter.event_type
    return LetterGroup(
        letter.reason.value,
        source if not source or is_name(source) else NO_NAME,
        event_type if not event_type or is_name(event_type) else NO_NAME,
    )


def _bounded(kind: LetterGroup, known: Counter[LetterGroup]) -> LetterGroup:
    """Return the group, or once KINDS_MAX are known the group without its type, and later without its source too."""
    if kind in known or len(known) < KINDS_MAX:
        return kind
    of_source = kind._replace(event_type=OTHERS)
    if of_source in known or len(known) < 2 * KINDS_MAX:
        return of_source
    return LetterGroup(kind.reason, OTHERS, OTHERS)
