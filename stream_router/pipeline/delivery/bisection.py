"""The items of calls that were refused whole for their content, in groups that are halved until one stands alone."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Suspects(Generic[T]):
    """Groups of items to be sent as calls of their own, and when (monotonic seconds) each was refused first."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._groups: deque[list[T]] = deque()
        self._refused: dict[Hashable, float] = {}
        self._were_asked = True

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def next_group(self, *, alone: bool, others_wait: bool = False) -> list[T]:
        """Remove the group whose turn it is, or one item of it `alone`; empty where none waits or others have it.

        `alone`: nothing is accepted, and one success tells who is to blame. A suspect alone has the best chance of it,
        and where all of them are culprits only what nobody suspects has any. So these take turns.
        """
        others_turn = alone and others_wait and self._were_asked
        self._were_asked = not others_turn
        if others_turn or not self._groups:
            return []
        group = self._groups.popleft()
        if alone and len(group) > 1:
            self._groups.appendleft(group[1:])
        return group[:1] if alone else group

    def split(self, items: list[T], now: float) -> None:
        """Suspect `items`, refused `now`, as two halves, behind the groups that wait."""
        for item in items:
            self._refused.setdefault(self._key(item), now)
        middle = len(items) // 2
        self._groups.extend(half for half in (items[:middle], items[middle:]) if half)

    def returned(self, items: list[T]) -> bool:
        """Take a group back whose call failed for another reason; False where it is none of ours."""
        if self._key(items[0]) not in self._refused:
            return False
        self._groups.appendleft(items)
        return True

    def cleared(self, items: Sequence[T]) -> None:
        """These are judged, or went through: forget the suspicion."""
        if self._refused:
            for item in items:
                self._refused.pop(self._key(item), None)

    def refused_at(self, item: T, now: float) -> float:
        """When the item was refused for the first time; `now` where it never was."""
        return self._refused.get(self._key(item), now)

    def drain(self) -> list[T]:
        """Remove every waiting suspect."""
        items = [item for group in self._groups for item in group]
        self._groups.clear()
        self.cleared(items)
        return items
