"""The catalogue of what a child counts and times: every name once, with its meaning; mypy refuses any other.

`docs/metrics.md` says the same to operators.
"""

from typing import Final, Literal, NamedTuple, get_args

Counter = Literal[
    "delivered",  # events that EventBridge accepted
    "failed",  # events that were not delivered: each is a dead letter
    "dead_lettered",  # dead letters stored in the DLQ, whole
    "dropped",  # events that a setting says to drop
    "retried",  # entries sent again
    "accepted_bytes",  # bytes of accepted entries, by AWS's formula
    "records",  # Kinesis records read
    "batches",  # the daemon's batches, each with its audit record
    "metrics_lost",  # CloudWatch requests given up: refused for their content, or too many waiting
    "audit_failed",  # audit records that could not be written at once
]

Stage = Literal[
    "received_to_stored",  # from the receiver's (or Kinesis's) first sight of the event to its arrival in the stream
    "stored_to_read",  # from its arrival in the stream until the child has it
    "read_to_sent",  # from there until its first call started
    "sent_to_accepted",  # from its first call until EventBridge accepted it, whatever calls there were between
    "received_to_accepted",  # the whole way: RoutingLatencyMilliseconds
    "received_to_dead_lettered",  # the whole way of what cannot be delivered: until its dead letter is stored
]

COUNTERS: Final[tuple[Counter, ...]] = get_args(Counter)
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


class Metric(NamedTuple):
    """A metric as CloudWatch knows it."""

    name: str
    unit: str


COUNTER_METRICS: Final[dict[Counter, Metric]] = {
    "delivered": Metric("RoutingSuccessCount", "Count"),
    "failed": Metric("RoutingFailureCount", "Count"),
    "dead_lettered": Metric("DeadLetterCount", "Count"),
    "dropped": Metric("DroppedCount", "Count"),
    "retried": Metric("RetryCount", "Count"),
}
"""Counters that go to CloudWatch. The others are in the snapshot only."""

STAGE_METRICS: Final[dict[Stage, Metric]] = {
    "received_to_stored": Metric("ReceivedToStoredMilliseconds", "Milliseconds"),
    "stored_to_read": Metric("StoredToReadMilliseconds", "Milliseconds"),
    "read_to_sent": Metric("ReadToSentMilliseconds", "Milliseconds"),
    "sent_to_accepted": Metric("SentToAcceptedMilliseconds", "Milliseconds"),
    "received_to_accepted": Metric("RoutingLatencyMilliseconds", "Milliseconds"),
    "received_to_dead_lettered": Metric("ReceivedToDeadLetteredMilliseconds", "Milliseconds"),
}

ENTRIES_PER_CALL: Final = Metric("EntriesPerCall", "Count")
