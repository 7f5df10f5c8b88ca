"""What one worker counts, cheaply: plain integers, and latencies put into a histogram a few times a second."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_router.errors import CODES
from stream_router.telemetry.histogram import BUCKETS, Histogram
from stream_router.telemetry.receiver import receiver_metrics_catalogue

ANSWERS = (
    (202, "stored"),
    (202, "seen_before"),
    (400, "malformed_json"),
    (400, "not_an_object"),
    (400, "bad_request"),
    (401, "bad_signature"),
    (401, "stale"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "timeout"),
    (413, "too_large"),
    (415, "unsupported_encoding"),
    (431, "headers_too_large"),
    (503, "not_stored"),
    (503, "overload"),
    (503, "busy"),
    (503, "trouble"),
)
"""Every status that the receiver answers with, and why; of health checks that are well nothing is counted."""
FAILURES = (*CODES, "other")
"""Why the stream refused a record: AWS's code, or ours where there is no answer; `other` for what nobody knows."""
STREAM_CODE = "stream_code"
"""A number that is no metric: why the stream refuses now (`code_number`), for `/status` to say in words."""
STREAM_HEARD_S = "stream_heard_s"
"""No metric either: when the stream last took or refused something of this worker (epoch seconds); 0 for never."""
HEARD_WITHIN_S = 5.0
"""A worker that heard of the stream so much earlier than another knows nothing of it any more."""
SILENT_S = 30.0
"""A worker shows its row four times a second: one that has been silent for so long hangs."""
SPILL_TAKES = "spill_takes"
"""No metric either: whether there is a spill that can take events."""
COUNTERS = tuple(receiver_metrics_catalogue.COUNTERS)
GAUGES = (*receiver_metrics_catalogue.GAUGES, STREAM_CODE, STREAM_HEARD_S, SPILL_TAKES)
CERTIFICATE_END_S = "tls_certificate_end_timestamp_seconds"
"""0 in the row of a worker that has no certificate; of all workers together it is unknown then."""
OLDEST_S = "spill_oldest_age_seconds"
ON_DISK = ("spilled_events", "spill_bytes", OLDEST_S)
"""Gauges of what outlives its worker, as it said last: it waits for the one that takes its place."""
OF_THE_WORST = {
    "loop_lag_seconds": np.max,
    "buckets_refusing": np.max,
    STREAM_HEARD_S: np.max,
}
"""Of several workers the worst is shown, or the latest; all other gauges are added up."""
OF_THE_WORST_THAT_SERVES = {"heartbeat_timestamp_seconds": np.min}
"""Of a worker that has not started, or has died, the gauges are all 0: that says nothing of when it spoke last."""
OF_THE_WORST_THAT_HEARD = {"stream_up": np.min, STREAM_CODE: np.max}
"""Of the stream only those that serve and heard of it lately are asked: one without traffic since an outage would hold
on to it, whatever the stream took of the others."""

LATENCY = BUCKETS + 2
"""The last numbers of a row: counts of a `Histogram`'s buckets, the sum in seconds, the largest value in ms."""

Row = npt.NDArray[np.float64]


def width(sources: int) -> int:
    """Numbers of one worker's row: answers of each source, failures, counters, gauges, latency (`LATENCY`)."""
    return len(ANSWERS) * sources + len(FAILURES) + len(COUNTERS) + len(GAUGES) + LATENCY


def gauge_at(name: str, sources: int) -> int:
    """Where in a row a gauge stands."""
    return len(ANSWERS) * sources + len(FAILURES) + len(COUNTERS) + GAUGES.index(name)


def code_number(code: str) -> int:
    """0 for no code, else one more than its place in FAILURES; a code that is not there is `other`."""
    return 1 + FAILURES.index(code if code in FAILURES else "other") if code else 0


def code_of(number: float) -> str:
    """The code of a `code_number`."""
    return FAILURES[int(number) - 1] if number else ""


class Stats:
    """One worker's counts. Attributes are named in COUNTERS and GAUGES; `answers` are counted for each source."""

    events_stored: int
    events_spilled: int
    events_refused: int
    duplicates: int
    calls: int
    call_failures: int
    records: int
    throttles: int
    bytes_received: int
    spill_damaged: int
    connections_accepted: int
    connections_refused: int
    connections_cut: int
    events_in_flight: int
    bytes_in_flight: int
    spilled_events: int
    spill_bytes: int
    spill_oldest_age_seconds: float
    connections: int
    tls_certificate_end_timestamp_seconds: float
    loop_lag_seconds: float
    stream_up: int
    buckets_refusing: int
    spill_failing: int
    ready: int
    draining: int
    heartbeat_timestamp_seconds: float
    up: int
    stream_code: int
    stream_heard_s: float
    spill_takes: int

    def __init__(self, row: Row | None = None, sources: Sequence[str] = ("",)) -> None:
        """`row` is what a process before this one counted: counters go on from there, gauges begin at 0."""
        before = np.zeros(width(len(sources))) if row is None else row
        counts = iter(before.astype(int).tolist())
        self.answers = {source: {answer: next(counts) for answer in ANSWERS} for source in sources}
        self.failures = {code: next(counts) for code in FAILURES}
        for name in COUNTERS:
            setattr(self, name, next(counts))
        for name in GAUGES:
            setattr(self, name, 0)
        self.latencies_s: list[float] = []
        self._latency = before[-LATENCY:].copy()

    def failed(self, code: str) -> None:
        """The stream refused a record, or a call of them."""
        self.failures[code if code in self.failures else "other"] += 1

    def row(self) -> Row:
        """Everything as one row of numbers, in the order of ANSWERS by source, FAILURES, COUNTERS, GAUGES, latency."""
        if self.latencies_s:
            seen, self.latencies_s = np.array(self.latencies_s), []
            histogram = Histogram()
            histogram.record(seen * 1000)
            self._latency[:BUCKETS] += histogram.counts
            self._latency[BUCKETS] += seen.sum()
            self._latency[-1] = max(self._latency[-1], histogram.largest_ms)
        answers = [count for of_source in self.answers.values() for count in of_source.values()]
        named = [getattr(self, name) for name in (*COUNTERS, *GAUGES)]
        counts = [*answers, *self.failures.values(), *named]
        return np.concatenate([np.array(counts, dtype=np.float64), self._latency])
