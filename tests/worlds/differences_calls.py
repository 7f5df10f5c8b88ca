"""The calls of the world `differences`, as data: every operation of the fake AWS that the product or its tests use.

`{name}` in a text stands for a name of the place (`stream`, `queue`, ...) or for what an earlier call kept.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

MIB = 1_048_576
SOURCE, DETAIL_TYPE, RULE = "nice.cxone.webhook", "interaction.created", "cxone-webhook-router"
PATTERN = {"source": [SOURCE], "detail": {"eventSource": [{"prefix": "cxone"}]}}
TABLE, BUCKET, QUEUE, STREAM, BUS = "leases", "claim-checks", "letters", "cxone-events", "cxone"
SCRAP = "scrap"
"""The queue of the batches that are to be refused. Some places accept them, and would change what others read."""

ABSENT = "nowhere"
"""A name that nothing has: no stream, queue, bucket, table, bus or rule."""

LEASES = 3
"""Rows of the lease table: fewer than a page of any place."""


class Request(NamedTuple):
    """One call of boto3. `keep` takes values from its answer for later calls: name and path."""

    service: str
    operation: str
    case: str
    arguments: dict[str, Any]
    keep: Mapping[str, tuple[str | int, ...]] = MappingProxyType({})
    wait_s: float = 0.0
    """Seconds to wait before the call."""

    @property
    def name(self) -> str:
        """The operation and the case."""
        return f"{self.operation}: {self.case}"


def _record(data: bytes = b"x", key: str = "k", **more: str) -> dict[str, Any]:
    return {"Data": data, "PartitionKey": key, **more}


def _entry(**changes: Any) -> dict[str, Any]:
    entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": '{"eventSource":"cxone.webhook"}'}
    entry["EventBusName"] = "{bus}"
    return {name: value for name, value in (entry | changes).items() if value is not None}


def _message(identity: str, body: str = "x", **attributes: str) -> dict[str, Any]:
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return {"Id": identity, "MessageBody": body, **({"MessageAttributes": typed} if typed else {})}


def _datum(**changes: Any) -> dict[str, Any]:
    return {"MetricName": "m", **changes}


def _lease(number: int) -> dict[str, Any]:
    return {"leaseKey": {"S": f"shard-{number}"}, "leaseOwner": {"S": "worker"}, "leaseCounter": {"N": str(number)}}


def _kinesis(operation: str, case: str, keep: dict[str, tuple[str | int, ...]] | None = None, **more: Any) -> Request:
    return Request("kinesis", operation, case, {"StreamName": "{stream}", **more}, keep or {})


def _iterate(case: str, **more: Any) -> Request:
    asked = {"ShardId": "{shard}", "ShardIteratorType": "TRIM_HORIZON", **more}
    return _kinesis("get_shard_iterator", case, {"iterator": ("ShardIterator",)}, **asked)


def _read(case: str, **more: Any) -> Request:
    return Request(
        "kinesis", "get_records", case, {"ShardIterator": "{iterator}", **more}, {"next": ("NextShardIterator",)}
    )


def _sqs(operation: str, case: str, keep: dict[str, tuple[str | int, ...]] | None = None, **more: Any) -> Request:
    return Request("sqs", operation, case, {"QueueUrl": "{queue}", **more}, keep or {})


def _send(case: str, *messages: dict[str, Any], queue: str = "{scrap}") -> Request:
    return _sqs("send_message_batch", case, QueueUrl=queue, Entries=list(messages))


def _events(operation: str, case: str, **arguments: Any) -> Request:
    return Request("events", operation, case, arguments)


def _put_events(case: str, *entries: dict[str, Any]) -> Request:
    return _events("put_events", case, Entries=list(entries))


def _metrics(case: str, *data: dict[str, Any], namespace: str = "CXoneEventRouter") -> Request:
    return Request("cloudwatch", "put_metric_data", case, {"Namespace": namespace, "MetricData": list(data)})


def _s3(operation: str, case: str, bucket: str = BUCKET, key: str = "a/b.json", **more: Any) -> Request:
    return Request("s3", operation, case, {"Bucket": bucket, "Key": key, **more})


def _table(operation: str, case: str, table: str = TABLE, **more: Any) -> Request:
    return Request("dynamodb", operation, case, {"TableName": table, **more})


LOW = "0"
"""A hash key of the stream's first shard."""

