"""The fake AWS against botocore's serializer and parser: what boto3 sends it reads, what it answers boto3 reads."""

import datetime as dt
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.fakeaws.process import FakeAwsProcess
from tests.fakeaws.queue.sqs import attributes_md5

NOW = dt.datetime(2026, 11, 24, 9, 30, 0, 123_000, tzinfo=dt.UTC)
V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/router/" + "a" * 25
SIGNS = "“ü𝄞” & <tag>"


def entry(**changes: Any) -> dict[str, Any]:
    """A PutEvents entry that every bus takes."""
    return {"Source": "nice.cxone.webhook", "DetailType": "interaction.created", "Detail": "{}", **changes}


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """AWS's code and the HTTP status, as botocore's parser understood them."""
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_put_events_is_understood_and_answered_by_position(client: Client, fake_aws: FakeAwsProcess) -> None:
    """A boto3 PutEvents is taken entry by entry; the ledger has each with its size by AWS's formula and its ids."""
    detail = '{"eventId":"wire-1","conversationId":"c-1","text":"' + SIGNS + '"}'
    sent = [entry(Detail=detail, Time=NOW, Resources=["arn:é"]), entry(Detail="[]"), entry()]
    answer = client("events").put_events(Entries=sent)
    assert answer["FailedEntryCount"] == 1
    assert [result.get("ErrorCode") for result in answer["Entries"]] == [None, "MalformedDetail", None]
    assert len({result["EventId"] for result in answer["Entries"] if "EventId" in result}) == 2
    line = next(line for line in fake_aws.lines("PutEvents", "accepted") if line.get("eventId") == "wire-1")
    size = 14 + len("nice.cxone.webhook") + len("interaction.created") + len(detail.encode()) + len("arn:é".encode())
    assert (line["size"], line["conversationId"], line["entries"], line["payload"]) == (size, "c-1", 3, detail)


def test_put_events_v2_is_understood_and_deduplicated(client: Client, fake_aws: FakeAwsProcess) -> None:
    """boto3's CBOR is read, and a token seen before is answered DEDUPLICATED with the first event's id."""
    metadata = {"DeduplicationId": "token-1", "EventGroupId": "group-1"}
    sent = [entry(Time=NOW, SystemMetadata=metadata, Detail='{"eventId":"v2-1","t":"' + SIGNS + '"}'), entry()]
    bus = client("eventbridgev2")
    first = bus.put_events(EventBusArn=V2_BUS, Entries=sent)
    again = bus.put_events(EventBusArn=V2_BUS, Entries=sent)
    assert [result["SuccessCode"] for result in first["Entries"]] == ["PUBLISHED", "PUBLISHED"]
    assert [result["SuccessCode"] for result in again["Entries"]] == ["DEDUPLICATED", "PUBLISHED"]
    assert again["Entries"][0]["EventId"] == first["Entries"][0]["EventId"]
    lines = [line for line in fake_aws.lines("PutEventsV2") if line.get("eventId") == "v2-1"]
    assert [line["verdict"] for line in lines] == ["accepted", "deduplicated"]
    assert (lines[0]["partitionKey"], lines[0]["id"]) == ("group-1", "token-1")


def test_v2_content_based_deduplication_covers_the_whole_batch(client: Client) -> None:
    """With CONTENT_BASED two equal entries of one call are published once."""
    answer = client("eventbridgev2").put_events(
        EventBusArn=V2_BUS,
        Entries=[entry(Detail='{"n":1}'), entry(Detail='{"n":1}'), entry(Detail='{"n":2}')],
        DeduplicationConfiguration={"DeduplicationType": "CONTENT_BASED"},
    )
    assert [result["SuccessCode"] for result in answer["Entries"]] == ["PUBLISHED", "DEDUPLICATED", "PUBLISHED"]


def test_describe_event_bus_answers_for_both_kinds(client: Client, fake_aws: FakeAwsProcess) -> None:
    """A bus that exists is described; one that the plan calls missing is ResourceNotFound, each with its own status."""
    assert client("events").describe_event_bus(Name="router")["Name"] == "router"
    described = client("eventbridgev2").describe_event_bus(EventBusArn=V2_BUS)
    assert (described["State"], described["Name"]) == ("ACTIVE", "router")
    again = client("eventbridgev2").describe_event_bus(EventBusArn=V2_BUS)
    assert described["CreationTime"] == again["CreationTime"], "another bus at each answer"
    assert client("events").describe_event_bus(Name="router")["CreationTime"] == described["CreationTime"]
    fake_aws.plan({"missing": ["router", V2_BUS]})
    with pytest.raises(ClientError) as classic:
        client("events").describe_event_bus(Name="router")
    with pytest.raises(ClientError) as newer:
        client("eventbridgev2").describe_event_bus(EventBusArn=V2_BUS)
    assert code_of(classic) == ("ResourceNotFoundException", 400)
    assert code_of(newer) == ("ResourceNotFoundException", 404)


