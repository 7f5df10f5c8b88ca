"""The fake AWS against botocore: what boto3 sends it reads, what it answers boto3 reads."""

import datetime as dt
import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.fakeaws.process import FakeAwsProcess

NOW = dt.datetime(2026, 11, 24, 9, 30, 0, 123_000, tzinfo=dt.UTC)
V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/router/" + "a" * 25
SIGNS = "“ü𝄞” & <tag>"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/plain"
PATTERN = {"source": ["a"], "detail-type": ["x", "y"], "detail": {"eventSource": [{"prefix": "cxone"}]}}
EVENT = {
    "id": "1", "account": "1", "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
    "source": "a", "detail-type": "y", "detail": {"eventSource": "cxone.webhook"},
}  # fmt: skip


def entry(**changes: Any) -> dict[str, Any]:
    """A PutEvents entry that every bus takes."""
    return {"Source": "nice.cxone.webhook", "DetailType": "interaction.created", "Detail": "{}", **changes}


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
    first, again = (bus.put_events(EventBusArn=V2_BUS, Entries=sent)["Entries"] for _ in range(2))
    assert [result["SuccessCode"] for result in first] == ["PUBLISHED", "PUBLISHED"]
    assert [result["SuccessCode"] for result in again] == ["DEDUPLICATED", "PUBLISHED"]
    assert again[0]["EventId"] == first[0]["EventId"]
    lines = [line for line in fake_aws.lines("PutEventsV2") if line.get("eventId") == "v2-1"]
    assert [line["verdict"] for line in lines] == ["accepted", "deduplicated"]
    assert (lines[0]["partitionKey"], lines[0]["id"]) == ("group-1", "token-1")
    by_content = {"DeduplicationConfiguration": {"DeduplicationType": "CONTENT_BASED"}}
    alike = [entry(Detail='{"n":1}'), entry(Detail='{"n":1}'), entry(Detail='{"n":2}')]
    answer = bus.put_events(EventBusArn=V2_BUS, Entries=alike, **by_content)
    assert [result["SuccessCode"] for result in answer["Entries"]] == ["PUBLISHED", "DEDUPLICATED", "PUBLISHED"]


