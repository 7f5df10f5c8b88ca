"""The alarm for wrong data: within one minute, more events of a shard became dead letters than were accepted.

Wrong data never holds a shard, since correct events would wait behind it. An alarm reports it instead: a person must
correct the sender or a setting.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import REASONS_OF_DATA
from stream_router.envelope import find_source
from stream_router.log import LogLimiter, is_name
from stream_router.model import DeadLetter
from stream_router.telemetry.shard_state import describe_many_dead_letters

log = logging.getLogger(__name__)

ALARM_PERIOD_S = 60.0
"""Seconds whose counts are compared. The alarm stays for as long after its condition was last true, against flicker."""

SLOT_LENGTH_S = 5.0
"""Seconds that one slot of counts covers. A slot is dropped once all of it is older than ALARM_PERIOD_S."""

MIN_LETTERS = 20
"""Number of dead letters in a period below which there is no alarm: fewer are no evidence of a wrong setting."""

MAX_GROUPS = 100
"""Number of groups in a slot from which on new event types are counted together.

Senders choose the event types, so the number of groups must be bounded.
"""

ADVICE = (
    "If the sender is wrong, nothing has to be done. If a setting is wrong (mapping, masking, event types), correct"
    " it and restart consume; then run `stream-router replay --since TIME`, while the stream keeps the events, or"
    " `stream-router dlq redrive`"
)
"""Last part of the alarm's log line."""

OTHERS = "(others)"
"""Text instead of the sources or event types that are counted together."""

NOT_A_NAME = "(not shown: no name)"
"""Text instead of a source or event type with other characters than a name has: it might contain personal data."""


class LetterGroup(NamedTuple):
    """Attributes by which dead letters are counted: reason, source and event type ("" if not known)."""

    reason: str
    source: str
    event_type: str


@dataclass(slots=True)
class Slot:
    """Counts of the SLOT_LENGTH_S seconds that began at `began_at` (monotonic)."""

    began_at: float
    accepted: int
    letters: Counter[LetterGroup]


class DeadLetterAlarm:
    """Alarm of one shard, raised while dead letters for wrong data outnumber the accepted events.

    Resubmitted events must not be counted. `clock` is monotonic, `now_s` the wall clock (epoch seconds).
    """

    def __init__(self, shard_id: str, clock: Callable[[], float], now_s: Callable[[], float]) -> None:
        self._shard_id = shard_id
        self._clock, self._now_s = clock, now_s
        self._slots: deque[Slot] = deque()
        self._last_true_at = 0.0
        """Last time at which the alarm's condition was true."""
        self._warning_is_due = LogLimiter(clock)
        self.raised: dict[str, Any] | None = None
        """The alarm's fields in snapshot and pages; None if there is no alarm."""

    def count_accepted(self, events: int) -> None:
        """Count events that the bus accepted."""
        self._current_slot().accepted += events

    def count_letter(self, letter: DeadLetter) -> None:
        """Count a stored dead letter, if its reason is wrong data."""
        if letter.reason in REASONS_OF_DATA:
            letters = self._current_slot().letters
            letters[_limit_group(_make_group(letter), letters)] += 1

    def check(self) -> None:
        """Raise the alarm, log it once a minute, or end it. The shard calls this once a second."""
        now = self._clock()
        while self._slots and self._slots[0].began_at + SLOT_LENGTH_S <= now - ALARM_PERIOD_S:
            self._slots.popleft()
        letters = sum(slot.letters.total() for slot in self._slots)
        accepted = sum(slot.accepted for slot in self._slots)
        if letters >= MIN_LETTERS and letters > accepted:
            self._last_true_at = now
            since_s = self.raised["sinceS"] if self.raised else round(self._now_s(), 3)
            group = self._find_commonest_group()
            self.raised = {"sinceS": since_s, "letters": letters, "accepted": accepted, **group._asdict()}
            self._warn()
        elif self.raised and now - self._last_true_at >= ALARM_PERIOD_S:
            self.raised = None
            log.info(
                "Dead letters no longer outnumber the accepted events of this shard.",
                extra={"event": "many-dead-letters-ended", "shard": self._shard_id},
            )

    def _current_slot(self) -> Slot:
        """Return the slot for the present time. Begin a new one if the last one covers SLOT_LENGTH_S already."""
        now = self._clock()
        if not self._slots or now >= self._slots[-1].began_at + SLOT_LENGTH_S:
            self._slots.append(Slot(now, 0, Counter()))
        return self._slots[-1]

    def _find_commonest_group(self) -> LetterGroup:
        """Return the commonest reason, among its letters the commonest source, and among these the commonest type."""
        groups = sum((slot.letters for slot in self._slots), Counter[LetterGroup]())
        for field in range(len(LetterGroup._fields)):
            letters_by_value = Counter[str]()
            for group, count in groups.items():
                letters_by_value[group[field]] += count
            commonest = letters_by_value.most_common(1)[0][0]
            groups = Counter({group: count for group, count in groups.items() if group[field] == commonest})
        return next(iter(groups))  # the only one left

    def _warn(self) -> None:
        if self.raised is None or not self._warning_is_due():
            return
        log.warning(
            "In one minute %s. No event is lost, and none waits behind them. %s",
            describe_many_dead_letters(self.raised),
            ADVICE,
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


def _make_group(letter: DeadLetter) -> LetterGroup:
    """Return a letter's group: its reason, source and event type.

    Source and type are read from the event, so a value that does not look like a name is not shown.
    """
    source, event_type = find_source(letter.event.raw), letter.event_type
    return LetterGroup(
        letter.reason.value,
        source if not source or is_name(source) else NOT_A_NAME,
        event_type if not event_type or is_name(event_type) else NOT_A_NAME,
    )


def _limit_group(group: LetterGroup, counted: Counter[LetterGroup]) -> LetterGroup:
    """Return the group under which a letter is counted, so that the number of groups in `counted` stays bounded.

    From MAX_GROUPS on a new group loses its event type, and from twice as many on its source as well.
    """
    if group in counted or len(counted) < MAX_GROUPS:
        return group
    without_type = group._replace(event_type=OTHERS)
    if without_type in counted or len(counted) < 2 * MAX_GROUPS:
        return without_type
    return LetterGroup(group.reason, OTHERS, OTHERS)
