"""Crash isolation: an event that kills its process is found by a marker on disk, and alone becomes a dead letter.

If a child dies, the daemon ends with all other children of the host, and their records are read again. A shard whose
child died CAREFUL_DEATH_COUNT times at one checkpoint becomes *careful*: the child opens, transforms and starts events
one at a time, and writes the event in work to the marker first. The next child applies this table:

| the child died | at the same checkpoint | then |
|---|---|---|
| with nothing in work | yes | one more death is counted; at CAREFUL_DEATH_COUNT the shard becomes careful |
| with nothing in work | no | the deaths are counted from 0 again |
| with an event in work | either | the event is the suspect; one death alone may have had an outside cause |
| with the suspect in work again | either | the event is a culprit |
| with a resubmitted culprit in work | either | the event is a culprit at once |
| on purpose, or with its JVM | either | this is not a death |

A culprit becomes a dead letter (`crashed`). A checkpoint that reaches a culprit removes it from the marker. The shard
is careful until a checkpoint reaches the newest record that any dead child had accepted.
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
from stream_router.process import RewrittenFile, now_ms

log = logging.getLogger(__name__)

CAREFUL_DEATH_COUNT = 3
"""Number of deaths at one checkpoint after which events are handled one at a time."""

WHOLE_RECORD_LINE = -1
"""Line number in a marker while a record is opened, before its events are known."""

_TAIL_BYTES = 512
"""Number of bytes at an envelope's end that contain the fields behind its body, such as `resubmitted`."""


class CrashMarker(BaseModel):
    """Contents of a shard's marker file: state of the present child, and what the children before it left."""

    checkpoint: str
    """The child's latest checkpoint, "number:subnumber"; at first the one at which it began."""
    deaths: int = 0
    """Number of deaths at this checkpoint with nothing in work."""
    alive: bool = True
    """Whether the child runs. If the next child finds true here, this child died."""
    at_work: EventPlace | None = None
    """The event in work."""
    once: bool = False
    """Whether a single death makes the event in work a culprit, since it was resubmitted after a crash."""
    suspect: EventPlace | None = None
    """The event that was in work at the latest death."""
    culprits: list[EventPlace] = []
    """Events that are not handled again, and become dead letters."""
    taken: tuple[int, int] = (0, 0)
    """Position of the newest record that this child or one before it accepted from the daemon."""
    careful_until: tuple[int, int] = (0, 0)
    """Position of the newest record that was accepted by any child that died."""
    alone_ms: float = 0.0
    """Time of the first call of `record_only_sick_left` (epoch ms); 0.0 if there was none."""

    def for_next_child(self, checkpoint: str) -> "CrashMarker":
        """Return the marker of the next child, which begins at `checkpoint`, by the table in the module's docstring."""
        marker = CrashMarker(
            checkpoint=checkpoint,
            culprits=self.culprits,
            taken=self.taken,
            careful_until=self.careful_until,
            alone_ms=self.alone_ms,
        )
        if not self.alive:  # the child ended on purpose, so no event is suspected
            marker.deaths = self.deaths if self.checkpoint == checkpoint else 0
            return marker
        marker.careful_until = max(self.careful_until, self.taken)
        marker.suspect = self.at_work or self.suspect  # a death with nothing in work clears no suspect
        if self.at_work:
            marker.deaths = self.deaths  # kept even at another checkpoint, so that a careful shard stays careful
            if self.once or self.at_work == self.suspect:
                marker.culprits.append(self.at_work)
        elif self.checkpoint == checkpoint:
            marker.deaths = self.deaths + 1
        return marker


