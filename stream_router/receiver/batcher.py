"""Group commit: many requests into few PutRecords calls, one record of a bucket in flight, order kept through retries.

What arrives for a bucket while its record is in flight forms its next one, so groups grow with the load by themselves.
A request's future is set exactly once: True when all its events are stored, False when they are not, in time.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from stream_router.aws.transport import Answer
from stream_router.errors import Disposition
from stream_router.outcomes import Outcome, Refusal, of_put_records
from stream_router.receiver import putrecords
from stream_router.receiver.intake import Sealed
from stream_router.receiver.putrecords import Address
from stream_router.receiver.stats import Stats

MAX_CALLS = 8
CALL_TIMEOUT_S = 2.0
"""A call that hangs longer is given up; its answer would come too late for every event in it."""
DECIDE_AFTER_S = 0.6
"""Age at which an event that is not stored goes to the spill, or its request is answered 503."""
GIVE_UP_AFTER_S = 0.85
"""Age at which a request is answered 503 whatever is still going on: the answer must come within 0.9 s."""
SWEEP_EVERY_S = 0.02
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.025, 0.4

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
    }
)

Send = Callable[[bytes, float, Callable[[Answer], None]], None]
"""Starts one PutRecords call: body, timeout in seconds, what to do with its answer."""


class Request:
    """One request's events on their way. `missing` counts its parts that are not stored."""

    __slots__ = ("arrived_s", "done", "missing", "parts", "stored")

    def __init__(self, arrived_s: float, stored: "asyncio.Future[bool]") -> None:
        self.arrived_s = arrived_s
        self.stored = stored
        self.done = False
        self.missing = 0
        self.parts: list[Part] = []


class Part:
    """One event of a request: its line and whether it is stored."""

    __slots__ = ("bucket", "line", "request")

    def __init__(self, bucket: "Bucket", line: bytes, request: Request) -> None:
        self.bucket = bucket
        self.line = line
        self.request = request


class Bucket:
    """The events of some conversations, in order: those in flight, then those queued."""

    __slots__ = ("address", "alone", "attempts", "flying", "queue", "resting", "since_s")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.queue: deque[Part] = deque()
        self.flying: list[Part] = []
        self.since_s = 0.0
        self.attempts = 0
        self.resting = False
        self.alone = False


