"""`/history`: the last hour as one row of numbers every ten seconds, for the lines of the web page.

Bounded, and made once for all askers: a row costs no look that `/status` does not make anyway.
"""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from stream_router.consumer.supervisor.admin.status_json import Seen
from stream_router.telemetry.histogram import PERCENTILES
from stream_router.telemetry.metrics_catalogue import COUNTERS, STAGE_LATENCY
from stream_router.telemetry.snapshot import Snapshot

SCHEMA = "stream-router.history/1"
EVERY_S = 10
ROWS_MAX = 360
STAGE = "received_to_accepted"
RATES = {
    "deliveredPerS": COUNTERS["delivered"].name,
    "deadLettersPerS": COUNTERS["dead_lettered"].name,
    "retriesPerS": COUNTERS["retried"].name,
}
COLUMNS = ("at", *RATES, *PERCENTILES, "lagS", "headroomS", "holdingShards", "shards")
"""`at` is epoch milliseconds; percentiles are milliseconds, of the events of these ten seconds; null where unknown."""


class Moment(NamedTuple):
    """What of a moment goes into a row."""

    at_s: float
    """Epoch seconds."""
    clock: float
    """The same in monotonic seconds."""
    totals: Snapshot
    lag_s: float | None
    headroom_s: float | None
    holding_shards: int
    shards: int


def moment(seen: Seen) -> Moment:
    """The numbers of one row."""
    shards = seen.merged.shards
    return Moment(
        at_s=seen.at_s,
        clock=seen.clock,
        totals=seen.merged.totals,
        lag_s=seen.oldest_age_s,
        headroom_s=seen.headroom_s,
        holding_shards=sum(bool(shard.holding) for shard in shards),
        shards=len(shards),
    )


class History:
    """An hour of rows. `take` is called every EVERY_S by one thread; `body` may be asked for by any.

    `look` gives the present. The first look makes no row: a row is what happened between two. Rows are timed by a clock
    that nobody sets, and told by the wall clock as it is now: so one that is set leaves neither a gap nor a wrong rate.
    """

    def __init__(self, look: Callable[[], Moment]) -> None:
        self._look = look
        self._before: Moment | None = None
        self._rows: collections.deque[tuple[float, list[float | None]]] = collections.deque(maxlen=ROWS_MAX)
        """The monotonic second of each row, and what is in it beside its time."""
        self._dead: collections.deque[dict[str, float]] = collections.deque(maxlen=ROWS_MAX)
        self._body = self._made(0.0)

    def body(self) -> bytes:
        """The page, as JSON. It is replaced whole, so no asker sees half a row."""
        return self._body

    def take(self) -> None:
        """Look, and add the row of the time since the look before."""
        now, before = self._look(), self._before
        if before is not None and now.clock <= before.clock:
            return
        self._before = now
        if before is None:
            return
        between = now.totals.since(before.totals)
        self._rows.append((now.clock, _row(between, now, now.clock - before.clock)))
        dead = between.counts.get(COUNTERS["dead_lettered"].name, {})
        self._dead.append({reason: count for (reason,), count in dead.items() if count})
        self._body = self._made(now.at_s - now.clock)

    def _made(self, ahead_s: float) -> bytes:
        reasons = sorted({reason for row in self._dead for reason in row})
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "everyS": EVERY_S,
            "columns": COLUMNS,
            "deadLetters": {reason: [row.get(reason, 0) for row in self._dead] for reason in reasons},
            "rows": [[round((clock + ahead_s) * 1000), *row] for clock, row in self._rows],
        }
        return orjson.dumps(told)


def _row(between: Snapshot, now: Moment, over_s: float) -> list[float | None]:
    return [
        *(round(between.total(counter) / over_s, 2) for counter in RATES.values()),
        *_percentiles(between),
        *(None if seconds is None else round(seconds, 3) for seconds in (now.lag_s, now.headroom_s)),
        *(now.holding_shards, now.shards),
    ]


def _percentiles(between: Snapshot) -> list[float | None]:
    """Of these ten seconds' events; nothing where there were none."""
    latest = between.histogram(STAGE_LATENCY.name, (STAGE,))
    if not latest.count:
        return [None] * len(PERCENTILES)
    return [round(latest.percentile(percent), 3) for percent in PERCENTILES.values()]
