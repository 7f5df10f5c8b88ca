"""Catalogue of all metrics of the programs, each once, with its meaning.

Prometheus, CloudWatch, `/status` and the tables of docs/metrics.md are all made from it. The values come from
`consumer/child/ledger.py` and `vitals.py` for a child, from `consumer/supervisor/status.py` for the supervisor, and
from `receiver/stats.py` and `receiver/status.py` for the receiver.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, get_args

PREFIX: Final = "stream_router_"
"""Prefix of every Prometheus name."""

Kind = Literal["counter", "gauge", "histogram"]


class CloudWatch(NamedTuple):
    """A metric's form in CloudWatch. If `seldom`, zeros are not sent, so most deployments do not pay for the metric.

    `where` is a label and a prefix: the datum is the sum of the series whose label begins with that prefix.
    `convert` makes the datum from a gauge and the time (epoch seconds). For a gauge by shard CloudWatch gets the value
    without labels, the worst of all shards.
    """

    name: str
    unit: Literal["Count", "Milliseconds", "Seconds", "Bytes"] = "Count"
    seldom: bool = False
    where: tuple[str, str] | None = None
    convert: Callable[[float, float], float] = lambda value, _: value


class Metric(NamedTuple):
    """One metric. `name` is Prometheus's without PREFIX and `_total`; `labels` are its labels' names.

    `cloudwatch` is its form in CloudWatch, None if it is not sent there. `bounds` are the upper bounds of a histogram's
    buckets in Prometheus. Their unit is that with which the name ends; without one they are counts. A value within 1 %
    of a bound may be counted on the wrong side of it, since 1 % is the precision of the histogram.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    cloudwatch: CloudWatch | None = None
    bounds: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """Name as Prometheus shows it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


Counter = Literal["delivered", "dead_lettered", "dropped", "retried", "records", "audit_failed"]
"""Counters of a child, by their names in `/status`."""

Stage = Literal[
    "received_to_stored",
    "stored_to_read",
    "read_to_sent",
    "sent_to_accepted",
    "received_to_accepted",
    "received_to_dead_lettered",
]


def _counter(name: str, text: str, cloudwatch: CloudWatch | None = None, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels, cloudwatch)


def _gauge(name: str, text: str, cloudwatch: CloudWatch | None = None, *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels, cloudwatch)


COUNTERS: Final[dict[Counter, Metric]] = {
    "delivered": _counter("events_delivered", "Events that EventBridge accepted", CloudWatch("RoutingSuccessCount")),
    "dead_lettered": _counter(
        "dead_letters",
        "Dead letters that are completely stored in the queue, by reason",
        CloudWatch("DeadLetterCount"),
        "reason",
    ),
    "dropped": _counter("events_dropped", "Events that a setting says to drop", CloudWatch("DroppedCount")),
    "retried": _counter(
        "retries", "Entries sent again, by the error code of the attempt before", CloudWatch("RetryCount"), "code"
    ),
    "records": _counter("records_read", "Kinesis records read"),
    "audit_failed": _counter(
        "audit_failures",
        "Failed attempts to write audit records; one attempt a second while records wait",
        CloudWatch("AuditFailureCount", seldom=True),
    ),
}

_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0),
)
"""Bounds of latencies, the finest around the usual latency of an event (50 ms to 1 s), up to a day of holding."""

STAGE_LATENCY: Final = Metric(
    "stage_latency_seconds", "histogram", "Time that an event spends in each stage", ("stage",), None, _BUCKETS_S
)

_STAGES: tuple[tuple[Stage, str, str], ...] = (
    (
        "received_to_stored",
        "ReceivedToStoredMilliseconds",
        "From the event's receipt (by the receiver, or by Kinesis) to its arrival in the stream",
    ),
    ("stored_to_read", "StoredToReadMilliseconds", "From there until the child has the event: the KCL's part"),
    ("read_to_sent", "ReadToSentMilliseconds", "From there until the event's first PutEvents call starts"),
    (
        "sent_to_accepted",
        "SentToAcceptedMilliseconds",
        "From there until EventBridge accepts the event, including all retries",
    ),
    (
        "received_to_accepted",
        "RoutingLatencyMilliseconds",
        "From receipt to acceptance by EventBridge, of a delivered event",
    ),
    (
        "received_to_dead_lettered",
        "ReceivedToDeadLetteredMilliseconds",
        "From receipt until the dead letter is stored, of an event that cannot be delivered",
    ),
)

STAGES: Final[dict[Stage, Metric]] = {
    stage: STAGE_LATENCY._replace(text=text, cloudwatch=CloudWatch(name, "Milliseconds", where=("stage", stage)))
    for stage, name, text in _STAGES
}
"""Metrics of the values of the label `stage`. Each is a metric of its own in CloudWatch."""

STAGE_LABELS: Final[dict[Stage, str]] = {
    "received_to_stored": "received → stored",
    "stored_to_read": "stored → read",
    "read_to_sent": "read → first sent",
    "sent_to_accepted": "first sent → accepted",
    "received_to_accepted": "received → accepted",
    "received_to_dead_lettered": "received → dead letter",
}
"""Names of the stages for people, on the page and in `top`."""

ENTRIES_PER_CALL: Final = Metric(
    "entries_per_call",
    "histogram",
    "Accepted entries of a PutEvents call",
    (),
    CloudWatch("EntriesPerCall"),
    (1, 2, 3, 5, 8, 10, 25, 50, 75, 100),
)
"""Distribution of entries per call. In a snapshot it is an exact count by size, since there are at most 100 sizes."""

OLDEST_AGE: Final = _gauge(
    "oldest_unsettled_age_seconds",
    "Time since the oldest unsettled event was received; 0 only if the shard is caught up",
    CloudWatch("OldestUnsettledAgeSeconds", "Seconds"),
    "shard",
)
HEADROOM: Final = _gauge(
    "retention_headroom_seconds",
    "Time until the stream drops the oldest record that is not settled",
    CloudWatch("RetentionHeadroomSeconds", "Seconds"),
    "shard",
)
SHARD_GAUGES: Final = (
    _gauge("window_bytes", "Bytes of the events that the child has not settled", None, "shard"),
    _gauge("window_span_seconds", "Time since the oldest record above the checkpoint was opened", None, "shard"),
    _gauge("calls_in_flight", "PutEvents calls in flight", None, "shard"),
    _gauge("calls_ceiling", "PutEvents calls that may be in flight at present", None, "shard"),
    _gauge("checkpoint_age_seconds", "Time since the last successful checkpoint", None, "shard"),
)
"""Gauges that a child reports of its shard. Its own snapshot has them without the label."""

HOLDING: Final = _gauge(
    "holding", "1 if the shard holds, with the reason", CloudWatch("HoldingShards"), "shard", "reason"
)
MANY_DEAD_LETTERS: Final = _gauge(
    "many_dead_letters",
    "1 if in the last minute more events of the shard became dead letters for their data than were accepted, with their"
    " commonest reason and source; else 0",
    CloudWatch("ManyDeadLettersShards"),
    "shard",
    "reason",
    "source",
)
TIME: Final = _counter(
    "child_time_seconds",
    "Time of the children by activity: waiting (for records), work, bus, holding, deadLetters",
    None,
    "activity",
)
UNREAD: Final = _gauge(
    "unread_shards",
    "Shards of the stream that no worker reads; absent if the lease table cannot be read",
    CloudWatch("UnreadShards"),
)
RULE_MATCHED: Final = _gauge(
    "rule_matched",
    "1 if the rule passes our events to a target, else 0; absent if unknown",
    CloudWatch("RuleUnmatched", convert=lambda matched, _: 1.0 - matched),
)
CATCH_UP: Final = _gauge(
    "catch_up_seconds",
    "Time until every shard has caught up at the speed of the last minute; absent if the lag does not shrink",
)
DAEMON_UP: Final = _gauge("daemon_up", "0 if no KCL daemon has run for a minute, and no stop was requested; else 1")
DAEMON_RESTARTS: Final = _counter(
    "daemon_restarts",
    "Times that the KCL daemon was started again after it died, or was killed because it hung",
    CloudWatch("DaemonRestartCount", seldom=True),
)
RestartCause = Literal["shards_stuck", "not_initialized", "target_restored"]
"""Causes for which the supervisor restarts a daemon that has not died."""

RESTART_CAUSES: Final[tuple[RestartCause, ...]] = get_args(RestartCause)

PLANNED_RESTARTS: Final = _counter(
    "daemon_planned_restarts",
    "Times that the supervisor restarted a KCL daemon on purpose; `daemon_restarts` does not count these",
    None,
    "cause",
)
DAEMON_MEMORY: Final = _gauge("daemon_resident_memory_bytes", "Memory of the KCL daemon's JVM that is in RAM")
BUILD: Final = _gauge("build_info", "The program and its version", None, "program", "version")

CONSUMER: Final[tuple[Metric, ...]] = (
    *COUNTERS.values(),
    TIME,
    STAGE_LATENCY,
    ENTRIES_PER_CALL,
    OLDEST_AGE,
    HEADROOM,
    *SHARD_GAUGES,
    HOLDING,
    MANY_DEAD_LETTERS,
    UNREAD,
    RULE_MATCHED,
    CATCH_UP,
    DAEMON_UP,
    DAEMON_RESTARTS,
    PLANNED_RESTARTS,
    DAEMON_MEMORY,
    BUILD,
)
"""All families of the consumer's `/metrics`, in order."""

