"""Rule that decides when to restart a daemon because nobody reads a shard. It does no I/O and reads no clock.

A shard is *stuck* if its sign stayed the same for STUCK_S, while the same daemon of this worker ran, and the stream and
the lease table answered. The sign of a shard is what `stream_watch.find_unread_signs` returns: usually its lease, which
changes whenever its owner renews it. Every check of the stream is one observation, and each observation is one event:

| event | the observation shows |
|---|---|
| CLEAR | no shard is stuck, or the stream did not answer, or no daemon runs |
| STUCK | a shard is stuck, and a worker may take another lease |
| FULL | a shard is stuck, and each worker holds as many leases as `maxLeasesForWorker` allows |
| DUE | as STUCK, and the time that the state lasts (a random delay) is over |
| RESTED | the time that the state lasts (ten minutes after a restart) is over |

| state | event | next state | action |
|---|---|---|---|
| WATCHING | CLEAR | WATCHING | |
| WATCHING | STUCK | DELAYED | |
| WATCHING | FULL | ALL_FULL | REPORT_FULL |
| DELAYED | CLEAR | WATCHING | |
| DELAYED | STUCK | DELAYED | |
| DELAYED | DUE | RESTING | RESTART |
| DELAYED | FULL | ALL_FULL | REPORT_FULL |
| ALL_FULL | CLEAR | WATCHING | |
| ALL_FULL | STUCK | DELAYED | |
| ALL_FULL | FULL | ALL_FULL | |
| RESTING | CLEAR, STUCK, FULL | RESTING | |
| RESTING | RESTED | WATCHING | |

Each worker decides for itself. The random delay keeps workers that see the same shard from restarting all at once: the
first restart often solves the problem, and the others see that when their own delay is over.
"""

import enum
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

STUCK_S = 180.0
"""Seconds with the same sign after which a shard is stuck.

The KCL needs up to 112 s to begin with an empty lease table (measured, docs/daemon.md).
"""

MAX_DELAY_S = 60.0
"""Maximum random delay before the restart, in seconds."""

REST_AFTER_RESTART_S = 600.0
"""Minimum number of seconds between two restarts by this rule. If one restart does not help, more would only hurt."""

UNHEALTHY_AFTER_S = 300.0
"""Seconds for which a shard may stay unread, with or without a restart, before the worker is unhealthy."""

LATE_CHECK_MARGIN_S = 30.0
"""Seconds by which a check may come later than planned: its calls may take that long to fail."""


class StuckState(enum.Enum):
    """State of the restart rule. The table at the top of the module lists the transitions."""

    WATCHING = "watching"
    DELAYED = "delayed"
    ALL_FULL = "all full"
    RESTING = "resting"


class StuckEvent(enum.Enum):
    """Event that follows from an observation."""

    CLEAR = "clear"
    STUCK = "stuck"
    FULL = "full"
    DUE = "due"
    RESTED = "rested"


class Action(enum.Enum):
    """Action that the caller has to take."""

    NOTHING = "nothing"
    RESTART = "restart"
    REPORT_FULL = "report full"


TRANSITIONS: dict[tuple[StuckState, StuckEvent], tuple[StuckState, Action]] = {
    (StuckState.WATCHING, StuckEvent.CLEAR): (StuckState.WATCHING, Action.NOTHING),
    (StuckState.WATCHING, StuckEvent.STUCK): (StuckState.DELAYED, Action.NOTHING),
    (StuckState.WATCHING, StuckEvent.FULL): (StuckState.ALL_FULL, Action.REPORT_FULL),
    (StuckState.DELAYED, StuckEvent.CLEAR): (StuckState.WATCHING, Action.NOTHING),
    (StuckState.DELAYED, StuckEvent.STUCK): (StuckState.DELAYED, Action.NOTHING),
    (StuckState.DELAYED, StuckEvent.DUE): (StuckState.RESTING, Action.RESTART),
    (StuckState.DELAYED, StuckEvent.FULL): (StuckState.ALL_FULL, Action.REPORT_FULL),
    (StuckState.ALL_FULL, StuckEvent.CLEAR): (StuckState.WATCHING, Action.NOTHING),
    (StuckState.ALL_FULL, StuckEvent.STUCK): (StuckState.DELAYED, Action.NOTHING),
    (StuckState.ALL_FULL, StuckEvent.FULL): (StuckState.ALL_FULL, Action.NOTHING),
    (StuckState.RESTING, StuckEvent.CLEAR): (StuckState.RESTING, Action.NOTHING),
    (StuckState.RESTING, StuckEvent.STUCK): (StuckState.RESTING, Action.NOTHING),
    (StuckState.RESTING, StuckEvent.FULL): (StuckState.RESTING, Action.NOTHING),
    (StuckState.RESTING, StuckEvent.RESTED): (StuckState.WATCHING, Action.NOTHING),
}


