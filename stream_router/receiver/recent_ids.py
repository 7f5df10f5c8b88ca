"""The receiver's bounded memory of deliveries that are stored: what makes a redelivery a 202 without a second copy."""

from collections import deque

CAPACITY = 100_000
KEPT_S = 600.0
"""Both as docs/contract.md, "Receiver", has them. The memory is this process's own."""


class RecentIds:
    """Which ids were stored lately: at most `capacity`, each for `kept_s` seconds. Times are any steady clock's."""

    def __init__(self, capacity: int = CAPACITY, kept_s: float = KEPT_S) -> None:
        self._capacity = capacity
        self._kept_s = kept_s
        self._stored_at: dict[str, float] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._stored_at)

    def add(self, identity: str, now_s: float) -> None:
        """Remember that this id is stored. Forgets the oldest where the memory is full."""
        self._forget(now_s)
        if identity not in self._stored_at:
            self._order.append(identity)
            self._stored_at[identity] = now_s

    def seen(self, identity: str, now_s: float) -> bool:
        """Whether this id was stored within the time kept."""
        stored_at = self._stored_at.get(identity)
        return stored_at is not None and now_s - stored_at < self._kept_s

    def _forget(self, now_s: float) -> None:
        order, stored_at = self._order, self._stored_at
        while order and (len(order) >= self._capacity or now_s - stored_at[order[0]] >= self._kept_s):
            del stored_at[order.popleft()]
