"""Crash isolation: an event that kills its process is found by a marker on disk and buried, alone.

A child that dies takes the JVM and so every shard of the host with it, and its records come again. A shard whose child
died three times at one checkpoint opens, transforms and starts its next events one at a time, each noted on disk while
it is at work. The one that was at work at two deaths in a row is the culprit: one death alone may have come from
outside. What an operator put back after it was buried like this is noted before it is opened, always, and is the
culprit at its first death.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from stream_router import envelope
from stream_router.dead_letter_reasons import Reason
from stream_router.log import Seldom
from stream_router.model import DeadLetter, Event, EventPlace, Record
from stream_router.pipeline.route import SLICE_EVENTS, Router
from stream_router.process import Rewritten, now_ms

log = logging.getLogger(__name__)

CAREFUL_AFTER = 3
WHOLE_RECORD = -1
"""The line of a marker that is set while a record is opened, before its events are known."""

_TAIL_BYTES = 512
"""The fields behind an envelope's body fit into so much: `resubmitted` names an application and a run."""


class Life(BaseModel):
    """What a shard's file says: at which checkpoint its child started, how often it died there, what was at work.

    `once`: one death convicts what is at work. `suspect` was at work at the latest death. `taken` is the newest record
    that a child took charge of, `careful_until` the same of the children that died. `alone_ms` is when only sick events
    were left at the shard's end (epoch ms; 0: not yet).
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
        """Return the life after this one, at `checkpoint`."""
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
        life.suspect = self.at_work or self.suspect  # a death while nothing is at work says nothing of anybody
        if self.at_work:
            life.deaths = self.deaths
            if self.once or self.at_work == self.suspect:
                life.culprits.append(self.at_work)
        elif self.checkpoint == checkpoint:
            life.deaths = self.deaths + 1
        return life


class CrashGuard:
    """Keeps one shard's life on disk, in `folder`. Created as the child takes the shard up at `checkpoint`.

    A disk that cannot be written is logged once a minute; only what is handled carefully needs it. `clock` is
    monotonic, `now` the wall clock (epoch ms).
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
        self._to_be_logged = Seldom(clock)
        self._now = now
        self._waits: EventPlace | None = None
        try:
            self._life = Life.model_validate_json(path.read_bytes()).next(checkpoint)
        except (OSError, ValidationError):  # none, torn by a power cut, or another version's
            self._life = Life(checkpoint=checkpoint)
        self._save()

    @property
    def careful(self) -> bool:
        """Whether there may be records that are to be handled one event at a time."""
        return self._life.deaths >= CAREFUL_AFTER

    def route(
        self, records: Sequence[Record], router: Router, start: Callable[[], None], keep_up: Callable[[], None]
    ) -> None:
        """Route `records` in their order: as `router` does, with `keep_up`, but where care is needed event by event.

        `start` returns once all that was routed is on its way. Nobody waits for an answer: a sick event must not stop
        this. Raises OSError where what is at work cannot be noted.
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
        # Noted before a burial too: a death in it must not be charged to the record before.
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
        """Note on disk what is at work from now on. The file outlives the process, which is all that is needed."""
        self._life.at_work, self._life.once, self._waits = EventPlace(*_position(record), line), once, None
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            log.error(  # noqa: TRY400 - one line
                "a careful shard stands without its crash marker: %s; the child ends",
                error.strerror,
                extra={"event": "careful-without-marker"},
            )
            # Nor may the event before be charged with the death that comes of this: a full disk still lets files go.
            with contextlib.suppress(OSError):
                self._file.remove()
            raise

    def holds(self) -> None:
        """Note that the records in work wait for a destination that is down: a death now has another cause."""
        if self._life.at_work:
            self._waits = self._life.at_work
            self._set(None)

    def goes_on(self) -> None:
        """Note that the records in work may be worked on again."""
        if self._waits:
            self._set(self._waits)
            self._waits = None

    def _set(self, at_work: EventPlace | None) -> None:
        self._life.at_work = at_work
        self._save()

    def took_charge(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Note that the child is in charge of a batch that ends with this record."""
        self._life.taken = (sequence_number, sub_sequence_number)
        self._save()

    def progressed(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Note a checkpoint here: deaths before it are past, and so are their culprits.

        Care ends when the checkpoint has passed the newest record that any dead child had taken charge of.
        """
        life, reached = self._life, (sequence_number, sub_sequence_number)
        life.checkpoint = f"{sequence_number}:{sub_sequence_number}"
        life.culprits = [place for place in life.culprits if place[:2] > reached]
        if not self.careful or reached >= life.careful_until:
            life.deaths = 0
        self._save()

    @property
    def alone_s(self) -> float:
        """How long ago a child on this disk first had only sick events left at the shard's end; 0.0 where none had."""
        return max(0.0, self._now() - self._life.alone_ms) / 1000 if self._life.alone_ms else 0.0

    def alone_at_the_end(self) -> None:
        """Note that only sick events are left at the shard's end. The next child goes on counting from now."""
        if not self._life.alone_ms:
            self._life.alone_ms = self._now()
            self._save()

    def ended_well(self) -> None:
        """Note that the child ends by its own will, or because its JVM did: this end is no death."""
        self._life.alive = False
        self._set(None)

    def _save(self) -> None:
        try:
            self._file.write(self._life.model_dump_json())
        except OSError as error:
            if self._to_be_logged():
                log.warning(
                    "the shard's crash marker was not written: %s",
                    error.strerror,
                    extra={"event": "crash-marker-not-written"},
                )


def _position(record: Record) -> tuple[int, int]:
    return record.sequence_number, record.sub_sequence_number


def _came_back_after_a_crash(record: Record) -> bool:
    """Return whether an operator resubmitted an event that killed a process; nothing of the event itself is parsed.

    Its line has a record of its own, so the mark is at the record's end.
    """
    return b"crashed" in record.data[-_TAIL_BYTES:] and envelope.holds_crashed(record.data)


def _unread(record: Record) -> Iterator[list[DeadLetter]]:
    """Yield a letter for each line of a record that cannot even be opened, unparsed, a slice at a time."""
    lines = [line for line in record.data.split(b"\n") if line and not line.isspace()] or [record.data]
    record.expect(len(lines))
    for at in range(0, len(lines), SLICE_EVENTS):
        numbered = enumerate(lines[at : at + SLICE_EVENTS], at)
        yield [_crashed(envelope.unread(record, number, line)) for number, line in numbered]


def _crashed(event: Event) -> DeadLetter:
    return DeadLetter(event, Reason.CRASHED, "ProcessKilled", "the process died each time it handled this event")
