"""What the world `differences` showed the fake AWS to answer wrongly: each call with the answer of AWS's documentation.

Sources: botocore's models (`kinesis`, `sqs`, `events`, `dynamodb`), which are AWS's API references.
"""

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.fakeaws.process import FakeAwsProcess

STREAM, SHARD, ABSENT = "cxone-events", "shardId-000000000000", "nowhere"
QUEUE = "http://127.0.0.1/1/letters"
RULE = {"Name": "rule", "EventPattern": {"source": ["a"]}, "Targets": []}
PLAN = {"missing": [ABSENT], "bus_rules": [RULE], "keep_records": True, "shard_limits": False}
RECORD = {"Data": b"x", "PartitionKey": "k"}
LEASE = {"leaseKey": {"S": "shard"}}


def _start(**arguments: Any) -> dict[str, Any]:
    return {"StreamName": STREAM, "ShardId": SHARD, **arguments}


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("kinesis", "put_records", {"StreamName": STREAM, "Records": [RECORD], "DryRun": True}, "DryRunOperationException"),
    ("kinesis", "list_shards", {"NextToken": "nonsense"}, "InvalidArgumentException"),
    (
        "kinesis",
        "get_shard_iterator",
        _start(ShardIteratorType="AT_SEQUENCE_NUMBER"),
        "InvalidArgumentException",
    ),
    (
        "kinesis",
        "get_shard_iterator",
        _start(ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber="nonsense"),
        "InvalidArgumentException",
    ),
    (
        "kinesis",
        "split_shard",
        {"StreamName": ABSENT, "ShardToSplit": SHARD, "NewStartingHashKey": "5"},
        "ResourceNotFoundException",
    ),
    (
        "kinesis",
        "merge_shards",
        {"StreamName": ABSENT, "ShardToMerge": SHARD, "AdjacentShardToMerge": SHARD},
        "ResourceNotFoundException",
    ),
    ("sqs", "receive_message", {"QueueUrl": QUEUE, "WaitTimeSeconds": 21}, "InvalidParameterValue"),
    ("sqs", "get_queue_attributes", {"QueueUrl": QUEUE, "AttributeNames": ["Nonsense"]}, "InvalidAttributeName"),
    ("events", "describe_rule", {"Name": "rule", "EventBusName": ABSENT}, "ResourceNotFoundException"),
    ("events", "list_rules", {"EventBusName": ABSENT}, "ResourceNotFoundException"),
    ("events", "list_targets_by_rule", {"Rule": "rule", "EventBusName": ABSENT}, "ResourceNotFoundException"),
    ("dynamodb", "put_item", {"TableName": ABSENT, "Item": LEASE}, "ResourceNotFoundException"),
    ("dynamodb", "get_item", {"TableName": ABSENT, "Key": LEASE}, "ResourceNotFoundException"),
    ("dynamodb", "scan", {"TableName": ABSENT}, "ResourceNotFoundException"),
]


@pytest.mark.parametrize(("service", "operation", "arguments", "code"), REFUSED)
def test_a_call_is_refused(
    client: Client, fake_aws: FakeAwsProcess, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    """The code is the one that AWS documents for the operation."""
    fake_aws.plan(PLAN)
    with pytest.raises(ClientError) as error:
        getattr(client(service), operation)(**arguments)
    assert error.value.response["Error"]["Code"] == code


def test_a_dry_run_stores_nothing(client: Client, fake_aws: FakeAwsProcess) -> None:
    """PutRecords with DryRun checks the call alone."""
    fake_aws.plan(PLAN)
    kinesis = client("kinesis")
    with pytest.raises(ClientError):
        kinesis.put_records(StreamName=STREAM, Records=[RECORD], DryRun=True)
    iterator = kinesis.get_shard_iterator(**_start(ShardIteratorType="TRIM_HORIZON"))["ShardIterator"]
    assert kinesis.get_records(ShardIterator=iterator)["Records"] == []


def test_a_read_takes_up_to_10_000_records(client: Client, fake_aws: FakeAwsProcess) -> None:
    """GetRecords refuses a higher limit with InvalidArgumentException."""
    fake_aws.plan(PLAN)
    kinesis = client("kinesis")
    iterator = kinesis.get_shard_iterator(**_start(ShardIteratorType="TRIM_HORIZON"))["ShardIterator"]
    assert kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"] == []
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.get_records(ShardIterator=iterator, Limit=10_001)


def test_a_receive_waits_for_a_message(client: Client) -> None:
    """An empty queue is answered once WaitTimeSeconds are over; a message that comes meanwhile is given at once."""
    sqs = client("sqs")
    begun = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=QUEUE, WaitTimeSeconds=1)
    assert time.monotonic() - begun >= 1.0
    entries = [{"Id": "0", "MessageBody": "late"}]
    later = threading.Timer(0.5, lambda: sqs.send_message_batch(QueueUrl=QUEUE, Entries=entries))
    later.start()
    begun = time.monotonic()
    (message,) = sqs.receive_message(QueueUrl=QUEUE, WaitTimeSeconds=9)["Messages"]
    later.join()
    assert message["Body"] == "late"
    assert time.monotonic() - begun < 9.0


