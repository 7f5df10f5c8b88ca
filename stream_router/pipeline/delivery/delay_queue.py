"""Where a dispatcher's items are when they are not ready: on the wire, or waiting for their next try."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight:
    """Counts what is on the wire, and what ever was: `all_calls` and `all_bytes`."""

    __slots__ = ("all_bytes", "all_calls", "bytes", "calls", "items")

    def __init__(self) -> None:
        self.calls = self.items = self.bytes = self.all_calls = self.all_bytes = 0

    def starts(self, items: int, size_bytes: int) -> None:
        """One call more."""
        self.calls += 1
        self.all_calls += 1
        self.items += items
        self.bytes += size_bytes
        self.all_bytes += size_bytes

    def ends(self, items: int, size_bytes: int) -> None:
        """One call less."""
        self.calls -= 1
        self.items -= items
        self.bytes -= size_bytes


class Later(Generic[T]):
    """Items, each until its time (monotonic seconds); those of one time in the order in which they came."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, at: float, item: T) -> None:
        """`item` is due `at` that time."""
        heapq.heappush(self._heap, (at, next(self._order), item))

    def due(self, now: float) -> Sequence[T]:
        """Remove what is due, the latest first: so `extendleft` puts the earliest in front."""
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due[::-1] if due else ()

    def wait_s(self, now: float) -> float:
        """Seconds until the first is due. There must be one."""
        return max(0.0, self._heap[0][0] - now)

    def drain(self) -> list[T]:
        """Remove all, the earliest first."""
        items = [item for _, _, item in sorted(self._heap)]
        self._heap.clear()
        return items


def take_at(at: int, queue: deque[T], take: Callable[[deque[T]], list[T]]) -> list[T]:
    """What `take` takes from the queue's item number `at` on, and then from its beginning. All keep their order."""
    if not at:
        return take(queue)
    behind = len(queue) - at
    queue.rotate(-at)
    items = take(queue)
    if len(items) > behind:  # some of them are of its beginning, and so go first
        return items[behind:] + items[:behind]
    queue.rotate(at)
    return items
