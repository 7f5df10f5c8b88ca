"""Present state of one shard, and how its time was spent, for its snapshot."""

from collections.abc import Callable
from typing import Any

from stream_router.aws_answers import NO_ANSWER
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.window import HOLDING_AFTER_S, MEANS, Window
from stream_router.pipeline.route import Router
from stream_router.telemetry.metrics_catalogue import ENTRIES_PER_CALL, TIME
from stream_router.telemetry.shard_state import CALLBACK_WITHIN_S
from stream_router.telemetry.snapshot import Snapshot

Wait = Callable[[float, bool], None]
"""Handles calls and waits for the given number of seconds at most; if the flag is true, for the daemon's line too."""


def in_binary(seconds: float) -> float:
    """Round seconds to about a thousandth, as a binary fraction, so that sums are exact in any order.

    Otherwise a sum in another order may be less in its last digit. Prometheus would take that for a counter that was
    reset to zero, and count its whole value again.
    """
    return round(seconds * 1024) / 1024


WAITS = ("waiting", "bus", "holding", "deadLetters")
"""Activities of a waiting child: for records, the bus, a destination that accepts nothing, the dead-letter queue."""


class ShardVitals:
    """Present state of one shard. Calling it writes the state into a snapshot. Times are monotonic seconds.

    Times are reported as seconds ago, since other processes do not have this clock.
    """

    def __init__(
        self,
        router: Router,
        window: Window,
        checkpoints: Checkpoints,
        is_careful: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._router = router
        self._window = window
        self._checkpoints = checkpoints
        self._is_careful = is_careful
        self._clock = clock
        self._began = self._callback_at = self._caught_up_at = clock()
        self._behind_ms: int | None = None
        """None until the first callback, before which nobody knows."""
        self._spent = dict.fromkeys(WAITS, 0.0)
        self._unopened_ms: int | None = None

    def called(self, behind_ms: int | None) -> None:
        """Record a callback of the daemon, `behind_ms` behind the newest record of the stream."""
        self._callback_at = self._clock()
        if behind_ms is not None:
            self._behind_ms = behind_ms
        elif self._behind_ms is None:
            self._behind_ms = 0

    def unopened(self, record: dict[str, Any] | None) -> None:
        """Record the next record of the daemon's batch that is not opened yet; None if all are."""
        self._unopened_ms = int(record["approximateArrivalTimestamp"] or 0) or None if record else None

    def timed(self, wait: Wait) -> Wait:
        """Return `wait` with its time counted by what is waited for."""

        def timed_wait(seconds: float, daemon: bool) -> None:
            if not seconds:  # handling answers is work, not waiting
                wait(seconds, daemon)
                return
            activity, began = self._activity(daemon=daemon), self._clock()
            wait(seconds, daemon)
            self._spent[activity] += self._clock() - began

        return timed_wait

    def _activity(self, *, daemon: bool) -> str:
        """Return what the child waits for now, a key of WAITS."""
        bus = self._router.bus
        if bus.calls_in_flight and not bus.is_failing and not self._window.holds_for:
            return "bus"  # the usual case first, since this runs before each wait
        if self._router.holding or self._window.holds_for:
            return "holding"
        if self._router.unpublished:
            return "bus"
        if self._router.backlog:
            return "deadLetters"
        return "waiting" if daemon else "holding"

    def __call__(self, snapshot: Snapshot) -> None:
        now, oldest = self._clock(), self._oldest_ms()
        if oldest is None and self._behind_ms == 0 and now - self._callback_at <= CALLBACK_WITHIN_S:
            self._caught_up_at = now
        spent = {**self._spent, "work": max(0.0, now - self._began - sum(self._spent.values()))}
        snapshot.counts[TIME.name] = {(activity,): in_binary(seconds) for activity, seconds in spent.items()}
        by_size = self._router.bus.calls_by_size
        snapshot.counts[ENTRIES_PER_CALL.name] = {(str(entries),): calls for entries, calls in by_size.items()}
        snapshot.gauges |= {name: {(): value} for name, value in self._gauges(now).items()}
        snapshot.states |= {
            **self._hold(now),
            "careful": self._is_careful(),
            "full": self._window.is_waited_for,
            "oldestReceivedMs": oldest[0] if oldest else None,
            "oldestArrivedMs": oldest[1] if oldest else None,
            "behindS": None if self._behind_ms is None else self._behind_ms / 1000,
            "callbackAgoS": round(now - self._callback_at, 3),
            "caughtUpAgoS": round(now - self._caught_up_at, 3),
        }

    def _oldest_ms(self) -> tuple[int, int] | None:
        """Return the earliest receipt and arrival of unsettled events, opened or not; None if there are none."""
        oldest = self._checkpoints.oldest_ms()
        if (unopened := self._unopened_ms) is None:
            return oldest
        return (min(oldest[0], unopened), min(oldest[1], unopened)) if oldest else (unopened, unopened)

    def _gauges(self, now: float) -> dict[str, float]:
        """Return the gauges by their names in the catalogue."""
        window, bus = self._window, self._router.bus
        return {
            "window_bytes": window.held_bytes,
            "window_span_seconds": round(window.span_s, 3),
            "calls_in_flight": bus.calls_in_flight,
            "calls_ceiling": bus.calls_ceiling,
            "checkpoint_age_seconds": round(now - self._checkpoints.taken_at, 3) if window.events_above else 0.0,
        }

    def _hold(self, now: float) -> dict[str, Any]:
        """Return why the shard holds, as a code and in words, and for how long.

        A destination that accepts nothing counts even if another one accepts: the checkpoint passes no event that waits
        for either of them.
        """
        if problem := self._checkpoints.target_problem:
            return {"holding": "target", "holdReason": problem}
        held, full_by = self._router.held, self._window.holds_for
        if held and now - held.since >= HOLDING_AFTER_S:
            reason = f"{held.name} accepts nothing: {held.code}"
            held_s = round(now - held.since, 1)
            silent = held.name if held.code in NO_ANSWER else None
            return {"holding": "destination", "holdReason": reason, "holdingS": held_s, "silent": silent}
        if not full_by:
            return {"holding": None}
        return {"holding": full_by, "holdReason": MEANS[full_by], "holdingS": round(now - self._window.held_since, 1)}
