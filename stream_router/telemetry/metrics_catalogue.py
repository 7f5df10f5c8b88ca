"""The catalogue: every number that the programs tell of themselves, once, with its meaning.

Prometheus, CloudWatch, `/status` and the tables of docs/metrics.md are all made from it. The receiver fills its numbers
in in `receiver/stats.py` and `receiver/status.py`. Who fills a number in, for the consumer: a count of a child
`consumer/child/snapshot.py`; a gauge of a shard, or a count that a dispatcher keeps, `consumer/child/vitals.py`; a
number with a label also `merged_shards.py` and `consumer_page.py` of `telemetry/shards`, the last of which fills in one
of the supervisor's own too.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

PREFIX: Final = "stream_router_"
"""Of every Prometheus name."""

Kind = Literal["counter", "gauge", "histogram"]


Unit = Literal["count", "seconds", "bytes"]


def as_it_is(value: float, now_s: float) -> float:  # noqa: ARG001 - others look at the time
    """What CloudWatch is told of a gauge, mostly."""
    return value


class CloudWatch(NamedTuple):
    """A metric as CloudWatch knows it. `seldom`: most deployments never send it, and so do not pay for it.

    `where`: only series whose label `code` begins so, added up. `told` makes the datum of a gauge and the time.
    """

    name: str
    unit: Literal["Count", "Milliseconds", "Seconds", "Bytes"] = "Count"
    seldom: bool = False
    where: str = ""
    told: Callable[[float, float], float] = as_it_is


class Metric(NamedTuple):
    """One metric. `name` is Prometheus's without PREFIX and `_total`; `labels` are its labels' names.

    `scale` turns what is counted or told inside into the base unit that the name carries. `cloudwatch` says what it is
    sent as, None where it is not.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    cloudwatch: CloudWatch | None = None
    scale: float = 1.0

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

STAGE_LATENCY: Final = Metric(
    "stage_latency_seconds", "histogram", "Time of each stage of an event's way", ("stage",), None, 0.001
)


def _stage(text: str, name: str) -> Metric:
    return STAGE_LATENCY._replace(text=text, cloudwatch=CloudWatch(name, "Milliseconds"))


STAGES: Final[dict[Stage, Metric]] = {
    "received_to_stored": _stage(
        "From the receiver's (or Kinesis's) first sight of the event to its arrival in the stream",
        "ReceivedToStoredMilliseconds",
    ),
    "stored_to_read": _stage("From there until the child has it: the KCL's part", "StoredToReadMilliseconds"),
    "read_to_sent": _stage("From there until its first PutEvents call was started", "ReadToSentMilliseconds"),
    "sent_to_accepted": _stage(
        "From there until EventBridge accepted it, whatever calls there were between", "SentToAcceptedMilliseconds"
    ),
    "received_to_accepted": _stage("The whole way of an event that was delivered", "RoutingLatencyMilliseconds"),
    "received_to_dead_lettered": _stage(
        "The whole way of one that cannot be: until its dead letter is stored", "ReceivedToDeadLetteredMilliseconds"
    ),
}
"""The values of the label `stage`; each is a metric of its own in CloudWatch."""

ENTRIES_PER_CALL: Final = Metric(
    "entries_per_call", "histogram", "Accepted entries of a PutEvents call", (), CloudWatch("EntriesPerCall")
)

SHARD: Final[dict[str, Metric]] = {
    "oldest_unsettled_age_seconds": Metric(
        "oldest_unsettled_age_seconds",
        "gauge",
        "Age of the oldest event that is not settled, since it was received; 0 only where the shard is caught up",
        ("shard",),
        CloudWatch("OldestUnsettledAgeSeconds", "Seconds"),
    ),
    "retention_headroom_seconds": Metric(
        "retention_headroom_seconds",
        "gauge",
        "Time until the stream drops the oldest record that is not settled",
        ("shard",),
        CloudWatch("RetentionHeadroomSeconds", "Seconds"),
    ),
    **{
        name: Metric(name, "gauge", text, ("shard",))
        for name, text in (
            ("window_bytes", "Bytes that the child has under way"),
            ("window_span_seconds", "Time since the oldest record above the checkpoint was opened"),
            ("calls_in_flight", "PutEvents calls under way"),
            ("calls_ceiling", "PutEvents calls that may be under way at present"),
            ("checkpoint_age_seconds", "Time since the last checkpoint that was taken"),
        )
    },
    "millis_behind_latest": Metric(
        "behind_latest_seconds",
        "gauge",
        "What of the stream lies behind the daemon's last batch",
        ("shard",),
        scale=0.001,
    ),
}
"""What is so with a shard whose child lives here, by its name in `/status`."""

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
    ("shard", "reason"),
    CloudWatch("HangingProcesses", seldom=True),
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
    CloudWatch("RuleUnmatched"),
)
CATCH_UP: Final = Metric(
    "catch_up_seconds",
    "gauge",
    "Time until every shard has caught up at the speed of the last minute; absent where none is gained",
)
DAEMON_UP: Final = Metric("daemon_up", "gauge", "1 while a KCL daemon runs", (), CloudWatch("DaemonDown", seldom=True))
DAEMON_RESTARTS: Final = Metric(
    "daemon_restarts", "counter", "Times that the KCL daemon was started again", (), CloudWatch("DaemonRestartCount")
)
DAEMON_MEMORY: Final = Metric("daemon_resident_memory_bytes", "gauge", "Memory of the KCL daemon's JVM that is in RAM")
BUS_UNASKED: Final = Metric(
    "bus_unasked_seconds",
    "gauge",
    "Time since the event bus could last be asked; 0 while it answers",
    (),
    CloudWatch("BusUnaskedSeconds", "Seconds", seldom=True),
)
BUILD: Final = Metric("build_info", "gauge", "The program and its version", ("program", "version"))

CONSUMER: Final[tuple[Metric, ...]] = (
    *COUNTERS.values(),
    TIME,
    STAGE_LATENCY,
    ENTRIES_PER_CALL,
    *SHARD.values(),
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
    0.001,
)
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
        REQUESTS._replace(text=text, cloudwatch=CloudWatch(f"Answered{digit}xxCount", where=digit))
        for digit, text in (
            ("2", "Requests whose events are stored, or were before"),
            ("4", "Requests that were refused for what they are: no known sender, no event, too large, too slow"),
            ("5", "Requests whose events could not be stored in time: the sender has to send them again"),
        )
    ),
    REQUESTS._replace(
        text="Requests whose sender was not verified (401), which are of the 4xx too; absent while none is",
        cloudwatch=CloudWatch("Answered401Count", seldom=True, where="401"),
    ),
)
"""What CloudWatch gets of the requests, by class of status: there each code would be a metric to pay. 401 stands apart,
since a sender may take it as final, and strangers who find the address get any number of the others."""

RECEIVER_IN_CLOUDWATCH: Final[tuple[Metric, ...]] = (*ANSWERED, *(metric for metric in RECEIVER if metric.cloudwatch))
"""Everything that the receiver sends to CloudWatch."""
