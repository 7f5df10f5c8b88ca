"""Stores events in the stream, and remembers deliveries: the door to `batching/`."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from stream_router.receiver.batching.batcher import Batcher as Inner
from stream_router.receiver.batching.late_calls import LateCalls
from stream_router.receiver.batching.putrecords_calls import Send
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.batching.storing import Storing
from stream_router.receiver.intake import Sealed
from stream_router.receiver.recent_ids import RecentIds
from stream_router.receiver.spill.spill import Spill
from stream_router.receiver.states import States

STORED, SPILLED, SEEN_BEFORE, NOT_STORED = "stored", "spilled", "seen_before", "not_stored"
ACCEPTED = frozenset({STORED, SPILLED, SEEN_BEFORE})

LINGER_S = 0.005


class Batcher:
    """Belongs to one event loop. Times are the loop's."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Send, stream: str, buckets: int, folder: str = "", *, spills: bool
    ) -> None:
        self._stats = Stats()
        self.failures = self._stats.failures
        self._inner = Inner(
            loop, send if spills else LateCalls(loop, send).start, stream, buckets, LINGER_S, self._stats
        )
        self._recent = RecentIds()
        self._storing: dict[str, Storing] = {}
        self._states = States(self._inner, self._stats, loop.time, stream, buckets, folder)
        self._heard_of, self._heard_s = (0, 0.0), 0.0

    def use_spill(self, spill: Spill, max_bytes: int) -> None:
        """Let events wait on disk while the stream is down, and send what waits there already."""
        self._inner.use_spill(spill, max_bytes)

    def submit(
        self, events: Sequence[Sealed], arrived_s: float, told: Callable[[str], None], *, has_delivery_id: bool
    ) -> None:
        """Begin to store a request's events. `told` hears the outcome once, within 0.85 s of `arrived_s`.

        A delivery seen before is stored; a copy of one that is on its way waits for it. The first event's id stands for
        the whole delivery: it covers the delivery id and every byte of the body.
        """
        if not events:
            told(STORED)
            return
        if not has_delivery_id:
            self._inner.submit(events, arrived_s).then(partial(self._told, told, len(events), STORED))
            return
        first = events[0].identity
        if self._recent.seen(first, arrived_s):
            told(SEEN_BEFORE)
        elif (on_its_way := self._storing.get(first)) is not None:
            on_its_way.then(partial(self._told, told, len(events), SEEN_BEFORE))
        else:
            storing = self._storing[first] = self._inner.submit(events, arrived_s)
            storing.then(partial(self._first_told, told, len(events), first))

    def _first_told(self, told: Callable[[str], None], count: int, first: str, stored: bool) -> None:
        del self._storing[first]
        if stored:
            self._recent.add(first, self._inner.now_s())
        self._told(told, count, STORED, stored)

    def _told(self, told: Callable[[str], None], count: int, outcome: str, stored: bool) -> None:
        self._stats.events_refused += 0 if stored else count
        told(outcome if stored else NOT_STORED)

    @property
    def held_bytes(self) -> int:
        """Bytes of events in memory."""
        return self._stats.bytes_in_flight

    @property
    def ready(self) -> bool:
        """Whether the stream takes events as last known, or a spill does."""
        return not self._inner.stream.down or self._inner.spill_takes

    @property
    def stream_code(self) -> str:
        """AWS's code while the stream refuses, else ""."""
        return self._inner.stream.failing_code

    async def close(self, timeout_s: float) -> int:
        """Wait for the calls in flight, at most so long."""
        await self._inner.close(timeout_s)
        return 0

    def look(self) -> None:
        """Say states in words; called a few times a second."""
        self._states.look()

    def snapshot(self) -> dict[str, float]:
        """All counters and gauges, by name."""
        stats, stream, spill = self._stats, self._inner.stream, self._inner.spill_state
        heard = (stats.events_stored, stream.last_refusal_s)
        if heard != self._heard_of:
            self._heard_of, self._heard_s = heard, time.time()
        return {
            **{name: value for name, value in vars(stats).items() if isinstance(value, int)},
            "spill_bytes": spill.size_bytes,
            "spill_oldest_age_seconds": max(0.0, time.time() - spill.oldest_s) if spill.oldest_s else 0.0,
            "spill_failing": int(bool(spill.error) or spill.full),
            "spill_takes": int(self._inner.spill_takes),
            "stream_up": int(not stream.refuses),
            "buckets_refusing": stream.apart,
            "stream_heard_s": self._heard_s,
        }