def test_a_queue_shows_the_attributes_that_are_asked_for(client: Client) -> None:
    """GetQueueAttributes gives no other, and all for All."""
    sqs = client("sqs")
    asked = sqs.get_queue_attributes(QueueUrl=QUEUE, AttributeNames=["MessageRetentionPeriod"])
    assert asked["Attributes"] == {"MessageRetentionPeriod": "1209600"}
    assert len(sqs.get_queue_attributes(QueueUrl=QUEUE, AttributeNames=["All"])["Attributes"]) == 4


def test_a_rule_and_a_bus_have_aws_members(client: Client, fake_aws: FakeAwsProcess) -> None:
    """DescribeRule names the account, DescribeEventBus the time of the last change."""
    fake_aws.plan(PLAN)
    assert client("events").describe_rule(Name="rule")["CreatedBy"] == "123456789012"
    bus = client("events").describe_event_bus(Name="router")
    assert bus["LastModifiedTime"] == bus["CreationTime"]


def test_an_encrypted_stream_names_its_key(client: Client) -> None:
    """DescribeStreamSummary has KeyId beside EncryptionType."""
    summary = client("kinesis").describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    assert (summary["EncryptionType"], summary["KeyId"]) == ("KMS", "alias/aws/kinesis")


def test_an_object_has_its_checksum(client: Client) -> None:
    """PutObject and GetObject answer the checksum that the request had, which boto3 then verifies."""
    s3 = client("s3")
    stored = s3.put_object(Bucket="bucket", Key="k", Body=b"content")
    read = s3.get_object(Bucket="bucket", Key="k")
    assert stored["ChecksumCRC32"] == read["ChecksumCRC32"]
    assert (read["ChecksumType"], read["AcceptRanges"]) == ("FULL_OBJECT", "bytes")
    assert read["Body"].read() == b"content"


def test_a_lease_is_written_only_if_it_is_missing(client: Client) -> None:
    """A second PutItem with the condition is refused and changes nothing; GetItem refuses another key."""
    table, condition = client("dynamodb"), "attribute_not_exists(leaseKey)"
    first, second = ({**LEASE, "leaseOwner": {"S": owner}} for owner in ("a", "b"))
    table.put_item(TableName="leases", Item=first, ConditionExpression=condition)
    with pytest.raises(table.exceptions.ConditionalCheckFailedException):
        table.put_item(TableName="leases", Item=second, ConditionExpression=condition)
    assert table.get_item(TableName="leases", Key=LEASE)["Item"] == first
    with pytest.raises(ClientError, match="does not match the schema"):
        table.get_item(TableName="leases", Key={"other": {"S": "shard"}})


def test_a_scan_has_a_limit(client: Client) -> None:
    """A page of Scan has at most Limit items, says how many it read, and after which key the next begins."""
    table = client("dynamodb")
    for number in range(3):
        table.put_item(TableName="leases", Item={"leaseKey": {"S": f"shard-{number}"}})
    page = table.scan(TableName="leases", Limit=2)
    assert (page["Count"], page["ScannedCount"], page["LastEvaluatedKey"]) == (2, 2, {"leaseKey": {"S": "shard-1"}})
    rest = table.scan(TableName="leases", ExclusiveStartKey=page["LastEvaluatedKey"])
    assert (rest["Count"], "LastEvaluatedKey" in rest) == (1, False)
