"""Execution of the rule of `stuck.py`: each check of the stream goes to the rule, and its action is carried out."""

import logging
import random
import time
from collections.abc import Callable

from stream_router.consumer.supervisor.stream_watch import StreamView, StreamWatch, all_full, unread_signs
from stream_router.consumer.supervisor.stuck import Action, Observation, StuckRule
from stream_router.consumer.supervisor.supervisor import PlannedRestart
from stream_router.consumer.supervisor.vitals import Vitals

log = logging.getLogger(__name__)

NAMED = 3
"""Number of shards that a log line names."""


class StuckWatch:
    """Watch that restarts this worker's daemon if nobody reads a shard. Call `check` after each check of the stream.

    `worker` is this worker's name in the lease table. `max_leases` is the KCL's maxLeasesForWorker, None if it is not
    set. `clock` is monotonic. `index_is_built` returns whether AWS is building the lease table's index. That takes up
    to 20 minutes, and a daemon that waits for it is not stuck.
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
        index_is_built: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stream = stream
        self._vitals = vitals
        self._restart = restart
        self._worker = worker
        self._max_leases = max_leases
        self._clock = clock
        self._index_is_built = index_is_built
        self._rule = StuckRule(random_share)
        self._observed: StreamView | None = None

    def check(self) -> None:
        """Pass the latest check of the stream to the rule, unless that is done already."""
        look = self._stream.latest
        if look is not None and look is self._observed:
            return
        self._observed = look
        known = self._vitals.known()
        daemon = known.daemon if known.state == "running" and not self._index_is_built() else None
        signs = None if look is None else unread_signs(look)
        is_full = look is not None and self._are_workers_full(look)
        observation = Observation(self._clock(), daemon, signs, is_full, self._stream.interval_s)
        action = self._rule.observe(observation)
        self._vitals.shards_stuck(is_ill=self._rule.is_ill)
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

    def _are_workers_full(self, look: StreamView) -> bool:
        return self._max_leases is not None and all_full(look, self._worker, self._max_leases, self._rule.stuck)

    def _shards(self) -> str:
        stuck = self._rule.stuck
        more = f" and {len(stuck) - NAMED} more" if len(stuck) > NAMED else ""
        return ", ".join(stuck[:NAMED]) + more
