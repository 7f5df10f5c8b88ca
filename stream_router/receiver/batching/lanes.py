"""What the batcher and the backlog hand each other: a request, its parts, the lanes that keep them in order, buckets.

A lane is one conversation: one part of it, or several in one record, may be in flight; what comes meanwhile waits for
that and for nothing else. A bucket is a place in the stream, in which many conversations share records.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from stream_router.receiver.batching import putrecords
from stream_router.receiver.batching.putrecords import Address
from stream_router.receiver.batching.storing import Storing

NO_ROW = -1
PENDING = -2


class Request:
    """One request's events on their way: `parts`, until it is answered (`done`); `missing` of them are not stored."""

    __slots__ = ("arrived_s", "done", "missing", "parts", "storing")

    def __init__(self, arrived_s: float, missing: int) -> None:
        self.arrived_s = arrived_s
        self.storing = Storing()
        self.parts: list[Part] = []
        self.done = False
        self.missing = missing

    def finish(self, stored: bool) -> None:
        """Answer the request, once."""
        if not self.done:
            self.done = True
            self.parts = []
            self.storing.settle(stored)

    def part_stored(self) -> None:
        """One more of its events is stored."""
        self.missing -= 1
        if not self.missing:
            self.finish(stored=True)


class Part:
    """One event on its way: its conversation, its line, who waits for it (None: nobody any more), its row on disk.

    `row` is NO_ROW where it is in memory alone, PENDING while the disk works on it. `from_disk` where it was read from
    there; `flying` while it is in a call; `gone` where it is in the stream and need not be sent; `counted` while it
    counts as an event in memory.
    """

    __slots__ = ("counted", "flying", "from_disk", "gone", "lane", "line", "request", "row")

    def __init__(self, lane: "Lane", line: bytes, request: Request | None, row: int = NO_ROW) -> None:
        self.lane = lane
        self.line = line
        self.request = request
        self.row = row
        self.from_disk = row != NO_ROW
        self.counted = row == NO_ROW
        self.gone = self.flying = False

    @property
    def unsaved(self) -> bool:
        """Whether its request waits for it, and the disk neither has it nor is about to."""
        return self.request is not None and self.row == NO_ROW

    @property
    def refused(self) -> bool:
        """Whether it was answered 503, and is nowhere but here."""
        return self.request is not None and self.request.done and self.row == NO_ROW


class Lane:
    """One conversation's events, in order: `flying`, then `parts` in memory, `on_disk` of them on disk, then `behind`.

    `queued` while it stands in its bucket's list; `appends` counts what was given to the disk, so that a failure there
    can tell whether something newer is on its way to it; `at_disk` of these are not answered yet.
    """

    __slots__ = ("appends", "at_disk", "behind", "bucket", "flying", "key", "on_disk", "parts", "queued")

    def __init__(self, key: int, bucket: "Bucket") -> None:
        self.key = key
        self.bucket = bucket
        self.flying: list[Part] = []
        self.parts: deque[Part] = deque()
        self.on_disk = 0
        self.behind: list[Part] = []
        self.queued = False
        self.appends = self.at_disk = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of it is anywhere, but on disk."""
        return not (self.flying or self.parts or self.behind or self.at_disk or self.queued)

    def take(self, room_bytes: int, drop: Callable[[Part], None]) -> int:
        """Let its next parts fly, as many as fit; the room left. What need not be sent any more goes to `drop`."""
        parts, flying = self.parts, self.flying
        while parts:
            part = parts[0]
            if part.gone or part.refused:
                drop(parts.popleft())
                continue
            size = len(part.line) + 1
            if size > room_bytes:
                break
            room_bytes -= size
            part.flying = True
            flying.append(parts.popleft())
        return room_bytes


class Bucket:
    """A place in the stream and the lanes that have something to send there.

    `resting` after a failure; `alone` where its record must not share a call.
    """

    __slots__ = ("address", "alone", "attempts", "index", "ready", "resting")

    def __init__(self, index: int, buckets: int) -> None:
        self.index = index
        self.address = Address(index, buckets)
        self.ready: deque[Lane] = deque()
        self.attempts = 0
        self.resting = False
        self.alone = False

    def next_lanes(self, drop: Callable[[Part], None], emptied: Callable[[Lane], None]) -> list[Lane]:
        """The lanes of its next record, their parts in `flying`; empty where nothing was worth sending."""
        room_bytes = self.address.max_data_bytes + 1
        taken: list[Lane] = []
        while self.ready:
            lane = self.ready[0]
            room_bytes = lane.take(room_bytes, drop)
            if lane.parts and not lane.flying:
                break
            self.ready.popleft().queued = False
            if lane.flying:
                taken.append(lane)
                if lane.parts:
                    break
            else:
                emptied(lane)
        return taken


class RecordInFlight(NamedTuple):
    """A record of a call: its bucket and the lanes whose parts fly in it."""

    bucket: Bucket
    lanes: list[Lane]

    @property
    def is_waited_for(self) -> bool:
        """Whether a sender waits for one of its events: those that are on disk, or were read from there, have none."""
        return any(part.request is not None for lane in self.lanes for part in lane.flying)

    @property
    def data(self) -> bytes:
        """The record's lines."""
        return b"\n".join([part.line for lane in self.lanes for part in lane.flying])


