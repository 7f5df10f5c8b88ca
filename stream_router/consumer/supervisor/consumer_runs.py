"""A line every few minutes that says the consumer is well, and how much it does: an idle one and a hung one differ."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from stream_router.consumer.supervisor.admin.history import Moment
from stream_router.telemetry.merged import Merged
from stream_router.telemetry.metrics_catalogue import COUNTERS

log = logging.getLogger(__name__)

EVERY_S = 300.0
STALE_S = 60.0
"""A child writes a snapshot every second; one that is older by so much is of a child that hangs."""


class ConsumerRuns:
    """Callable every EVERY_S: logs the line, but at its first call, when nothing was done yet.

    `look` gives what the children say and the numbers of the same moment; `now_s` is the epoch time of snapshots,
    `clock` is monotonic.
    """

    def __init__(
        self,
        look: Callable[[], tuple[Merged, Moment]],
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._now_s = now_s
        self._clock = clock
        self._last: Counter[str] = Counter()
        self._last_at = clock()
        self._begun = False

    def __call__(self) -> None:
        if self._begun:
            log.info("the consumer runs", extra={"event": "consumer-runs", **self.said()})
        self._begun = True

    def said(self) -> dict[str, Any]:
        """What the line says: shards now, and what was done since the line before."""
        now_s, now = self._now_s(), self._clock()
        merged, moment = self._look()
        live = [shard for shard in merged.shards if now_s - shard.told.at_s <= STALE_S]
        total: Counter[str] = Counter()
        for name, metric in COUNTERS.items():
            total[name] = int(merged.totals.total(metric.name))
        done, over_s = total - self._last, max(now - self._last_at, 0.001)
        self._last, self._last_at = total, now
        return {
            "shards": sorted(shard.shard_id for shard in live),
            "lagS": None if moment.lag_s is None else round(moment.lag_s, 1),
            "holdingShards": moment.holding_shards,
            "deliveredPerSecond": round(done["delivered"] / over_s, 1),
            "delivered": done["delivered"],
            "deadLetters": done["dead_lettered"],
            "dropped": done["dropped"],
            "retried": done["retried"],
            "overS": round(over_s),
        }