class CrashGuard:
    """Owner of one shard's marker file in `folder`. Create it when the child takes over the shard at `checkpoint`.

    A failed write is logged once a minute, and ends the child only if the shard is careful. `clock` is monotonic,
    `wall_clock_ms` returns epoch milliseconds.
    """

    def __init__(
        self,
        folder: Path,
        shard_id: str,
        checkpoint: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        path = folder / f"{shard_id}.json"
        self._file = RewrittenFile(path)
        self._warning_is_due = LogLimiter(clock)
        self._wall_clock_ms = wall_clock_ms
        self._suspended: EventPlace | None = None
        """The event in work while its destination is down, since the marker does not name it then; None otherwise."""
        try:
            self._marker = CrashMarker.model_validate_json(path.read_bytes()).for_next_child(checkpoint)
        except (OSError, ValidationError):  # missing, cut off by a power failure, or of another version
            self._marker = CrashMarker(checkpoint=checkpoint)
        self._save()

    @property
    def is_careful(self) -> bool:
        """Whether the shard is careful: records up to `careful_until` are handled one event at a time."""
        return self._marker.deaths >= CAREFUL_DEATH_COUNT

    def route(
        self,
        records: Sequence[Record],
        router: Router,
        wait_until_started: Callable[[], None],
        keep_up: Callable[[], None],
    ) -> None:
        """Route `records` in their order, by `Router.route`. Records that may kill the process go one event at a time.

        `wait_until_started` returns once every routed event is in flight. It does not wait for answers, so a sick event
        does not stop the shard. `keep_up` is passed to `Router.route`. Raises OSError if the marker of the event in
        work cannot be written.
        """
        without_care: list[Record] = []
        for record in records:
            crashed_before = _is_resubmitted_after_crash(record)
            needs_care = crashed_before or (self.is_careful and _position(record) <= self._marker.careful_until)
            if not needs_care:
                without_care.append(record)
                continue
            if without_care:
                router.route(without_care, keep_up)
                without_care = []
            self._route_one_at_a_time(record, router, wait_until_started, crashed_before=crashed_before)
            self._save_event_in_work(None)
        router.route(without_care, keep_up)

    def _route_one_at_a_time(
        self, record: Record, router: Router, wait_until_started: Callable[[], None], *, crashed_before: bool
    ) -> None:
        """Route a record's events, each after the event before is in flight. The marker names the event in work.

        The marker names a culprit too, although only its dead letter is made. Otherwise a death at that moment would
        make the previous event the suspect.
        """
        self._mark_in_work(record, WHOLE_RECORD_LINE, crashed_before=crashed_before)
        if self._is_culprit(record, WHOLE_RECORD_LINE):  # opening the record kills the process, so it is not opened
            for letters in _make_letters_of_lines(record):
                router.send_dead_letters(letters)
                wait_until_started()
            return
        for opened in envelope.open_record(record):
            event = opened.event if isinstance(opened, DeadLetter) else opened
            self._mark_in_work(record, event.line, crashed_before=crashed_before)
            if self._is_culprit(record, event.line):
                router.send_dead_letters([_make_crashed_letter(event)])
            else:
                router.route_opened([opened])
            wait_until_started()

    def _is_culprit(self, record: Record, line: int) -> bool:
        return EventPlace(*_position(record), line) in self._marker.culprits

    def _mark_in_work(self, record: Record, line: int, *, crashed_before: bool) -> None:
        """Write the event in work to the marker. Raise OSError if that fails.

        The file must outlive the process but not the host, so it is not synced to the disk.
        """
        self._marker.at_work, self._marker.once = EventPlace(*_position(record), line), crashed_before
        self._suspended = None
        try:
            self._file.write(self._marker.model_dump_json())
        except OSError as error:
            log.error(  # noqa: TRY400 - one line
                "The crash marker cannot be written: %s. This shard needs it, so the child ends. Free some space.",
                error.strerror,
                extra={"event": "careful-without-marker"},
            )
            # The file still names the previous event, which would be suspected of this death. So the file is deleted,
            # which succeeds even on a full disk.
            with contextlib.suppress(OSError):
                self._file.remove()
            raise

    def suspend_marker(self) -> None:
        """Clear the marker while the event in work waits for a destination that is down.

        An outage may last for hours. A death in that time has another cause than the event.
        """
        if self._marker.at_work:
            self._suspended = self._marker.at_work
            self._save_event_in_work(None)

    def resume_marker(self) -> None:
        """Restore the marker that `suspend_marker` has cleared, if any: work on the event continues."""
        if self._suspended:
            self._save_event_in_work(self._suspended)
            self._suspended = None

    def _save_event_in_work(self, event: EventPlace | None) -> None:
        self._marker.at_work = event
        self._save()

    def record_accepted_batch(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Record that the child accepted a batch that ends with this record."""
        self._marker.taken = (sequence_number, sub_sequence_number)
        self._save()

    def record_checkpoint(self, sequence_number: int, sub_sequence_number: int) -> None:
        """Record a checkpoint: forget the culprits up to it, and end care if it has reached `careful_until`."""
        marker, reached = self._marker, (sequence_number, sub_sequence_number)
        marker.checkpoint = f"{sequence_number}:{sub_sequence_number}"
        marker.culprits = [place for place in marker.culprits if place[:2] > reached]
        if not self.is_careful or reached >= marker.careful_until:
            marker.deaths = 0
        self._save()

    @property
    def seconds_with_only_sick(self) -> float:
        """Seconds since `record_only_sick_left` was first called for this shard on this host; 0.0 if it never was."""
        if not self._marker.alone_ms:
            return 0.0
        return max(0.0, self._wall_clock_ms() - self._marker.alone_ms) / 1000

    def record_only_sick_left(self) -> None:
        """Record that at the shard's end only sick events are left, which fail while the bus accepts others.

        Sick events are retried for a limited time. It counts from the first call of this method for the shard, even if
        another child continues.
        """
        if not self._marker.alone_ms:
            self._marker.alone_ms = self._wall_clock_ms()
            self._save()

    def record_clean_exit(self) -> None:
        """Record that the child ends on purpose, or because its JVM did. Its end does not count as a death."""
        self._marker.alive = False
        self._save_event_in_work(None)

    def _save(self) -> None:
        """Write the marker. Only log a failure, since most shards never need the marker."""
        try:
            self._file.write(self._marker.model_dump_json())
        except OSError as error:
            if self._warning_is_due():
                log.warning(
                    "The shard's crash marker was not written: %s. An event that kills its process may not be found. "
                    "Check the disk of the state folder.",
                    error.strerror,
                    extra={"event": "crash-marker-not-written"},
                )


def _position(record: Record) -> tuple[int, int]:
    return record.sequence_number, record.sub_sequence_number


def _is_resubmitted_after_crash(record: Record) -> bool:
    """Return whether an operator resubmitted an event that had killed a process. The event itself is not parsed.

    A resubmitted event has a record of its own, so the mark is at the record's end.
    """
    return b"crashed" in record.data[-_TAIL_BYTES:] and envelope.holds_crashed(record.data)


def _make_letters_of_lines(record: Record) -> Iterator[list[DeadLetter]]:
    """Yield dead letters for all lines of a record whose opening kills the process. The lines are not parsed.

    The letters come in lists of at most SLICE_EVENTS, since the letters of a large record would need too much memory.
    """
    lines = [line for line in record.data.split(b"\n") if line and not line.isspace()] or [record.data]
    record.expect(len(lines))
    for start in range(0, len(lines), SLICE_EVENTS):
        numbered_lines = enumerate(lines[start : start + SLICE_EVENTS], start)
        yield [
            _make_crashed_letter(envelope.make_unparsed_event(record, number, line)) for number, line in numbered_lines
        ]


def _make_crashed_letter(event: Event) -> DeadLetter:
    return DeadLetter(event, Reason.CRASHED, "ProcessKilled", "the process died each time it handled this event")