def test_a_bus_of_either_kind_is_described(client: Client, fake_aws: FakeAwsProcess) -> None:
    """The same at each answer, or it would be another bus; a plan takes one away, or makes one."""
    both = client("events"), client("eventbridgev2")

    def described() -> list[dict[str, Any]]:
        return [both[0].describe_event_bus(Name="router"), both[1].describe_event_bus(EventBusArn=V2_BUS)]

    first, again = described(), described()
    assert [item["Name"] for item in first] == ["router", "router"]
    assert first[1]["State"] == "ACTIVE"
    assert [item["CreationTime"] for item in first] == [item["CreationTime"] for item in again]
    fake_aws.plan({"missing": [V2_BUS], "made": ["mine"]})
    assert both[0].describe_event_bus(Name="mine")["Name"] == "mine"
    with pytest.raises(ClientError) as error:
        both[1].describe_event_bus(EventBusArn=V2_BUS)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_put_records_is_understood_with_binary_data(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Records fall into equal ranges of hash keys, by their own or the MD5 of their partition key; numbers rise."""
    fake_aws.plan({"shards": 3})
    lines = b'{"v":1,"id":"k-1","body":{"id":"x"}}\n{broken\n{"eventId":"k-2"}\n[1]\n{"id":7}'
    third = 113_427_455_640_312_821_154_458_202_477_256_070_485
    """The second shard's first key in the answer that the AWS CLI's reference gives for list-shards."""
    keys = [0, third - 1, third, 2 * third - 1, 2**128 - 1]
    records = [{"Data": bytes(range(256)), "PartitionKey": "ü", "ExplicitHashKey": str(key)} for key in keys]
    records += [{"Data": lines, "PartitionKey": key} for key in ("a", "b")]  # MD5 0cc175b9… and 92eb5ffe…
    answer = client("kinesis").put_records(StreamName="s", Records=records)
    assert [int(record["ShardId"][-12:]) for record in answer["Records"]] == [0, 0, 1, 1, 2, 0, 1]
    numbers = [int(record["SequenceNumber"]) for record in answer["Records"]]
    assert numbers == sorted(numbers)
    calls = fake_aws.lines("PutRecords", "accepted")[-7:]
    assert (calls[0]["size"], calls[5]["size"], calls[5]["eventIds"]) == (256 + 2, len(lines) + 1, ["k-1", "k-2"])


def test_put_metric_data_is_understood(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Values and Counts, dimensions and time are taken, plain and gzip as botocore chooses."""
    dimensions, values = [{"Name": "Region", "Value": "us-east-1"}], {"Values": [1.0, 2.5], "Counts": [3.0, 1.0]}
    small = {"MetricName": "Latency", "Dimensions": dimensions, "Timestamp": dt.datetime.now(dt.UTC), **values}
    client("cloudwatch").put_metric_data(Namespace="CXoneEventRouter", MetricData=[small])
    client("cloudwatch").put_metric_data(Namespace="CXoneEventRouter", MetricData=[small] * 500)
    assert fake_aws.stats()["items"]["PutMetricData"] == {"accepted": 501}


def test_put_object_comes_back_as_it_was(client: Client) -> None:
    """An object put is an object got, with S3's ETag, until it is deleted."""
    body, place = bytes(range(256)) * 300, {"Bucket": "claims", "Key": "a/b c"}
    put = client("s3").put_object(**place, Body=body)
    assert client("s3").get_object(**place)["Body"].read() == body
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    client("s3").delete_object(**place)
    with pytest.raises(ClientError, match="NoSuchKey"):
        client("s3").get_object(**place)


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "events": ("put_events", {"Entries": [entry()]}),
    "eventbridgev2": ("put_events", {"EventBusArn": V2_BUS, "Entries": [entry()]}),
    "kinesis": ("put_records", {"StreamName": "s", "Records": [{"Data": b"x", "PartitionKey": "p"}]}),
    "sqs": ("send_message_batch", {"QueueUrl": QUEUE, "Entries": [{"Id": "0", "MessageBody": "x"}]}),
}


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
    operation, value = CALLS[service]
    with pytest.raises(ClientError) as error:
        getattr(client(service), operation)(**value)
    answer = error.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@pytest.mark.parametrize("server", ["fake", "ministack"])
def test_a_message_is_received_hidden_shown_again_and_deleted(request: pytest.FixtureRequest, server: str) -> None:
    """With what it was sent with; nobody else has it meanwhile; looking raises the count; what is deleted is gone."""
    sqs = request.getfixturevalue("client" if server == "fake" else "ministack_client")("sqs")
    url = QUEUE if server == "fake" else sqs.create_queue(QueueName="q")["QueueUrl"]
    attributes = {"reason": {"DataType": "String", "StringValue": "r"}}
    bodies = [f"a {SIGNS}", f"b {SIGNS}"]
    entries = [{"Id": body[0], "MessageBody": body, "MessageAttributes": attributes} for body in bodies]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
    assert {item["MD5OfMessageBody"] for item in sent} == {hashlib.md5(body.encode()).hexdigest() for body in bodies}

    def received() -> list[dict[str, Any]]:
        names = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30, **names)
        return list(answer.get("Messages", []))

    first, second = received()
    assert {first["MessageId"], second["MessageId"]} == {message["MessageId"] for message in sent}
    assert first["MessageAttributes"]["reason"]["StringValue"] == "r"
    assert int(first["Attributes"]["SentTimestamp"]) > 1_700_000_000_000
    assert (first["Attributes"]["ApproximateReceiveCount"], received()) == ("1", [])
    shown = {"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 0}
    assert sqs.change_message_visibility_batch(QueueUrl=url, Entries=[shown])["Successful"] == [{"Id": "0"}]
    (again,) = received()
    assert (again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]) == (first["MessageId"], "2")
    gone = {"Id": "0", "ReceiptHandle": again["ReceiptHandle"]}
    assert sqs.delete_message_batch(QueueUrl=url, Entries=[gone])["Successful"] == [{"Id": "0"}]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("0", "1")


