"""The receiver's part of the catalogue: what its workers count, each with its meaning."""

from typing import Final

from stream_router.telemetry.metrics_catalogue import BUILD, CloudWatch, Kind, Metric

REQUESTS: Final = Metric(
    "receiver_requests", "counter", "Requests by source, status and reason", ("source", "code", "reason")
)
ANSWERED: Final = {
    status: REQUESTS._replace(text=text, cloudwatch=CloudWatch(f"Answered{status}xxCount"))
    for status, text in (
        (2, "Requests whose events are stored, or were before"),
        (4, "Requests that were refused for what they are: no known sender, no event, too large, too slow"),
        (5, "Requests whose events could not be stored in time: the sender has to send them again"),
    )
}
"""What CloudWatch gets of the requests, by the first digit of the status: there each code would be a metric to pay."""
UNVERIFIED: Final = REQUESTS._replace(
    text="Requests whose sender was not verified (401), which are of the 4xx too; absent while none is",
    cloudwatch=CloudWatch("Answered401Count", seldom=True),
)
"""Apart, since a sender may take it as final, and strangers who find the address get any number of the others."""
RECORDS_FAILED: Final = Metric(
    "receiver_records_failed",
    "counter",
    "Kinesis records refused, by AWS's code",
    ("code",),
    CloudWatch("RecordsFailedCount"),
)
DURATION: Final = Metric(
    "receiver_request_duration_seconds",
    "histogram",
    "Time from a request's headers to its answer",
    (),
    CloudWatch("ReceiverLatencyMilliseconds", "Milliseconds"),
)


def _all(kind: Kind, texts: dict[str, str], told: dict[str, CloudWatch]) -> dict[str, Metric]:
    return {name: Metric(f"receiver_{name}", kind, text, (), told.get(name)) for name, text in texts.items()}


COUNTERS: Final = _all(
    "counter",
    {
        "events_stored": "Events that the stream took",
        "events_spilled": "Events that went to the spill on disk",
        "events_refused": "Events of requests answered 503 because they could not be stored in time",
        "duplicates": "Deliveries seen before, answered 202 and not stored again",
        "calls": "PutRecords calls (events a call: events_stored by calls)",
        "call_failures": "PutRecords calls that failed whole",
        "records": "Kinesis records sent (records a call: records by calls)",
        "throttles": "Kinesis records refused for throughput",
        "bytes_received": "Bytes of request bodies",
        "spill_damaged": "Spilled events that were damaged or missing when they were looked for",
        "connections_accepted": "Connections that were taken",
        "connections_refused": "Connections closed as they came, at a limit",
        "connections_cut": "Connections closed because they took too long or made room for others",
    },
    {
        "events_stored": CloudWatch("EventsStoredCount"),
        "events_spilled": CloudWatch("EventsSpilledCount"),
        "throttles": CloudWatch("RecordsThrottledCount"),
        "spill_damaged": CloudWatch("SpillDamagedCount"),
    },
)
GAUGES: Final = _all(
    "gauge",
    {
        "events_in_flight": "Events in memory that are not stored yet",
        "bytes_in_flight": "Their bytes",
        "spilled_events": "Events that wait in the spill",
        "spill_bytes": "Bytes of the spill's files",
        "spill_oldest_age_seconds": "Age of the oldest event in the spill",
        "connections": "Connections that are open, counted from accept",
        "tls_certificate_end_timestamp_seconds": "When the certificate in force ends, of all workers' the earliest",
        "loop_lag_seconds": "How late the event loop comes to what has arrived",
        "stream_up": "0 from a second of refusals on until the stream takes an event, also while none comes; else 1",
        "buckets_refusing": "Buckets of the worker with most of them that the stream refuses while it takes others",
        "spill_failing": "Workers whose spill takes nothing, or cannot be read, for whatever reason",
        "ready": "Workers that can take events: what `/readyz` says of each; one that stands still can take none",
        "draining": "Workers that were told to stop and finish what is in",
        "heartbeat_timestamp_seconds": "When the worker last said anything that has been silent for longest",
        "up": "Workers that serve",
    },
    {
        "spilled_events": CloudWatch("SpilledEvents"),
        "spill_bytes": CloudWatch("SpillBytes", "Bytes"),
        "spill_oldest_age_seconds": CloudWatch("SpillOldestAgeSeconds", "Seconds"),
        "tls_certificate_end_timestamp_seconds": CloudWatch("CertificateRemainingSeconds", "Seconds", seldom=True),
        "stream_up": CloudWatch("StreamDown"),
        "spill_failing": CloudWatch("SpillFailing"),
        "ready": CloudWatch("ReceiverReady"),
    },
)
RECEIVER: Final[tuple[Metric, ...]] = (REQUESTS, RECORDS_FAILED, *COUNTERS.values(), *GAUGES.values(), DURATION, BUILD)
"""Every family of the receiver's `/metrics`, in its order."""

IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (
    *ANSWERED.values(),
    UNVERIFIED,
    *(metric for metric in RECEIVER if metric.cloudwatch),
)
"""Everything that the receiver sends to CloudWatch."""
