"""The catalogue: every number that the programs tell of themselves, once, with its meaning.

Prometheus, CloudWatch, `/status` and the tables of docs/metrics.md are all made from it. Who fills a number in: of a
child `consumer/child/snapshot.py` and `vitals.py`, of the supervisor `consumer/supervisor/admin/status.py`, of the
receiver `receiver/stats.py` and `receiver/status.py`.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

PREFIX: Final = "stream_router_"
"""Of every Prometheus name."""

Kind = Literal["counter", "gauge", "histogram"]


Unit = Literal["count", "seconds", "bytes"]


def as_it_is(value: float, now_s: float) -> float | None:  # noqa: ARG001 - others look at the time
    """What CloudWatch is told of a gauge, mostly."""
    return value


def where_any(value: float, now_s: float) -> float | None:  # noqa: ARG001 - as above
    """The same of a gauge that is not told while it is 0: most deployments never pay for it."""
    return value or None


class CloudWatch(NamedTuple):
    """A metric as CloudWatch knows it. `seldom`: a zero is not sent, so that most deployments do not pay for it.

    `where`: only series of which this label begins so, added up. `told` makes the datum of a gauge and the time (epoch
    seconds); None is no datum. Of a gauge by shard CloudWatch gets the one without labels: the worst of all.
    """

    name: str
    unit: Literal["Count", "Milliseconds", "Seconds", "Bytes"] = "Count"
    seldom: bool = False
    where: tuple[str, str] | None = None
    told: Callable[[float, float], float | None] = as_it_is


class Metric(NamedTuple):
    """One metric. `name` is Prometheus's without PREFIX and `_total`; `labels` are its labels' names.

    `cloudwatch` says what it is sent as, None where it is not. `bounds` are those of a histogram's buckets in its base
    unit: a value within 1 % of one may stand on its other side, since the histogram behind it is that fine.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    cloudwatch: CloudWatch | None = None
    bounds: tuple[float, ...] = ()

    @property
    def unit(self) -> Unit:
        """The base unit that its name carries, as Prometheus wants it."""
        last = self.name.rpartition("_")[2]
        return "seconds" if last == "seconds" else "bytes" if last == "bytes" else "count"

    @property
    def full_name(self) -> str:
        """As Prometheus shows it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


Counter = Literal[
    "delivered",
    "failed",
    "dead_lettered",
    "dropped",
    "retried",
    "calls",
    "sent_bytes",
    "records",
    "batches",
    "audit_failed",
]
"""What a child counts, by its name in snapshots and in `/status`."""

Stage = Literal[
    "received_to_stored",
    "stored_to_read",
    "read_to_sent",
    "sent_to_accepted",
    "received_to_accepted",
    "received_to_dead_lettered",
]

COUNTERS: Final[dict[Counter, Metric]] = {
    "delivered": Metric(
        "events_delivered", "counter", "Events that EventBridge accepted", (), CloudWatch("RoutingSuccessCount")
    ),
    "failed": Metric(
        "events_failed",
        "counter",
        "Events that were not delivered; each is a stored dead letter",
        (),
        CloudWatch("RoutingFailureCount"),
    ),
    "dead_lettered": Metric(
        "dead_letters",
        "counter",
        "Dead letters stored in the queue, whole, by reason",
        ("reason",),
        CloudWatch("DeadLetterCount"),
    ),
    "dropped": Metric(
        "events_dropped", "counter", "Events that a setting says to drop", (), CloudWatch("DroppedCount")
    ),
    "retried": Metric(
        "retries", "counter", "Entries sent again, by the code that they had got", ("code",), CloudWatch("RetryCount")
    ),
    "calls": Metric("calls_sent", "counter", "PutEvents calls sent, those that failed too"),
    "sent_bytes": Metric("sent_bytes", "counter", "Bytes of the entries of these calls, by AWS's formula"),
    "records": Metric("records_read", "counter", "Kinesis records read"),
    "batches": Metric("batches", "counter", "Batches of the KCL daemon whose events are all settled"),
    "audit_failed": Metric(
        "audit_failures",
        "counter",
        "Tries to write audit records that failed, one a second while records wait",
        (),
        CloudWatch("AuditFailureCount", seldom=True),
    ),
}

_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0),
)
"""Finest where the ordinary way of an event ends (50 ms to 1 s), then to a day of holding."""

STAGE_LATENCY: Final = Metric(
    "stage_latency_seconds", "histogram", "Time of each stage of an event's way", ("stage",), None, _BUCKETS_S
)

_STAGES: tuple[tuple[Stage, str, str], ...] = (
    (
        "received_to_stored",
        "ReceivedToStoredMilliseconds",
        "From the receiver's (or Kinesis's) first sight of the event to its arrival in the stream",
    ),
    ("stored_to_read", "StoredToReadMilliseconds", "From there until the child has it: the KCL's part"),
    ("read_to_sent", "ReadToSentMilliseconds", "From there until its first PutEvents call was started"),
    (
        "sent_to_accepted",
        "SentToAcceptedMilliseconds",
        "From there until EventBridge accepted it, whatever calls there were between",
    ),
    ("received_to_accepted", "RoutingLatencyMilliseconds", "The whole way of an event that was delivered"),
    (
        "received_to_dead_lettered",
        "ReceivedToDeadLetteredMilliseconds",
        "The whole way of one that cannot be: until its dead letter is stored",
    ),
)

STAGES: Final[dict[Stage, Metric]] = {
    stage: STAGE_LATENCY._replace(text=text, cloudwatch=CloudWatch(name, "Milliseconds", where=("stage", stage)))
    for stage, name, text in _STAGES
}
"""The values of the label `stage`; each is a metric of its own in CloudWatch."""

ENTRIES_PER_CALL: Final = Metric(
    "entries_per_call",
    "histogram",
    "Accepted entries of a PutEvents call",
    (),
    CloudWatch("EntriesPerCall"),
    (1, 2, 3, 5, 8, 10, 25, 50, 75, 100),
)
"""In a snapshot it is a count by size, which is exact: there are a hundred sizes at most."""

OLDEST_AGE: Final = Metric(
    "oldest_unsettled_age_seconds",
    "gauge",
    "Age of the oldest event that is not settled, since it was received; 0 only where the shard is caught up",
    ("shard",),
    CloudWatch("OldestUnsettledAgeSeconds", "Seconds"),
)
HEADROOM: Final = Metric(
    "retention_headroom_seconds",
    "gauge",
    "Time until the stream drops the oldest record that is not settled",
    ("shard",),
    CloudWatch("RetentionHeadroomSeconds", "Seconds"),
)
BEHIND: Final = Metric(
    "behind_latest_seconds", "gauge", "What of the stream lies behind the daemon's last batch", ("shard",)
)

OF_A_CHILD: Final = (
    *(
        Metric(name, "gauge", text, ("shard",))
        for name, text in (
            ("window_bytes", "Bytes that the child has under way"),
            ("window_span_seconds", "Time since the oldest record above the checkpoint was opened"),
            ("calls_in_flight", "PutEvents calls under way"),
            ("calls_ceiling", "PutEvents calls that may be under way at present"),
            ("checkpoint_age_seconds", "Time since the last checkpoint that was taken"),
        )
    ),
    BEHIND,
)
"""What a child says of its shard, without the label in its own snapshot."""

HOLDING: Final = Metric(
    "holding", "gauge", "1 where the shard holds, and why", ("shard", "reason"), CloudWatch("HoldingShards")
)
BREAKER: Final = Metric(
    "breaker_open", "gauge", "1 while the circuit breaker of PutEvents is open or probes", ("shard",)
)
TIME: Final = Metric(
    "child_time_seconds",
    "counter",
    "Where the children's time went: waiting (for records), work, bus, holding, deadLetters",
    ("activity",),
)
SNAPSHOT_AGE: Final = Metric("snapshot_age_seconds", "gauge", "Age of what the child last said", ("shard",))
HANGING: Final = Metric(
    "hanging",
    "gauge",
    "1 where the shard's child does not go on, or its daemon brings it nothing",
    ("shard",),
    CloudWatch("HangingProcesses", seldom=True, told=where_any),
)

UNREAD: Final = Metric(
    "unread_shards",
    "gauge",
    "Shards of the stream that no worker reads; absent where it cannot be asked",
    (),
    CloudWatch("UnreadShards"),
)
RULE_MATCHED: Final = Metric(
    "rule_matched",
    "gauge",
    "1 where the rule lets our events through to a target, 0 where not; absent if unknown",
    (),
    CloudWatch("RuleUnmatched", told=lambda matched, _: 1.0 - matched),
)
CATCH_UP: Final = Metric(
    "catch_up_seconds",
    "gauge",
    "Time until every shard has caught up at the speed of the last minute; absent where none is gained",
)
DAEMON_UP: Final = Metric(
    "daemon_up",
    "gauge",
    "0 where no KCL daemon has run for a minute, and no stop was asked for; else 1",
    (),
    CloudWatch("DaemonDown", seldom=True, told=lambda up, _: None if up else 1.0),
)
DAEMON_RESTARTS: Final = Metric(
    "daemon_restarts",
    "counter",
    "Times that the KCL daemon was started again",
    (),
    CloudWatch("DaemonRestartCount", seldom=True),
)
DAEMON_MEMORY: Final = Metric("daemon_resident_memory_bytes", "gauge", "Memory of the KCL daemon's JVM that is in RAM")
BUS_UNASKED: Final = Metric(
    "bus_unasked_seconds",
    "gauge",
    "Time since the event bus could last be asked; 0 while it answers",
    (),
    CloudWatch("BusUnaskedSeconds", "Seconds", seldom=True, told=where_any),
)
BUILD: Final = Metric("build_info", "gauge", "The program and its version", ("program", "version"))

CONSUMER: Final[tuple[Metric, ...]] = (
    *COUNTERS.values(),
    TIME,
    STAGE_LATENCY,
    ENTRIES_PER_CALL,
    OLDEST_AGE,
    HEADROOM,
    *OF_A_CHILD,
    HOLDING,
    BREAKER,
    SNAPSHOT_AGE,
    HANGING,
    UNREAD,
    RULE_MATCHED,
    CATCH_UP,
    DAEMON_UP,
    DAEMON_RESTARTS,
    DAEMON_MEMORY,
    BUS_UNASKED,
    BUILD,
)
"""Every family of the consumer's `/metrics`, in its order."""