def test_a_dead_letter_is_told_in_the_ledger_and_given_back_by_who_died(
    client: Client, fake_aws: FakeAwsProcess
) -> None:
    """Its event, reason and size as SQS counts it; a receipt that was never given is refused alone."""
    sqs, letter = client("sqs"), json.dumps({"origin": {"eventId": "e-1"}, "text": SIGNS})
    attributes = {
        "reason": {"DataType": "String", "StringValue": "refused"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    entries = [{"Id": "0", "MessageBody": letter, "MessageAttributes": attributes}]
    (sent,) = sqs.send_message_batch(QueueUrl=QUEUE, Entries=entries)["Successful"]
    (line,) = fake_aws.lines("SendMessageBatch", "accepted")[-1:]
    size = len(letter.encode()) + sum(map(len, ("reason", "String", "refused", "raw", "Binary"))) + 2
    assert (line["eventId"], line["note"], line["size"]) == ("e-1", "refused", size)
    assert sqs.receive_message(QueueUrl=QUEUE, VisibilityTimeout=600)["Messages"]
    assert [item["body"] for item in fake_aws.queues(show_all=True)["plain"]] == [letter]
    (message,) = sqs.receive_message(QueueUrl=QUEUE)["Messages"]
    value = [{"Id": "a", "ReceiptHandle": "never"}, {"Id": "b", "ReceiptHandle": message["ReceiptHandle"]}]
    answer = sqs.delete_message_batch(QueueUrl=QUEUE, Entries=value)
    assert answer["Successful"] == [{"Id": "b"}]
    assert [(item["Id"], item["Code"]) for item in answer["Failed"]] == [("a", "ReceiptHandleIsInvalid")]
    for operation in ("ReceiveMessage", "DeleteMessageBatch"):
        line = fake_aws.lines(operation, "accepted")[-1]
        assert (line["eventId"], line["partitionKey"]) == ("e-1", sent["MessageId"])


def test_rules_are_described_listed_and_tested(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Where the plan gives some; without, the endpoint has none of these calls."""
    events = client("events")
    with pytest.raises(ClientError, match="UnknownOperation"):
        events.describe_rule(Name="r", EventBusName="default")
    fake_aws.plan({"bus_rules": [{"Name": "r", "EventPattern": PATTERN, "Targets": ["arn:aws:sqs:us-east-1:1:t"]}]})
    rule = events.describe_rule(Name="r", EventBusName="default")
    assert (rule["State"], json.loads(rule["EventPattern"])) == ("ENABLED", PATTERN)
    assert [item["Name"] for item in events.list_rules(EventBusName="default")["Rules"]] == ["r"]
    targets = events.list_targets_by_rule(Rule="r", EventBusName="default")["Targets"]
    assert [target["Arn"] for target in targets] == ["arn:aws:sqs:us-east-1:1:t"]
    for event, result in ((EVENT, True), ({**EVENT, "detail-type": "z"}, False), ({**EVENT, "detail": {}}, False)):
        tested = events.test_event_pattern(EventPattern=json.dumps(PATTERN), Event=json.dumps(event))
        assert tested["Result"] is result


def test_an_event_that_a_rule_could_not_deliver_is_in_its_queue(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Of a classic bus the whole event, with EventBridge's attributes; of a v2 bus ids and times only."""
    fake_aws.plan({"undelivered": {"queue": "u", "code": "NO_PERMISSIONS", "tried": False}})
    client("events").put_events(Entries=[entry(Detail='{"eventId":"e","n":1}')])
    (message,) = fake_aws.queues()["u"]
    body = json.loads(message["body"])
    assert (body["source"], body["detail"]) == ("nice.cxone.webhook", {"eventId": "e", "n": 1})
    assert message["attributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert {"RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE"} == message["attributes"].keys()
    fake_aws.plan({"undelivered": {"queue": "v"}})
    client("eventbridgev2").put_events(
        EventBusArn=V2_BUS, Entries=[entry(SystemMetadata={"DeduplicationId": "undelivered-1"})]
    )
    (message,) = fake_aws.queues()["v"]
    body = json.loads(message["body"])
    assert body["failedMessages"][0]["deduplicationId"] == "undelivered-1"
    assert (body["retryAttempts"], body["exhaustedRetryCondition"]) == (3, "MaximumEventAgeInSeconds")
    assert "detail" not in body
