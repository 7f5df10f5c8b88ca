"""When the next call may start: an AIMD limit on calls in flight, and a breaker that probes with one call."""

from collections.abc import Callable

TRIPS_AT = 3
"""Failed calls in a row, none accepted between them, that open the breaker: one bad answer among good ones does not."""

PROBE_FLOOR_S = 0.5
"""Least time between two probes, so that an outage sees at most two attempts a second."""

PROBE_SPREAD_S = 2.0
"""Most that jitter adds to the floor: a service that is back is noticed within 2.5 s."""


class Gate:
    """Bounds the calls in flight of one destination and paces them while it is down. Times are monotonic seconds."""

    def __init__(self, max_in_flight: int, random: Callable[[], float]) -> None:
        self._max = max_in_flight
        self._random = random
        self._window = float(max_in_flight)
        self._not_before = 0.0
        self._asked_to_wait_until = 0.0
        self.failures = 0
        """Calls that failed in a row, with nothing accepted since."""
        self.held_since = 0.0
        """When the breaker opened; 0.0 while it is closed."""

    @property
    def holding(self) -> bool:
        """Whether the breaker is open: the destination is down, or refuses everything."""
        return self.failures >= TRIPS_AT

    def may_start(self, in_flight: int, now: float) -> bool:
        """Whether one more call may start now."""
        allowed = 1 if self.holding else int(self._window)
        return in_flight < allowed and not self.wait_s(now)

    def wait_s(self, now: float) -> float:
        """Seconds until the gate may open by time alone (0.0 where it is not time that closes it)."""
        return max(0.0, max(self._not_before, self._asked_to_wait_until) - now)

    def succeeded(self) -> None:
        """Something was accepted: the breaker closes, one more call may be in flight. A Retry-After still holds."""
        self.failures = 0
        self.held_since = 0.0
        self._not_before = 0.0
        self._window = min(self._max, self._window + 1.0)

    def throttled(self) -> None:
        """Some of a call was throttled: half as many calls in flight."""
        self._window = max(1.0, self._window / 2)

    def failed(self, now: float, retry_after_s: float = 0.0) -> None:
        """A call brought nothing: half as many in flight, and from the third in a row on one probe at a time."""
        self.failures += 1
        self.throttled()
        if retry_after_s:
            self._asked_to_wait_until = max(self._asked_to_wait_until, now + retry_after_s)
        if self.holding:
            self.held_since = self.held_since or now
            spread = min(PROBE_SPREAD_S, 0.25 * 2.0 ** min(self.failures - TRIPS_AT, 10))
            self._not_before = max(self._not_before, now + PROBE_FLOOR_S + self._random() * spread)
