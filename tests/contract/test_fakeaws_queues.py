"""The fake AWS's queues and rules, by boto3: held to what ministack answers where that speaks it too."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fakeaws.process import FakeAwsProcess

Client = Callable[[str], Any]
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/plain"
PATTERN = {"source": ["a"], "detail-type": ["x", "y"], "detail": {"eventSource": [{"prefix": "cxone"}]}}
EVENT = {
    "id": "1", "account": "1", "time": "2026-01-01T00:00:00Z", "region": "r", "resources": [],
    "source": "a", "detail-type": "y", "detail": {"eventSource": "cxone.webhook"},
}  # fmt: skip


@pytest.fixture(params=["fake", "ministack"])
def sqs(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """A client and the URL of an empty queue, of each of the two."""
    if request.param == "fake":
        return request.getfixturevalue("client")("sqs"), QUEUE
    client = request.getfixturevalue("ministack_client")("sqs")
    url = client.create_queue(QueueName="q")["QueueUrl"]
    client.purge_queue(QueueUrl=url)
    return client, url


def _send(sqs: Any, url: str, *bodies: str) -> list[str]:
    attributes = {"reason": {"DataType": "String", "StringValue": "r"}}
    entries = [{"Id": str(n), "MessageBody": body, "MessageAttributes": attributes} for n, body in enumerate(bodies)]
    return [one["MessageId"] for one in sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]]


def _receive(sqs: Any, url: str, hide_s: int = 30) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=hide_s,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return list(answer.get("Messages", []))


def test_what_was_sent_is_received_and_hidden(sqs: tuple[Any, str]) -> None:
    """With id, body, attributes, the time it was sent and how often it was received; the next reader gets nothing."""
    client, url = sqs
    ids = _send(client, url, "one", "two")
    got = _receive(client, url)
    assert {message["MessageId"]: message["Body"] for message in got} == dict(zip(ids, ("one", "two"), strict=True))
    assert got[0]["MessageAttributes"]["reason"]["StringValue"] == "r"
    assert int(got[0]["Attributes"]["SentTimestamp"]) > 1_700_000_000_000
    assert got[0]["Attributes"]["ApproximateReceiveCount"] == "1"
    assert _receive(client, url) == []


def test_visibility_given_back_shows_it_again_and_counts(sqs: tuple[Any, str]) -> None:
    """Looking raises the receive count."""
    client, url = sqs
    _send(client, url, "one")
    (message,) = _receive(client, url)
    entry = {"Id": "0", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
    answer = client.change_message_visibility_batch(QueueUrl=url, Entries=[entry])
    assert [one["Id"] for one in answer["Successful"]] == ["0"]
    (again,) = _receive(client, url)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["MessageId"] == message["MessageId"]


def test_what_is_deleted_is_gone_and_counted_no_more(sqs: tuple[Any, str]) -> None:
    """A wrong receipt fails alone."""
    client, url = sqs
    _send(client, url, "one", "two")
    messages = _receive(client, url)
    entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages[:1])]
    answer = client.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["0"]
    counts = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("0", "1")


def test_a_receipt_that_was_never_given_is_refused_alone(client: Client) -> None:
    """The others of its batch are carried out."""
    sqs = client("sqs")
    _send(sqs, QUEUE, "one")
    (message,) = _receive(sqs, QUEUE)
    entries = [{"Id": "a", "ReceiptHandle": "never"}, {"Id": "b", "ReceiptHandle": message["ReceiptHandle"]}]
    answer = sqs.delete_message_batch(QueueUrl=QUEUE, Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["b"]
    assert [(one["Id"], one["Code"]) for one in answer["Failed"]] == [("a", "ReceiptHandleIsInvalid")]


def test_the_ledger_names_the_message_and_its_event(client: Client, fake_aws: FakeAwsProcess) -> None:
    """So that a test can see what was accepted before a delete."""
    sqs = client("sqs")
    (identity,) = _send(sqs, QUEUE, json.dumps({"origin": {"eventId": "e-1"}}))
    (message,) = _receive(sqs, QUEUE)
    sqs.delete_message_batch(QueueUrl=QUEUE, Entries=[{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}])
    for operation in ("ReceiveMessage", "DeleteMessageBatch"):
        line = fake_aws.lines(operation, "accepted")[-1]
        assert (line["eventId"], line["partitionKey"]) == ("e-1", identity)


def test_who_died_with_messages_in_hand_gives_them_back(client: Client, fake_aws: FakeAwsProcess) -> None:
    """A test need not wait for a time-out."""
    sqs = client("sqs")
    _send(sqs, QUEUE, "one")
    assert _receive(sqs, QUEUE, 600)
    assert [one["body"] for one in fake_aws.queues(show_all=True)["plain"]] == ["one"]
    assert _receive(sqs, QUEUE)


def test_rules_are_described_listed_and_tested(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Where the plan gives some; without, the endpoint has none of these calls."""
    events = client("events")
    with pytest.raises(ClientError, match="UnknownOperation"):
        events.describe_rule(Name="r", EventBusName="default")
    fake_aws.plan({"bus_rules": [{"Name": "r", "EventPattern": PATTERN, "Targets": ["arn:aws:sqs:us-east-1:1:t"]}]})
    rule = events.describe_rule(Name="r", EventBusName="default")
    assert (rule["State"], json.loads(rule["EventPattern"])) == ("ENABLED", PATTERN)
    assert [one["Name"] for one in events.list_rules(EventBusName="default")["Rules"]] == ["r"]
    targets = events.list_targets_by_rule(Rule="r", EventBusName="default")["Targets"]
    assert [one["Arn"] for one in targets] == ["arn:aws:sqs:us-east-1:1:t"]
    for event, result in ((EVENT, True), ({**EVENT, "detail-type": "z"}, False), ({**EVENT, "detail": {}}, False)):
        tested = events.test_event_pattern(EventPattern=json.dumps(PATTERN), Event=json.dumps(event))
        assert tested["Result"] is result
    with pytest.raises(ClientError, match="ResourceNotFound"):
        events.describe_rule(Name="other", EventBusName="default")


