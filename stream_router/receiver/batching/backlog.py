"""The spill's side of the batcher: which conversations have events on disk, and how those come back, in order.

While a conversation has events on disk that were not read, newer ones go behind them there, or, where the disk takes
none, wait in memory behind them. Rows come back in the order in which they were written, a window of them at a time,
and then go the way of every event; they have no deadline.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from stream_router.receiver.batching.lanes import NO_ROW, PENDING, Lane, Lanes, Part, Request
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.batching.stream_state import StreamState
from stream_router.receiver.spill.segment import Row
from stream_router.receiver.spill.spill import Line, Spill

ROW_BYTES = 28
"""What a row takes on disk beside its line."""
WINDOW_BYTES = 2 * 1024 * 1024
READ_BYTES = 256 * 1024
PROBE_BYTES = 16 * 1024
"""While the stream refuses, little is read from the disk until it takes something."""
BROKEN_FOR_S = 2.0
"""A spill that failed is believed broken for so long."""
SETTLE_EVERY_S = 0.05
HANGS_AFTER_S = 2.0
"""A disk that was asked to take something, and has not answered for so long, takes nothing."""
HANGS = "hangs"
"""In place of the disk's code."""


class SpillState(NamedTuple):
    """Why its disk took nothing lately ("": it does), its files' bytes, its oldest event's time (epoch seconds)."""

    error: str
    size_bytes: int
    oldest_s: float
    full: bool


NO_SPILL = SpillState("", 0, 0.0, full=False)


class Owner(Protocol):
    """What the batcher does for its backlog."""

    stream: StreamState
    lanes: Lanes

    def now_s(self) -> float: ...
    def later(self, delay_s: float, what: Callable[[], None]) -> None: ...
    def release(self, part: Part) -> None: ...
    def refuse(self, requests: Sequence[Request]) -> None: ...
    def go_on(self, lane: Lane) -> None: ...


