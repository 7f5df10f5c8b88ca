"""Data of `/history`: the last hour as one row of numbers every ten seconds, for the charts of the web page."""

import collections
from typing import Any

import orjson

from stream_router.telemetry.histogram import PERCENTILES
from stream_router.telemetry.metrics_catalogue import COUNTERS, HEADROOM, HOLDING, OLDEST_AGE, STAGE_LATENCY
from stream_router.telemetry.snapshot import Snapshot

SCHEMA = "stream-router.history/1"
INTERVAL_S = 10
"""Seconds between two rows."""
MAX_ROWS = 360
"""Number of rows of an hour."""
STAGE = "received_to_accepted"
"""Stage whose percentiles are shown: the whole way of an event."""
RATES = {
    "deliveredPerS": COUNTERS["delivered"].name,
    "deadLettersPerS": COUNTERS["dead_lettered"].name,
    "retriesPerS": COUNTERS["retried"].name,
}
COLUMNS = ("at", *RATES, *PERCENTILES, "lagS", "headroomS", "holdingShards", "shards")
"""Columns of a row. `at` is epoch milliseconds; percentiles are milliseconds of the row's events; null if unknown."""


class History:
    """An hour of rows, each with the counts and gauges between two samples.

    Rows are timed by the monotonic clock, and reported by the present wall clock. So setting the wall clock causes
    neither a gap nor a wrong rate.
    """

    def __init__(self) -> None:
        self._rows: collections.deque[tuple[float, list[float | None]]] = collections.deque(maxlen=MAX_ROWS)
        """Monotonic second and values of each row."""
        self._dead: collections.deque[dict[str, float]] = collections.deque(maxlen=MAX_ROWS)
        """Dead letters of each row, by reason."""

    def add(self, at: float, over_s: float, between: Snapshot, shards: int) -> None:
        """Add the row for a period that ends now. Counts cover the period, gauges are values at its end.

        `at` is the present monotonic time, `over_s` the period's length in seconds, `shards` the number of shards that
        are read here.
        """
        self._rows.append((at, _row(between, over_s, shards)))
        dead = between.counts.get(COUNTERS["dead_lettered"].name, {})
        self._dead.append({reason: count for (reason,), count in dead.items() if count})

    def page(self, ahead_s: float) -> bytes:
        """Return the history as JSON; `ahead_s` is the wall clock (epoch seconds) minus the monotonic clock."""
        reasons = sorted({reason for row in self._dead for reason in row})
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "everyS": INTERVAL_S,
            "columns": COLUMNS,
            "deadLetters": {reason: [row.get(reason, 0) for row in self._dead] for reason in reasons},
            "rows": [[round((at + ahead_s) * 1000), *row] for at, row in self._rows],
        }
        return orjson.dumps(document)


def _row(between: Snapshot, over_s: float, shards: int) -> list[float | None]:
    """Return a row's values in the order of COLUMNS, without `at`."""
    latest = between.histogram(STAGE_LATENCY.name, (STAGE,))
    percentiles: list[float | None] = [None] * len(PERCENTILES)
    if latest.count:
        percentiles = [round(latest.percentile(percent), 3) for percent in PERCENTILES.values()]
    ages = [between.gauge(metric.name) for metric in (OLDEST_AGE, HEADROOM)]
    return [
        *(round(between.total(counter) / over_s, 2) for counter in RATES.values()),
        *percentiles,
        *(None if seconds is None else round(seconds, 3) for seconds in ages),
        *(int(between.gauge(HOLDING.name) or 0), shards),
    ]
