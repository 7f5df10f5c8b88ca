"""The differences that stay, each with its reason, and the calls of the fake AWS that were mended.

AWS's documentation decides, read 2026-12-03: "API" is a service's API reference, whose text is botocore's model.
"Recorded" is an answer of AWS that LocalStack keeps in its snapshots (see `tests/contract/test_recorded.py`).
"""

from typing import NamedTuple

ALL_KINESIS, BOTH = "localstack kinesis-local moto", "localstack moto"
KINESIS_LOCAL = "localstack kinesis-local"
"""LocalStack's Kinesis is an older kinesis-local."""


class Listed(NamedTuple):
    """Differences that are known. `places` is a list of words; the other members but `reason` may have wildcards."""

    places: str
    request: str
    path: str
    reason: str
    fake: str = "*"
    theirs: str = "*"


NOTHING, EMPTY = '"-"', "[]"
"""A member that is missing, and a list without members, as a difference shows them."""

LISTED = (
    # Kinesis.
    Listed(
        ALL_KINESIS, "put_records: a dry run", "result", "API PutRecords has DryRun; the emulators store the record"
    ),
    Listed(ALL_KINESIS, "put_records: no record", "result", "API PutRecords: 1 to 500 records"),
    Listed(KINESIS_LOCAL, "put_records: 501 records", "result", "API PutRecords: 1 to 500 records"),
    Listed(
        KINESIS_LOCAL,
        "put_records: a record one byte larger",
        "result",
        "API UpdateMaxRecordSize: 1,024 KiB unless the stream was changed; kinesis-local takes 10 MiB always",
    ),
    Listed(KINESIS_LOCAL, "put_records: 11 records of 1 MiB", "result", "API PutRecords: 10 MiB a call, keys included"),
    Listed(
        KINESIS_LOCAL,
        "put_records: a* partition key*",
        "result",
        "both refuse the call; AWS validates a member's length before the service sees it: ValidationException",
    ),
    Listed("moto", "put_records: an empty partition key", "result", "API PutRecords: a key has 1 to 256 characters"),
    Listed(
        "moto", "put_records: a partition key of 257 characters", "result", "both refuse the call; see kinesis-local"
    ),
    Listed(
        KINESIS_LOCAL,
        "list_shards: *",
        "answer.Shards[*].HashKeyRange.*HashKey",
        "kinesis-local divides 2^128 - 1 by two, so the last shard has one key more; nothing here computes with it",
    ),
    Listed(KINESIS_LOCAL, "get_records: of a closed shard*", "answer.ChildShards[*].HashKeyRange.*", "the same"),
    Listed(
        ALL_KINESIS,
        "get_records: a wrong iterator",
        "result",
        "API GetRecords: InvalidArgumentException; the emulators fail with 500",
    ),
    Listed(
        ALL_KINESIS,
        "get_shard_iterator: an unknown type",
        "result",
        "all refuse the call; AWS validates a member's values before the service sees it",
    ),
    Listed(
        KINESIS_LOCAL,
        "split_shard: a closed shard",
        "result",
        "API SplitShard: ResourceInUseException is for a stream that is not ACTIVE; `shards` uses UpdateShardCount",
    ),
    Listed(
        "moto",
        "describe_stream_summary: *",
        "answer.StreamDescriptionSummary.ConsumerCount",
        "API StreamDescriptionSummary has ConsumerCount",
    ),
    Listed("moto", "list_shards: a wrong token", "result", "API ListShards: InvalidArgumentException"),
    Listed("moto", "list_shards: a token and a stream", "result", "API ListShards: not both"),
    Listed("moto", "put_records: *", "answer.EncryptionType", "API PutRecords: the type of an encrypted stream"),
    Listed("moto", "get_records: *", "answer.Records[*].EncryptionType", "API Record: the type of an encrypted stream"),
    Listed("moto", "get_records: a limit of*", "result", "API GetRecords: 1 to 10,000"),
    Listed(
        "moto", "get_records: of a closed shard*", "answer.ChildShards", "API GetRecords: its child shards at the end"
    ),
    Listed(
        "moto",
        "get_records: of a closed shard*",
        "answer.NextShardIterator",
        "API GetRecords: null at the end of a closed shard; moto's consumers would read it for ever",
    ),
    Listed(
        "moto",
        "get_shard_iterator: AT_TIMESTAMP in the future",
        "result",
        "not in AWS's pages; kinesis-local refuses as the fake does",
    ),
    Listed(
        "moto",
        "get_shard_iterator: A*_* without a*",
        "result",
        "API GetShardIterator: InvalidArgumentException; moto fails",
    ),
    Listed(
        "moto", "get_shard_iterator: a number*", "result", "API GetShardIterator: InvalidArgumentException; moto fails"
    ),
    # SQS.
    Listed("localstack", "receive_message: no message", "result", "API ReceiveMessage: 1 to 10 messages"),
    Listed("localstack", "receive_message: a visibility timeout*", "result", "API ReceiveMessage: at most 12 hours"),
    Listed(
        BOTH,
        "*_batch: *",
        "answer.*",
        "recorded 2024-04-30 of SendMessageBatch: an empty list is left out; the emulators do it in part",
        fake=NOTHING,
        theirs=EMPTY,
    ),
    Listed(
        "localstack",
        "change_message_visibility_batch: longer than 12 h",
        "answer.*",
        "API ChangeMessageVisibility: 0 to 43,200 s",
    ),
    Listed(
        "localstack",
        "*_batch: *",
        "answer.Failed[0].SenderFault",
        "API BatchResultErrorEntry: whether the sender's fault; a wrong receipt or character is the sender's",
    ),
    Listed(
        "localstack",
        "*_batch: *",
        "answer.Failed[0].Code",
        "LocalStack gives the exception's name; recorded 2024-04-30: InvalidParameterValue",
    ),
    Listed(
        "moto",
        "change_message_visibility_batch: a deleted message",
        "answer.Failed[0].Code",
        "API ChangeMessageVisibility has both codes; the product treats them alike",
    ),
    Listed("moto", "change_message_visibility_batch: no entry", "result", "API: EmptyBatchRequest"),
    Listed("moto", "send_message_batch: a character outside XML", "answer.*", "API SendMessage: refused"),
    Listed("moto", "send_message_batch: an empty body", "answer.*", "API SendMessage: at least one character"),
    Listed(
        BOTH, "send_message_batch: 11 attributes", "answer.*", 'SQS developer guide, "Message quotas": 10 attributes'
    ),
    Listed("moto", "send_message_batch: an empty attribute", "answer.*", "recorded 2024-04-30: it must not be empty"),
    Listed("moto", "send_message_batch: an attribute named AWS.", "answer.*", "API MessageAttributeValue: not AWS."),
    # EventBridge.
    Listed(BOTH, "put_events: no entry", "result", "API PutEvents: 1 to 10 entries"),
    Listed("moto", "put_events: a bus that does not exist", "result", "recorded 2025-01-08: answered as accepted"),
    Listed("moto", "put_events: a Detail that is a list", "answer.*", "recorded 2025-01-08: MalformedDetail"),
    Listed(
        BOTH, "put_events: a source of AWS", "answer.*", "API PutEventsResultEntry: NotAuthorizedForSourceException"
    ),
    Listed(BOTH, "put_events: a DetailType of 129*", "answer.*", "API PutEventsRequestEntry: at most 128 characters"),
    Listed("moto", "put_events: *more than 1 MiB*", "result", "recorded 2025-01-08: over the limit"),
    Listed(
        BOTH, "put_events: a bus's name with a space", "result", "API PutEventsRequestEntry: EventBusName's pattern"
    ),
    Listed(
        "moto", "test_event_pattern: *", "*", "API TestEventPattern; moto does not have it, and answers with nothing"
    ),
    # CloudWatch.
    Listed(
        BOTH,
        "put_metric_data: *",
        "result",
        "API PutMetricData and MetricDatum give these limits; the emulators check few. The product stays below them",
        fake="400 *",
        theirs="200",
    ),
    Listed(
        "moto",
        "put_metric_data: a value and values",
        "result",
        "recorded 2025-09-19: InvalidParameterCombination",
    ),
    # S3.
    Listed("moto", "*_object: *", "answer.ChecksumType", "API PutObject: FULL_OBJECT; recorded 2026-02-21"),
    Listed("moto", "*_object: *", "answer.ServerSideEncryption", "recorded 2026-02-21: AES256"),
    Listed("moto", "put_object: a key of 1,025 bytes", "result", "S3 user guide: a key has at most 1,024 bytes"),
)