class Backlog:
    """What waits on disk, at most `max_bytes` of files."""

    def __init__(self, spill: Spill, max_bytes: int, stats: Stats, owner: Owner) -> None:
        self._spill = spill
        self._max_bytes = max_bytes
        self._stats = stats
        self._owner = owner
        self._unread = 0
        self._out: dict[int, Part] = {}
        """Rows in memory, on their way to the stream."""
        self._out_bytes = 0
        self._early: set[int] = set()
        """Rows not read yet of events that are in the stream by the call in which they flew when they were written."""
        self._settled: list[int] = []
        self._reading = False
        self._pending_bytes = 0
        self._asked_s: deque[float] = deque()
        """When the disk was asked for each append that it has not answered, in order."""
        self.broken_until_s = float("-inf")

    def load(self) -> None:
        """Take up what an earlier process left."""
        self._stats.spill_damaged += self._spill.lost
        waiting = self._spill.waiting()
        self._owner.lanes.load(waiting)
        self._stats.spilled_events += waiting.total()
        self._unread += waiting.total()
        self.fetch()

    @property
    def takes(self) -> bool:
        """Whether it can take events: it works, and it is not full."""
        return (
            self._spill.size_bytes + self._pending_bytes < self._max_bytes
            and self._owner.now_s() >= self.broken_until_s
            and not self._hangs
        )

    @property
    def _hangs(self) -> bool:
        return bool(self._asked_s) and self._owner.now_s() - self._asked_s[0] > HANGS_AFTER_S

    @property
    def probing(self) -> bool:
        """Whether rows are on their way: they find out whether the stream is back."""
        return bool(self._out)

    @property
    def state(self) -> SpillState:
        """How it is, for metrics and logs."""
        spill = self._spill
        full = spill.size_bytes + self._pending_bytes >= self._max_bytes
        error = spill.error or (HANGS if self._hangs else "")
        return SpillState(error, spill.size_bytes, spill.oldest_s if self._stats.spilled_events else 0.0, full)

    def append(self, lane: Lane, parts: Sequence[Part]) -> None:
        """Put a conversation's events behind those that it has on disk."""
        if not parts:
            return
        lines: list[Line] = [(lane.key, part.line) for part in parts]
        size = sum(len(line) + ROW_BYTES for _, line in lines)
        for part in parts:
            part.row = PENDING
        lane.on_disk += len(parts)
        lane.appends += 1
        lane.at_disk += 1
        number = lane.appends
        if self._spill.size_bytes + self._pending_bytes + size > self._max_bytes:
            self._not_appended(lane, parts, number)
            return
        self._pending_bytes += size
        self._asked_s.append(self._owner.now_s())
        self._spill.append(lines, lambda first: self._appended(lane, parts, size, number, first))

    def _appended(self, lane: Lane, parts: Sequence[Part], size: int, number: int, first: int | None) -> None:
        self._pending_bytes -= size
        self._asked_s.popleft()
        if first is None:
            self.broken_until_s = self._owner.now_s() + BROKEN_FOR_S
            self._not_appended(lane, parts, number)
            return
        lane.at_disk -= 1
        self._unread += len(parts)
        self._stats.spilled_events += len(parts)
        self._stats.events_spilled += len(parts)
        for row, part in enumerate(parts, first):
            part.row = row
            self._owner.release(part)
            request, part.request = part.request, None
            if request is not None:
                request.part_stored()
            if part.gone:
                self.landed(row)
        self._owner.lanes.forget(lane)
        self.fetch()

    def _not_appended(self, lane: Lane, parts: Sequence[Part], number: int) -> None:
        """The disk did not take them: back into memory, where their order can be kept; else they are refused."""
        lane.on_disk -= len(parts)
        lane.at_disk -= 1
        newest = lane.appends == number
        kept: list[Part] = []
        for part in parts:
            part.row = NO_ROW
            if part.gone or part.request is None:
                continue
            if not newest:
                self._owner.refuse([part.request])
            if part.flying:
                continue
            if newest and not part.refused:
                kept.append(part)
            else:
                self._owner.release(part)
        # What came since stands behind them; where nothing is on disk any more, nothing else would ever move it.
        lane.behind[:0] = kept
        if not lane.on_disk:
            lane.parts.extend(lane.behind)
            lane.behind = []
        self._owner.go_on(lane)

    def fetch(self) -> None:
        """Bring the oldest rows into memory, as many as may be on their way at once."""
        window = WINDOW_BYTES if self._owner.stream.failing_since_s is None else PROBE_BYTES
        if self._reading or not self._unread or self._out_bytes >= window:
            return
        self._reading = True
        self._spill.read(min(READ_BYTES, window), self._fetched)

    def _read_again(self) -> None:
        self._reading = False
        self.fetch()

    def _fetched(self, rows: list[Row]) -> None:
        if not rows:
            # Until then it is not asked, whatever is stored: after three such readings a file counts as damaged.
            self._owner.later(BROKEN_FOR_S, self._read_again)
            return
        self._reading = False
        self._unread -= len(rows)
        lanes: dict[int, Lane] = {}
        for row in rows:
            lane = lanes[row.key] = self._owner.lanes.of(row.key)
            lane.on_disk -= 1
            if row.line is None:
                self._stats.spill_damaged += 1
                self._settle(row.number)
            elif row.number in self._early:
                self._early.discard(row.number)
                self._settle(row.number)
            else:
                part = self._out[row.number] = Part(lane, row.line, None, row.number)
                self._out_bytes += len(row.line)
                lane.parts.append(part)
        for lane in lanes.values():
            if not lane.on_disk and lane.behind:
                lane.parts.extend(lane.behind)
                lane.behind = []
            self._owner.go_on(lane)
        self.fetch()

    def landed(self, row: int) -> None:
        """The event of this row is in the stream."""
        part = self._out.pop(row, None)
        if part is None:
            self._early.add(row)
            return
        part.gone = True
        self._out_bytes -= len(part.line)
        self._settle(row)
        self.fetch()

    def _settle(self, row: int) -> None:
        self._stats.spilled_events -= 1
        if not self._settled:
            self._owner.later(SETTLE_EVERY_S, self.flush)
        self._settled.append(row)

    def flush(self) -> None:
        """Tell the disk what is settled."""
        if self._settled:
            self._spill.settle(self._settled)
            self._settled = []