REQUESTS: Final = Metric(
    "receiver_requests", "counter", "Requests by source, status and reason", ("source", "code", "reason")
)
RECORDS_FAILED: Final = Metric(
    "receiver_records_failed",
    "counter",
    "Kinesis records refused, by AWS's code (TimedOut, NoAnswer where there is none)",
    ("code",),
    CloudWatch("RecordsFailedCount"),
)
DURATION: Final = Metric(
    "receiver_request_duration_seconds",
    "histogram",
    "Time from a request's head to its answer",
    (),
    CloudWatch("ReceiverLatencyMilliseconds", "Milliseconds"),
    (
        *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5),
        *(0.6, 0.75, 0.9, 1.0, 2.5, 5.0, 10.0),
    ),
)
"""Finest where an ordinary answer comes (5 to 100 ms); 0.9 s is the promise."""

CERTIFICATE_END: Final = Metric(
    "receiver_tls_certificate_end_timestamp_seconds",
    "gauge",
    "When the certificate in force ends; absent without one",
    (),
    # An alarm compares with a number, and knows no time of day.
    CloudWatch("CertificateRemainingSeconds", "Seconds", seldom=True, told=lambda end_s, now_s: end_s - now_s),
)
STREAM_UP: Final = Metric(
    "receiver_stream_up",
    "gauge",
    "0 from a second of refusals on until the stream takes an event, also while none comes; else 1",
    (),
    CloudWatch("StreamDown", told=lambda up, _: 1 - up),
)