def test_put_records_is_understood_with_binary_data(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Binary data survives, records fall into shards by their hash key, and sequence numbers rise."""
    fake_aws.plan({"shards": 2})
    top = {"Data": bytes(range(256)), "PartitionKey": "ü", "ExplicitHashKey": str(2**128 - 1)}
    low = {"Data": b'{"v":1,"id":"k-1","body":{}}\n{"v":1,"id":"k-2","body":{}}', "PartitionKey": "p"}
    answer = client("kinesis").put_records(StreamName="s", Records=[top, {**low, "ExplicitHashKey": "0"}])
    shards = [record["ShardId"] for record in answer["Records"]]
    assert shards == ["shardId-000000000001", "shardId-000000000000"]
    numbers = [int(record["SequenceNumber"]) for record in answer["Records"]]
    assert numbers == sorted(numbers)
    lines = fake_aws.lines("PutRecords", "accepted")[-2:]
    assert [line["size"] for line in lines] == [256 + 2, len(low["Data"]) + 1]
    assert lines[1]["eventIds"] == ["k-1", "k-2"]


def test_send_message_batch_is_understood_and_digested(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Bodies and attributes are digested and sized as SQS does it, and a dead letter's id and reason are noted."""
    attributes = {
        "reason": {"DataType": "String", "StringValue": "refused"},
        "n": {"DataType": "Number", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    letter = '{"origin":{"eventId":"dead-1"},"text":"' + SIGNS + '"}'
    messages = [{"Id": "0", "MessageBody": letter, "MessageAttributes": attributes}, {"Id": "1", "MessageBody": "x"}]
    answer = client("sqs").send_message_batch(QueueUrl=f"{fake_aws.url}/1/dead", Entries=messages)
    assert [message["Id"] for message in answer["Successful"]] == ["0", "1"]
    assert answer["Successful"][0]["MD5OfMessageBody"] == hashlib.md5(letter.encode()).hexdigest()
    line = next(line for line in fake_aws.lines("SendMessageBatch") if line.get("eventId") == "dead-1")
    attributes_size = sum(map(len, ("reason", "String", "refused", "n", "Number", "7", "raw", "Binary"))) + 2
    assert (line["note"], line["size"]) == ("refused", len(letter.encode()) + attributes_size)


def test_the_digest_of_attributes_is_the_one_that_aws_computes() -> None:
    """Two digests that AWS gave for these attributes (recorded in several public SQS test suites)."""
    stamps = {"1493147359900": "235c5c510d26fb653d073faed50ae77c", "1493147359901": "994258b45346a2cc3f9cbb611aa7af30"}
    for stamp, digest in stamps.items():
        assert attributes_md5({"timestamp": {"DataType": "Number", "StringValue": stamp}}) == digest


def test_put_metric_data_is_understood(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Values and Counts, dimensions and time are taken, plain and gzip as botocore chooses."""
    dimensions = [{"Name": "Region", "Value": "us-east-1"}]
    stamp = dt.datetime.now(dt.UTC)
    values = {"Values": [1.0, 2.5], "Counts": [3.0, 1.0]}
    small = {"MetricName": "Latency", "Dimensions": dimensions, "Timestamp": stamp, "Unit": "Milliseconds", **values}
    client("cloudwatch").put_metric_data(Namespace="CXoneEventRouter", MetricData=[small])
    client("cloudwatch").put_metric_data(Namespace="CXoneEventRouter", MetricData=[small] * 500)
    assert fake_aws.stats()["items"]["PutMetricData"] == {"accepted": 501}


def test_put_object_comes_back_as_it_was(client: Client) -> None:
    """An object put is an object got, with S3's ETag."""
    body = bytes(range(256)) * 300
    put = client("s3").put_object(Bucket="claims", Key="a/b c", Body=body)
    got = client("s3").get_object(Bucket="claims", Key="a/b c")["Body"].read()
    assert got == body
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("events", "ThrottlingException", 400),
        ("events", "InternalException", 500),
        ("events", "ServiceUnavailable", 503),
        ("events", "ExpiredTokenException", 400),
        ("kinesis", "ProvisionedThroughputExceededException", 400),
        ("sqs", "RequestThrottled", 400),
        ("eventbridgev2", "ThrottlingException", 429),
        ("eventbridgev2", "AccessDeniedException", 403),
        ("eventbridgev2", "InvalidStateException", 409),
        ("eventbridgev2", "InternalException", 500),
    ],
)
def test_a_refusal_is_read_by_botocore(
    client: Client, fake_aws: FakeAwsProcess, service: str, code: str, status: int
) -> None:
    """Every form of a whole-call refusal reaches boto3 as its code and AWS's status for it."""
    fake_aws.plan({"rules": [{"fault": "call_error", "code": code}]})
    with pytest.raises(ClientError) as error:
        _call(client, service)
    assert code_of(error) == (code, status)


def _call(client: Client, service: str) -> Any:
    calls: dict[str, Any] = {
        "events": lambda: client("events").put_events(Entries=[entry()]),
        "eventbridgev2": lambda: client("eventbridgev2").put_events(EventBusArn=V2_BUS, Entries=[entry()]),
        "kinesis": lambda: client("kinesis").put_records(StreamName="s", Records=[{"Data": b"x", "PartitionKey": "p"}]),
        "sqs": lambda: client("sqs").send_message_batch(
            QueueUrl="http://127.0.0.1/1/q", Entries=[{"Id": "0", "MessageBody": "x"}]
        ),
    }
    return calls[service]()


def test_a_queue_that_is_missing_has_the_query_code(client: Client, fake_aws: FakeAwsProcess) -> None:
    """SQS's query-compatible code travels in its header, as boto3 expects it."""
    fake_aws.plan({"missing": ["q"]})
    with pytest.raises(ClientError) as error:
        _call(client, "sqs")
    assert code_of(error) == ("AWS.SimpleQueueService.NonExistentQueue", 400)


def test_a_missing_classic_bus_swallows_what_it_answers_as_accepted(client: Client, fake_aws: FakeAwsProcess) -> None:
    """As on AWS, PutEvents to a bus that does not exist succeeds; only the ledger knows that the event is gone."""
    fake_aws.plan({"missing": ["gone"]})
    answer = client("events").put_events(Entries=[entry(EventBusName="gone", Detail='{"eventId":"void-1"}')])
    assert answer["FailedEntryCount"] == 0
    assert [line["eventId"] for line in fake_aws.lines("PutEvents", "void")] == ["void-1"]
