"""What waits on disk, and how it comes back: one reader that sends the oldest, few calls, each one's answer awaited.

Rows are read in order, a megabyte of them at most. A row whose event is still in an open call waits for that call, and
is passed over where it landed. A bucket that refuses keeps its rows here while those of others go on. A line that the
stream refuses for good, alone and while it takes others, is set aside in a file.
"""

import logging
import re
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream_router.receiver.events import FLYING, LANDED, Bucket, Event, Record
from stream_router.receiver.putrecords import Verdict
from stream_router.receiver.spill import ROW_BYTES, Read, Spill

if TYPE_CHECKING:
    from stream_router.receiver.batcher import Batcher

log = logging.getLogger(__name__)

HAND_BYTES = 1024 * 1024
CALL_BYTES = 512 * 1024
"""Of a reading, and of a call. Where no more than so much is on disk, and order is asked for, arrivals wait for it."""
PROBE_BYTES = 16 * 1024
"""While the stream refuses, little is sent until it takes something."""
MOST_LINES = 100_000
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
        self._file_bytes = spill.size_bytes
        self._pending = self._pending_bytes = 0
        self._asked_s: deque[float] = deque()
        """When the disk was asked for each append that it has not answered, in order."""
        self._broken_until_s = float("-inf")
        self._hand: dict[int, Event] = {}
        """Rows that were read and are not in the stream yet, in order."""
        self._hand_bytes = 0
        self._open: set[int] = set()
        """Rows whose event is in an open call."""
        self._landed: set[int] = set()
        """Rows not read yet whose event is in the stream by a call that ended late."""
        self._suspects: dict[int, int] = {}
        """Rows that were refused for their content, alone, and how many records the stream had taken by then."""
        self._reading = self._sending = False
        self._most_lines = MOST_LINES
        self._read_to = self._settled = 0
        self._tell_of_damage(spill.missing)

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
        if not self._hand and not self.unread:
            return False
        refuses = self._batcher.stream.down and bool(self._hand)
        much = self._batcher.conversations is not None and self._file_bytes + self._pending_bytes > CALL_BYTES
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
            self._file_bytes += size_bytes
            batcher.stats.events_spilled += len(events)
            for row, event in enumerate(events, first):
                event.row = row
                if event.place == LANDED:
                    self._landed.add(row)
                    continue
                if event.place == FLYING:
                    self._open.add(row)
                else:
                    batcher.drop(event)
                batcher.stored(event, "")
        self.read_on()
        batcher.dispatch()
        batcher.look_whether_at_rest()

    # --- back from the disk

    def read_on(self) -> None:
        """Bring the oldest rows into memory, as many as may be there at once."""
        if not self._reading and self._on_file and self._hand_bytes < HAND_BYTES:
            self._reading = True
            self._spill.read(CALL_BYTES, self._rows_read)

    def _read_again(self) -> None:
        self._reading = False
        self.read_on()

    def _rows_read(self, read: Read) -> None:
        batcher = self._batcher
        if not read.rows and not read.damaged:
            # Until then it is not asked, whatever is stored: after three such readings a file counts as damaged.
            batcher.loop.call_later(BROKEN_FOR_S, self._read_again)
            return
        self._reading = False
        self._on_file -= len(read.rows) + read.damaged
        self._read_to = read.end
        self._tell_of_damage(read.damaged)
        for number, key, line in read.rows:
            self._file_bytes -= len(line) + ROW_BYTES
            if number in self._landed:
                self._landed.discard(number)
                continue
            event = Event(batcher.buckets[key % len(batcher.buckets)], key, line, None)
            event.row = number
            self._hand[number] = event
            self._hand_bytes += len(line)
            if batcher.conversations is not None:
                batcher.conversation(key).on_disk += 1
        if not self._on_file:
            self._file_bytes = 0
        self._settle()
        self.read_on()
        self.send()
        batcher.dispatch()

    def _tell_of_damage(self, events: int) -> None:
        if events:
            self._batcher.stats.spill_damaged += events
            log.error(
                "events of the spill are damaged or missing, and lost; look at this disk, and keep the files *.damaged",
                extra={"event": "spill-events-lost", "events": events, "resource": self.folder},
            )

    def call_over(self, row: int) -> None:
        """The call in which this row's event was has ended without storing it."""
        self._open.discard(row)

    def landed(self, row: int) -> None:
        """The event of this row is in the stream by a call that was open when it was written."""
        self._open.discard(row)
        event = self._hand.get(row)
        if event is None:
            self._landed.add(row)
        else:
            self._gone(event)
            self._settle()
            self.read_on()

    def send(self) -> None:
        """Send what can be sent, in one call; the next one goes once that is answered."""
        batcher = self._batcher
        if self._sending or not self._hand:
            return
        records = self._next_records()
        if not records:
            return
        self._sending = True
        for _, events in records:
            self._fly(events, flying=True)
        data = [(bucket.address, b"\n".join([event.line for event in events])) for bucket, events in records]
        batcher.calls.start(data, batcher.now_s(), lambda verdicts: self._settled_call(records, verdicts))

    def _next_records(self) -> list[Record]:
        """A record of each bucket that does not rest; a suspect alone, once the stream took others, or none is left."""
        taken = self._batcher.stream.taken
        suspects = [self._hand[row] for row in self._suspects]
        again = [one for one in suspects if taken > self._suspects[one.row]]
        records = self._records(again[:1]) or self._records(
            [event for event in self._hand.values() if event.row not in self._suspects] if suspects else
            list(self._hand.values())
        )  # fmt: skip
        return records or self._records(suspects[:1])

    def _records(self, events: list[Event]) -> list[Record]:
        conversations, suspects = self._batcher.conversations, self._suspects
        room = CALL_BYTES if self._batcher.stream.failing_since_s is None else PROBE_BYTES
        behind = {self._hand[row].conversation for row in suspects} if conversations is not None else set()
        records: dict[Bucket, list[Event]] = {}
        sizes: dict[Bucket, int] = {}
        lines = 0
        for event in events:
            if room <= 0 or lines == self._most_lines:
                break
            bucket = event.bucket
            if bucket.resting or event.row in self._open:
                continue
            if conversations is not None:
                if conversations[event.conversation].flying:
                    continue
                if event.conversation in behind and event.row not in suspects:
                    continue
            size_bytes = sizes.get(bucket, 0) + len(event.line) + 1
            if size_bytes > bucket.address.max_data_bytes + 1:
                sizes[bucket] = size_bytes  # full: nothing that stands behind may go before it
                continue
            sizes[bucket] = size_bytes
            records.setdefault(bucket, []).append(event)
            room -= len(event.line)
            lines += 1
        return list(records.items())

    def _settled_call(self, records: list[Record], verdicts: list[Verdict]) -> None:
        batcher = self._batcher
        self._sending = False
        lines = sum(len(events) for _, events in records)
        for (bucket, events), verdict in zip(records, verdicts, strict=True):
            batcher.judge(bucket, verdict)
            self._fly(events, flying=False)
            if verdict.code:
                continue
            batcher.stats.events_stored += len(events)
            self._most_lines = min(2 * self._most_lines, MOST_LINES)
            for event in events:
                self._gone(event)
        if verdicts[0].content:
            self._most_lines = max(1, lines // 2)
            if lines == 1:
                self._suspect(records[0][1][0])
        self._settle()
        self.read_on()

    def _suspect(self, event: Event) -> None:
        """It was refused alone, for what it holds. Where the stream takes others, it is refused for good."""
        taken = self._batcher.stream.taken
        if taken <= self._suspects.setdefault(event.row, taken):
            return

        def set_aside(done: bool) -> None:
            if done and event.row in self._hand:
                log.error(
                    "an event of the spill is refused by the stream for good; it was set aside in a file there",
                    extra={"event": "spill-refused", "resource": self.folder},
                )
                self._gone(event)
                self._settle()
                self.read_on()

        self._spill.set_aside(event.line, set_aside)

    def _fly(self, events: list[Event], *, flying: bool) -> None:
        if self._batcher.conversations is not None:
            for event in events:
                self._batcher.conversations[event.conversation].flying = flying

    def _gone(self, event: Event) -> None:
        """It is in the stream, or set aside."""
        del self._hand[event.row]
        self._suspects.pop(event.row, None)
        self._hand_bytes -= len(event.line)
        if self._batcher.conversations is not None:
            self._batcher.conversations[event.conversation].on_disk -= 1
            self._batcher.release(event.conversation)
        self._batcher.look_whether_at_rest()

    def _settle(self) -> None:
        """Tell the disk up to which row all is in the stream."""
        row = next(iter(self._hand), self._read_to)
        if row > self._settled:
            self._settled = row
            self._spill.settle(row)

    def close(self) -> int:
        """How many events are left on disk; said, where there are any."""
        if left := self.on_disk:
            log.error(
                "the receiver ends, and events are left in its spill, on this disk alone; keep its folder, and start "
                "a receiver with it",
                extra={"event": "spill-left", "events": left, "resource": self.folder},
            )
        return left
