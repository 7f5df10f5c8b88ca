"""Where the receiver's workers show their numbers: a row each, in memory that they share."""

import mmap
import time
from collections.abc import Callable, Sequence

import numpy as np

from stream_router.telemetry.histogram import BUCKETS, Histogram
from stream_router.telemetry.receiver.receiver_stats import (
    ANSWERS,
    CERTIFICATE_END_S,
    COUNTERS,
    GAUGES,
    HEARD_WITHIN_S,
    LATENCY,
    OF_THE_WORST,
    OF_THE_WORST_THAT_HEARD,
    OF_THE_WORST_THAT_SERVES,
    OLDEST_S,
    ON_DISK,
    SILENT_S,
    STREAM_HEARD_S,
    Row,
    gauge_at,
    width,
)


class Board:
    """One row of numbers a worker, in memory that survives a fork and is shared by it.

    `clock` is monotonic, `now_s` the wall clock.
    """

    def __init__(
        self,
        workers: int,
        sources: Sequence[str] = ("",),
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._now_s = now_s
        self._died_at: dict[int, float] = {}
        self.sources = tuple(sources)
        self.workers = workers
        columns = width(len(self.sources))
        self._rows = np.frombuffer(mmap.mmap(-1, workers * columns * 8), dtype=np.float64).reshape(workers, columns)
        self._beats = np.frombuffer(mmap.mmap(-1, workers * 8), dtype=np.float64)

    def row(self, worker: int) -> Row:
        """A worker's own row, to write to."""
        row: Row = self._rows[worker]
        return row

    def beat(self, worker: int) -> None:
        """A worker's loop came round."""
        self._beats[worker] += 1

    @property
    def beats(self) -> list[float]:
        """How often each worker's loop did; 0 for one that has not begun."""
        return [float(beats) for beats in self._beats]

    def gone(self, worker: int) -> None:
        """A worker died: it is not up, and has nothing in memory. What it counted, and what it spilled, stays."""
        self._beats[worker] = 0
        if self.each("up")[worker] or worker not in self._died_at:  # else it ended before it could tell of the spill
            self._died_at[worker] = self._clock()
        for name in set(GAUGES) - set(ON_DISK):
            self._rows[worker, gauge_at(name, len(self.sources))] = 0

    def total(self) -> Row:
        """All workers together; NaN is what nobody knows, because none serves, or there is none of it."""
        total: Row = self._rows.sum(axis=0)
        for name, worst in OF_THE_WORST.items():
            column = gauge_at(name, len(self.sources))
            total[column] = worst(self._rows[:, column])
        total[gauge_at(OLDEST_S, len(self.sources))] = max(self._spills_ages_s())
        total[gauge_at("ready", len(self.sources))] = self.ready()
        serving = self._rows[self._rows[:, gauge_at("up", len(self.sources))] > 0]
        for name, worst in OF_THE_WORST_THAT_SERVES.items():
            column = gauge_at(name, len(self.sources))
            total[column] = worst(serving[:, column]) if len(serving) else np.nan
        heard = serving[:, gauge_at(STREAM_HEARD_S, len(self.sources))]
        lately = serving[heard >= heard.max(initial=0.0) - HEARD_WITHIN_S]
        for name, worst_of in OF_THE_WORST_THAT_HEARD.items():
            column = gauge_at(name, len(self.sources))
            total[column] = worst_of(lately[:, column]) if len(lately) else np.nan
        ends_s = self.certificate_end_s()
        total[gauge_at(CERTIFICATE_END_S, len(self.sources))] = np.nan if ends_s is None else ends_s
        total[-1] = self._rows[:, -1].max()
        return total

    def ready(self) -> float:
        """How many workers can take events. Not one that stands still, whose row goes on to say that it can."""
        spoke = zip(self.each("ready"), self.each("heartbeat_timestamp_seconds"), strict=True)
        return sum(ready for ready, at_s in spoke if not at_s or self._now_s() - at_s <= SILENT_S)

    def certificate_end_s(self) -> float | None:
        """When the certificate ends that ends first of all workers', epoch seconds; None where no worker has one."""
        return min((ends_s for ends_s in self.each(CERTIFICATE_END_S) if ends_s), default=None)

    def _spills_ages_s(self) -> list[float]:
        """Of each worker's oldest spilled event; that of one that died goes on to grow, or its alarm would wait."""
        ages, now = self.each(OLDEST_S), self._clock()
        for worker, up in enumerate(self.each("up")):
            if up:
                self._died_at.pop(worker, None)
            elif ages[worker]:
                ages[worker] += now - self._died_at.get(worker, now)
        return ages

    def each(self, name: str) -> list[float]:
        """A gauge of each worker."""
        return [float(value) for value in self._rows[:, gauge_at(name, len(self.sources))]]


class Numbers:
    """A total of rows, by names. A gauge is NaN where no worker knows it."""

    def __init__(self, total: Row, sources: Sequence[str]) -> None:
        self.row = total
        at = len(ANSWERS) * len(sources)
        self.answers = dict(zip(((source, *answer) for source in sources for answer in ANSWERS), total, strict=False))
        tail = total[:-LATENCY]
        self.gauges = dict(zip(GAUGES, (float(value) for value in tail[-len(GAUGES) :]), strict=True))
        counters = tail[-len(GAUGES) - len(COUNTERS) : -len(GAUGES)]
        self.counters = dict(zip(COUNTERS, (float(value) for value in counters), strict=True))
        self.failures = [float(value) for value in tail[at : -len(GAUGES) - len(COUNTERS)]]
        self.latency = Histogram.of_counts(total[-LATENCY:-2], float(total[-1]))
        self.latency_sum_s = float(total[-LATENCY + BUCKETS])
