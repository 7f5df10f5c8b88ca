"""`stream-router dlq … --undelivered`: what the rule's target did not take, as the fake AWS plays it in both forms."""

import json
import re
import time
from pathlib import Path
from typing import Any

import boto3

from tests import dead_letters as dlq
from tests.fakeaws.process import FakeAwsProcess

UNDELIVERED = "cxone-events-undelivered"
OURS = {**dlq.RULE, "Targets": ["arn:aws:lambda:us-east-1:123456789012:function:target"]}
OTHER = {"Name": "others", "EventPattern": {"source": ["nice.cxone.webhook"]}, "Targets": ["arn:aws:sqs:us-east-1:1:x"]}
SILENT = {"Name": "silent", "EventPattern": {"source": ["else"]}, "Targets": ["arn:aws:sqs:us-east-1:1:y"]}
V2 = {"STREAM_ROUTER_EVENT_BUS": dlq.V2_BUS}


def plan(**more: Any) -> dict[str, Any]:
    return {"bus_rules": [OURS, OTHER, SILENT], "keep_records": True, "shards": 2, **more}


FAKE_AWS = (plan(), 7)


def client(fake_aws: FakeAwsProcess, name: str) -> Any:
    session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    return session.client(name, endpoint_url=fake_aws.url)


def undelivered(
    fake_aws: FakeAwsProcess, count: int, tag: str = "unmasked", source: str = "nice.cxone.webhook"
) -> None:
    """Publish events that the target does not take."""
    wanted = {"queue": UNDELIVERED, "code": "NO_PERMISSIONS", "message": "not allowed", "tried": False}
    fake_aws.plan(plan(undelivered=wanted))
    for number in range(count):
        detail = {
            "eventId": f"{number:032x}",
            "eventSource": "cxone.webhook",
            "conversationId": f"c-{number % 5}",
            "receivedAt": f"2026-11-24T09:30:00.{number:03d}Z",
            "payload": {"name": "Zoë", "amount": 1.10},
            "metadata": {"complianceTag": tag},
        }
        entry = {"Source": source, "DetailType": dlq.TYPES[0], "Detail": json.dumps(detail)}
        client(fake_aws, "events").put_events(Entries=[entry])
    fake_aws.plan(plan())


def held(fake_aws: FakeAwsProcess) -> list[str]:
    return [message["body"] for message in fake_aws.queues()[UNDELIVERED]]


def test_the_bus_s_own_dead_letters_are_listed_too_and_replay_brings_them_back(fake_aws: FakeAwsProcess) -> None:
    """EventBridge keeps of an event that its key failed only what it encrypted; the form is its user guide's."""
    undelivered(fake_aws, 2)
    fake_aws.plan(plan(bus_dead_letters="arn:aws:sqs:us-east-1:123456789012:cxone-events-bus-undelivered"))
    queue = client(fake_aws, "sqs").get_queue_url(QueueName="cxone-events-bus-undelivered")["QueueUrl"]
    detail = {"event-bus-arn": "arn:aws:events:us-east-1:123456789012:event-bus/router", "encrypted-payload": "AgR4"}
    event = {"version": "0", "id": "1", "source": "aws.events", "detail-type": "Encrypted Events", "detail": detail}
    attributes = {"ERROR_CODE": {"DataType": "String", "StringValue": "KMS_DISABLED"}}
    message = {"Id": "0", "MessageBody": json.dumps(event), "MessageAttributes": attributes}
    client(fake_aws, "sqs").send_message_batch(QueueUrl=queue, Entries=[message])
    done = dlq.run(fake_aws, "list", "--undelivered")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if " holds about " in line] == [
        "cxone-events-undelivered holds about 2 messages",
        "cxone-events-bus-undelivered holds about 1 message",
    ]
    assert any(re.fullmatch(r" +1  KMS_DISABLED  Encrypted Events", line) for line in lines)
    target = {"STREAM_ROUTER_TARGET_DLQ_ARN": "arn:aws:sqs:us-east-1:123456789012:cxone-events-bus-undelivered"}
    redriven = dlq.run(fake_aws, "redrive", "--undelivered", "--yes", **target)
    assert "EventBridge keeps it encrypted: mend the key, then stream-router replay --since " in redriven.stdout


