"""`stream-router dlq … --undelivered`: what the rule's target did not take, as the fake AWS plays it in both forms."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from stream_router.envelope import seal
from stream_router.model import event_id
from tests import dead_letters as dlq
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess

UNDELIVERED = "cxone-events-undelivered"
TARGET = "arn:aws:lambda:us-east-1:123456789012:function:target"
OURS = {**dlq.RULE, "Targets": [TARGET]}


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger.jsonl", {"bus_rules": [OURS]}, 7, "--payloads") as made:
        yield made


def plan(**more: Any) -> dict[str, Any]:
    return {"bus_rules": [OURS], "keep_records": True, **more}


def undelivered(fake_aws: FakeAwsProcess, count: int, **wanted: Any) -> set[str]:
    """Publish events, by a redrive, that the target does not take: their ids."""
    made = Letters(fake_aws).put(count, ("base64",))
    fake_aws.plan(plan(undelivered={"queue": UNDELIVERED, **wanted}))
    assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    fake_aws.plan(plan())
    assert len(fake_aws.queues()[UNDELIVERED]) == count
    return {one.event_id for one in made}


def _details(fake_aws: FakeAwsProcess) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in fake_aws.lines("PutEvents", "accepted"):
        found.setdefault(line["eventId"], []).append(json.loads(line["payload"]))
    return found


def test_they_are_counted_and_shown(fake_aws: FakeAwsProcess) -> None:
    """By EventBridge's error code, and whether a retry was made at all."""
    ids = undelivered(fake_aws, 6, code="NO_PERMISSIONS", message="not allowed", tried=False)
    listed = dlq.run(fake_aws, "list", "--undelivered").stdout
    assert f"{UNDELIVERED}: sampled 6 of about 6" in listed
    assert "6  NO_PERMISSIONS" in listed
    assert "6  no retry was made" in listed
    assert "6  function:target" in listed
    one = min(ids)
    shown = dlq.run(fake_aws, "show", one, "--undelivered").stdout
    assert "error       NO_PERMISSIONS: not allowed" in shown
    assert "retries     0, no retry was made" in shown
    assert "Zoë" not in shown
    assert "Zoë" in dlq.run(fake_aws, "show", one, "--undelivered", "--payload").stdout
    masked = dlq.run(fake_aws, "show", one, "--undelivered", "--payload", STREAM_ROUTER_MASKING="default").stdout
    assert "Zoë" not in masked
    assert len(fake_aws.queues()[UNDELIVERED]) == 6


def test_they_are_published_again_with_the_same_detail(fake_aws: FakeAwsProcess) -> None:
    """Byte for byte the Detail of before, and deleted after it was accepted."""
    ids = undelivered(fake_aws, 25)
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fake_aws.queues()[UNDELIVERED] == []
    details = _details(fake_aws)
    assert details.keys() == ids
    assert all(len(copies) == 2 and copies[0] == copies[1] for copies in details.values())


def test_who_else_gets_them_is_named_and_asked(fake_aws: FakeAwsProcess) -> None:
    """PutEvents knows no target: every rule that matches gets the events again."""
    undelivered(fake_aws, 3)
    other = {
        "Name": "others",
        "EventPattern": {"source": ["nice.cxone.webhook"]},
        "Targets": ["arn:aws:sqs:us-east-1:1:x"],
    }
    silent = {"Name": "silent", "EventPattern": {"source": ["else"]}, "Targets": ["arn:aws:sqs:us-east-1:1:y"]}
    fake_aws.plan(plan(bus_rules=[OURS, other, silent]))
    before = len(fake_aws.lines("PutEvents"))
    done = dlq.run(fake_aws, "redrive", "--undelivered")
    assert done.returncode == 1
    assert "they get these events too: rule others sends" in done.stdout
    assert "silent" not in done.stdout
    assert "--yes" in done.stderr
    assert len(fake_aws.lines("PutEvents")) == before
    assert len(fake_aws.queues()[UNDELIVERED]) == 3
    assert dlq.run(fake_aws, "redrive", "--undelivered", "--yes").returncode == 0


def test_the_bus_and_the_rule_are_proved_first(fake_aws: FakeAwsProcess) -> None:
    """As for our own dead letters."""
    undelivered(fake_aws, 3)
    fake_aws.plan(plan(bus_rules=[{**OURS, "State": "DISABLED"}]))
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--yes")
    assert done.returncode == 1
    assert "is disabled" in done.stderr
    assert len(fake_aws.queues()[UNDELIVERED]) == 3


def test_what_is_refused_again_stays_as_it_is(fake_aws: FakeAwsProcess) -> None:
    """EventBridge's message has no history of ours."""
    undelivered(fake_aws, 3)
    before = sorted(message["body"] for message in fake_aws.queues()[UNDELIVERED])
    fake_aws.plan(plan(rules=[{"operation": "PutEvents", "fault": "entry_error", "code": "MalformedDetail"}]))
    done = dlq.run(fake_aws, "redrive", "--undelivered")
    assert done.returncode == 1
    assert "3  refused (MalformedDetail)" in done.stdout
    assert sorted(message["body"] for message in fake_aws.queues()[UNDELIVERED]) == before


