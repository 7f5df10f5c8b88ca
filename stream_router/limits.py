"""AWS's hard limits: each with its source and the date on which it was checked (2026-11-24 unless said)."""

import functools

# --- EventBridge ------------------------------------------------------------------------------------------------
ENTRY_TIME_BYTES = 14
"""What an entry's Time counts. Source: EventBridge user guide, "Calculating PutEvents event entry size"."""

V2_MAX_ENTRIES = 100
"""Entries of one PutEvents call on a v2 bus. Source: botocore model `eventbridgev2` 2025-05-15."""

REQUEST_BYTES_1MB = 1_000_000
"""Total entry size of one call "must be less than 1MB" (model `events`). 1,048,576 was measured to pass, but an entry
of that size was not delivered to a target (docs/facts.md, "EventBridge"): the decimal megabyte is the safe reading."""

REQUEST_BYTES_256K = 262_144
"""The limit before 2026-01-29, and still where the rise is not reported."""

REGIONS_256K = frozenset(
    {"ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-east-2", "mx-central-1", "cn-north-1", "cn-northwest-1"}
)
"""Malaysia, New Zealand, Thailand, Taipei, Mexico: field test of 2026-03-28; China: its own documentation."""

DETAIL_TYPE_MAX_CHARS = 128
"""Source: EventBridge API reference, PutEventsRequestEntry."""

EVENT_MAX_DEPTH = 250
"""JSON levels of one event. Ours: EventBridge takes 1,000 (model `events`), but orjson writes 254, and a Detail stands
some levels above the event that it holds."""

RECORD_MAX_EVENTS = 250_000
"""Events of one record. Ours: they are opened together, and millions of tiny lines took gigabytes. So many events of
any shape are more than 10 MiB."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
"""Integers of a Detail. Source: model `events`."""

RULE_NAME_MAX_CHARS = 64
EVENT_PATTERN_MAX_CHARS = 4096
"""Source: model `events` (PutRule)."""

EVENT_PATTERN_QUOTA_CHARS = 2048
"""Length of an event pattern by default; AWS raises it up to EVENT_PATTERN_MAX_CHARS. Source: EventBridge user guide,
"Amazon EventBridge quotas", 2026-12-02."""

RULES_QUOTA, RULES_QUOTA_SMALL = 300, 100
"""Rules of one bus by default, and in REGIONS_100_RULES; adjustable. Source: the same page."""

REGIONS_100_RULES = frozenset({"af-south-1", "eu-south-1"})

# --- Kinesis ----------------------------------------------------------------------------------------------------
KINESIS_RECORD_BYTES = 1_048_576
"""Data and partition key of one record, unless the stream was raised. Source: model `kinesis`."""

PUT_RECORDS_MAX_RECORDS = 500
PUT_RECORDS_MAX_BYTES = 10 * 1024 * 1024
"""Source: model `kinesis`, PutRecords."""

# --- SQS --------------------------------------------------------------------------------------------------------
SQS_MESSAGE_BYTES = 1_048_576
"""One message, attributes included, and one whole batch. Source: model `sqs` (raised from 256 KiB on 2025-08-04)."""

SQS_BATCH_MAX = 10
"""Messages of one SendMessageBatch call. Source: SQS API reference."""

SQS_HIDDEN_MAX = 120_000
"""Messages of a standard queue that may be hidden at once, about. Source: SQS developer guide, quotas."""

# --- CloudWatch -------------------------------------------------------------------------------------------------
METRIC_VALUES_MAX = 150
"""Distinct Values of one datum in one request; percentiles work with Values/Counts. Source: model `cloudwatch`."""


def request_bytes(region: str) -> int:
    """Most bytes of entries that one PutEvents call may carry in `region`."""
    return REQUEST_BYTES_256K if region in REGIONS_256K else REQUEST_BYTES_1MB


def rules_of_a_bus(region: str) -> int:
    """Return how many rules a bus in `region` may have by default."""
    return RULES_QUOTA_SMALL if region in REGIONS_100_RULES else RULES_QUOTA


def is_v2_bus(bus: str) -> bool:
    """Whether `bus` names a v2 event bus, which is known by its ARN."""
    return ":event-busv2/" in bus


@functools.cache
def bus_ceiling(bus: str) -> int:
    """Most entries that a PutEvents call to `bus` may carry.

    The classic ceiling is read from botocore's service model, so it rises when AWS raises it.
    """
    if is_v2_bus(bus):
        return V2_MAX_ENTRIES
    from botocore.loaders import Loader  # here, so that the pipeline, which needs the rest, loads no botocore

    model = Loader().load_service_model("events", "service-2")
    return int(model["shapes"]["PutEventsRequestEntryList"]["max"])