MENDED = {
    "describe_stream_summary: a stream": "KeyId was missing",
    "list_shards: a wrong token": "SerializationException",
    "put_records: a dry run": "the record was stored",
    "get_records: a limit of 0": "taken as no limit",
    "get_records: a limit of 10,001": "ValidationException",
    "get_shard_iterator: AT_SEQUENCE_NUMBER without a number": "answered as TRIM_HORIZON",
    "get_shard_iterator: a number that is none": "SerializationException",
    "split_shard: an unknown stream": "another stream was split",
    "merge_shards: an unknown stream": "another stream's shards were merged",
    "receive_message: an empty queue, a wait of 1 s": "answered at once",
    "receive_message: a wait of 21 s": "accepted",
    "send_message_batch: two messages": "an empty Failed",
    "get_queue_attributes: the counts": "attributes that were not asked for",
    "get_queue_attributes: an unknown attribute": "accepted",
    "describe_event_bus: a bus": "LastModifiedTime was missing",
    "describe_event_bus: the default bus": "LastModifiedTime was missing",
    "describe_rule: a rule": "CreatedBy was missing",
    "describe_rule: an unknown bus": "the rule of another bus",
    "list_rules: of an unknown bus": "the rules of another bus",
    "list_targets_by_rule: of an unknown bus": "the targets of another bus's rule",
    "test_event_pattern: a pattern that is not JSON": "SerializationException",
    "test_event_pattern: an event that is not JSON": "SerializationException",
    "test_event_pattern: an event without an account": "accepted",
    "put_object: an object": "no checksum, no encryption",
    "put_object: an empty object": "no checksum, no encryption",
    "put_object: a key with signs": "no checksum, no encryption",
    "put_object: a key of 1,024 bytes": "no checksum, no encryption",
    "get_object: an object": "no checksum, no encryption, no AcceptRanges, no LastModified",
    "get_object: a key with signs": "no checksum, no encryption, no AcceptRanges, no LastModified",
    "put_item: an unknown table": "the table was made",
    "put_item: a lease that must be missing, and is not": "written over",
    "get_item: an unknown table": "answered as empty",
    "get_item: a wrong key": "answered as empty",
    "scan: all": "ScannedCount was missing",
    "scan: an unknown table": "answered with an item",
    "scan: a limit": "the limit was ignored",
}
"""By call: what the fake AWS answered wrongly before."""