def test_export_takes_and_import_gives_back(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """The messages as they were, attributes too; what is still there is refused."""
    undelivered(fake_aws, 4, code="THROTTLING")
    before = sorted((m["body"], json.dumps(m["attributes"], sort_keys=True)) for m in fake_aws.queues()[UNDELIVERED])
    file = tmp_path / "u.jsonl"
    assert dlq.run(fake_aws, "export", str(file), "--undelivered", "--take").returncode == 0
    assert fake_aws.queues()[UNDELIVERED] == []
    assert dlq.run(fake_aws, "import", str(file), "--undelivered").returncode == 0
    after = sorted((m["body"], json.dumps(m["attributes"], sort_keys=True)) for m in fake_aws.queues()[UNDELIVERED])
    assert after == before
    again = dlq.run(fake_aws, "import", str(file), "--undelivered")
    assert again.returncode == 1
    assert "refused 4: still in the queue" in again.stdout


def test_a_target_that_still_refuses_is_told_after_one_round(fake_aws: FakeAwsProcess) -> None:
    """What was published again lies in the queue again: it is no success, and nothing went out a second time."""
    ids = undelivered(fake_aws, 3)
    fake_aws.plan(plan(undelivered={"queue": UNDELIVERED, "code": "NO_PERMISSIONS", "tried": False}))
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--rate", "0")
    assert done.returncode == 1
    assert "published again 3" in done.stdout
    assert "3 of them came back: the target still does not take them" in done.stderr
    assert dlq.accepted(fake_aws) == dict.fromkeys(ids, 2)
    assert len(fake_aws.queues(show_all=False)[UNDELIVERED]) == 3


@pytest.mark.long
def test_a_target_that_still_takes_nothing_gets_each_event_once(tmp_path: Path) -> None:
    """Two rounds: what comes back undelivered at once is not published again by the same redrive, and is told."""
    world = plan(undelivered={"queue": UNDELIVERED, "code": "NO_PERMISSIONS", "tried": False})
    with FakeAwsProcess(tmp_path / "ledger.jsonl", world, 7) as fake_aws:
        session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
        events = session.client("events", endpoint_url=fake_aws.url)
        for number in range(700):
            detail = {"eventId": f"{number:032x}", "eventSource": "cxone.webhook", "payload": "x" * 200_000}
            entry = {"Source": "nice.cxone.webhook", "DetailType": dlq.TYPES[0], "Detail": json.dumps(detail)}
            events.put_events(Entries=[entry])
        time.sleep(2.0)  # an answer's date is in whole seconds
        done = dlq.run(fake_aws, "redrive", "--undelivered", "--rate", "0")
        assert set(dlq.accepted(fake_aws).values()) == {2}
        assert done.returncode == 1
        assert "came since this redrive began" in done.stderr
        assert len(fake_aws.queues()[UNDELIVERED]) == 700


V2 = {"STREAM_ROUTER_EVENT_BUS": dlq.V2_BUS}


def _body(number: int) -> bytes:
    return json.dumps(
        {
            "interactionId": f"i-{number}",
            "eventType": dlq.TYPES[number % 3],
            "timestamp": "2026-11-24T10:30:00Z",
            "payload": {"n": number},
        }
    ).encode()


def test_on_a_v2_bus_they_are_found_in_the_stream_again(fake_aws: FakeAwsProcess) -> None:
    """Its record holds no payload: found by the token, be it the event's id or its place; what is gone is said."""
    fake_aws.plan(plan())
    session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    kinesis, sqs = (session.client(name, endpoint_url=fake_aws.url) for name in ("kinesis", "sqs"))
    now_ms = int(time.time() * 1000)
    sealed = event_id("hmac", "d-1", 0, _body(1))
    data = [seal(sealed, "delivery", now_ms, _body(1)), _body(2)]
    records = [{"PartitionKey": "p", "Data": one} for one in data]
    put = kinesis.put_records(StreamName="cxone-events", Records=records)["Records"]
    place = f"{put[1]['ShardId']}:{put[1]['SequenceNumber']}:0:0"
    for token in (sealed, place, "f" * 32):
        failed = {
            "eventId": "eb",
            "deduplicationId": token,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        body = {"errorCode": "X", "errorMessage": "no", "retryAttempts": 3, "failedMessages": [failed]}
        entry = {"Id": "0", "MessageBody": json.dumps(body)}
        url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{UNDELIVERED}"
        sqs.send_message_batch(QueueUrl=url, Entries=[entry])
    done = dlq.run(fake_aws, "redrive", "--undelivered", "--yes", **V2)
    assert "published again 2" in done.stdout, done.stdout + done.stderr
    assert "1  it is not in the stream any more" in done.stdout
    assert (
        "note: a v2 bus keeps no payload, so their Detail is made anew, and STREAM_ROUTER_MASKING is off here"
        in done.stdout
    )
    published = fake_aws.lines("PutEventsV2", "accepted")
    assert {line["id"] for line in published} == {sealed, place}
    assert {json.loads(line["payload"])["payload"]["n"] for line in published} == {1, 2}
    (left,) = fake_aws.queues()[UNDELIVERED]
    assert "f" * 32 in left["body"]
