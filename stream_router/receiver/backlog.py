"""The events of a spill on disk: stored and drained in order, with about two megabytes in memory at most.

The backlog knows rows, and nothing of calls. The batcher reports which rows a call in flight carries (`hold`), and
whether that call stored them (`settle`) or not (`release`). A held row is drained only once its call has ended. A file
of the spill is removed when all of its rows are settled.
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence

from stream_router.envelope import group_of
from stream_router.receiver.events import SPILLED, PartitionGroup, PendingEvent
from stream_router.receiver.spill import DEFECT, ROW_BYTES, SegmentContent, Spill
from stream_router.receiver.spill_store import Stored
from stream_router.receiver.stats import Stats

log = logging.getLogger(__name__)

HAND_BYTES = 1024 * 1024
"""Bytes of drained events in memory below which the next file is read."""
BROKEN_FOR_S = 2.0
"""Seconds after a failure during which the disk is not tried again."""
HANGS_AFTER_S = 2.0
"""Seconds without an answer after which a disk counts as hanging. A hanging disk is given no events."""
_NOT_OURS = "another program made a file or link with the name of the spill's next file; move it away"
_CURES = {
    "ENOSPC": "the disk is full; make room, though the stored events drain without it",
    "EDQUOT": "the quota is used up; make room, though the stored events drain without it",
    "EROFS": "the disk became read-only; look at the kernel's log, and mount it again",
    "ENOENT": "the folder is missing; create it, or mount its disk",
    "ESTALE": "the NFS server no longer knows the folder; mount it again",
    "EACCES": "this user may not use the folder or a file in it; restore its permissions",
    "EEXIST": _NOT_OURS,
    "ELOOP": _NOT_OURS,
    "EMFILE": "no open file is left; raise the limit of open files (ulimit -n)",
    "EIO": "the disk has errors; replace it",
    "hangs": "the disk does not answer; check the kernel's log and the health of the volume",
    "full": "STREAM_ROUTER_SPILL_MAX_BYTES is reached; the spill drains once the stream takes events again",
    DEFECT: "a defect of stream-router; report the exception in the log",
}
"""Advice to an operator about each code of `error`."""
_RECEIVED_AT = re.compile(rb'"receivedAt":(\d{1,14}),')
"""Time of receipt in an envelope, in epoch milliseconds."""


class Backlog:
    """The events on disk, at most `max_bytes` in all. `drained` gets the events that may be sent now, in order."""

    def __init__(
        self,
        spill: Spill,
        max_bytes: int,
        loop: asyncio.AbstractEventLoop,
        groups: Sequence[PartitionGroup],
        stats: Stats,
        drained: Callable[[list[PendingEvent]], None],
    ) -> None:
        self._spill = spill
        self._max_bytes = max_bytes
        self._loop = loop
        self._groups = groups
        self._stats = stats
        self._drained = drained
        self.resource = str(spill.folder)
        self.unread = spill.unread
        """Number of rows on disk, or being written, that were not read."""
        self._writing = self._writing_bytes = 0
        self._appends_began_s: deque[float] = deque()
        """Times at which the unanswered appends began, in order."""
        self._broken_until_s = float("-inf")
        self._read: dict[int, PendingEvent] = {}
        """Rows that were read and are not settled, in order. The event of a row in flight stays in state SPILLED."""
        self._read_bytes = 0
        self._in_flight: set[int] = set()
        """Rows that a call in flight carries."""
        self._settled: set[int] = set()
        """Rows that were settled before they were read."""
        self._ends: deque[int] = deque()
        """First row number after each file that was read and is not settled."""
        self._reading = False

    # --- what is known

    @property
    def size(self) -> int:
        """Number of events that are stored or being written, and not known to be in the stream."""
        return self.unread + len(self._read)

    @property
    def has_drained(self) -> bool:
        """Whether a drained event is in memory, with which the stream can be tried."""
        return bool(self._read)

    @property
    def _hangs(self) -> bool:
        return bool(self._appends_began_s) and self._loop.time() - self._appends_began_s[0] > HANGS_AFTER_S

    @property
    def _full(self) -> bool:
        return self._spill.size_bytes + self._writing_bytes >= self._max_bytes

    @property
    def takes(self) -> bool:
        """Whether events can be stored, as far as is known: the disk works, and its files are below their limit."""
        return not self._full and self._loop.time() >= self._broken_until_s and not self._hangs

    @property
    def error(self) -> str:
        """The disk's code if its last job failed, "hangs" or "full"; else ""."""
        if self._spill.error:
            return self._spill.error
        if self._hangs:
            return "hangs"
        return "full" if self._full else ""

    @property
    def cure(self) -> str:
        """Advice to an operator about `error`. A code that is not in the table counts as an error of the disk."""
        return _CURES.get(self.error, _CURES["EIO"])

    def snapshot(self) -> dict[str, float]:
        """Return the spill's metrics by name (docs/metrics.md)."""
        oldest = next(iter(self._read.values()), None)
        received_at = _RECEIVED_AT.search(oldest.line[:200]) if oldest else None
        return {
            "spilled_events": self.size,
            "spill_bytes": self._spill.size_bytes,
            "spill_oldest_age_seconds": max(0.0, time.time() - int(received_at[1]) / 1000) if received_at else 0.0,
            "spill_failing": bool(self.error),
        }

    # --- into the spill

    def store(self, events: Sequence[PendingEvent], done: Stored) -> None:
        """Store all of these events behind the existing rows, or none of them."""
        lines = [(event.conversation, event.line) for event in events]
        size_bytes = sum(len(line) + ROW_BYTES for _, line in lines)
        if self._spill.size_bytes + self._writing_bytes + size_bytes > self._max_bytes:
            done(events, None)
            return
        count = len(lines)
        self.unread += count
        self._writing += count
        self._writing_bytes += size_bytes
        self._appends_began_s.append(self._loop.time())

        def answered(first: int | None) -> None:
            self._writing -= count
            self._writing_bytes -= size_bytes
            self._appends_began_s.popleft()
            if first is None:
                self.unread -= count
                self._broken_until_s = self._loop.time() + BROKEN_FOR_S
            else:
                self._stats.events_spilled += count
            done(events, first)
            self.drain()

        self._spill.append(lines, answered)

    # --- out of the spill

    def drain(self) -> None:
        """Read the next rows, unless enough of them are in memory."""
        if not self._reading and self.unread > self._writing and self._read_bytes < HAND_BYTES:
            self._reading = True
            self._spill.read(self._rows_read)

    def _read_again(self) -> None:
        """Read the next rows after a pause, since the disk could not be read."""
        self._reading = False
        self.drain()

    def _rows_read(self, read: SegmentContent) -> None:
        """Keep the rows of a file in memory, count missing rows as lost, and send the rows that no call carries."""
        # `drain` reads only if rows are left, so an empty content means that the disk cannot be read now.
        if not read.rows and not read.damaged:
            self._loop.call_later(BROKEN_FOR_S, self._read_again)
            return
        self._reading = False
        self.unread -= len(read.rows) + read.damaged
        self._ends.append(read.end)
        if read.damaged:
            self._stats.spill_damaged += read.damaged
            log.error(
                "Events of the spill are damaged or missing. They are lost. Check this disk, and keep the files "
                "*.damaged.",
                extra={"event": "spill-events-lost", "events": read.damaged, "resource": self.resource},
            )
            # Forget settled rows of this file that were not found in it. No later read could take them from the set.
            whole = {row.number for row in read.rows}
            self._settled = {row for row in self._settled if row >= read.end or row in whole}
        free: list[PendingEvent] = []
        for row, conversation, line in read.rows:
            if row in self._settled:
                self._settled.remove(row)
                continue
            group = self._groups[group_of(conversation, len(self._groups))]
            event = self._read[row] = PendingEvent(group, conversation, line, None, SPILLED)
            event.row = row
            self._read_bytes += len(line)
            if row not in self._in_flight:
                free.append(event)
        self._drained(free)
        self.delete_settled()

    def hold(self, row: int) -> None:
        """Do not drain a row, since a call in flight carries its event. The call began before the row was stored."""
        self._in_flight.add(row)

    def release(self, row: int) -> PendingEvent | None:
        """End the hold of a row, since the call failed. Return the row's event if it was read meanwhile."""
        self._in_flight.discard(row)
        return self._read.get(row)

    def settle(self, row: int) -> None:
        """Record that the event of a row is in the stream, or set aside."""
        self._in_flight.discard(row)
        event = self._read.pop(row, None)
        if event is None:
            self._settled.add(row)
        else:
            self._read_bytes -= len(event.line)

    def set_aside(self, event: PendingEvent, done: Callable[[bool], None]) -> None:
        """Append an event that the stream refuses for good to a separate file. `done` gets whether that succeeded."""

        def answered(is_kept: bool) -> None:
            if is_kept:
                log.error(
                    "The stream refuses an event of the spill for good. The event was set aside in a file there. "
                    "Send it by other means, or drop it.",
                    extra={"event": "spill-refused", "resource": self.resource},
                )
            done(is_kept)

        self._spill.set_aside(event.line, answered)

    def delete_settled(self) -> None:
        """Remove the files whose rows are all in the stream, or lost, then read more."""
        # Rows are read in order, so the first row in memory tells which files have no unsettled row left.
        while self._ends and next(iter(self._read), self._ends[0]) >= self._ends[0]:
            self._spill.remove_before(self._ends.popleft())
        self.drain()

    def begin_close(self) -> None:
        """Do nothing: a stop tries to empty the spill, since no other receiver can."""

    async def close(self) -> int:
        """Return the number of events that are left, and log it if there are any. Files need no closing."""
        if left := self.size:
            log.error(
                "The receiver ends. Events are left in its spill, on this disk alone. Keep its folder, and start a "
                "receiver with it.",
                extra={"event": "spill-left", "events": left, "resource": self.resource},
            )
        return left