REQUESTS: Final = _counter(
    "receiver_requests",
    "Requests by source, status and reason, including those of unknown senders",
    None,
    "source",
    "code",
    "reason",
)
RECORDS_FAILED: Final = _counter(
    "receiver_records_failed",
    "Kinesis records that were refused, by AWS's code (TimedOut or NoAnswer if there was no answer)",
    CloudWatch("RecordsFailedCount"),
    "code",
)
DURATION: Final = Metric(
    "receiver_request_duration_seconds",
    "histogram",
    "Time from the head of a verified delivery to its answer",
    (),
    CloudWatch("ReceiverLatencyMilliseconds", "Milliseconds"),
    (
        *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5),
        *(0.6, 0.75, 0.9, 1.0, 2.5, 5.0, 10.0),
    ),
)
"""Latency of answers. Its bounds are finest around the usual latency (5 to 100 ms), and include the promised 0.9 s."""

RECEIVER: Final[tuple[Metric, ...]] = (
    REQUESTS,
    RECORDS_FAILED,
    _counter("receiver_events_stored", "Events that the stream took"),
    _counter("receiver_events_spilled", "Events that went to the spill, on disk or in a queue"),
    _counter("receiver_events_refused", "Events of requests answered 503, since they could not be stored in time"),
    _counter(
        "receiver_spill_damaged",
        "Spilled events that were damaged or missing when they were read",
        CloudWatch("SpillDamagedCount"),
    ),
    _gauge(
        "receiver_stream_up",
        "0 from a second of refusals until the stream takes an event again, even if none comes; else 1",
        CloudWatch("StreamDown", convert=lambda up, _: 1 - up),
    ),
    _gauge("receiver_buckets_refusing", "Partition groups that the stream refuses while it takes others"),
    _gauge(
        "receiver_spilled_events",
        "Events that wait in the spill; of a spill queue only those that this receiver has in memory",
        CloudWatch("SpilledEvents"),
    ),
    _gauge(
        "receiver_spill_bytes",
        "Bytes of the spill's files, or of the spill queue's events in memory",
        CloudWatch("SpillBytes", "Bytes"),
    ),
    _gauge(
        "receiver_spill_oldest_age_seconds",
        "Age of the oldest event in the spill; of a spill queue only of events in memory",
        CloudWatch("SpillOldestAgeSeconds", "Seconds"),
    ),
    _gauge(
        "receiver_spill_failing",
        "1 if the spill takes nothing or cannot be read; else 0",
        CloudWatch("SpillFailing"),
    ),
    _gauge("receiver_connections", "Connections that are open, counted from accept"),
    _gauge("receiver_held_bytes", "Bytes of requests and events in memory (STREAM_ROUTER_MAX_HELD_BYTES)"),
    _gauge(
        "receiver_tls_certificate_end_timestamp_seconds",
        "Time at which the certificate in force ends; absent without a certificate",
        # An alarm compares with a number, and cannot use the present time.
        CloudWatch("CertificateRemainingSeconds", "Seconds", convert=lambda end_s, now_s: end_s - now_s),
    ),
    _gauge("receiver_up", "1 while the receiver serves"),
    _gauge("receiver_ready", "1 while the receiver can take events, as `/readyz` reports", CloudWatch("ReceiverReady")),
    DURATION,
    BUILD,
)
"""All families of the receiver's `/metrics`, in order."""