KINESIS = (
    _kinesis("describe_stream_summary", "a stream"),
    _kinesis("describe_stream_summary", "an unknown stream", StreamName=ABSENT),
    _kinesis("list_shards", "all", {"shard": ("Shards", 0, "ShardId"), "other": ("Shards", 1, "ShardId")}),
    _kinesis("list_shards", "at the latest", ShardFilter={"Type": "AT_LATEST"}),
    _kinesis("list_shards", "an unknown stream", StreamName=ABSENT),
    _kinesis("list_shards", "a wrong token", StreamName=None, NextToken="nonsense"),
    _kinesis("list_shards", "a token and a stream", NextToken="nonsense"),
    _kinesis(
        "put_records",
        "two records",
        {"number": ("Records", 0, "SequenceNumber")},
        Records=[_record(b"one", ExplicitHashKey=LOW), _record(b"two", ExplicitHashKey=LOW)],
    ),
    _kinesis("put_records", "a dry run", Records=[_record(b"dry", ExplicitHashKey=str(2**127 + 5))], DryRun=True),
    _kinesis("put_records", "an unknown stream", StreamName=ABSENT, Records=[_record()]),
    _kinesis("put_records", "no record", Records=[]),
    _kinesis("put_records", "501 records", Records=[_record()] * 501),
    _kinesis(
        "put_records",
        "a record of 1 MiB with its key",
        Records=[_record(b"x" * (MIB - 1), ExplicitHashKey=str(2**127))],
    ),
    _kinesis("put_records", "a record one byte larger", Records=[_record(b"x" * MIB)]),
    _kinesis("put_records", "11 records of 1 MiB", Records=[_record(b"x" * (MIB - 1))] * 11),
    _kinesis("put_records", "an empty partition key", Records=[_record(key="")]),
    _kinesis("put_records", "a partition key of 257 characters", Records=[_record(key="k" * 257)]),
    _kinesis("put_records", "a hash key of 2^128", Records=[_record(ExplicitHashKey=str(2**128))]),
    _iterate("LATEST", ShardIteratorType="LATEST"),
    _read("at the latest"),
    _iterate("AT_SEQUENCE_NUMBER", ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="{number}"),
    _read("at a sequence number"),
    _iterate("AFTER_SEQUENCE_NUMBER", ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber="{number}"),
    _read("after a sequence number"),
    _iterate("AT_TIMESTAMP", ShardIteratorType="AT_TIMESTAMP", Timestamp=1_700_000_000),
    _read("at a timestamp"),
    _iterate("TRIM_HORIZON"),
    _read("one record", Limit=1),
    Request("kinesis", "get_records", "the next record", {"ShardIterator": "{next}", "Limit": 1}),
    _read("a limit of 0", Limit=0),
    _read("a limit of 10,001", Limit=10_001),
    Request("kinesis", "get_records", "a wrong iterator", {"ShardIterator": "nonsense"}),
    _iterate("an unknown stream", StreamName=ABSENT),
    _iterate("an unknown shard", ShardId="shardId-000000000099"),
    _iterate("an unknown type", ShardIteratorType="NEVER"),
    _iterate("AT_TIMESTAMP without a timestamp", ShardIteratorType="AT_TIMESTAMP"),
    _iterate("AT_TIMESTAMP in the future", ShardIteratorType="AT_TIMESTAMP", Timestamp=4_000_000_000),
    _iterate("AT_SEQUENCE_NUMBER without a number", ShardIteratorType="AT_SEQUENCE_NUMBER"),
    _iterate("a number that is none", ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="nonsense"),
    _kinesis("split_shard", "an unknown shard", ShardToSplit="shardId-000000000099", NewStartingHashKey="5"),
    _kinesis("split_shard", "a hash key outside", ShardToSplit="{shard}", NewStartingHashKey=str(2**128 - 1)),
    _kinesis("split_shard", "an unknown stream", StreamName=ABSENT, ShardToSplit="{shard}", NewStartingHashKey="5"),
    _kinesis("split_shard", "a shard", ShardToSplit="{shard}", NewStartingHashKey=str(2**126)),
    _kinesis(
        "list_shards", "after the split", {"high": ("Shards", 3, "ShardId"), "low": ("Shards", 2, "ShardId")}
    )._replace(wait_s=3.0),
    _kinesis("split_shard", "a closed shard", ShardToSplit="{shard}", NewStartingHashKey="5"),
    _iterate("of a closed shard"),
    _read("of a closed shard, to its end"),
    _kinesis("merge_shards", "shards that are not adjacent", ShardToMerge="{low}", AdjacentShardToMerge="{other}"),
    _kinesis("merge_shards", "an unknown shard", ShardToMerge="{low}", AdjacentShardToMerge="shardId-000000000099"),
    _kinesis(
        "merge_shards", "an unknown stream", StreamName=ABSENT, ShardToMerge="{low}", AdjacentShardToMerge="{high}"
    ),
    _kinesis("merge_shards", "two shards", ShardToMerge="{low}", AdjacentShardToMerge="{high}"),
    _kinesis("list_shards", "after the merge")._replace(wait_s=3.0),
    _kinesis("describe_stream_summary", "after split and merge"),
)

