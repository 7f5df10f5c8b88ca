"""When the next call may start: a number of calls in flight that finds itself, a pace, and a breaker that probes.

A destination that fails with an answer, or refuses the connection, is probed twice a second to once in 2.5 s, with a
call of the usual size. One that takes calls and answers none may do all of them later, so it is probed with a single
item, and after ever longer pauses. Times are monotonic seconds.
"""

from collections.abc import Callable

from stream_router.process import backoff_s

TRIPS_AT = 3
"""Failed calls in a row, none accepted between them, that open the breaker: one bad answer among good ones does not.

As many as are still in flight, where those are more: connections that break are known at once, and three of twenty
calls that left together say nothing of the other seventeen.
"""

PROBE_FLOOR_S = 0.5
"""Least time between two probes, so that an outage sees at most two attempts a second."""

PROBE_SPREAD_S = 2.0
"""Most that jitter adds to the floor: a service that is back is noticed within 2.5 s."""

SILENT_FIRST_S, SILENT_LONGEST_S = 5.0, 30.0
"""The pause after the first time-out of a silent destination; doubled by each probe that times out, up to the longest.
Each probe may be done later, so an outage of an hour costs about a hundred copies of single events."""

BEGINS_AT = 16
"""Calls in flight before anything is known: enough for 5,000 events a second where a call takes 30 ms."""

SLOW_S = 1.0
"""A call that takes longer waited for its turn: what is in flight halves, at most once in so long. A destination that
does one call after the other would else get more than it answers within a call's time-out, and each of those twice."""

LEAST_BY_SLOWNESS = 4
"""Calls in flight that slowness alone leaves: a far or a slow destination is no reason to send one after the other."""

BURST_S = 0.25
"""How much of a second's share may leave at once where the rate is bounded."""


class Gate:
    """Bounds the calls in flight of one destination and paces them while it is down.

    `max_rate` is the most items a second that may be started, 0.0 where there is no such bound.
    """

    def __init__(self, max_in_flight: int, random: Callable[[], float], max_rate: float = 0.0) -> None:
        self._max = max_in_flight
        self._random = random
        self._ceiling = float(min(max_in_flight, BEGINS_AT))
        self._not_before = 0.0
        self._asked_to_wait_until = 0.0
        self._halved_at = -SLOW_S
        self._max_rate = max_rate
        self._paid_until = 0.0
        self._stopped = False
        self.blocked = False
        """Whether the caller forbids calls at present, for reasons of its own that say nothing of the destination."""
        self.failures = 0
        """Calls that failed in a row, with nothing accepted since."""
        self.brought_nothing = False
        """Whether the latest call did not, be it no word about the destination."""
        self.silent = False
        """Whether the breaker is open because calls time out: a probe is to be a single item."""
        self._silent_pause_s = SILENT_FIRST_S
        self.held_since = 0.0
        """When the breaker opened; 0.0 while it is closed."""

    @property
    def holding(self) -> bool:
        """Whether the breaker is open: the destination is down, or refuses everything."""
        return self.held_since > 0.0

    @property
    def ceiling(self) -> int:
        """How many calls may be in flight at present."""
        return 1 if self.holding else int(self._ceiling)

    def may_start(self, in_flight: int, now: float) -> bool:
        """Return whether one more call may start now."""
        return not (self._stopped or self.blocked) and in_flight < self.ceiling and not self.wait_s(now)

    def stop(self) -> None:
        """Start no call any more, whatever comes back."""
        self._stopped = True

    def wait_s(self, now: float) -> float:
        """Return the seconds until the gate may open by time alone; 0.0 if time does not keep it closed."""
        until = max(self._not_before, self._asked_to_wait_until)
        if self._max_rate:
            until = max(until, self._paid_until - BURST_S)
        return max(0.0, until - now)

    def started(self, items: int, now: float) -> None:
        """Count the start of a call of `items` items."""
        if self._max_rate:
            self._paid_until = max(self._paid_until, now) + items / self._max_rate

    def succeeded(self, now: float, took_s: float, *, backlog: bool) -> None:
        """Something was accepted: the breaker closes, and where a `backlog` waits one more call may be in flight.

        So the number doubles with each round trip until there is no backlog, or something is throttled, or answers take
        longer than SLOW_S. A Retry-After still holds.
        """
        self.failures = 0
        self.brought_nothing = self.silent = False
        self.held_since = 0.0
        self._not_before = 0.0
        if took_s > SLOW_S:
            self._slow(now)
        elif backlog:
            self._ceiling = min(self._max, self._ceiling + 1.0)

    def _slow(self, now: float) -> None:
        if now - self._halved_at >= SLOW_S and self._ceiling > LEAST_BY_SLOWNESS:
            self._halved_at = now
            self._ceiling = max(LEAST_BY_SLOWNESS, self._ceiling / 2)

    def throttled(self) -> None:
        """Halve the calls in flight: part of a call was throttled."""
        self._ceiling = max(1.0, self._ceiling / 2)

    def failed(self, now: float, retry_after_s: float = 0.0, in_flight: int = 0) -> None:
        """Count a call of which nothing was accepted.

        The first failure takes one call from the calls in flight, each further failure in a row halves them, and from
        TRIPS_AT on only probes are sent. `in_flight` calls have no answer yet. A lone failure among accepted calls is a
        broken connection or server, not an overloaded destination.
        """
        self.failures += 1
        self.brought_nothing = True
        self.silent = False
        if self.failures > 1:
            self.throttled()
        else:
            self._ceiling = max(1.0, self._ceiling - 1.0)
        if retry_after_s:
            self._asked_to_wait_until = max(self._asked_to_wait_until, now + retry_after_s)
        if self.failures >= max(TRIPS_AT, in_flight):
            self.held_since = self.held_since or now
        if self.holding:
            wait_s = PROBE_FLOOR_S + backoff_s(self.failures - TRIPS_AT, 0.25, PROBE_SPREAD_S, self._random())
            self._not_before = max(self._not_before, now + wait_s)

    def timed_out(self, now: float, sent_at: float) -> None:
        """Open the breaker for a silent destination: a call timed out, and nothing was accepted since it was sent.

        A probe that times out doubles the pause. The calls that were in flight when the breaker opened do not.
        """
        is_probe = self.silent and sent_at >= self.held_since
        self._silent_pause_s = min(2 * self._silent_pause_s, SILENT_LONGEST_S) if is_probe else SILENT_FIRST_S
        self.failures += 1
        self.brought_nothing = self.silent = True
        self.throttled()
        self.held_since = self.held_since or now
        self._not_before = now + self._silent_pause_s
