"""What became of one event of the stream: only what is certain is said."""

import enum
from collections.abc import Callable, Mapping
from typing import NamedTuple

from stream_router.control.fates.books import Letters, Undelivered, UndeliveredBook
from stream_router.control.stream import positions
from stream_router.control.stream.positions import Position
from stream_router.control.stream.sightings import Sighting
from stream_router.model import DeadLetter, Dropped, Event, Made, Reason
from stream_router.pipeline.sinks.dead_letters.reader import Letter


class Fate(enum.Enum):
    """The certain facts of an event in the stream."""

    DEAD = "in the dead-letter queue"
    UNDELIVERED = "accepted by EventBridge, and undelivered at the rule's target"
    WAITING = "not settled yet: the consumer's checkpoint is not past it"
    PASSED_OVER = "in a damaged aggregated record: the KCL hands it to nobody"
    DROPPED = "past the checkpoint, and a setting drops it"
    ACCEPTED = "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone"
    LETTER_GONE = "past the checkpoint, and its dead letter is gone"
    UNKNOWN = "cannot be judged"


class Verdict(NamedTuple):
    """A fate, and what it rests on. `why` says more: of a letter, of today's settings, or why nothing can be said."""

    fate: Fate
    why: str
    letter: Letter | None = None
    undelivered: Undelivered | None = None


class Judge:
    """Judges events against the checkpoints, the queues and today's settings.

    `checkpoints` is None where the lease table could not be read, `no_checkpoints` says why. `transform` is the
    consumer's; `dropping` names the setting by which it drops an event.
    """

    def __init__(
        self,
        transform: Callable[[Event], Made],
        dropping: Callable[[Event], str],
        checkpoints: Mapping[str, Position] | None,
        letters: Letters,
        undelivered: UndeliveredBook,
        no_checkpoints: str = "",
    ) -> None:
        self._transform = transform
        self._dropping = dropping
        self._checkpoints = checkpoints
        self._letters = letters
        self._undelivered = undelivered
        self._no_checkpoints = no_checkpoints

    def has_passed(self, sighting: Sighting) -> bool | None:
        """Whether the checkpoint of its shard has passed the event; None where that cannot be told."""
        checkpoint = (self._checkpoints or {}).get(sighting.shard_id)
        return None if checkpoint is None else positions.has_passed(checkpoint, sighting.position)

    def __call__(self, sighting: Sighting) -> Verdict:
        """The certain facts of an event that was met in the stream."""
        if letter := self._letters.of(sighting):
            return Verdict(Fate.DEAD, why_dead(letter), letter=letter)
        if one := self._undelivered.of(sighting):
            return Verdict(Fate.UNDELIVERED, why_undelivered(one), undelivered=one)
        if sighting.passed_over:
            return Verdict(Fate.PASSED_OVER, "its producer (KPL) wrote a wrong table; `replay --id` publishes it")
        passed = self.has_passed(sighting)
        if passed is None:
            return Verdict(Fate.UNKNOWN, self._no_checkpoints or "its shard's checkpoint is a word, not a position")
        if not passed:
            return Verdict(Fate.WAITING, "it will be published, or buried, when its turn comes")
        return self._settled(sighting)

    def _settled(self, sighting: Sighting) -> Verdict:
        """Past the checkpoint and in no queue: today's settings decide what this can mean."""
        made = sighting.found if isinstance(sighting.found, DeadLetter) else self._transform(sighting.found)
        if isinstance(made, Dropped):
            return Verdict(Fate.DROPPED, f"{self._dropping(made.event)} drops events of type {made.event_type}")
        if self._letters.missing:
            return Verdict(Fate.UNKNOWN, f"it may be in the dead-letter queue: {self._letters.missing}")
        if isinstance(made, DeadLetter) and made.reason is Reason.UNSUPPORTED_VERSION:
            return Verdict(
                Fate.UNKNOWN,
                "its envelope is of a version that this one does not know, and consumers of a later one may have "
                "published it; look with the version of the consumers",
            )
        if isinstance(made, DeadLetter):
            return Verdict(
                Fate.LETTER_GONE,
                f"today's settings make it a dead letter ({made.reason.value}, {made.code}), and none is there: it was "
                "redriven, purged or has expired; or other settings published it",
            )
        missing = self._undelivered.missing
        unseen = f"; it may be undelivered at the target: {missing}" if missing else ""
        return Verdict(
            Fate.ACCEPTED,
            f"today's settings publish it as {made.detail_type}; a letter of it would have been redriven, purged or "
            f"expired{unseen}",
        )


def why_dead(letter: Letter) -> str:
    """Why an event is in the dead-letter queue; no payload in it."""
    error = f" ({letter.error.code})" if letter.error.code else ""
    return f"{letter.reason}{error}: {letter.error.message}; since {letter.failed_at}"


def why_undelivered(one: Undelivered) -> str:
    """Why EventBridge could not deliver an event."""
    return f"{one.code or 'no code'}: {one.message or 'EventBridge gives no reason'}"