_ENTRY = {"Id": "a", "ReceiptHandle": "{handle}"}
_WRONG_ENTRY = {"Id": "b", "ReceiptHandle": "nonsense"}
_SHOWN, _WRONG_SHOWN = {**_ENTRY, "VisibilityTimeout": 0}, {**_WRONG_ENTRY, "VisibilityTimeout": 0}
_HANDLE: dict[str, tuple[str | int, ...]] = {"handle": ("Messages", 0, "ReceiptHandle")}
_COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]

SQS = (
    Request("sqs", "get_queue_url", "a queue", {"QueueName": QUEUE}, {"queue": ("QueueUrl",)}),
    Request("sqs", "get_queue_url", "another queue", {"QueueName": SCRAP}, {"scrap": ("QueueUrl",)}),
    Request("sqs", "get_queue_url", "an unknown queue", {"QueueName": ABSENT}),
    _sqs("receive_message", "an empty queue"),
    _sqs("receive_message", "an empty queue, a wait of 1 s", WaitTimeSeconds=1),
    _sqs("receive_message", "a wait of 21 s", WaitTimeSeconds=21),
    _sqs("receive_message", "11 messages", MaxNumberOfMessages=11),
    _sqs("receive_message", "no message", MaxNumberOfMessages=0),
    _sqs("receive_message", "a visibility timeout of 12 h and 1 s", VisibilityTimeout=43_201),
    _sqs("receive_message", "an unknown queue", QueueUrl="{absent_queue}"),
    _sqs("send_message_batch", "a message with an attribute", Entries=[_message("a", "one", reason="r")]),
    _sqs("get_queue_attributes", "the counts", AttributeNames=_COUNTS),
    _sqs("get_queue_attributes", "an unknown queue", QueueUrl="{absent_queue}", AttributeNames=["All"]),
    _sqs("get_queue_attributes", "an unknown attribute", AttributeNames=["Nonsense"]),
    _sqs(
        "receive_message",
        "a message with its attributes",
        _HANDLE,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=5,
        VisibilityTimeout=60,
        MessageAttributeNames=["All"],
        AttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
    ),
    _sqs("receive_message", "a message that is hidden"),
    _sqs("get_queue_attributes", "the counts while it is hidden", AttributeNames=_COUNTS),
    _sqs("change_message_visibility_batch", "one good, one wrong receipt", Entries=[_SHOWN, _WRONG_SHOWN]),
    _sqs("receive_message", "a message that is visible again", _HANDLE, WaitTimeSeconds=5),
    _sqs("change_message_visibility_batch", "for 60 s", Entries=[{**_ENTRY, "VisibilityTimeout": 60}]),
    _sqs("change_message_visibility_batch", "longer than 12 h", Entries=[{**_ENTRY, "VisibilityTimeout": 43_201}]),
    _sqs("change_message_visibility_batch", "no entry", Entries=[]),
    _sqs("change_message_visibility_batch", "an unknown queue", QueueUrl="{absent_queue}", Entries=[_SHOWN]),
    _sqs("delete_message_batch", "one good, one wrong receipt", Entries=[_ENTRY, _WRONG_ENTRY]),
    _sqs("delete_message_batch", "a receipt of a deleted message", Entries=[_ENTRY]),
    _sqs("delete_message_batch", "no entry", Entries=[]),
    _sqs("delete_message_batch", "the same id twice", Entries=[_ENTRY, _ENTRY]),
    _sqs("delete_message_batch", "an unknown queue", QueueUrl="{absent_queue}", Entries=[_ENTRY]),
    _sqs("change_message_visibility_batch", "a deleted message", Entries=[_SHOWN]),
    _send("two messages", _message("a"), _message("b")),
    _send("an unknown queue", _message("a"), queue="{absent_queue}"),
    _send("no message"),
    _send("11 messages", *[_message(f"m{n}") for n in range(11)]),
    _send("the same id twice", _message("a"), _message("a")),
    _send("an id with a dot", _message("a.b")),
    _send("an id of 81 characters", _message("a" * 81)),
    _send("a message larger than 1 MiB", _message("a", "x" * (MIB + 1))),
    _send("two messages larger than 1 MiB together", _message("a", "x" * MIB), _message("b")),
    _send("a character outside XML", _message("a", "\x0b"), _message("b", "three")),
    _send("an empty body", _message("a", ""), _message("b", "four")),
    _send("11 attributes", _message("a", **{f"a{n}": "v" for n in range(11)})),
    _send("an empty attribute", _message("a", reason="")),
    _send("an attribute named AWS.", _message("a", **{"AWS.reason": "r"})),
)

