"""Start of calls: an adaptive limit of calls in flight, a rate limit, and a breaker that probes.

A destination that answers with errors, or refuses the connection, is probed every 0.5 to 2.5 s with a call of the usual
size. A destination that takes calls and does not answer may execute all of them later, so it is probed with a single
item, after longer and longer pauses. Times are monotonic seconds.
"""

from collections.abc import Callable

from stream_router.process import backoff_s

TRIPS_AT = 3
"""Number of consecutive failed calls, none accepted in between, that open the breaker.

If more calls are still in flight, their number counts instead: broken connections are noticed at once, and three of
twenty calls that were sent together say nothing about the other seventeen.
"""

PROBE_FLOOR_S = 0.5
"""Minimum time between two probes in seconds, so that a destination gets at most two probes a second in an outage."""

PROBE_SPREAD_S = 2.0
"""Maximum jitter added to the floor, in seconds: a destination that recovers is noticed within 2.5 s."""

SILENT_FIRST_S, SILENT_LONGEST_S = 5.0, 30.0
"""First and longest pause between probes of a silent destination, in seconds; each probe that times out doubles it.

Each probe may be executed later, so an outage of an hour costs about a hundred copies of single events.
"""

BEGINS_AT = 16
"""Initial limit of calls in flight: enough for 5,000 events a second if a call takes 30 ms."""

SLOW_S = 1.0
"""Seconds after which a call counts as slow. A slow call halves the limit, at most once in this time.

A destination that handles one call after the other would otherwise get more calls than it can answer within their
timeout, and would get each of those twice.
"""

LEAST_BY_SLOWNESS = 4
"""Lowest limit that slow calls alone lead to: a distant or slow destination need not get one call after the other."""

BURST_S = 0.25
"""Part of a second's events that may leave at once if the rate is limited."""


class Gate:
    """Limit for the calls in flight to one destination, and breaker that paces them while it is down.

    `max_rate` is the maximum number of items sent per second, 0.0 for no limit.
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
        """Whether the caller forbids calls at present, for reasons that say nothing about the destination."""
        self.failures = 0
        """Number of consecutive failed calls, with nothing accepted since."""
        self.brought_nothing = False
        """Whether nothing of the latest call was accepted, even if that says nothing about the destination."""
        self.silent = False
        """Whether the breaker is open because calls time out, so that a probe must be a single item."""
        self._silent_pause_s = SILENT_FIRST_S
        self.held_since = 0.0
        """Time at which the breaker opened; 0.0 while it is closed."""

    @property
    def holding(self) -> bool:
        """Whether the breaker is open: the destination is down, or refuses everything."""
        return self.held_since > 0.0

    @property
    def ceiling(self) -> int:
        """Maximum number of calls in flight at present."""
        return 1 if self.holding else int(self._ceiling)

    def may_start(self, in_flight: int, now: float) -> bool:
        """Return whether one more call may start now."""
        return not (self._stopped or self.blocked) and in_flight < self.ceiling and not self.wait_s(now)

    def stop(self) -> None:
        """Start no call any more, whatever comes back."""
        self._stopped = True

    def wait_s(self, now: float) -> float:
        """Return the seconds until a pause or the rate limit ends; 0.0 if neither keeps the gate closed."""
        until = max(self._not_before, self._asked_to_wait_until)
        if self._max_rate:
            until = max(until, self._paid_until - BURST_S)
        return max(0.0, until - now)

    def started(self, items: int, now: float) -> None:
        """Count the start of a call of `items` items."""
        if self._max_rate:
            self._paid_until = max(self._paid_until, now) + items / self._max_rate

    def succeeded(self, now: float, took_s: float, *, backlog: bool) -> None:
        """Close the breaker, since an item was accepted. If there is a `backlog`, raise the limit by one call.

        So the limit doubles with each round trip until there is no backlog, or an entry is throttled, or answers take
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