ANSWERED: Final[tuple[Metric, ...]] = (
    *(
        REQUESTS._replace(text=text, cloudwatch=CloudWatch(f"Answered{digit}xxCount", where=("code", digit)))
        for digit, text in (
            ("2", "Requests whose events are stored, now or by an earlier request"),
            ("4", "Requests that were refused: unknown sender, no event, too large or too slow"),
            ("5", "Requests whose events could not be stored in time: the sender has to send them again"),
        )
    ),
    REQUESTS._replace(
        text="Requests whose sender was not verified (401), also counted as 4xx; absent if there were none",
        cloudwatch=CloudWatch("Answered401Count", seldom=True, where=("code", "401")),
    ),
)
"""Metrics of requests in CloudWatch, by class of status, since there each code would be a metric to pay for.

401 is separate, since a sender may take it as final. The other 4xx are often caused by strangers who scan the address.
"""

RECEIVER_IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (*ANSWERED, *(metric for metric in RECEIVER if metric.cloudwatch))
CONSUMER_IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (
    *STAGES.values(),
    *(metric for metric in CONSUMER if metric.cloudwatch),
    COUNTERS["dead_lettered"]._replace(
        text="Events that were not delivered; each of them is a stored dead letter",
        cloudwatch=CloudWatch("RoutingFailureCount"),
    ),
)
"""All metrics that the consumer sends to CloudWatch."""
