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
HANGS = "hangs"
"""In place of the disk's code."""
_RECEIVED_AT = re.compile(rb'"receivedAt":(\d{1,14}),')


NO_SPILL = ("spilled_events", "spill_bytes", "spill_oldest_age_seconds", "spill_failing", "spill_takes")
"""The names of a spill's numbers, all 0 where there is none."""


class Backlog:
    """The events on disk, at most `max_bytes` of files."""

    def __init__(self, spill: Spill, max_bytes: int, batcher: "Batcher") -> None:
        self._spill = spill
        self._max_bytes = max_bytes
        self._batcher = batcher
        self._on_file = spill.unread
        self._pending = self._pending_bytes = 0
        self._asked_s: deque[float] = deque()
        """When the disk was asked for each append that it has not answered, in order."""
        self._broken_until_s = float("-inf")
        self._hand: dict[int, Event] = {}
        """Rows that were read and are not in the stream yet, in order."""
        self._hand_bytes = 0
        self._open: dict[int, Event] = {}
        """Events that are in a call since before they were a row."""
        self._landed: set[int] = set()
        """Rows not read yet whose event such a call has stored."""
        self._ends: deque[int] = deque()
        """Row numbers behind each file that was read and is not settled."""
        self._reading = False

    # --- what is known

    @property
    def unread(self) -> int:
        """Rows on disk, or on their way there, that were not read."""
        return self._on_file + self._pending

    @property
    def on_disk(self) -> int:
        """Rows on disk that are not in the stream, as far as is known, and what is on its way there."""
        return self.unread + len(self._hand)

    @property
    def takes(self) -> bool:
        """Whether it can take events: it works, and it is not full."""
        return not self.full and self._batcher.now_s() >= self._broken_until_s and not self._hangs

    @property
    def full(self) -> bool:
        """Whether its files are as large as they may be."""
        return self._spill.size_bytes + self._pending_bytes >= self._max_bytes

    @property
    def _hangs(self) -> bool:
        return bool(self._asked_s) and self._batcher.now_s() - self._asked_s[0] > HANGS_AFTER_S

    @property
    def error(self) -> str:
        """The disk's code where it refused lately, or hangs; else ""."""
        return self._spill.error or (HANGS if self._hangs else "")

    @property
    def folder(self) -> str:
        """Where it is."""
        return str(self._spill.folder)

    def snapshot(self) -> dict[str, float]:
        """Its numbers by name."""
        first = next(iter(self._hand.values()), None)
        found = _RECEIVED_AT.search(first.line[:200]) if first else None
        oldest_s = max(0.0, time.time() - int(found[1]) / 1000) if found else 0.0
        failing = bool(self.error) or self.full
        return dict(zip(NO_SPILL, (self.on_disk, self._spill.size_bytes, oldest_s, failing, self.takes), strict=True))

    @property
    def wants_new(self) -> bool:
        """Whether what arrives goes to the disk at once: the stream refuses, or much is there that must go before."""
        refuses = self._batcher.stream.down and bool(self._hand)
        much = self._batcher.conversations is not None and self.unread > ONE_CALL_ROWS
        return (refuses or much) and self.takes

    # --- to the disk

    def append(self, events: Sequence[Event]) -> None:
        """Put events on disk, in this order behind all that is there."""
        lines = [(event.conversation, event.line) for event in events]
        size_bytes = sum(len(line) + ROW_BYTES for _, line in lines)
        if self._spill.size_bytes + self._pending_bytes + size_bytes > self._max_bytes:
            self._batcher.not_spilled(events)
            return
        self._pending += len(events)
        self._pending_bytes += size_bytes
        self._asked_s.append(self._batcher.now_s())
        self._spill.append(lines, lambda first: self._appended(events, size_bytes, first))

    def _appended(self, events: Sequence[Event], size_bytes: int, first: int | None) -> None:
        batcher = self._batcher
        self._pending -= len(events)
        self._pending_bytes -= size_bytes
        self._asked_s.popleft()
        if first is None:
            self._broken_until_s = batcher.now_s() + BROKEN_FOR_S
            batcher.not_spilled(events)
        else:
            self._on_file += len(events)
            batcher.stats.events_spilled += len(events)
            for row, event in enumerate(events, first):
                event.row = row
                if event.place == LANDED:
                    self._landed.add(row)
                    continue
                if event.place == FLYING:
                    self._open[row] = event
                else:
                    batcher.drop(event)
                batcher.stored(event, spilled=True)
        self.read_on()
        batcher.dispatch()
        batcher.look_whether_at_rest()

    # --- back from the disk

    def read_on(self) -> None:
        """Bring the oldest rows into memory, as many as may be there at once."""
        if not self._reading and self._on_file and self._hand_bytes < HAND_BYTES:
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
        self._on_file -= len(read.rows) + read.damaged
        self._ends.append(read.end)
        if read.damaged:
            batcher.stats.spill_damaged += read.damaged
            log.error(
                "events of the spill are damaged or missing, and lost; look at this disk, and keep the files *.damaged",
                extra={"event": "spill-events-lost", "events": read.damaged, "resource": self.folder},
            )
        for number, key, line in read.rows:
            if number in self._landed:
                self._landed.discard(number)
                continue
            event = self._open.get(number)
            if event is None:
                event = Event(batcher.buckets[key % len(batcher.buckets)], key, line, None)
                event.row = number
                event.bucket.rows.append(event)
                batcher.wake(event.bucket)
            self._hand[number] = event
            self._hand_bytes += len(line)
        self.settle()
        batcher.dispatch()

    def landed(self, event: Event) -> None:
        """The event of a row is in the stream."""
        self._open.pop(event.row, None)
        if event.row in self._hand:
            self._gone(event)
        else:
            self._landed.add(event.row)

    def failed(self, event: Event) -> bool:
        """The call in which this row's event was did not store it; whether it is to go again, and not to be read."""
        self._open.pop(event.row, None)
        return event.row in self._hand

    def refused_for_good(self, event: Event) -> None:
        """Keep an event that the stream refuses for good, alone and while it takes others, in a file of such lines."""

        def set_aside(done: bool) -> None:
            event.bucket.suspect = None
            if done and event.row in self._hand:
                log.error(
                    "an event of the spill is refused by the stream for good; it was set aside in a file there",
                    extra={"event": "spill-refused", "resource": self.folder},
                )
                event.place = NOWHERE
                self._gone(event)
                self.settle()
                self._batcher.look_whether_at_rest()

        self._spill.set_aside(event.line, set_aside)

    def _gone(self, event: Event) -> None:
        """It is in the stream, or set aside."""
        del self._hand[event.row]
        self._hand_bytes -= len(event.line)

    def settle(self) -> None:
        """Let go of files of which all is in the stream, and read on. Called when a call has ended."""
        while self._ends and next(iter(self._hand), self._ends[0]) >= self._ends[0]:
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
