"""What waits on disk, and how it comes back: rows in order, a megabyte of them in memory, by the batcher's own calls.

A row stands in its bucket before what requests brought. One whose event is in an open call since before it was written
waits for that call, and is passed over where it landed. A bucket that refuses keeps its rows; those of others go on.
"""

import logging
import re
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream_router.envelope import group_of
from stream_router.receiver.events import FLYING, LANDED, NOWHERE, Event
from stream_router.receiver.spill import ROW_BYTES, Read, Spill

if TYPE_CHECKING:
    from stream_router.receiver.batcher import Batcher

log = logging.getLogger(__name__)

HAND_BYTES = 1024 * 1024
"""While less than this is in memory, more is read."""
ONE_CALL_ROWS = 500
"""Where no more rows are on disk, and order is asked for, arrivals wait in memory for the call that takes them."""
BROKEN_FOR_S = 2.0
"""A disk that refused is believed to do so for so long."""
HANGS_AFTER_S = 2.0
"""A disk that was asked to take something, and has not answered for so long, takes nothing."""
_RECEIVED_AT = re.compile(rb'"receivedAt":(\d{1,14}),')


class Backlog:
    """The events on disk, at most `max_bytes` of files."""

    def __init__(self, spill: Spill, max_bytes: int, batcher: "Batcher") -> None:
        self._spill = spill
        self._max_bytes = max_bytes
        self._batcher = batcher
        self.folder = str(spill.folder)
        self.unread = spill.unread
        """Rows on disk, or on their way there, that were not read."""
        self._on_way = self._on_way_bytes = 0
        self._asked_s: deque[float] = deque()
        """When the disk was asked for each append that it has not answered, in order."""
        self._broken_until_s = float("-inf")
        self._read: dict[int, Event] = {}
        """Rows that were read and are not in the stream yet, in order."""
        self._read_bytes = 0
        self._early: dict[int, Event] = {}
        """Of rows not read yet, by row: events that are in a call since before that, or have landed by one."""
        self._ends: deque[int] = deque()
        """Row numbers behind each file that was read and is not settled."""
        self._reading = False

    # --- what is known

    @property
    def on_disk(self) -> int:
        """Rows on disk that are not in the stream, as far as is known, and what is on its way there."""
        return self.unread + len(self._read)

    @property
    def _hangs(self) -> bool:
        return bool(self._asked_s) and self._batcher.now_s() - self._asked_s[0] > HANGS_AFTER_S

    @property
    def _full(self) -> bool:
        return self._spill.size_bytes + self._on_way_bytes >= self._max_bytes

    @property
    def takes(self) -> bool:
        """Whether it can take events: it works, as far as is known, and its files are not as large as they may be."""
        return not self._full and self._batcher.now_s() >= self._broken_until_s and not self._hangs

    @property
    def error(self) -> str:
        """What is wrong with it: the disk's code where it refused lately, "hangs" or "full"; else ""."""
        return self._spill.error or ("hangs" if self._hangs else "full" if self._full else "")

    def snapshot(self) -> dict[str, float]:
        """Its numbers by name (docs/metrics.md)."""
        first = next(iter(self._read.values()), None)
        found = _RECEIVED_AT.search(first.line[:200]) if first else None
        return {
            "spilled_events": self.on_disk,
            "spill_bytes": self._spill.size_bytes,
            "spill_oldest_age_seconds": max(0.0, time.time() - int(found[1]) / 1000) if found else 0.0,
            "spill_failing": bool(self.error),
        }

    @property
    def wants_new(self) -> bool:
        """Whether what arrives goes to the disk at once: the stream refuses, or much is there that must go before."""
        refuses = self._batcher.stream.down and bool(self._read)
        much = self._batcher.conversations is not None and self.unread > ONE_CALL_ROWS
        return (refuses or much) and self.takes

    # --- to the disk

    def append(self, events: Sequence[Event]) -> None:
        """Put events on disk, in this order behind all that is there."""
        lines = [(event.conversation, event.line) for event in events]
        size_bytes = sum(len(line) + ROW_BYTES for _, line in lines)
        if self._spill.size_bytes + self._on_way_bytes + size_bytes > self._max_bytes:
            self._batcher.not_spilled(events)
            return
        self.unread += len(events)
        self._on_way += len(events)
        self._on_way_bytes += size_bytes
        self._asked_s.append(self._batcher.now_s())
        self._spill.append(lines, lambda first: self._appended(events, size_bytes, first))

    def _appended(self, events: Sequence[Event], size_bytes: int, first: int | None) -> None:
        batcher = self._batcher
        self._on_way -= len(events)
        self._on_way_bytes -= size_bytes
        self._asked_s.popleft()
        if first is None:
            self.unread -= len(events)
            self._broken_until_s = batcher.now_s() + BROKEN_FOR_S
            batcher.not_spilled(events)
        else:
            batcher.stats.events_spilled += len(events)
            for row, event in enumerate(events, first):
                event.row = row
                if event.place in (FLYING, LANDED):
                    self._early[row] = event
                else:
                    batcher.drop(event)
                if event.place != LANDED:
                    batcher.stored(event, spilled=True)
        self.read_on()
        batcher.dispatch()
        batcher.look_whether_at_rest()

    # --- back from the disk

    def read_on(self) -> None:
        """Bring the oldest rows into memory, as many as may be there at once."""
        if not self._reading and self.unread > self._on_way and self._read_bytes < HAND_BYTES:
            self._reading = True
            self._spill.read(self._rows_read)

    def _read_again(self) -> None:
        self._reading = False
        self.read_on()

    def _rows_read(self, read: Read) -> None:
        batcher = self._batcher
        if not read.rows and not read.damaged:
            batcher.loop.call_later(BROKEN_FOR_S, self._read_again)
            return
        self._reading = False
        self.unread -= len(read.rows) + read.damaged
        self._ends.append(read.end)
        if read.damaged:
            batcher.stats.spill_damaged += read.damaged
            log.error(
                "events of the spill are damaged or missing, and lost; look at this disk, and keep the files *.damaged",
                extra={"event": "spill-events-lost", "events": read.damaged, "resource": self.folder},
            )
        for row, conversation, line in read.rows:
            event = self._early.pop(row, None)
            if event is None:
                bucket = batcher.buckets[group_of(conversation, len(batcher.buckets))]
                event = Event(bucket, conversation, line, None)
                event.row = row
                event.bucket.rows.append(event)
                batcher.wait_for_turn(event.bucket)
            if event.place != LANDED:
                self._read[row] = event
                self._read_bytes += len(line)
        self.settle()
        batcher.dispatch()

    def landed(self, row: int, size_bytes: int) -> None:
        """The event of a row, of so many bytes, is in the stream."""
        if self._read.pop(row, None) is not None:
            self._read_bytes -= size_bytes

    def failed(self, row: int) -> bool:
        """The call in which this row's event was did not store it; whether it is to go again, and not to be read."""
        self._early.pop(row, None)
        return row in self._read

    def refused_for_good(self, event: Event) -> None:
        """Keep an event that the stream refuses for good, alone and while it takes others, in a file of such lines."""

        def set_aside(done: bool) -> None:
            event.bucket.suspect = None
            if done and event.row in self._read:
                log.error(
                    "an event of the spill is refused by the stream for good; it was set aside in a file there",
                    extra={"event": "spill-refused", "resource": self.folder},
                )
                event.place = NOWHERE
                self.landed(event.row, len(event.line))
                self.settle()
                self._batcher.look_whether_at_rest()

        self._spill.set_aside(event.line, set_aside)

    def settle(self) -> None:
        """Let go of files of which all is in the stream, and read on. Called when a call has ended."""
        while self._ends and next(iter(self._read), self._ends[0]) >= self._ends[0]:
            self._spill.settle(self._ends.popleft())
        self.read_on()

    def close(self) -> int:
        """How many events are left on disk; said, where there are any."""
        if left := self.on_disk:
            log.error(
                "the receiver ends, and events are left in its spill, on this disk alone; keep its folder, and start "
                "a receiver with it",
                extra={"event": "spill-left", "events": left, "resource": self.folder},
            )
        return left