def _receiver(name: str, kind: Kind, text: str, cloudwatch: CloudWatch | None = None) -> Metric:
    return Metric(f"receiver_{name}", kind, text, (), cloudwatch)


RECEIVER: Final[tuple[Metric, ...]] = (
    REQUESTS,
    RECORDS_FAILED,
    _receiver("events_stored", "counter", "Events that the stream took"),
    _receiver("events_spilled", "counter", "Events that went to the spill on disk"),
    _receiver("events_refused", "counter", "Events of requests answered 503, since they could not be stored in time"),
    _receiver("calls", "counter", "PutRecords calls (events a call: events_stored by calls)"),
    _receiver("records", "counter", "Kinesis records sent (events a record: events_stored by records)"),
    _receiver(
        "spill_damaged",
        "counter",
        "Spilled events that were damaged or missing when they were looked for",
        CloudWatch("SpillDamagedCount"),
    ),
    STREAM_UP,
    _receiver("buckets_refusing", "gauge", "Buckets that the stream refuses while it takes others"),
    _receiver("spilled_events", "gauge", "Events that wait in the spill", CloudWatch("SpilledEvents")),
    _receiver("spill_bytes", "gauge", "Bytes of the spill's files", CloudWatch("SpillBytes", "Bytes")),
    _receiver(
        "spill_oldest_age_seconds",
        "gauge",
        "Age of the oldest event in the spill",
        CloudWatch("SpillOldestAgeSeconds", "Seconds"),
    ),
    _receiver(
        "spill_failing",
        "gauge",
        "1 where the spill takes nothing, or cannot be read, for whatever reason",
        CloudWatch("SpillFailing"),
    ),
    _receiver("connections", "gauge", "Connections that are open, counted from accept"),
    _receiver("held_bytes", "gauge", "Bytes of requests and events in memory (STREAM_ROUTER_MAX_HELD_BYTES)"),
    CERTIFICATE_END,
    _receiver("up", "gauge", "1 while the receiver serves"),
    _receiver("ready", "gauge", "1 while it can take events: what `/readyz` says", CloudWatch("ReceiverReady")),
    _receiver("heartbeat_timestamp_seconds", "gauge", "When its event loop last came round"),
    DURATION,
    BUILD,
)
"""Every family of the receiver's `/metrics`, in its order."""

ANSWERED: Final[tuple[Metric, ...]] = (
    *(
        REQUESTS._replace(text=text, cloudwatch=CloudWatch(f"Answered{digit}xxCount", where=("code", digit)))
        for digit, text in (
            ("2", "Requests whose events are stored, or were before"),
            ("4", "Requests that were refused for what they are: no known sender, no event, too large, too slow"),
            ("5", "Requests whose events could not be stored in time: the sender has to send them again"),
        )
    ),
    REQUESTS._replace(
        text="Requests whose sender was not verified (401), which are of the 4xx too; absent while none is",
        cloudwatch=CloudWatch("Answered401Count", seldom=True, where=("code", "401")),
    ),
)
"""What CloudWatch gets of the requests, by class of status: there each code would be a metric to pay. 401 stands apart,
since a sender may take it as final, and strangers who find the address get any number of the others."""

RECEIVER_IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (*ANSWERED, *(metric for metric in RECEIVER if metric.cloudwatch))
CONSUMER_IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (
    *STAGES.values(),
    *(metric for metric in CONSUMER if metric.cloudwatch),
)
"""Everything that a program sends to CloudWatch."""
