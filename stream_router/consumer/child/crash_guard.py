"""Crash isolation: an event that kills its process is found by a marker on disk, and alone becomes a dead letter.

A child that dies ends the JVM and so every shard of the host, and its records are read again. A shard whose child died
CAREFUL_AFTER times at one checkpoint becomes *careful*: it opens, transforms and starts its next events one at a time,
and writes each to disk while it is in work.

| the child died | at the same checkpoint | then |
|---|---|---|
| with nothing in work | yes | one more death; from CAREFUL_AFTER on the shard is careful |
| with nothing in work | no | the deaths are counted from 0 again |
| with an event in work | either | the event is the suspect; one death alone may have had an outside cause |
| with the suspect in work again | either | the event is a culprit |
| with a resubmitted culprit in work | either | the event is a culprit at once |
| on purpose, or with its JVM | either | that is no death |

A culprit becomes a dead letter (`crashed`). A checkpoint forgets the culprits before it, and the deaths once it has
passed the newest record that any dead child had accepted (`Life.next`, `CrashGuard.progressed`).
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from stream_router import envelope
from stream_router.dead_letter_reasons import Reason
from stream_router.log import LogLimiter
from stream_router.model import DeadLetter, Event, EventPlace, Record
from stream_router.pipeline.route import SLICE_EVENTS, Router
from stream_router.process import Rewritten, now_ms

log = logging.getLogger(__name__)

CAREFUL_AFTER = 3
"""Number of deaths at one checkpoint after which events are handled one at a time."""
WHOLE_RECORD = -1
"""Line number in a marker that is set while a record is opened, before its events are known."""

_TAIL_BYTES = 512
"""Bytes at an envelope's end that hold the fields behind its body, such as `resubmitted`."""


class Life(BaseModel):
    """One child's life, as the shard's file has it: its first checkpoint, the deaths there, the event in work.

    `once` is true if one death makes the event in work a culprit. `suspect` was in work at the latest death. `taken` is
    the newest record that a child accepted, `careful_until` the newest one of the children that died. `alone_ms` is the
    time at which only sick events were left at the shard's end (epoch ms; 0: not yet).
    """

    checkpoint: str
    deaths: int = 0
    alive: bool = True
    at_work: EventPlace | None = None
    once: bool = False
    suspect: EventPlace | None = None
    culprits: list[EventPlace] = []
    taken: tuple[int, int] = (0, 0)
    careful_until: tuple[int, int] = (0, 0)
    alone_ms: float = 0.0

    def next(self, checkpoint: str) -> "Life":
        """Return the `Life` with which the next child begins at `checkpoint`. The module's table has the rules."""
        life = Life(
            checkpoint=checkpoint,
            culprits=self.culprits,
            taken=self.taken,
            careful_until=self.careful_until,
            alone_ms=self.alone_ms,
        )
        if not self.alive:
            life.deaths = self.deaths if self.checkpoint == checkpoint else 0
            return life
        life.careful_until = max(self.careful_until, self.taken)
        life.suspect = self.at_work or self.suspect  # a death with nothing in work incriminates no event
        if self.at_work:
            life.deaths = self.deaths
            if self.once or self.at_work == self.suspect:
                life.culprits.append(self.at_work)
        elif self.checkpoint == checkpoint:
            life.deaths = self.deaths + 1
        return life


