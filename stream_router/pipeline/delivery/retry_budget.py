"""How often an item that fails is tried again, and when it has had its chance. The delays: `backoff.py`."""

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from stream_router.pipeline.delivery.dispatcher_contract import Policy, Took
from stream_router.pipeline.delivery.health import Health

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

SPREAD_S = 30.0
"""An item's retries span at least this long before it is given up (docs/contract.md, "What an error means")."""


class Tries:
    """One item's failures. `own` counts those that are the item's trouble, `all` every attempt that failed.

    `own_here` are those of its own trouble that this process saw: with a memory `own` may begin higher.
    `last_sent` is when the call was sent in which it failed last (monotonic seconds), None where it never failed;
    `first_sent` the same of the first.
    """

    __slots__ = ("all", "first_own_at", "first_sent", "last_sent", "own", "own_here")

    def __init__(self) -> None:
        self.all = 0
        self.own = self.own_here = 0
        self.first_own_at = 0.0
        self.first_sent: float | None = None
        self.last_sent: float | None = None

    def failed_itself(self, now: float) -> None:
        """The item failed by itself."""
        self.all += 1
        self.own += 1
        self.own_here += 1
        if self.own == 1:
            self.first_own_at = now

    def failed_with_all(self) -> None:
        """The item failed with its whole call: no word about the item."""
        self.all += 1

    def begin_anew(self, now: float) -> None:
        """The others fail too, so what came so far was no word about the item."""
        self.own = 1
        self.first_own_at = now

    def exhausted(self, now: float, max_retries: int) -> bool:
        """Whether the item had its retries, spread over at least 30 s (at once where none are allowed).

        One is always made in this process: at its first failure here few others were asked, and they are the measure.
        """
        spread = self.own_here > 1 and now - self.first_own_at >= SPREAD_S
        return self.own > max_retries and (max_retries == 0 or spread)

    def next_own_at(self, now: float, policy: Policy, random: Callable[[], float]) -> float:
        """When to try again after the item's own failure: by the destination's backoff, the last after the spread."""
        at = now + policy.backoff.after_own(self.own, random)
        if self.own >= policy.max_retries > 0:
            return max(at, self.first_own_at + SPREAD_S)
        return at

    def next_systemic_at(self, now: float, policy: Policy, random: Callable[[], float]) -> float:
        """When to try again after a failure of the whole call: by the destination's backoff."""
        return now + policy.backoff.after_call(self.all, random)


class Memory(Protocol[T_contra]):
    """Keeps what is known of items' own trouble over the end of the process."""

    def recall(self, item: T_contra) -> tuple[int, float] | None:
        """How often an item failed by itself in a process before this one, and when first (monotonic seconds)."""

    def failed(self, item: T_contra, own: int, first_own_at: float) -> None:
        """The item failed by itself, so often by now, and then first."""

    def accepted(self, item: T_contra) -> None:
        """The item succeeded. One that is given up is remembered: it may come again before a checkpoint is past it."""


class Forgetful:
    """The memory of a dispatcher that has none."""

    def recall(self, item: object) -> None:
        """Nothing is known."""

    def failed(self, item: object, own: int, first_own_at: float) -> None:
        """Nothing is kept."""

    def accepted(self, item: object) -> None:
        """Nothing was kept."""


class Budgets(Generic[T]):
    """The failures of the items under way; each is told to the destination's health."""

    def __init__(self, key: Callable[[T], Hashable], health: Health, memory: Memory[T] | None = None) -> None:
        self._key = key
        self._health = health
        self._memory: Memory[T] = memory or Forgetful()
        self._tries: dict[Hashable, Tries] = {}
        self.sick = 0
        """Items under way that failed by themselves."""

    def __len__(self) -> int:
        return len(self._tries)

    def failed(self, item: T, sent_at: float, now: float, *, itself: bool) -> Tries:
        """One failure more of this item, in a call that was sent then."""
        tries = self.of(item)
        self._health.failed(sent_at, now, tries.last_sent)
        tries.last_sent = sent_at
        if tries.first_sent is None:
            tries.first_sent = sent_at
        if itself:
            if not tries.own:
                self.sick += 1
                if earlier := self._memory.recall(item):
                    tries.own, tries.first_own_at = earlier
            tries.failed_itself(now)
            self._memory.failed(item, tries.own, tries.first_own_at)
        else:
            tries.failed_with_all()
        return tries

    def begin_anew(self, item: T, now: float) -> None:
        """The others fail too: the item's budget begins anew."""
        tries = self.of(item)
        tries.begin_anew(now)
        self._memory.failed(item, tries.own, tries.first_own_at)

    def of(self, item: T) -> Tries:
        """The item's failures so far."""
        return self._tries.setdefault(self._key(item), Tries())

    def has_failed(self, item: T) -> bool:
        """Whether the item failed before, by itself or with its call."""
        return self._key(item) in self._tries

    def is_sick(self, item: T) -> bool:
        """Whether the item failed by itself before."""
        tries = self._tries.get(self._key(item))
        return tries is not None and tries.own > 0

    def through(self, items: list[T], sent_at: float, now: float) -> Took:
        """These items end, accepted in a call that was sent then. How long ago their first calls were sent."""
        if not self._tries:
            return now - sent_at
        tries = [self._tries.get(self._key(item)) for item in items]
        took_s = [now - (sent_at if one is None or one.first_sent is None else one.first_sent) for one in tries]
        for item in items:
            if self.is_sick(item):
                self._memory.accepted(item)
            self.forget(item)
        return took_s

    def forget(self, item: T) -> int:
        """The item ends. How many attempts had failed."""
        if not self._tries or (tries := self._tries.pop(self._key(item), None)) is None:
            return 0
        if tries.last_sent is not None:
            self._health.left(tries.last_sent)
        if tries.own:
            self.sick -= 1
        return tries.all