class Batcher:
    """Stores events in the stream. Belongs to one event loop; `jitter` gives a number from 0 to 1."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        stream: str,
        buckets: int,
        linger_s: float,
        stats: Stats,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._loop = loop
        self._send_call = send
        self._stream = stream
        self._linger_s = linger_s
        self._stats = stats
        self._jitter = jitter
        self.buckets = [Bucket(Address(index, buckets)) for index in range(buckets)]
        self._ready: dict[Bucket, None] = {}
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._undecided: deque[Request] = deque()
        self._overdue: deque[Request] = deque()
        self.failing_since_s: float | None = None
        """When the stream began to refuse, on the loop's clock; None while it takes events."""
        self.last_failure_s = 0.0

    def submit(self, events: Sequence[Sealed], arrived_s: float) -> "asyncio.Future[bool]":
        """Begin to store a request's events; the future says whether all are stored, within 0.85 s of `arrived_s`."""
        request = Request(arrived_s, self._loop.create_future())
        for event in events:
            self._add(Part(self.buckets[event.bucket], event.line, request))
        self._undecided.append(request)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
        return request.stored

    def now_s(self) -> float:
        """The loop's clock, which `arrived_s` is on."""
        return self._loop.time()

    @property
    def spill_takes(self) -> bool:
        """Whether there is a spill that can take events."""
        return False

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self._calls and not self._stats.events_in_flight

    def _add(self, part: Part) -> None:
        part.request.missing += 1
        self._stats.events_in_flight += 1
        self._stats.bytes_in_flight += len(part.line)
        self._enqueue(part)

    def _enqueue(self, part: Part) -> None:
        bucket = part.bucket
        if not bucket.queue:
            bucket.since_s = part.request.arrived_s
        bucket.queue.append(part)
        if not bucket.flying and not bucket.resting and bucket not in self._ready:
            self._ready[bucket] = None
            if self._timer is None and self._calls < MAX_CALLS:
                self._timer = self._loop.call_later(self._linger_s, self._dispatch)

    def _dispatch(self) -> None:
        """Send what is ready, as few calls as possible."""
        self._timer = None
        while self._ready and self._calls < MAX_CALLS:
            buckets, data = self._take()
            if buckets:
                self._send(buckets, data)

    def _take(self) -> tuple[list[Bucket], list[bytes]]:
        """The next record of as many ready buckets as one call may hold."""
        buckets: list[Bucket] = []
        data: list[bytes] = []
        size = 0
        for bucket in list(self._ready):
            if bucket.alone and buckets:
                continue
            parts, part_bytes = self._next_record(bucket)
            if size + part_bytes > putrecords.MAX_CALL_BYTES or len(buckets) == putrecords.MAX_RECORDS:
                bucket.queue.extendleft(reversed(parts))
                break
            del self._ready[bucket]
            if not parts:
                continue
            bucket.flying = parts
            buckets.append(bucket)
            data.append(b"\n".join([part.line for part in parts]))
            size += part_bytes
            if bucket.alone:
                break
        return buckets, data

    def _next_record(self, bucket: Bucket) -> tuple[list[Part], int]:
        """Take from the queue what fits one record; what was answered 503 meanwhile is dropped here."""
        queue = bucket.queue
        parts: list[Part] = []
        size = len(bucket.address.partition_key) - 1
        most = size + 1 + bucket.address.max_data_bytes
        while queue:
            part = queue[0]
            if part.request.done:
                self._release(queue.popleft())
                continue
            size += len(part.line) + 1
            if size > most and parts:
                size -= len(part.line) + 1
                break
            parts.append(queue.popleft())
        return parts, size

    def _send(self, buckets: list[Bucket], data: list[bytes]) -> None:
        self._calls += 1
        self._stats.calls += 1
        self._stats.records += len(buckets)
        records = [(item, bucket.address) for item, bucket in zip(data, buckets, strict=True)]
        body = putrecords.request_body(self._stream, records)
        self._send_call(body, CALL_TIMEOUT_S, lambda answer: self._answered(buckets, answer))

    def _answered(self, buckets: list[Bucket], answer: Answer) -> None:
        """Read every record's outcome, then send on what waited."""
        self._calls -= 1
        outcome = of_put_records(answer, len(buckets))
        if isinstance(outcome, Refusal):
            self._stats.call_failures += 1
            for bucket in buckets:
                bucket.alone = outcome.disposition is Disposition.BISECT
                self._failed(bucket, outcome.code)
        else:
            for bucket, result in zip(buckets, outcome, strict=True):
                self._settle(bucket, result)
        self._rearm()

    def _settle(self, bucket: Bucket, result: Outcome) -> None:
        if result.disposition is not None:
            self._stats.record_failures += 1
            self._failed(bucket, result.code)
            return
        self.failing_since_s = None
        bucket.attempts, bucket.alone = 0, False
        parts, bucket.flying = bucket.flying, []
        self._stats.events_stored += len(parts)
        for part in parts:
            self._release(part)
            request = part.request
            request.missing -= 1
            if not request.missing:
                self._finish(request, stored=True)
        self._free(bucket)

    def _failed(self, bucket: Bucket, code: str) -> None:
        """Put the record's events back in front, and let the bucket rest: exponential backoff with full jitter."""
        now_s = self._loop.time()
        self.last_failure_s = now_s
        if self.failing_since_s is None:
            self.failing_since_s = now_s
        self._stats.throttles += code in THROTTLED
        bucket.queue.extendleft(reversed(bucket.flying))
        bucket.flying = []
        most = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**bucket.attempts)
        bucket.attempts = min(bucket.attempts + 1, 10)
        bucket.resting = True
        self._loop.call_later(most * self._jitter(), self._wake, bucket)

    def _wake(self, bucket: Bucket) -> None:
        bucket.resting = False
        self._free(bucket)
        self._rearm()

    def _free(self, bucket: Bucket) -> None:
        if bucket.queue:
            bucket.since_s = bucket.queue[0].request.arrived_s
            self._ready[bucket] = None

    def _rearm(self) -> None:
        """Send at once what has waited its linger; else when it has."""
        if self._timer is not None or not self._ready or self._calls >= MAX_CALLS:
            return
        oldest_s = min(bucket.since_s for bucket in self._ready)
        wait_s = oldest_s + self._linger_s - self._loop.time()
        if wait_s <= 0:
            self._dispatch()
        else:
            self._timer = self._loop.call_later(wait_s, self._dispatch)

    def _release(self, part: Part) -> None:
        self._stats.events_in_flight -= 1
        self._stats.bytes_in_flight -= len(part.line)

    def _finish(self, request: Request, *, stored: bool) -> None:
        if not request.done:
            request.done = True
            request.stored.set_result(stored)

    def _sweep(self) -> None:
        """Decide about requests that wait too long. Both queues are in order of arrival."""
        self._sweeper = None
        now_s = self._loop.time()
        for request in _older(self._undecided, now_s - DECIDE_AFTER_S):
            self._decide(request)
        for request in _older(self._overdue, now_s - GIVE_UP_AFTER_S):
            self._finish(request, stored=False)
        if self._undecided or self._overdue:
            self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _decide(self, request: Request) -> None:
        self._finish(request, stored=False)


def _older(requests: deque[Request], than_s: float) -> Iterable[Request]:
    """Take the requests that arrived before `than_s` and are not done; done ones at the front go as well."""
    while requests and (requests[0].done or requests[0].arrived_s <= than_s):
        request = requests.popleft()
        if not request.done:
            yield request