def test_an_undelivered_event_of_a_classic_bus_is_the_whole_event(client: Client, fake_aws: FakeAwsProcess) -> None:
    """With EventBridge's attributes; the two about retries are absent where it went there straight."""
    fake_aws.plan({"undelivered": {"queue": "u", "code": "NO_PERMISSIONS", "tried": False}})
    sent = {"Source": "s", "DetailType": "t", "Detail": '{"eventId":"e","n":1}'}
    client("events").put_events(Entries=[sent])
    (message,) = fake_aws.queues()["u"]
    body = json.loads(message["body"])
    assert (body["source"], body["detail-type"], body["detail"]) == ("s", "t", {"eventId": "e", "n": 1})
    assert message["attributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert {"RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE"} == message["attributes"].keys()


def test_an_undelivered_event_of_a_v2_bus_has_no_payload(client: Client, fake_aws: FakeAwsProcess) -> None:
    """Ids and times only."""
    fake_aws.plan({"undelivered": {"queue": "u"}})
    bus = "arn:aws:events:us-east-1:123456789012:event-busv2/router/abcdefghijklmnopqrstuvwxy"
    sent = {"Source": "s", "DetailType": "t", "Detail": "{}", "SystemMetadata": {"DeduplicationId": "d-1"}}
    client("eventbridgev2").put_events(EventBusArn=bus, Entries=[sent])
    (message,) = fake_aws.queues()["u"]
    body = json.loads(message["body"])
    (failed,) = body["failedMessages"]
    assert failed["deduplicationId"] == "d-1"
    assert (body["retryAttempts"], body["exhaustedRetryCondition"]) == (3, "MaximumEventAgeInSeconds")
    assert "detail" not in body
