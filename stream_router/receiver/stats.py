"""What the receiver counts, cheaply, on its event loop; a snapshot gives all of it the catalogue's names."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import DURATION, RECEIVER, RECORDS_FAILED, REQUESTS
from stream_router.telemetry.snapshot import Numbers, Snapshot

DEFAULT_SOURCE = "default"
"""What the label `source` says of the path without a name; a source may have this name too."""

REASONS = (
    *((202, "stored"), (202, "spilled"), (202, "seen_before")),
    *((400, "malformed_json"), (400, "not_an_object"), (400, "bad_request")),
    *((401, "bad_signature"), (401, "bad_token"), (401, "stale"), (404, "not_found"), (405, "method_not_allowed")),
    *((408, "timeout"), (413, "too_large"), (415, "unsupported_encoding"), (415, "unsupported_media_type")),
    (431, "headers_too_large"),
    *((503, "not_stored"), (503, "overload"), (503, "busy"), (503, "trouble")),
)
"""Every status that is counted, and why. A series that begins with its first request would hide it from `rate`."""
MOST_CODES = 64
"""AWS's codes that are told apart: an endpoint that makes up new ones fills no page."""


class Stats:
    """The counts of one process, of the event loop alone. `names` are those of its sources, "" the one without."""

    def __init__(self, names: Sequence[str] = ("",)) -> None:
        self.answers: Counter[tuple[str, int, str]] = Counter(
            {(name, status, reason): 0 for name in names for status, reason in REASONS}
        )
        """Requests by source, status and reason."""
        self.failures: Counter[str] = Counter()
        """Records that the stream refused, by AWS's code; ours where there was no answer."""
        self.events_stored = self.events_spilled = self.events_refused = self.duplicates = 0
        self.spill_damaged = self.connections = 0
        self.events_in_flight = self.bytes_in_flight = 0
        """Events in memory: queued, in a call however late, or on their way to the disk."""
        self.read_bytes = 0
        """Of requests that are half there, or were read and not parsed."""
        self.latencies_s: list[float] = []
        self._latency = Histogram()

    @property
    def held_bytes(self) -> int:
        """Bytes of requests and events in memory."""
        return self.bytes_in_flight + self.read_bytes

    def snapshot(self, known: Mapping[str, float | None]) -> Snapshot:
        """All of it now, with what others know, by name; None where it is not."""
        if self.latencies_s:
            seen, self.latencies_s = self.latencies_s, []
            self._latency.record([1000 * one for one in seen])
        latency = Histogram()
        latency.merge(self._latency)
        requests: Counter[tuple[str, ...]] = Counter()
        for (source, status, reason), count in self.answers.items():
            requests[source or DEFAULT_SOURCE, str(status), reason] += count
        codes: Counter[tuple[str, ...]] = Counter()
        for code, count in self.failures.items():
            codes[code if len(codes) < MOST_CODES else "other",] += count
        counts: Numbers = {REQUESTS.name: dict(requests), RECORDS_FAILED.name: dict(codes)}
        gauges: Numbers = {}
        every = {**vars(self), "held_bytes": self.held_bytes, **known}
        for metric in RECEIVER:
            value = every.get(metric.name.removeprefix("receiver_"))
            if value is not None:
                (counts if metric.kind == "counter" else gauges)[metric.name] = {(): value}
        return Snapshot(time.time(), counts, gauges, {DURATION.name: {(): latency}})
