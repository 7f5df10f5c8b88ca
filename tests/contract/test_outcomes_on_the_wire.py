"""What `outcomes` makes of real answers: the fake AWS's faults one by one, and ministack's plain ones."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import cbor2
import certifi
import pytest

from stream_router import errors
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target, json_target
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer, Disposition, Refusal
from tests.contract.test_fakeaws_wire import V2_BUS
from tests.fakeaws.process import FakeAwsProcess

Send = Callable[[Target, bytes], Answer]
ENTRY = {"Source": "nice.cxone.webhook", "DetailType": "interaction.created", "Detail": '{"eventId":"outcome"}'}


@pytest.fixture
def send() -> Iterator[Send]:
    credentials = Credentials("AKIDEXAMPLE", "secret", None)
    transport = Transport(lambda: credentials, "us-east-1", certifi.where())

    def call(target: Target, body: bytes) -> Answer:
        answers: list[Answer] = []
        transport.start(target, body, 2.0, answers.append)
        deadline = time.monotonic() + 10
        while not answers and time.monotonic() < deadline:
            transport.pump(0.05)
        return answers[0]

    yield call
    transport.close()


def events(url: str) -> Target:
    return json_target(url, "events", "AWSEvents.PutEvents", "1.1")


def kinesis(url: str) -> Target:
    return json_target(url, "kinesis", "Kinesis_20131202.PutRecords", "1.1")


def sqs(url: str) -> Target:
    return json_target(url, "sqs", "AmazonSQS.SendMessageBatch", "1.0")


def v2(url: str) -> Target:
    headers = ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor")
    return Target(f"{url}/service/AWSEventsV2/operation/PutEvents", "events", headers)


def put_events(send: Send, url: str, count: int = 3) -> list[errors.Outcome] | Refusal:
    return errors.of_put_events(send(events(url), json.dumps({"Entries": [ENTRY] * count}).encode()), count)


def put_records(send: Send, url: str, stream: str = "s") -> list[errors.Outcome] | Refusal:
    body = {"StreamName": stream, "Records": [{"Data": "eHg=", "PartitionKey": "p"}] * 3}
    return errors.of_put_records(send(kinesis(url), json.dumps(body).encode()), 3)


def send_messages(send: Send, url: str, queue: str, *bodies: str) -> list[errors.Outcome] | Refusal:
    entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
    answer = send(sqs(url), json.dumps({"QueueUrl": queue, "Entries": entries}).encode())
    return errors.of_send_message_batch(answer, [hashlib.md5(body.encode()).hexdigest() for body in bodies])


def dispositions(found: list[errors.Outcome] | Refusal) -> list[tuple[Disposition | None, str]]:
    assert isinstance(found, list), found
    return [(outcome.disposition, outcome.code) for outcome in found]


def rule(fault: str, **more: Any) -> dict[str, Any]:
    return {"rules": [{"fault": fault, **more}]}


def test_entries_struck_alone_are_read_by_position(send: Send, fake_aws: FakeAwsProcess) -> None:
    """A failed entry among accepted ones is found at its own place, for PutEvents, v2, PutRecords and SQS."""
    struck = rule("entry_error", code="ThrottlingException", after=1, next=1)
    hold = [(None, ""), (Disposition.HOLD, "ThrottlingException"), (None, "")]
    fake_aws.plan(struck)
    assert dispositions(put_events(send, fake_aws.url)) == hold
    fake_aws.plan(struck)
    answer = send(v2(fake_aws.url), cbor2.dumps({"EventBusArn": V2_BUS, "Entries": [ENTRY] * 3}))
    assert dispositions(errors.of_put_events_v2(answer, 3)) == hold
    fake_aws.plan(struck)
    assert dispositions(put_records(send, fake_aws.url)) == hold
    fake_aws.plan(struck)
    assert dispositions(send_messages(send, fake_aws.url, "q", "a", "b", "c")) == hold


def test_messages_struck_by_fault_and_by_md5(send: Send, fake_aws: FakeAwsProcess) -> None:
    """A sender's fault is a dead end, a wrong MD5 is no proof."""
    fake_aws.plan(
        {
            "rules": [
                {"fault": "sender_fault", "code": "InvalidParameterValue", "where": "bad"},
                {"fault": "wrong_md5", "where": "bent"},
            ]
        }
    )
    found = dispositions(send_messages(send, fake_aws.url, "q", "good", "bad", "bent"))
    assert found == [
        (None, ""),
        (Disposition.DEAD_LETTER, "InvalidParameterValue"),
        (Disposition.RETRY, "Md5Mismatch"),
    ]


@pytest.mark.parametrize(
    ("plan", "disposition", "code", "verdict"),
    [
        (rule("call_error", code="ThrottlingException"), Disposition.HOLD, "ThrottlingException", "refused"),
        (rule("call_error", code="InternalException"), Disposition.HOLD, "InternalException", "refused"),
        (rule("call_error", code="ExpiredTokenException"), Disposition.HOLD, "ExpiredTokenException", "refused"),
        (rule("call_error", code="AccessDenied"), Disposition.HOLD, "AccessDenied", "refused"),
        (rule("call_error", code="ValidationException"), Disposition.BISECT, "ValidationException", "refused"),
        (rule("call_error", code="X", status=500, accept=True), Disposition.HOLD, "X", "dropped"),
        (rule("outage"), Disposition.HOLD, "ServiceUnavailableException", "refused"),
        (rule("reset"), Disposition.HOLD, "NoAnswer", "dropped"),
        (rule("reset", accept=False), Disposition.HOLD, "NoAnswer", "refused"),
        (rule("stall", stall_s=3), Disposition.HOLD, "NoAnswer", "dropped"),
        (rule("html"), Disposition.HOLD, "UnreadableAnswer", "dropped"),
        (rule("html", status=502), Disposition.HOLD, "Http502", "refused"),
        (rule("short"), Disposition.HOLD, "UnreadableAnswer", "dropped"),
    ],
)
def test_what_spoils_a_whole_call(
    send: Send,
    fake_aws: FakeAwsProcess,
    plan: dict[str, Any],
    disposition: Disposition,
    code: str,
    verdict: str,
) -> None:
    """Each fault of a whole call is a refusal of its kind, and the ledger says what became of the entries."""
    fake_aws.plan(plan)
    found = put_events(send, fake_aws.url)
    assert isinstance(found, Refusal)
    assert (found.disposition, found.code) == (disposition, code)
    expected = {"refused": "refused", "dropped": "accepted_then_dropped"}[verdict]
    assert [line["verdict"] for line in fake_aws.lines("PutEvents")[-3:]] == [expected] * 3


def test_refused_connections_are_no_answer_and_end(send: Send, fake_aws: FakeAwsProcess) -> None:
    """While nothing listens a call has no answer; when the window is over the same port answers again."""
    fake_aws.plan(rule("outage", how="refuse", from_s=0, to_s=1.5))
    deadline = time.monotonic() + 10
    found = put_events(send, fake_aws.url)
    assert isinstance(found, Refusal)
    assert found.code == "NoAnswer"
    while isinstance(put_events(send, fake_aws.url), Refusal):
        assert time.monotonic() < deadline, "the fake AWS did not come back"
        time.sleep(0.05)
