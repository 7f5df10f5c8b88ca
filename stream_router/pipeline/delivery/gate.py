"""The gate decides when calls to one destination may start: a limit of calls in flight, a rate limit, and a breaker.

A destination that answers with errors, or refuses the connection, is probed every 0.5 to 2.5 s with a call of the usual
size. A destination that takes calls and does not answer may execute all of them later, so it is probed with a single
item, after longer and longer pauses. Times are monotonic seconds.
"""

from collections.abc import Callable

from stream_router.process import backoff_s

OPENS_AT_FAILURES = 3
"""Number of consecutive failed calls, none accepted in between, that open the breaker.

If more calls are still in flight, their number counts instead: broken connections are noticed at once, and three of
twenty calls that were sent together say nothing about the other seventeen.
"""

PROBE_MIN_PAUSE_S = 0.5
"""Minimum time between two probes in seconds, so that a destination gets at most two probes a second in an outage."""

PROBE_MAX_JITTER_S = 2.0
"""Maximum jitter added to PROBE_MIN_PAUSE_S, in seconds: a destination that recovers is noticed within 2.5 s."""

SILENT_PAUSE_FIRST_S, SILENT_PAUSE_MAX_S = 5.0, 30.0
"""First and longest pause between probes of a silent destination, in seconds; each probe that times out doubles it.

Each probe may be executed later, so an outage of an hour costs about a hundred copies of single events.
"""

INITIAL_CALLS = 16
"""Limit of calls in flight at the start: enough for 5,000 events a second if a call takes 30 ms."""

SLOW_S = 1.0
"""Seconds after which a call counts as slow. A slow call halves the limit, at most once in this time.

A destination that handles one call after the other would otherwise get more calls than it can answer within their
timeout, and would get each of those twice.
"""

MIN_CALLS_IF_SLOW = 4
"""Lowest limit of calls in flight to which slow calls alone lead: a distant destination is slow, but not overloaded."""

BURST_S = 0.25
"""Seconds of the maximum rate that may be sent in one burst."""


class Gate:
    """Limits of the calls in flight to one destination, and breaker that paces calls while the destination is down.

    `max_rate` is the maximum number of items sent per second, 0.0 for no limit.
    """

    def __init__(self, max_in_flight: int, random: Callable[[], float], max_rate: float = 0.0) -> None:
        self._max = max_in_flight
        self._random = random
        self._ceiling = float(min(max_in_flight, INITIAL_CALLS))
        self._not_before = 0.0
        """Time before which the breaker allows no call: the next probe."""
        self._retry_after_until = 0.0
        """Time before which the destination wants no call, by its Retry-After."""
        self._halved_at = -SLOW_S
        """Time at which a slow call last halved the limit."""
        self._max_rate = max_rate
        self._rate_spent_until = 0.0
        """Time by which all items sent so far would have been sent at the maximum rate."""
        self._stopped = False
        self.blocked = False
        """Whether the caller forbids calls at present, for a reason that has nothing to do with the destination."""
        self.failures = 0
        """Number of consecutive failed calls, with nothing accepted since."""
        self.last_call_brought_nothing = False
        """Whether no item of the latest call was accepted, perhaps only because these items fail at every try."""
        self.silent = False
        """Whether the breaker is open because calls time out, so that a probe must be a single item."""
        self._silent_pause_s = SILENT_PAUSE_FIRST_S
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
        """Forbid all further calls."""
        self._stopped = True

    def wait_s(self, now: float) -> float:
        """Return the seconds until the pauses and the rate limit allow a call; 0.0 if they allow one now."""
        until = max(self._not_before, self._retry_after_until)
        if self._max_rate:
            until = max(until, self._rate_spent_until - BURST_S)
        return max(0.0, until - now)

    def record_start(self, items: int, now: float) -> None:
        """Record that a call of `items` items starts."""
        if self._max_rate:
            self._rate_spent_until = max(self._rate_spent_until, now) + items / self._max_rate

    def record_success(self, now: float, took_s: float, *, backlog: bool) -> None:
        """Record that a call took `took_s` and an item of it was accepted: close the breaker.

        If there is a `backlog`, the limit of calls in flight grows by one. So it doubles in each round trip in which
        every call is accepted, until there is no backlog, an entry is throttled, or answers take longer than SLOW_S. A
        pause that the destination demanded by Retry-After stays in force.
        """
        self.failures = 0
        self.last_call_brought_nothing = self.silent = False
        self.held_since = 0.0
        self._not_before = 0.0
        if took_s > SLOW_S:
            self._slow_down(now)
        elif backlog:
            self._ceiling = min(self._max, self._ceiling + 1.0)

    def _slow_down(self, now: float) -> None:
        """Halve the limit after a slow call, at most once in SLOW_S."""
        if now - self._halved_at >= SLOW_S and self._ceiling > MIN_CALLS_IF_SLOW:
            self._halved_at = now
            self._ceiling = max(MIN_CALLS_IF_SLOW, self._ceiling / 2)

    def record_throttling(self) -> None:
        """Halve the limit of calls in flight, since an entry or a call was throttled."""
        self._ceiling = max(1.0, self._ceiling / 2)

    def record_failure(self, now: float, retry_after_s: float = 0.0, in_flight: int = 0) -> None:
        """Record a call of which no item was accepted. `in_flight` other calls have no answer yet.

        The first failure lowers the limit by one call: among accepted calls it is a broken connection or server, not an
        overloaded destination. Each further failure in a row halves the limit. From OPENS_AT_FAILURES on, only probes
        are sent.
        """
        self.failures += 1
        self.last_call_brought_nothing = True
        self.silent = False
        if self.failures > 1:
            self.record_throttling()
        else:
            self._ceiling = max(1.0, self._ceiling - 1.0)
        if retry_after_s:
            self._retry_after_until = max(self._retry_after_until, now + retry_after_s)
        if self.failures >= max(OPENS_AT_FAILURES, in_flight):
            self.held_since = self.held_since or now
        if self.holding:
            jitter_s = backoff_s(self.failures - OPENS_AT_FAILURES, 0.25, PROBE_MAX_JITTER_S, self._random())
            self._not_before = max(self._not_before, now + PROBE_MIN_PAUSE_S + jitter_s)

    def record_timeout(self, now: float, sent_at: float) -> None:
        """Record that a call sent at `sent_at` timed out, and nothing was accepted since then: open the breaker.

        If the call was a probe, the pause before the next probe doubles. Calls that were in flight when the breaker
        opened do not lengthen the pause.
        """
        is_probe = self.silent and sent_at >= self.held_since
        self._silent_pause_s = min(2 * self._silent_pause_s, SILENT_PAUSE_MAX_S) if is_probe else SILENT_PAUSE_FIRST_S
        self.failures += 1
        self.last_call_brought_nothing = self.silent = True
        self.record_throttling()
        self.held_since = self.held_since or now
        self._not_before = now + self._silent_pause_s
