"""Vitals of the supervisor: whether its loop turns, the daemon's state, health and readiness."""

import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from stream_router.telemetry.metrics_catalogue import RESTART_CAUSES, RestartCause

State = Literal["starting", "running", "restarting", "draining"]

LOOP_TIMEOUT_S = 30.0
"""Seconds without a turn after which the supervisor's loop counts as dead.

The loop turns twice a second, except for a few seconds while a draining daemon is killed.
"""

DAEMON_TIMEOUT_S = 90.0
"""Seconds without a daemon after which the program is unhealthy: three times the longest wait for a restart."""


class VitalsSnapshot(NamedTuple):
    """The vitals at one moment."""

    state: State
    since_s: float
    """Epoch seconds of the state's beginning."""
    reason: str
    daemon: int | None
    """Process id of the JVM, None if there is none."""
    restarts: int
    """Restarts of a daemon that died."""
    healthy: bool
    ready: bool
    hangs: tuple[str, ...] = ()
    """Descriptions of the children that hang."""
    planned_restarts: Mapping[RestartCause, int] = dict.fromkeys(RESTART_CAUSES, 0)
    """Restarts of a daemon that had not died, by cause; `restarts` does not count them."""


class Vitals:
    """The vitals as they change. The supervisor's loop writes them, and any thread may read them.

    No lock is needed, since each fact is written by one assignment.

    `clock` is monotonic, `now_s` the wall clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now_s: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._now_s = now_s
        self._beat_at = self._down_since = clock()
        self._daemon: int | None = None
        self._starts = 0
        self._hangs: tuple[str, ...] = ()
        self._shards_are_stuck = False
        self._planned_restarts: dict[RestartCause, int] = dict.fromkeys(RESTART_CAUSES, 0)
        self._state: tuple[State, float, str] = ("starting", now_s(), "waits until event bus and rule are proven")

    def beat(self) -> None:
        """Record that the supervisor's loop turns."""
        self._beat_at = self._clock()

    def record_start_wait(self, reason: str) -> None:
        """Record why the start waits."""
        self._set_state("starting", reason)

    def record_daemon_start(self, pid: int) -> None:
        """Record that a daemon was started. It has no children yet, so none of them hangs."""
        self._daemon = pid
        self._starts += 1
        self._hangs = ()
        self._set_state("running", "")

    def record_planned_restart(self, cause: RestartCause) -> None:
        """Count a restart of the running daemon, which has not died."""
        self._planned_restarts = {**self._planned_restarts, cause: self._planned_restarts[cause] + 1}

    def record_stuck_shards(self, *, is_unhealthy: bool) -> None:
        """Record whether a shard has been unread for so long that this program is unhealthy."""
        self._shards_are_stuck = is_unhealthy

    def record_daemon_end(self, *, planned: bool = False) -> None:
        """Record that there is no daemon now. It will be started again.

        The method is also called for each daemon that could not be started. That does not change the time since which
        there is none.
        """
        if self._daemon is not None or self._state[0] == "starting":
            self._down_since = self._clock()
        self._daemon = None
        if self._state[0] != "draining":
            self._set_state("restarting", "the KCL daemon was ended on purpose" if planned else "the KCL daemon died")

    def record_hangs(self, hangs: tuple[str, ...]) -> None:
        """Record the children of the running daemon that hang."""
        self._hangs = hangs

    def record_stop_request(self) -> None:
        """Record that a stop was requested."""
        self._set_state("draining", "stopping on request")

    def read(self) -> VitalsSnapshot:
        """Return the vitals as they are now.

        The program is unhealthy only if a restart of the whole program may help: if its loop stands still, if no daemon
        can be started, or if a shard is stuck although the daemon was restarted because of it. So it is healthy while
        it holds, and while its start waits for bus and rule. It is healthy during a hang too: the supervisor itself
        replaces the daemon, and a stream that cannot be read looks like a hang.
        """
        now = self._clock()
        state, since_s, reason = self._state
        hangs = self._hangs if state == "running" else ()
        loop_turns = now - self._beat_at < LOOP_TIMEOUT_S
        shards_move = not self._shards_are_stuck
        daemon_lives = self._daemon is not None or state == "starting" or now - self._down_since < DAEMON_TIMEOUT_S
        return VitalsSnapshot(
            state=state,
            since_s=since_s,
            reason=reason,
            daemon=self._daemon,
            # The first start is no restart. A planned restart is counted before its start, so the difference may be -1.
            restarts=max(0, self._starts - 1 - sum(self._planned_restarts.values())),
            healthy=loop_turns and ((daemon_lives and shards_move) or state == "draining"),
            ready=self._starts > 0 and state != "draining" and not hangs,
            hangs=hangs,
            planned_restarts=self._planned_restarts,
        )

    def _set_state(self, state: State, reason: str) -> None:
        """Set the state. Its beginning stays the same if neither state nor reason changes."""
        if (state, reason) != (self._state[0], self._state[2]):
            self._state = (state, self._now_s(), reason)
