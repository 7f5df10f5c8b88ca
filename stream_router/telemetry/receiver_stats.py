"""What one worker counts, cheaply: plain integers, and latencies put into a histogram a few times a second."""

import numpy as np
import numpy.typing as npt

CODES = (202, 400, 401, 404, 405, 408, 413, 415, 503)
"""Every status that the receiver answers with."""
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0)
COUNTERS = (
    "events_stored",
    "events_spilled",
    "events_refused",
    "duplicates",
    "calls",
    "call_failures",
    "records",
    "record_failures",
    "throttles",
    "bytes_received",
    "spill_damaged",
)
GAUGES = ("events_in_flight", "bytes_in_flight", "spill_events", "spill_bytes", "up")
WIDTH = len(CODES) + len(COUNTERS) + len(GAUGES) + len(LATENCY_BUCKETS_S) + 2
"""Numbers of one worker's row: codes, counters, gauges, latency counts (one more for what is slower), latency sum."""

Row = npt.NDArray[np.float64]


class Stats:
    """One worker's counts. Attributes are named in COUNTERS and GAUGES."""

    events_stored: int
    events_spilled: int
    events_refused: int
    duplicates: int
    calls: int
    call_failures: int
    records: int
    record_failures: int
    throttles: int
    bytes_received: int
    spill_damaged: int
    events_in_flight: int
    bytes_in_flight: int
    spill_events: int
    spill_bytes: int
    up: int

    def __init__(self, row: Row | None = None) -> None:
        """`row` is what a process before this one counted: counters go on from there, gauges begin at 0."""
        before = np.zeros(WIDTH) if row is None else row
        counts = iter(before.astype(int).tolist())
        self.answers = {code: next(counts) for code in CODES}
        for name in COUNTERS:
            setattr(self, name, next(counts))
        for name in GAUGES:
            setattr(self, name, 0)
        self.latencies_s: list[float] = []
        self._latency = before[-(len(LATENCY_BUCKETS_S) + 2) :].copy()

    def row(self) -> Row:
        """Everything as one row of WIDTH numbers, in the order of CODES, COUNTERS, GAUGES, latency."""
        if self.latencies_s:
            seen, self.latencies_s = np.array(self.latencies_s), []
            places = np.searchsorted(LATENCY_BUCKETS_S, seen)
            self._latency[:-1] += np.bincount(places, minlength=len(LATENCY_BUCKETS_S) + 1)
            self._latency[-1] += seen.sum()
        counts = [*self.answers.values(), *(getattr(self, name) for name in (*COUNTERS, *GAUGES))]
        return np.concatenate([np.array(counts, dtype=np.float64), self._latency])
