"""The receiver's counts, kept on its event loop. A snapshot holds them under the metric catalogue's names."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import DURATION, RECEIVER, RECORDS_FAILED, REQUESTS
from stream_router.telemetry.snapshot import Numbers, Snapshot

DEFAULT_SOURCE = "default"
"""Value of the label `source` for the path without a name. A named source may have this name too."""

REASONS = (
    *((202, "stored"), (202, "spilled"), (202, "seen_before")),
    *((400, "malformed_json"), (400, "not_an_object"), (400, "bad_request")),
    *((401, "bad_signature"), (401, "bad_token"), (401, "stale"), (404, "not_found"), (405, "method_not_allowed")),
    *((408, "timeout"), (413, "too_large"), (415, "unsupported_encoding"), (415, "unsupported_media_type")),
    (431, "headers_too_large"),
    *((503, "not_stored"), (503, "overload"), (503, "busy"), (503, "trouble")),
)
"""Statuses and reasons under which requests are counted.

Every series exists from the start with 0. Otherwise Prometheus's `rate` would miss the first request of each series.
"""
MAX_CODES = 64
"""Maximum number of AWS error codes shown. More would come only from an endpoint that invents codes."""


class Stats:
    """The counts of one process, used on its event loop only.

    `names` are the names of the sources; "" is the environment's source.
    """

    def __init__(self, names: Sequence[str] = ("",)) -> None:
        self.answers: Counter[tuple[str, int, str]] = Counter(
            {(name, status, reason): 0 for name in names for status, reason in REASONS}
        )
        """Requests by source, status and reason."""
        self.failures: Counter[str] = Counter()
        """Records that the stream refused, by AWS's code; by a code of our own if there was no answer."""
        self.events_stored = self.events_spilled = self.events_refused = self.duplicates = 0
        self.spill_damaged = self.connections = 0
        self.events_in_flight = self.bytes_in_flight = 0
        """Number and bytes of events in memory: queued, in a call, or being written to the spill."""
        self.read_bytes = 0
        """Bytes of requests that are incomplete, or were read and not parsed."""
        self.latencies_s: list[float] = []
        """Latencies of verified senders' requests since the last snapshot."""
        self._latency = Histogram()

    @property
    def held_bytes(self) -> int:
        """Bytes of requests and events in memory."""
        return self.bytes_in_flight + self.read_bytes

    def snapshot(self, known: Mapping[str, float | None]) -> Snapshot:
        """Return all counts at this moment.

        `known` holds further metrics by name, without the prefix `receiver_`. A metric of None is left out.
        """
        if self.latencies_s:
            latencies_s, self.latencies_s = self.latencies_s, []
            self._latency.record([1000 * latency_s for latency_s in latencies_s])
        # The snapshot gets a copy, which later requests do not change.
        latency = Histogram()
        latency.merge(self._latency)
        requests: Counter[tuple[str, ...]] = Counter()
        for (source, status, reason), count in self.answers.items():
            requests[source or DEFAULT_SOURCE, str(status), reason] += count
        codes: Counter[tuple[str, ...]] = Counter()
        for code, count in self.failures.items():
            codes[code if len(codes) < MAX_CODES else "other",] += count
        counts: Numbers = {REQUESTS.name: dict(requests), RECORDS_FAILED.name: dict(codes)}
        gauges: Numbers = {}
        # An attribute of this class named `connections` is the metric `receiver_connections`, and so on.
        values = {**vars(self), "held_bytes": self.held_bytes, **known}
        for metric in RECEIVER:
            value = values.get(metric.name.removeprefix("receiver_"))
            if value is not None:
                numbers = counts if metric.kind == "counter" else gauges
                numbers[metric.name] = {(): value}
        return Snapshot(time.time(), counts, gauges, {DURATION.name: {(): latency}})
