"""AWS's hard limits, each with its source. They were checked on 2026-11-24 unless another date is given."""

import functools

# --- EventBridge ------------------------------------------------------------------------------------------------
ENTRY_TIME_BYTES = 14
"""Bytes that an entry's Time counts. Source: EventBridge user guide, "Calculating PutEvents event entry size"."""

V2_MAX_ENTRIES = 100
"""Maximum number of entries of a PutEvents call on a v2 bus. Source: botocore model `eventbridgev2` 2025-05-15."""

REQUEST_BYTES_1MB = 1_000_000
"""Total entry size of one call "must be less than 1MB" (model `events`). 1,048,576 was measured to pass, but an entry
of that size was not delivered to a target (docs/facts.md, "EventBridge"): the decimal megabyte is the safe reading."""

REQUEST_BYTES_256K = 262_144
"""The limit before 2026-01-29. It still applies in REGIONS_256K, for which AWS has not announced the higher limit."""

REGIONS_256K = frozenset(
    {"ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-east-2", "mx-central-1", "cn-north-1", "cn-northwest-1"}
)
"""Regions with the old limit. Malaysia, New Zealand, Thailand, Taipei, Mexico: field test of 2026-03-28. China: its own
documentation."""

DETAIL_TYPE_MAX_CHARS = 128
"""Source: EventBridge API reference, PutEventsRequestEntry."""

EVENT_MAX_DEPTH = 250
"""Maximum number of JSON levels of an event. The limit is our own.

EventBridge accepts 1,000 (model `events`), but orjson writes 254, and a Detail adds some levels above the event.
"""

RECORD_MAX_EVENTS = 250_000
"""Maximum number of events of a record. The limit is our own: all events of a record are in memory together.

A record of millions of tiny lines took gigabytes. 250,000 real events are larger than 10 MiB, more than any record.
"""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
"""Range of the integers of a Detail. Source: model `events`."""

RULE_NAME_MAX_CHARS = 64
EVENT_PATTERN_MAX_CHARS = 4096
"""Source: model `events` (PutRule)."""

EVENT_PATTERN_QUOTA_CHARS = 2048
"""Length of an event pattern by default; AWS raises it up to EVENT_PATTERN_MAX_CHARS. Source: EventBridge user guide,
"Amazon EventBridge quotas", 2026-12-02."""

RULES_QUOTA, RULES_QUOTA_SMALL = 300, 100
"""Maximum number of rules of one bus by default, and in REGIONS_100_RULES; adjustable. Source: the same page."""

REGIONS_100_RULES = frozenset({"af-south-1", "eu-south-1"})

# --- Kinesis ----------------------------------------------------------------------------------------------------
KINESIS_RECORD_BYTES = 1_048_576
"""Bytes of data and partition key of one record, unless the stream's limit was raised. Source: model `kinesis`."""

PUT_RECORDS_MAX_RECORDS = 500
PUT_RECORDS_MAX_BYTES = 10 * 1024 * 1024
"""Source: model `kinesis`, PutRecords."""

# --- SQS --------------------------------------------------------------------------------------------------------
SQS_MESSAGE_BYTES = 1_048_576
"""Maximum bytes of a message with its attributes, and of a whole batch. Source: model `sqs` (raised from 256 KiB on
2025-08-04)."""

SQS_BATCH_MAX = 10
"""Maximum number of messages of a SendMessageBatch call. Source: SQS API reference."""

SQS_HIDDEN_MAX = 120_000
"""Approximate number of messages of a standard queue that may be hidden (received and not deleted) at the same time.

Source: SQS developer guide, quotas.
"""

# --- CloudWatch -------------------------------------------------------------------------------------------------
METRIC_VALUES_MAX = 150
"""Maximum number of distinct Values of one datum in one request. Source: model `cloudwatch`.

CloudWatch computes percentiles of data that are sent as Values and Counts.
"""


def request_bytes(region: str) -> int:
    """Return the maximum size of the entries of a PutEvents call in `region`, in bytes."""
    return REQUEST_BYTES_256K if region in REGIONS_256K else REQUEST_BYTES_1MB


def rules_of_a_bus(region: str) -> int:
    """Return how many rules a bus in `region` may have by default."""
    return RULES_QUOTA_SMALL if region in REGIONS_100_RULES else RULES_QUOTA


def is_v2_bus(bus: str) -> bool:
    """Return whether `bus` is a v2 event bus, which its ARN shows."""
    return ":event-busv2/" in bus


@functools.cache
def bus_ceiling(bus: str) -> int:
    """Return the maximum number of entries of a PutEvents call to `bus`.

    The classic ceiling is read from botocore's service model, so it rises when AWS raises it.
    """
    if is_v2_bus(bus):
        return V2_MAX_ENTRIES
    from botocore.loaders import Loader  # here, so that the pipeline, which needs the rest, loads no botocore

    model = Loader().load_service_model("events", "service-2")
    return int(model["shapes"]["PutEventsRequestEntryList"]["max"])