def next_call(
    ready: dict[Bucket, None], drop: Callable[[Part], None], emptied: Callable[[Lane], None]
) -> tuple[list[RecordInFlight], list[bytes]]:
    """The next record of as many ready buckets as one call may hold, with its data.

    A bucket that has no more goes, one that has is behind the others for the next call.
    """
    records: list[RecordInFlight] = []
    data: list[bytes] = []
    room = putrecords.MAX_CALL_BYTES
    for bucket in list(ready):
        if (bucket.alone and records) or room < putrecords.MAX_RECORD_BYTES:
            continue
        lanes = bucket.next_lanes(drop, emptied)
        del ready[bucket]
        if bucket.ready:
            ready[bucket] = None
        if not lanes:
            continue
        records.append(RecordInFlight(bucket, lanes))
        data.append(records[-1].data)
        room -= len(data[-1]) + len(bucket.address.partition_key)
        if bucket.alone or len(records) == putrecords.MAX_RECORDS:
            break
    return records, data


class Lanes:
    """The conversations of which something is somewhere, by the CRC-32 of their names."""

    def __init__(self, buckets: int) -> None:
        self._buckets = [Bucket(index, buckets) for index in range(buckets)]
        self._lanes: dict[int, Lane] = {}
        self._on_disk: dict[int, int] = {}
        """How many events are on disk of those that are nowhere else: a lane of each is a kilobyte, twice its event."""

    def __len__(self) -> int:
        return len(self._lanes) + len(self._on_disk)

    def load(self, on_disk: Mapping[int, int]) -> None:
        """Take up how many events of which conversations an earlier process left on disk."""
        self._on_disk.update(on_disk)

    def of(self, key: int) -> Lane:
        """A conversation's lane, made where it has none."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._buckets[key % len(self._buckets)])
            lane.on_disk = self._on_disk.pop(key, 0)
        return lane

    def refuse(self, requests: Iterable[Request], drop: Callable[[Part], None]) -> None:
        """Answer requests that are not stored. What of them waits behind the disk goes: that may not be read for hours.

        What waits for the stream goes as its lane's turn comes, in less than a second.
        """
        behind: dict[Lane, None] = {}
        for request in requests:
            behind.update((part.lane, None) for part in request.parts if part.lane.behind)
            request.finish(stored=False)
        for lane in behind:
            refused = [part for part in lane.behind if part.refused]
            lane.behind = [part for part in lane.behind if not part.refused]
            for part in refused:
                drop(part)
            self.forget(lane)

    def forget(self, lane: Lane) -> None:
        """Keep no lane of which nothing is anywhere; of one on disk keep how much is there."""
        if lane.idle and self._lanes.pop(lane.key, None) is not None and lane.on_disk:
            self._on_disk[lane.key] = lane.on_disk