class Observation(NamedTuple):
    """One check of the stream and its lease table."""

    at_s: float
    """Monotonic seconds."""
    daemon: int | None
    """Process id of the daemon that is up, None if there is none."""
    signs: Mapping[str, Hashable] | None
    """The sign of each shard that could be read and is not; None if the stream or the table did not answer."""
    workers_full: bool
    """Whether each worker holds as many leases as `maxLeasesForWorker` allows."""
    interval_s: float
    """Planned seconds between two checks."""


class Standstill(NamedTuple):
    """A shard's sign, and the time since which it is the same (monotonic seconds)."""

    sign: Hashable
    since_s: float


class StuckRule:
    """The rule and its state. `random_share` returns a number from 0 to 1, the share of MAX_DELAY_S to wait."""

    def __init__(self, random_share: Callable[[], float]) -> None:
        self.state = StuckState.WATCHING
        self.stuck: tuple[str, ...] = ()
        """Shards that are stuck by the latest observation."""
        self.is_unhealthy = False
        """Whether a shard has been unread for UNHEALTHY_AFTER_S, so that the whole program should be restarted."""
        self._random_share = random_share
        self._ends_s = 0.0
        """End of the present state's time: of the delay in DELAYED, of the rest in RESTING (monotonic seconds)."""
        self._standstills: dict[str, Standstill] = {}
        self._daemon: int | None = None
        self._daemon_since_s = 0.0
        self._observed_s: float | None = None

    def observe(self, observation: Observation) -> Action:
        """Process one observation, and return the action to take."""
        self._record_daemon(observation)
        self._record_signs(observation)
        self.stuck = self._find_stuck_shards(observation)
        state, action = TRANSITIONS[self.state, self._classify(observation)]
        if state is not self.state:
            self._ends_s = observation.at_s + self._duration_s(state)
            self.state = state
        self.is_unhealthy = self._is_unread_too_long(observation)
        return action

    def _duration_s(self, state: StuckState) -> float:
        """Return how long a state lasts that has just begun; 0.0 if it ends by observations alone."""
        match state:
            case StuckState.DELAYED:
                return MAX_DELAY_S * self._random_share()
            case StuckState.RESTING:
                return REST_AFTER_RESTART_S
            case _:
                return 0.0

    def _record_daemon(self, observation: Observation) -> None:
        if observation.daemon != self._daemon:
            self._daemon = observation.daemon
            self._daemon_since_s = observation.at_s

    def _record_signs(self, observation: Observation) -> None:
        """Record since when each shard's sign has been the same.

        That time starts again after a gap in the observations, and while no daemon runs, except in RESTING.
        """
        before = self._standstills
        gap_s = 0.0 if self._observed_s is None else observation.at_s - self._observed_s
        if gap_s > 4 * observation.interval_s + LATE_CHECK_MARGIN_S:  # nobody knows what happened in the gap
            before = {}
        # After a restart by this rule the signs are kept: health depends on whether that restart has helped.
        if observation.daemon is None and self.state is not StuckState.RESTING:
            before = {}
        self._observed_s = observation.at_s
        self._standstills = {}
        for shard, sign in (observation.signs or {}).items():
            kept = before.get(shard)
            if kept is None or kept.sign != sign:
                kept = Standstill(sign, observation.at_s)
            self._standstills[shard] = kept

    def _find_stuck_shards(self, observation: Observation) -> tuple[str, ...]:
        """Return the shards whose sign has been the same for STUCK_S, sorted; () if the daemon is younger than that."""
        if observation.daemon is None:
            return ()
        latest_s = observation.at_s - STUCK_S
        if self._daemon_since_s > latest_s:
            return ()
        return tuple(sorted(shard for shard, still in self._standstills.items() if still.since_s <= latest_s))

    def _classify(self, observation: Observation) -> StuckEvent:
        """Return the event of the observation, which depends on the present state."""
        is_over = observation.at_s >= self._ends_s
        if self.state is StuckState.RESTING and is_over:
            return StuckEvent.RESTED
        if not self.stuck:
            return StuckEvent.CLEAR
        if observation.workers_full:
            return StuckEvent.FULL
        if self.state is StuckState.DELAYED and is_over:
            return StuckEvent.DUE
        return StuckEvent.STUCK

    def _is_unread_too_long(self, observation: Observation) -> bool:
        """Return whether a shard that is stuck, or was before the last restart, is unread for UNHEALTHY_AFTER_S.

        If every worker holds as many leases as it may, the answer is no, since a restart would not help.
        """
        if observation.workers_full or not (self.stuck or self.state is StuckState.RESTING):
            return False
        return any(
            observation.at_s - standstill.since_s >= UNHEALTHY_AFTER_S for standstill in self._standstills.values()
        )
