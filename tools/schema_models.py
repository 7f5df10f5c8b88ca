"""Models of what stands inside the objects that `tools/schemas.py` writes schemas of. The product does not use them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from stream_router.dead_letter_reasons import Reason

Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="UTC, milliseconds")]
EventId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Fields are named in camel case."""

    model_config = ConfigDict(alias_generator=to_camel)


class MaskingPolicy(Model):
    """Which policy masked the event."""

    id: str
    version: str | int


class Metadata(Model):
    """How the event came to be."""

    enrichment_pipeline: Literal["cxone-event-router-v1"]
    compliance_tag: Literal["unmasked", "pii-masked", "pii-masked-partly", "resubmitted"]
    region: str
    masking_policy: MaskingPolicy | None = None
    traceparent: str | None = Field(None, pattern="^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
    replayed: str | None = None


class PayloadRef(Model):
    """Where the payload is, where no call can carry it: an object in S3. `size` is in bytes."""

    bucket: str
    key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: Count


class Detail(Model):
    """The Detail of an EventBridge entry: one CXone event, with its payload or with where that is."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        json_schema_extra={"oneOf": [{"required": ["payload"]}, {"required": ["payloadRef"]}]},
    )
    correlation_id: str = Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    event_id: EventId
    event_source: Literal["cxone.webhook"]
    event_type: str
    original_event_id: str | None = Field(description="the interaction; null of a probe, or where a policy removes it")
    conversation_id: str | None = Field(description="null where the event has none, or a policy removes it")
    event_timestamp: Moment
    received_at: Moment
    processed_at: Moment
    source_system: Literal["nice.cxone"]
    routing_version: Literal["1.0"]
    payload: dict[str, Any] | None = None
    payload_ref: PayloadRef | None = None
    metadata: Metadata
    extensions: dict[str, Any] | None = None


class Error(Model):
    """Why the event could not be delivered. The message never quotes the payload."""

    code: str
    message: str


class Origin(Model):
    """Where the event was."""

    stream: str
    shard_id: str
    sequence_number: str = Field(pattern="^[0-9]+$")
    sub_sequence_number: Count
    line: Count
    received_at: Moment
    event_id: EventId
    id_from: Literal["delivery", "content"]


class Entry(BaseModel):
    """The PutEvents entry that was tried."""

    Source: str
    DetailType: str
    Time: str
    Detail: str


class Data(Model):
    """The event's own line: base64, base64 of gzip, or where it is in S3."""

    encoding: Literal["base64", "base64+gzip", "s3"]
    data: str


class Part(Model):
    """Which of several messages this is: their data, joined in order, is the whole."""

    n: int = Field(ge=1)
    of: int = Field(ge=2)
    cut: str = Field("", description="The same in all parts of one writing of the letter; older versions give none.")


class Ordering(Model):
    """With `ordering=conversation`: what the conversation went on without."""

    conversation_id: str
    gap: Literal[True]


class DeadLetter(Model):
    """The body of a message in the dead-letter queue."""

    schema_: Literal["stream-router.dead-letter/1"] = Field(alias="schema")
    reason: Reason
    error: Error
    attempts: Count
    failed_at: Moment
    origin: Origin
    entry: Entry | None
    record: Data
    part: Part | None
    resubmitted: str | None = Field(None, description="Who put it on the stream again: way/application/run/times.")
    ordering: Ordering | None = None
    masking: str = Field("", description="The policy (id and version) by which the record was masked.")


class AuditRecord(Model):
    """One line of a shard's audit file: what became of one batch of the daemon's."""

    audit_timestamp: Moment
    pipeline_id: Literal["cxone-event-router-v1"]
    shard_id: str
    events_processed: Count
    metrics: dict[str, Any]
    compliance_status: Literal["verified", "unverified"]
    compliance_reasons: list[str] | None = None
    data_retention_policy: str = Field(pattern="^(unknown|stream \\d+h, dead letters \\d+h)$")
    to: Literal["stderr"] | None = None
    lost_before: Count | None = None
    torn_bytes_before: Count | None = None
    previous: str = Field(pattern="^[0-9a-f]{64}$")
    digest: str = Field(pattern="^[0-9a-f]{64}$")


class Percentiles(Model):
    """Latencies in milliseconds, each within 1 %; the largest and the count are exact."""

    count: Count
    p50: Seconds
    p90: Seconds
    p95: Seconds
    p99: Seconds
    p999: Seconds
    max: Seconds


class Daemon(Model):
    """The KCL daemon's JVM."""

    pid: int | None
    restarts: Count
    planned_restarts: Count = Field(alias="plannedRestarts")
    rss_bytes: Count | None


class Bus(Model):
    """Whether the event bus is known to exist."""

    name: str
    state: Literal["proven", "unasked", "gone", "unproven", "trusted"]
    unasked_s: Seconds | None = Field(alias="unaskedS")
    proof_age_s: Seconds | None = Field(alias="proofAgeS")


class Lag(Model):
    """How far behind this worker is; the age is 0 only where it is caught up."""

    oldest_unsettled_age_s: Seconds | None = Field(alias="oldestUnsettledAgeS")
    retention_headroom_s: float | None = Field(alias="retentionHeadroomS")
    caught_up: bool
    catch_up_s: Seconds | None = Field(alias="catchUpS")


class Totals(Model):
    """All that was counted since the program began."""

    counters: dict[str, Count]
    latencies_ms: dict[str, Percentiles]


class EventTotals(Totals):
    """Of the consumer: dead letters by reason, retries by code, over all children of this worker."""

    dead_letters: dict[str, Count]
    retries: dict[str, Count]
    entries_per_call: float | None


class RequestTotals(Totals):
    """Of the receiver: answers by status and reason, refused records by AWS's code."""

    answers: dict[str, Count]
    failures: dict[str, Count]


class Recent(Model):
    """The last five minutes, or as many seconds of them as are known."""

    seconds: Count
    latencies_ms: dict[str, Percentiles]


class UnreadShard(Model):
    """A shard that nobody reads."""

    shard: str
    why: Literal["no owner", "lease does not move", "hand-over is not finished"]
    since: Moment


class TimeShares(Model):
    """Where a child's time went in the last minute; they sum to 1."""

    waiting: Share
    work: Share
    bus: Share
    holding: Share
    dead_letters: Share


class ManyDeadLetters(Model):
    """An alarm: in the last minute more events of the shard became dead letters for their data than were accepted."""

    since: Moment
    letters: Count
    accepted: Count
    reason: str = Field(description="the commonest")
    source: str = Field(description="the commonest of that reason; empty if they have none")
    event_type: str = Field(description="the commonest of that source; empty if it is not known")


VerdictCode = Literal[
    "aws-silent",
    "spill-down",
    "stream-down",
    "stream-partly-down",
    "stream-slow",
    "target-broken",
    "disk-full",
    "daemon-refused",
    "shards-unread",
    "no-answer",
    "hanging",
    "holding",
    "cut-off",
    "many-dead-letters",
    "careful",
    "restarting",
    "draining",
    "back-pressure",
    "catching-up",
    "starting",
    "well",
]
VerdictLevel = Literal["good", "warn", "bad"]


class Shard(Model):
    """A shard whose child lives here."""

    shard: str
    pid: int
    at: Moment
    code: VerdictCode
    state: str = Field(description="the code's words")
    level: VerdictLevel
    reason: str | None
    since: Moment | None
    gauges: dict[str, float | None]
    many_dead_letters: ManyDeadLetters | None
    time_shares: TimeShares | None
    counters: dict[str, Count]


class Kinesis(Model):
    """What the receiver knows of its stream."""

    up: bool | None
    code: str | None = Field(description="the latest refusal's")
    buckets_refusing: Count
    last_tried_at: Moment | None


class Spill(Model):
    """What waits on the receiver's disk."""

    events: Count
    bytes: Count
    oldest_age_s: Seconds | None = Field(alias="oldestAgeS")
    failing: bool
