"""What the batcher and the backlog hand each other: a request, its parts, and the buckets that keep them in order."""

import asyncio
from collections import deque
from collections.abc import Callable

from stream_router.receiver.batching.putrecords import Address


class Request:
    """One request's events on their way. `missing` counts those not yet stored; `done` once it is answered."""

    __slots__ = ("arrived_s", "buckets", "done", "missing", "stored")

    def __init__(self, arrived_s: float, stored: "asyncio.Future[bool]", buckets: "list[Bucket]") -> None:
        self.arrived_s = arrived_s
        self.stored = stored
        self.buckets = buckets
        self.done = False
        self.missing = len(buckets)

    def finish(self, stored: bool) -> None:
        """Answer the request, once."""
        if not self.done:
            self.done = True
            if not self.stored.done():
                self.stored.set_result(stored)

    def part_stored(self) -> None:
        """One more of its events is stored."""
        self.missing -= 1
        if not self.missing:
            self.finish(stored=True)


class Part:
    """One event of a request: its line, ready for the stream."""

    __slots__ = ("line", "request")

    def __init__(self, line: bytes, request: Request) -> None:
        self.line = line
        self.request = request


class Bucket:
    """The events of some conversations, in order: first `rows` from disk or `flying`, then what is on disk, `queue`.

    `sending` while its record is in flight; `resting` after a failure; `fetching` while the disk works for it;
    `catching_up` while all that is on disk is in `rows`; `alone` where its record must not share a call.
    """

    __slots__ = (
        "address",
        "alone",
        "attempts",
        "catching_up",
        "fetching",
        "flying",
        "index",
        "on_disk",
        "queue",
        "resting",
        "rows",
        "sending",
        "since_s",
    )

    def __init__(self, index: int, buckets: int) -> None:
        self.index = index
        self.address = Address(index, buckets)
        self.queue: deque[Part] = deque()
        self.flying: list[Part] = []
        self.rows: list[tuple[int, bytes]] = []
        self.since_s = 0.0
        self.attempts = 0
        self.on_disk = 0
        self.sending = False
        self.resting = False
        self.fetching = False
        self.catching_up = False
        self.alone = False

    @property
    def sendable(self) -> bool:
        """Whether it has a record to send now: rows from the disk, or a queue with nothing on disk before it."""
        if self.sending or self.resting:
            return False
        return bool(self.rows if self.on_disk else self.queue)

    def next_lines(self, drop: Callable[[Part], None]) -> list[bytes]:
        """Take the lines of its next record. What was answered 503 meanwhile is not sent: it goes to `drop`."""
        if self.on_disk:
            return [line for _, line in self.rows if line]
        queue, flying = self.queue, self.flying
        size = -1
        while queue:
            if queue[0].request.done:
                drop(queue.popleft())
                continue
            size += len(queue[0].line) + 1
            if size > self.address.max_data_bytes and flying:
                break
            flying.append(queue.popleft())
        return [part.line for part in flying]
