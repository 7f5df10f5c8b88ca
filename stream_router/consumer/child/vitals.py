"""Present state of one shard, and how the child's time was spent, for the shard's snapshot."""

from collections.abc import Callable
from typing import Any

from stream_router.aws_answers import NO_ANSWER
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.window import HOLD_REASONS, HOLD_THRESHOLD_S, Window
from stream_router.pipeline.route import Router
from stream_router.telemetry.metrics_catalogue import ENTRIES_PER_CALL, TIME
from stream_router.telemetry.shard_state import RECENT_CALLBACK_S
from stream_router.telemetry.snapshot import Snapshot

Wait = Callable[[float, bool], None]
"""Function that handles calls, and waits up to the given seconds. If the flag is true, a daemon line ends the wait."""


def round_to_binary_fraction(seconds: float) -> float:
    """Round seconds to a multiple of 1/1024, so that sums of such values are exact in any order.

    Otherwise the sum over all shards could fall by a rounding error if it is built in another order. Prometheus would
    take that for a counter that was reset to zero, and count its whole value again.
    """
    return round(seconds * 1024) / 1024


WAIT_ACTIVITIES = ("waiting", "bus", "holding", "deadLetters")
"""What a waiting child waits for: records, the bus, a destination that accepts nothing, the dead-letter queue."""


class ShardVitals:
    """Present state of one shard. Calling the object writes the state into a snapshot.

    `is_careful` returns whether the shard is careful (`crash_guard.py`). `clock` is monotonic. A snapshot has times as
    seconds ago, since other processes do not have this clock.
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
        self._began_at = self._callback_at = self._caught_up_at = clock()
        self._behind_ms: int | None = None
        """Milliseconds behind the newest record of the stream; None before the first callback."""
        self._waited_s = dict.fromkeys(WAIT_ACTIVITIES, 0.0)
        self._next_unopened_ms: int | None = None
        """Arrival of the next record that is not opened yet; None if all are opened."""

    def record_callback(self, behind_ms: int | None) -> None:
        """Record a callback of the daemon, and how far its records are behind the newest record of the stream.

        `behind_ms` is None if the daemon does not report it. The last known value then stays; it is 0 if there is none.
        """
        self._callback_at = self._clock()
        if behind_ms is not None:
            self._behind_ms = behind_ms
        elif self._behind_ms is None:
            self._behind_ms = 0

    def record_next_unopened(self, record: dict[str, Any] | None) -> None:
        """Record the next record of the daemon's batch that is not opened yet; None if all are opened.

        A record with an unknown time of arrival (None or 0) counts as opened, since nothing can be said about its age.
        """
        # The outer condition is `if record`. Inside it, `or None` replaces an arrival time of 0.
        self._next_unopened_ms = int(record["approximateArrivalTimestamp"] or 0) or None if record else None

    def measure_waits(self, wait: Wait) -> Wait:
        """Return `wait`, extended so that its time is counted under the present activity."""

        def measured_wait(seconds: float, wake_on_daemon_line: bool) -> None:
            if not seconds:  # handling answers is work, not waiting
                wait(seconds, wake_on_daemon_line)
                return
            activity, began_at = self._find_activity(wake_on_daemon_line=wake_on_daemon_line), self._clock()
            wait(seconds, wake_on_daemon_line)
            self._waited_s[activity] += self._clock() - began_at

        return measured_wait

    def _find_activity(self, *, wake_on_daemon_line: bool) -> str:
        """Return what the child waits for now, one of WAIT_ACTIVITIES."""
        bus = self._router.bus
        if bus.calls_in_flight and not bus.is_failing and not self._window.hold_reason:
            return "bus"  # the usual case first, since this runs before each wait
        if self._router.holding or self._window.hold_reason:
            return "holding"
        if self._router.unpublished:
            return "bus"
        if self._router.backlog:
            return "deadLetters"
        # Nothing is pending. Between callbacks the child waits for records; inside one, something holds it up.
        return "waiting" if wake_on_daemon_line else "holding"

    def __call__(self, snapshot: Snapshot) -> None:
        """Write the present state into `snapshot`."""
        now, oldest_ms = self._clock(), self._oldest_unsettled_ms()
        if oldest_ms is None and self._behind_ms == 0 and now - self._callback_at <= RECENT_CALLBACK_S:
            self._caught_up_at = now
        working_s = max(0.0, now - self._began_at - sum(self._waited_s.values()))
        spent_s = {**self._waited_s, "work": working_s}
        snapshot.counts[TIME.name] = {
            (activity,): round_to_binary_fraction(seconds) for activity, seconds in spent_s.items()
        }
        by_size = self._router.bus.calls_by_size
        snapshot.counts[ENTRIES_PER_CALL.name] = {(str(entries),): calls for entries, calls in by_size.items()}
        snapshot.gauges |= {name: {(): value} for name, value in self._gauges(now).items()}
        snapshot.states |= {
            **self._describe_hold(now),
            "careful": self._is_careful(),
            "full": self._window.is_record_waiting,
            "oldestReceivedMs": oldest_ms[0] if oldest_ms else None,
            "oldestArrivedMs": oldest_ms[1] if oldest_ms else None,
            "behindS": None if self._behind_ms is None else self._behind_ms / 1000,
            "callbackAgoS": round(now - self._callback_at, 3),
            "caughtUpAgoS": round(now - self._caught_up_at, 3),
        }

    def _oldest_unsettled_ms(self) -> tuple[int, int] | None:
        """Return the earliest receipt and the earliest arrival of unsettled records, opened or not (epoch ms).

        An unopened record counts with its arrival for both. Return None if there are no unsettled records.
        """
        oldest_ms = self._checkpoints.oldest_unsettled_ms()
        unopened_ms = self._next_unopened_ms
        if unopened_ms is None:
            return oldest_ms
        if oldest_ms is None:
            return unopened_ms, unopened_ms
        return min(oldest_ms[0], unopened_ms), min(oldest_ms[1], unopened_ms)

    def _gauges(self, now: float) -> dict[str, float]:
        """Return the gauges by their names in the metrics catalogue."""
        window, bus = self._window, self._router.bus
        checkpoint_age_s = now - self._checkpoints.last_checkpoint_at if window.events_above_checkpoint else 0.0
        return {
            "window_bytes": window.pending_bytes,
            "window_span_seconds": round(window.span_s, 3),
            "calls_in_flight": bus.calls_in_flight,
            "calls_ceiling": bus.calls_ceiling,
            "checkpoint_age_seconds": round(checkpoint_age_s, 3),
        }

    def _describe_hold(self, now: float) -> dict[str, Any]:
        """Return the fields about the present hold: why the shard holds, as a code and as text, and for how long.

        A destination that accepts nothing counts as a hold even if another destination accepts: an event that waits for
        either of them stops the checkpoint.
        """
        if problem := self._checkpoints.target_problem:
            return {"holding": "target", "holdReason": problem}
        held = self._router.held
        if held and now - held.since >= HOLD_THRESHOLD_S:
            reason = f"{held.name} accepts nothing: {held.code}"
            held_s = round(now - held.since, 1)
            silent = held.name if held.code in NO_ANSWER else None
            return {"holding": "destination", "holdReason": reason, "holdingS": held_s, "silent": silent}
        code = self._window.hold_reason
        if not code:
            return {"holding": None}
        held_s = round(now - self._window.hold_began_at, 1)
        return {"holding": code, "holdReason": HOLD_REASONS[code], "holdingS": held_s}