class CrashGuard:
    """The life of one shard's child, kept on disk in `folder`. Created when the child takes the shard at `checkpoint`.

    A disk that cannot be written is logged once a minute; only a careful shard needs it. `clock` is monotonic, `now`
    the wall clock (epoch ms).
    """

    def __init__(
        self,
        folder: Path,
        shard_id: str,
        checkpoint: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = now_ms,
    ) -> None:
        path = folder / f"{shard_id}.json"
        self._file = Rewritten(path)
        self._to_be_logged = LogLimiter(clock)
        self._now = now
        self._waits: EventPlace | None = None
        try:
            self._life = Life.model_validate_json(path.read_bytes()).next(checkpoint)
        except (OSError, ValidationError):  # missing, cut off by a power failure, or another version's
            self._life = Life(checkpoint=checkpoint)
        self._save()

    @property
    def careful(self) -> bool:
        """Whether some records may have to be handled one event at a time."""
        return self._life.deaths >= CAREFUL_AFTER

    def route(
        self, records: Sequence[Record], router: Router, start: Callable[[], None], keep_up: Callable[[], None]
    ) -> None:
        """Route `records` in their order: one event at a time if care is needed, otherwise by `router`, with `keep_up`.

        `start` returns once every routed event is in flight. Nothing here waits for an answer, so a sick event does not
        stop the shard. Raises OSError if the event in work cannot be written to disk.
        """
        others: list[Record] = []
        for record in records:
            once = _came_back_after_a_crash(record)
            if not once and not (self.careful and _position(record) <= self._life.careful_until):
                others.append(record)
                continue
            if others:
                router.route(others, keep_up)
                others = []
            self._one_at_a_time(record, router, start, once=once)
            self._set(None)
        router.route(others, keep_up)

    def _one_at_a_time(self, record: Record, router: Router, start: Callable[[], None], *, once: bool) -> None:
        # The marker is also set before a dead letter is made, or a death in that would incriminate the record before.
        self._begin(record, WHOLE_RECORD, once=once)
        if self._is_culprit(record, WHOLE_RECORD):
            for letters in _unread(record):
                router.bury(letters)
                start()
            return
        for opened in envelope.open_record(record):
            event = opened.event if isinstance(opened, DeadLetter) else opened
            self._begin(record, event.line, once=once)
            if self._is_culprit(record, event.line):
                router.bury([_crashed(event)])
            else:
                router.route_opened([opened])
            start()

    def _is_culprit(self, record: Record, line: int) -> bool:
        return EventPlace(*_position(record), line) in self._life.culprits

    def _begin(self, record: Record, line: int, *, once: bool) -> None:
        """Write the event in work to disk. The file must outlive the process, not the host, so it is not synced."""
        self._life.at_work, self._life.once, self._waits = EventPlace(*_position(record), line), once, None
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            log.error(  # noqa: TRY400 - one line
                "The crash marker cannot be written: %s. This shard needs it, so the child ends. Free some space.",
                error.strerror,
                extra={"event": "careful-without-marker"},
            )
            # This death must not incriminate the event before. A full disk still allows a file to be deleted.
            with contextlib.suppress(OSError):
                self._file.remove()
            raise

    def holds(self) -> None:
        """Record that the event in work waits for a destination that is down: a death now has another cause."""
        if self._life.at_work:
            self._waits = self._life.at_work
            self._set(None)

    def goes_on(self) -> None:
        """Record that work on the event continues after a hold."""
        if self._waits:
            self._set(self._waits)
            self._waits = None

    def _set(self, at_work: EventPlace | None) -> None:
        self._life.at_work = at_work
        self._save()

    def took_charge(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Record that the child accepted a batch that ends with this record."""
        self._life.taken = (sequence_number, sub_sequence_number)
        self._save()

    def progressed(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Record a checkpoint. It forgets the culprits before it.

        Care ends when the checkpoint has passed the newest record that any dead child had accepted.
        """
        life, reached = self._life, (sequence_number, sub_sequence_number)
        life.checkpoint = f"{sequence_number}:{sub_sequence_number}"
        life.culprits = [place for place in life.culprits if place[:2] > reached]
        if not self.careful or reached >= life.careful_until:
            life.deaths = 0
        self._save()

    @property
    def alone_s(self) -> float:
        """Seconds since a child on this host first had only sick events left at the shard's end; 0.0 if none had."""
        return max(0.0, self._now() - self._life.alone_ms) / 1000 if self._life.alone_ms else 0.0

    def alone_at_the_end(self) -> None:
        """Record that only sick events are left at the shard's end. The next child counts from the same time on."""
        if not self._life.alone_ms:
            self._life.alone_ms = self._now()
            self._save()

    def ended_well(self) -> None:
        """Record that the child ends on purpose, or because its JVM did: this end is no death."""
        self._life.alive = False
        self._set(None)

    def _save(self) -> None:
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            if self._to_be_logged():
                log.warning(
                    "The shard's crash marker was not written: %s. An event that kills its process may not be found. "
                    "Check the disk of the state folder.",
                    error.strerror,
                    extra={"event": "crash-marker-not-written"},
                )


def _position(record: Record) -> tuple[int, int]:
    return record.sequence_number, record.sub_sequence_number


def _came_back_after_a_crash(record: Record) -> bool:
    """Return whether an operator resubmitted an event that had killed a process. The event itself is not parsed.

    Such an event has a record of its own, so the mark is at the record's end.
    """
    return b"crashed" in record.data[-_TAIL_BYTES:] and envelope.holds_crashed(record.data)


def _unread(record: Record) -> Iterator[list[DeadLetter]]:
    """Yield dead letters for the unparsed lines of a record whose opening kills the process, a slice at a time."""
    lines = [line for line in record.data.split(b"\n") if line and not line.isspace()] or [record.data]
    record.expect(len(lines))
    for at in range(0, len(lines), SLICE_EVENTS):
        numbered = enumerate(lines[at : at + SLICE_EVENTS], at)
        yield [_crashed(envelope.unread(record, number, line)) for number, line in numbered]


def _crashed(event: Event) -> DeadLetter:
    return DeadLetter(event, Reason.CRASHED, "ProcessKilled", "the process died each time it handled this event")