def test_they_are_counted_shown_and_exported(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """By EventBridge's error code, with ids; the event only where asked for, and masked where masking is on."""
    undelivered(fake_aws, 6)
    listed = dlq.run(fake_aws, "list", "--undelivered").stdout
    assert re.search(r"^ +6  NO_PERMISSIONS  interaction\.created$", listed, re.MULTILINE), listed
    (item, *_) = re.findall(r"\b[0-9a-f]{32}\b", listed)
    shown = dlq.run(fake_aws, "show", item, "--undelivered").stdout
    assert "error       NO_PERMISSIONS: not allowed" in shown
    assert "retries     0, no retry was made" in shown
    assert "function:target" in shown
    assert "1.1" not in shown
    assert '"amount": 1.1' in dlq.run(fake_aws, "show", item, "--undelivered", "--payload").stdout
    masked = dlq.run(fake_aws, "show", item, "--undelivered", "--payload", STREAM_ROUTER_MASKING="default").stdout
    assert "it is not known to be masked, and STREAM_ROUTER_MASKING is on now, so it is not shown" in masked
    file = tmp_path / "u.jsonl"
    assert dlq.run(fake_aws, "export", str(file), "--undelivered", "--reason", "NO_PERMISSIONS").returncode == 0
    assert len(file.read_text().splitlines()) == len(held(fake_aws)) == 6


def test_they_go_back_as_they_were_accepted(fake_aws: FakeAwsProcess) -> None:
    """Byte for byte the event, oldest first, once where two targets did not take it; who else gets it is said first."""
    undelivered(fake_aws, 25)
    bodies = {json.loads(body)["detail"]["eventId"]: body for body in held(fake_aws)}
    twice = fake_aws.queues()[UNDELIVERED][3]["body"]
    url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{UNDELIVERED}"
    client(fake_aws, "sqs").send_message_batch(QueueUrl=url, Entries=[{"Id": "0", "MessageBody": twice}])
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "matching rule of the bus gets these events again" in done.stdout
    assert "the target still seems to fail: the latest of these came" in done.stdout
    assert "resubmitted 25" in done.stdout
    assert "are listed by: stream-router dlq list --undelivered --since" in done.stdout
    result = dlq.on_stream(fake_aws)
    assert {event.event_id: json.loads(event.body) for event in result} == {i: json.loads(b) for i, b in bodies.items()}
    assert len(result) == 25
    assert all(item.kind == "entry" and item.resubmitted.startswith("undelivered/") for item in result)
    assert held(fake_aws) == []
    assert len(fake_aws.lines("DeleteMessageBatch", "accepted")) == 26


def test_what_was_published_unmasked_wants_a_word_where_masking_is_on(fake_aws: FakeAwsProcess) -> None:
    """An event goes back as it is, and so unmasked; how many that is stands before any goes."""
    undelivered(fake_aws, 3)
    undelivered(fake_aws, 2, tag="pii-masked")
    masking = {"STREAM_ROUTER_MASKING": "default"}
    done = dlq.run(fake_aws, "redrive", "--undelivered", **masking)
    assert re.search(
        r"^note: these stay 3\n +3  not known to be masked, .*--yes resubmits it", done.stdout, re.MULTILINE
    )
    assert "resubmitted 2" in done.stdout
    assert len(held(fake_aws)) == 3
    assert dlq.run(fake_aws, "redrive", "--undelivered", "--yes", **masking).returncode == 0
    assert held(fake_aws) == []


def test_what_is_not_ours_or_was_edited_stays(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Somebody else's event; one whose line was edited, since it goes back as it was or not at all."""
    undelivered(fake_aws, 2)
    file = tmp_path / "u.jsonl"
    assert dlq.run(fake_aws, "export", str(file), "--undelivered").returncode == 0
    undelivered(fake_aws, 1, source="somebody.else")
    first, second = file.read_text("utf-8").splitlines()
    file.write_text(f"{first}\n{second.replace('1.1', '1.10')}\n")
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--file", str(file))
    assert done.returncode == 0
    assert "its line was edited" in done.stdout
    other = dlq.run(fake_aws, "redrive", "--undelivered", "--dry-run")
    assert re.search(r"^ +1  the event is none that we publish$", other.stdout, re.MULTILINE)
    assert re.search(r"^ +1  published  interaction\.created$", other.stdout, re.MULTILINE), other.stdout
    assert len(dlq.on_stream(fake_aws)) == 1
    assert len(held(fake_aws)) == 2


def test_a_v2_bus_keeps_no_payload_so_replay_is_named(fake_aws: FakeAwsProcess) -> None:
    """With the event's id, and from before when EventBridge says that it was published."""
    at = time.gmtime(time.time() - 7200)
    failed = {"eventId": "eb", "deduplicationId": "a" * 32, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}
    body = {"errorCode": "X", "errorMessage": "no", "retryAttempts": 3, "failedMessages": [failed]}
    url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{UNDELIVERED}"
    entry = {"Id": "0", "MessageBody": json.dumps(body)}
    client(fake_aws, "sqs").send_message_batch(QueueUrl=url, Entries=[entry])
    done = dlq.run(fake_aws, "redrive", "--undelivered", **V2)
    assert done.returncode == 1
    since = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.mktime(at) - time.timezone - 3600))
    assert f"stream-router replay --since {since} --id {'a' * 32}" in done.stdout
    assert "error       X: no" in dlq.run(fake_aws, "show", "a" * 32, "--undelivered", **V2).stdout
    assert dlq.on_stream(fake_aws) == []


def test_who_looks_at_the_other_queue_is_told_so(fake_aws: FakeAwsProcess) -> None:
    """Each queue's messages are named for what they are by the other's command."""
    undelivered(fake_aws, 1)
    url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{UNDELIVERED}"
    done = dlq.run(fake_aws, "list", SQS_DLQ_URL=url)
    assert "EventBridge's own of a target (see SQS_DLQ_URL; --undelivered is for these)" in done.stdout
    dlq.Letters(fake_aws).put(1, ("base64",))
    arn = f"arn:aws:sqs:us-east-1:123456789012:{dlq.QUEUE_NAME}"
    done = dlq.run(fake_aws, "list", "--undelivered", STREAM_ROUTER_TARGET_DLQ_ARN=arn)
    assert "not a dead letter of EventBridge's, but one of ours (see STREAM_ROUTER_TARGET_DLQ_ARN)" in done.stdout
