"""Publishes what is chosen while the stream is read, and knows at any moment from where on it would have to go on."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from stream_router.control.replay.choice import Chosen, Failed, failed
from stream_router.control.republish.patience import PATIENCE_S
from stream_router.control.republish.republisher import Again, Outcome, Republisher, why_nothing_ends, why_refused
from stream_router.model import Event, Reason

END_WITHIN_S = 40.0
"""How long calls in flight and the bus's last proof may take at the end."""

MOST_KEPT = 1_000
"""Failures of which each is listed; beyond that they are counted alone."""

Key = tuple[str, int]


class Publishing:
    """One replay's publishing. `asked_to_stop` is looked at all the time; `prove` is asked of each new event type.

    `prove` gives why the type may not be published, "" where it may. `tell` is called all the time.
    """

    def __init__(
        self,
        republisher: Republisher,
        asked_to_stop: Callable[[], bool],
        prove: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._republisher = republisher
        self._asked_to_stop = asked_to_stop
        self._prove = prove
        self._clock = clock
        self._patience_s = patience_s
        self._tell = tell
        self._proven: set[str] = set()
        self._waiting: deque[Chosen] = deque()
        self._under_way: dict[Key, Chosen] = {}
        self._moved_at = clock()
        self.published = 0
        self.types: Counter[str] = Counter()
        self.failures: list[Failed] = []
        self.failed: Counter[str] = Counter()
        self.ended_because = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more is begun."""
        return bool(self.ended_because)

    @property
    def oldest_open_ms(self) -> int | None:
        """When the oldest event arrived that was taken in hand and is not published (epoch ms)."""
        return min((one.arrived_at_ms for one in self._open()), default=None)

    @property
    def open_ids(self) -> set[str]:
        """The events that were taken in hand and are not published."""
        return {one.entry.event.event_id for one in self._open()}

    def _open(self) -> Iterable[Chosen]:
        return (*self._waiting, *self._under_way.values())

    def take(self, chosen: Iterable[Chosen | Failed]) -> None:
        """Take these in hand, and go on once there is room for more."""
        for one in chosen:
            if isinstance(one, Failed):
                self._failed(one)
            else:
                self._waiting.append(one)
        self.turn(0.0)  # also where none is chosen: a reading without a rest would let no call end
        while self._waiting and not self.ended:
            self.turn(0.25)

    def turn(self, longest_s: float) -> None:
        """Once around: begin what there is room for, hear what ended; at most so long."""
        if not self.ended and (why := self._why_stop()):
            self.stop(why)
        while self._waiting and not self.ended and self._republisher.has_room:
            self._begin(self._waiting.popleft())
        if self._under_way:
            for outcome in self._republisher.turn(longest_s):
                self._hear(outcome)
        else:
            self._moved_at = self._clock()
        self._tell()

    def finish(self) -> None:
        """See everything in hand through; after a stop only what is in flight."""
        if self.ended:
            self._moved_at = self._clock()
        while self._under_way and not self._is_quiet():
            self.turn(0.25)

    def stop(self, why: str) -> None:
        """Begin nothing more. The first reason is the one that counts."""
        self.ended_because = self.ended_because or why
        self._republisher.stop()
        self._moved_at = self._clock()

    def _why_stop(self) -> str:
        if self._asked_to_stop():
            return "broken off: what was in flight has ended"
        if self._republisher.bus_gone:
            return "the event bus is gone: run `stream-router setup`, then go on"
        if self._under_way and self._clock() - self._moved_at > self._patience_s:
            return f"nothing more ends ({why_nothing_ends(self._republisher) or 'no answer'}): go on later"
        return ""

    def _is_quiet(self) -> bool:
        if not self.ended:
            return False
        republisher = self._republisher
        waits = republisher.unproven and not republisher.bus_gone
        return self._clock() - self._moved_at > END_WITHIN_S or not (republisher.in_flight or waits)

    def _begin(self, one: Chosen) -> None:
        event_type = one.entry.detail_type
        if event_type not in self._proven:
            if why := self._prove(event_type):
                self._waiting.appendleft(one)
                self.stop(why)
                return
            self._proven.add(event_type)
        self._under_way[_key(one.entry.event)] = one
        self._republisher.publish([one.entry])

    def _hear(self, outcome: Outcome) -> None:
        self._moved_at = self._clock()
        key = _key(outcome.event)
        if outcome.failure is not None and outcome.failure.reason is Reason.OUTAGE:
            if not self.ended:  # it stays under way, so that the replay is gone on with from it
                self.stop(f"{why_refused(outcome.failure.code)}; go on later")
            return
        one = self._under_way.pop(key)
        if outcome.failure is None:
            self.published += 1
            self.types[one.entry.detail_type] += 1
        else:
            self._failed(failed(outcome.failure, one.shard_id))

    def _failed(self, one: Failed) -> None:
        self.failed[f"{one.reason} ({one.code})"] += 1
        if len(self.failures) < MOST_KEPT:
            self.failures.append(one)


def _key(event: Event) -> Key:
    record = event.record
    assert isinstance(record, Again)
    return record.place, event.line