_EVENT = {
    "id": "1", "account": "1", "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
    "source": SOURCE, "detail-type": DETAIL_TYPE, "detail": {"eventSource": "cxone.webhook"},
}  # fmt: skip

EVENTS = (
    _put_events("two entries", _entry(), _entry()),
    _put_events("no entry"),
    _put_events("11 entries", *[_entry()] * 11),
    _put_events("a bus that does not exist", _entry(EventBusName=ABSENT)),
    _put_events("no Detail", _entry(Detail=None), _entry()),
    _put_events("no Source", _entry(Source=None), _entry()),
    _put_events("no DetailType", _entry(DetailType=None), _entry()),
    _put_events("an empty Source", _entry(Source=""), _entry()),
    _put_events("a Detail that is not JSON", _entry(Detail="{"), _entry()),
    _put_events("a Detail that is a list", _entry(Detail="[]"), _entry()),
    _put_events("a source of AWS", _entry(Source="aws.events"), _entry()),
    _put_events("a DetailType of 129 characters", _entry(DetailType="x" * 129), _entry()),
    _put_events("an entry of more than 1 MiB", _entry(Detail=json.dumps({"x": "x" * MIB}))),
    _put_events("two entries of more than 1 MiB together", *[_entry(Detail=json.dumps({"x": "x" * (MIB // 2)}))] * 2),
    _put_events("a bus's name with a space", _entry(EventBusName="a b")),
    _events("describe_event_bus", "a bus", Name="{bus}"),
    _events("describe_event_bus", "the default bus"),
    _events("describe_event_bus", "an unknown bus", Name=ABSENT),
    _events("describe_rule", "a rule", Name=RULE, EventBusName="{bus}"),
    _events("describe_rule", "an unknown rule", Name=ABSENT, EventBusName="{bus}"),
    _events("describe_rule", "an unknown bus", Name=RULE, EventBusName=ABSENT),
    _events("list_rules", "of a bus", EventBusName="{bus}"),
    _events("list_rules", "of an unknown bus", EventBusName=ABSENT),
    _events("list_targets_by_rule", "of a rule", Rule=RULE, EventBusName="{bus}"),
    _events("list_targets_by_rule", "of an unknown bus", Rule=RULE, EventBusName=ABSENT),
    _events("list_targets_by_rule", "of an unknown rule", Rule=ABSENT, EventBusName="{bus}"),
    _events("test_event_pattern", "a pattern that fits", EventPattern=json.dumps(PATTERN), Event=json.dumps(_EVENT)),
    _events(
        "test_event_pattern", "a pattern that does not fit", EventPattern='{"source":["a"]}', Event=json.dumps(_EVENT)
    ),
    _events("test_event_pattern", "a pattern that is not JSON", EventPattern="{", Event=json.dumps(_EVENT)),
    _events("test_event_pattern", "an event that is not JSON", EventPattern=json.dumps(PATTERN), Event="{"),
    _events(
        "test_event_pattern", "an event without an account", EventPattern=json.dumps(PATTERN), Event='{"source":"a"}'
    ),
)

_NUMBERS = [float(n) for n in range(151)]

CLOUDWATCH = (
    _metrics("a value", _datum(Value=1.0, Unit="Count", Dimensions=[{"Name": "d", "Value": "v"}])),
    _metrics("150 values", _datum(Values=_NUMBERS[:150], Counts=[1.0] * 150)),
    _metrics("151 values", _datum(Values=_NUMBERS, Counts=[1.0] * 151)),
    _metrics("values and counts of different lengths", _datum(Values=[1.0, 2.0], Counts=[1.0])),
    _metrics("statistics", _datum(StatisticValues={"SampleCount": 1, "Sum": 2, "Minimum": 2, "Maximum": 2})),
    _metrics("1,000 metrics", *[_datum(Value=1.0)] * 1000),
    _metrics("1,001 metrics", *[_datum(Value=1.0)] * 1001),
    _metrics("no metric"),
    _metrics("no value", _datum()),
    _metrics(
        "a value and statistics",
        _datum(Value=1.0, StatisticValues={"SampleCount": 1, "Sum": 2, "Minimum": 2, "Maximum": 2}),
    ),
    _metrics("a value and values", _datum(Value=1.0, Values=[1.0])),
    _metrics("30 dimensions", _datum(Value=1.0, Dimensions=[{"Name": f"d{n}", "Value": "v"} for n in range(30)])),
    _metrics("31 dimensions", _datum(Value=1.0, Dimensions=[{"Name": f"d{n}", "Value": "v"} for n in range(31)])),
    _metrics("a dimension's name with a colon", _datum(Value=1.0, Dimensions=[{"Name": ":d", "Value": "v"}])),
    _metrics("an empty dimension", _datum(Value=1.0, Dimensions=[{"Name": "d", "Value": ""}])),
    _metrics("an unknown unit", _datum(Value=1.0, Unit="Parsecs")),
    _metrics("a resolution of 30 s", _datum(Value=1.0, StorageResolution=30)),
    _metrics("a value beyond 2^360", _datum(Value=2.0**361)),
    _metrics("a value that is not a number", _datum(Value=float("nan"))),
    _metrics("a time three weeks ago", _datum(Value=1.0, Timestamp="{long_ago}")),
    _metrics("a time three hours ahead", _datum(Value=1.0, Timestamp="{ahead}")),
    _metrics("a namespace of AWS", _datum(Value=1.0), namespace="AWS/Events"),
    _metrics("an empty namespace", _datum(Value=1.0), namespace=""),
)

S3 = (
    _s3("put_object", "an object", Body=b"content"),
    _s3("get_object", "an object"),
    _s3("get_object", "an unknown key", key=ABSENT),
    _s3("get_object", "an unknown bucket", bucket=ABSENT),
    _s3("put_object", "an empty object", key="empty", Body=b""),
    _s3("put_object", "a key with signs", key="a b/ü+%&=?.json", Body=b"signs"),
    _s3("get_object", "a key with signs", key="a b/ü+%&=?.json"),
    _s3("put_object", "an unknown bucket", bucket=ABSENT, Body=b"x"),
    _s3("put_object", "a key of 1,024 bytes", key="k" * 1024, Body=b"x"),
    _s3("put_object", "a key of 1,025 bytes", key="k" * 1025, Body=b"x"),
    _s3("delete_object", "an object"),
    _s3("delete_object", "an object that is deleted"),
    _s3("delete_object", "an unknown bucket", bucket=ABSENT),
)

DYNAMODB = (
    *(_table("put_item", f"lease {n}", Item=_lease(n)) for n in range(LEASES)),
    _table("put_item", "no key", Item={"leaseOwner": {"S": "worker"}}),
    _table("put_item", "an unknown table", ABSENT, Item=_lease(0)),
    _table(
        "put_item",
        "a lease that must be missing, and is",
        Item=_lease(9),
        ConditionExpression="attribute_not_exists(leaseKey)",
    ),
    _table(
        "put_item",
        "a lease that must be missing, and is not",
        Item=_lease(1),
        ConditionExpression="attribute_not_exists(leaseKey)",
    ),
    _table("get_item", "a lease", Key={"leaseKey": {"S": "shard-1"}}, ConsistentRead=True),
    _table("get_item", "an unknown lease", Key={"leaseKey": {"S": ABSENT}}),
    _table("get_item", "an unknown table", ABSENT, Key={"leaseKey": {"S": "shard-1"}}),
    _table("get_item", "a wrong key", Key={"other": {"S": "shard-1"}}),
    _table("scan", "all", ConsistentRead=True),
    _table("scan", "an unknown table", ABSENT),
    _table("scan", "a limit", Limit=2),
)

REQUESTS = (*KINESIS, *SQS, *EVENTS, *CLOUDWATCH, *S3, *DYNAMODB)
