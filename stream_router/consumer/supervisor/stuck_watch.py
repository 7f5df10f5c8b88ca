"""Execution of the rule of `stuck.py`: pass each check of the stream to the rule, and carry out its action."""

import logging
import random
import time
from collections.abc import Callable

from stream_router.consumer.supervisor.stream_watch import (
    StreamView,
    StreamWatch,
    are_all_workers_full,
    find_unread_signs,
)
from stream_router.consumer.supervisor.stuck import Action, Observation, StuckRule
from stream_router.consumer.supervisor.supervisor import PlannedRestart
from stream_router.consumer.supervisor.vitals import Vitals

log = logging.getLogger(__name__)

MAX_NAMED_SHARDS = 3
"""Number of shards that a log line names."""


class StuckWatch:
    """Watch that restarts this worker's daemon if nobody reads a shard. Call `check` after each check of the stream.

    `worker` is this worker's name in the lease table. `max_leases` is the KCL's maxLeasesForWorker, None if it is not
    set. `clock` is monotonic. `is_index_being_built` returns whether AWS is building the lease table's index. That
    takes up to 20 minutes, and a daemon that waits for it is not stuck.
    """

    def __init__(
        self,
        stream: StreamWatch,
        vitals: Vitals,
        restart: Callable[[PlannedRestart], object],
        worker: str,
        max_leases: int | None,
        clock: Callable[[], float] = time.monotonic,
        random_share: Callable[[], float] = random.random,
        is_index_being_built: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stream = stream
        self._vitals = vitals
        self._restart = restart
        self._worker = worker
        self._max_leases = max_leases
        self._clock = clock
        self._is_index_being_built = is_index_being_built
        self._rule = StuckRule(random_share)
        self._observed: StreamView | None = None

    def check(self) -> None:
        """Pass the latest check of the stream to the rule, and carry out the rule's action.

        A check that the rule knows already is not passed again. A failed check (None) is always passed.
        """
        view = self._stream.latest
        if view is not None and view is self._observed:
            return
        self._observed = view
        known = self._vitals.read()
        daemon = known.daemon if known.state == "running" and not self._is_index_being_built() else None
        signs = None if view is None else find_unread_signs(view)
        is_full = view is not None and self._are_workers_full(view)
        observation = Observation(self._clock(), daemon, signs, is_full, self._stream.interval_s)
        action = self._rule.observe(observation)
        self._vitals.record_stuck_shards(is_unhealthy=self._rule.is_unhealthy)
        if action is Action.RESTART and daemon is not None:
            reason = (
                f"Nobody has read {self._shards()} for three minutes, although stream and lease table answer. Their "
                "events wait in the stream; none is lost. If it lasts, `health` fails after five minutes"
            )
            self._restart(PlannedRestart(daemon, "shards_stuck", reason))
        elif action is Action.REPORT_FULL:
            log.warning(
                "No worker may read %s, since each holds %s leases, as many as maxLeasesForWorker allows. Their events "
                "wait in the stream. Start another consumer, or raise maxLeasesForWorker.",
                self._shards(),
                self._max_leases,
                extra={"event": "shards-stuck-workers-full"},
            )

    def _are_workers_full(self, view: StreamView) -> bool:
        """Return whether no worker may take another lease. That cannot be so without a limit of leases."""
        return self._max_leases is not None and are_all_workers_full(
            view, self._worker, self._max_leases, self._rule.stuck
        )

    def _shards(self) -> str:
        """Return the stuck shards for a log line: the names of the first ones, and the number of the others."""
        stuck = self._rule.stuck
        more = f" and {len(stuck) - MAX_NAMED_SHARDS} more" if len(stuck) > MAX_NAMED_SHARDS else ""
        return ", ".join(stuck[:MAX_NAMED_SHARDS]) + more
