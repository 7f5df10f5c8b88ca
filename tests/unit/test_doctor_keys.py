"""What `doctor` says of the KMS keys that EventBridge has to use: of the bus, of a target, of its dead-letter queue."""

import json
from typing import Any

import pytest

from stream_router.checks.finding import Verdict
from stream_router.control.doctor.checks import bus, target
from tests.unit.test_doctor_on_aws import ACCOUNT, FUNCTION, REGION, ROLE, RULE, Aws, _with_target, judged

pytestmark = pytest.mark.usefixtures("empty_environment")

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/cx"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"
BOTH = ("kms:GenerateDataKey*", "kms:Decrypt")
WELL, WRONG = Verdict.WELL, Verdict.WRONG


def _opens(actions: tuple[str, ...], source: str = "") -> dict[str, Any]:
    grant: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": actions}
    return {"Policy": json.dumps({"Statement": [grant | _from(source)]})}


def _from(source: str) -> dict[str, Any]:
    return {"Condition": {"ArnEquals": {"aws:SourceArn": source}}} if source else {}


def _sends_to(aws: Aws, key: str) -> None:
    """A queue that lets the rule in, under a key."""
    send = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    aws.world.once(f"url {ACCOUNT} q", lambda: "url")
    aws.world.once("queue url", lambda: {"Policy": json.dumps({"Statement": [send]}), "KmsMasterKeyId": key})


@pytest.mark.parametrize(("actions", "verdict"), [(BOTH, WELL), (BOTH[:1], WRONG), (BOTH[1:], WRONG)])
@pytest.mark.parametrize("is_target", [True, False])
def test_a_queue_s_key_must_let_eventbridge_encrypt_and_decrypt(
    monkeypatch: pytest.MonkeyPatch, is_target: bool, actions: tuple[str, ...], verdict: Verdict
) -> None:
    """SR140 and SR144: SQS asks both of whoever sends, whether the queue is the target or its dead-letter queue."""
    aws = Aws(monkeypatch)
    _sends_to(aws, KEY)
    aws.answer("kms", "get_key_policy", _opens(actions))
    if is_target:
        _with_target(aws, QUEUE)
        assert judged(aws, target.lets_eventbridge_in) is verdict
    else:
        _with_target(aws, FUNCTION, DeadLetterConfig={"Arn": QUEUE})
        assert judged(aws, target.takes_dead_letters) is verdict


@pytest.mark.parametrize("service", ["sqs", "sns"])
def test_a_target_under_a_key_that_aws_keeps_takes_nothing(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """SR140: its policy lets the rule in, and all ends in its dead-letter queue."""
    aws = Aws(monkeypatch)
    _with_target(aws, f"arn:aws:{service}:{REGION}:{ACCOUNT}:q")
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/{service}"
    _sends_to(aws, key)
    publish = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish"}
    topic = {"Policy": json.dumps({"Statement": [publish]}), "KmsMasterKeyId": key}
    aws.answer("sns", "get_topic_attributes", {"Attributes": topic})
    assert judged(aws, target.lets_eventbridge_in) is WRONG


def test_a_queue_in_another_account_is_reached_by_its_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR140: its policy lets that role in, and no service; what stands there is not ours to judge."""
    aws = Aws(monkeypatch)
    _with_target(aws, QUEUE.replace(ACCOUNT, "999999999999"), RoleArn=ROLE)
    assert judged(aws, target.lets_eventbridge_in) is WELL


@pytest.mark.parametrize(
    ("actions", "source", "verdict"),
    [
        (BOTH, BUS, WELL),
        (BOTH[:1], "", WRONG),
        (("kms:*",), RULE, WRONG),
    ],
)
def test_the_bus_s_key_must_be_open_to_eventbridge(
    monkeypatch: pytest.MonkeyPatch, actions: tuple[str, ...], source: str, verdict: Verdict
) -> None:
    """SR121: what EventBridge accepted and cannot encrypt is gone, unless the bus has a dead-letter queue."""
    aws = Aws(monkeypatch)
    aws.world.once("bus", lambda: {"Arn": BUS, "KmsKeyIdentifier": KEY, "DeadLetterConfig": {"Arn": QUEUE}})
    aws.answer("kms", "describe_key", {"KeyMetadata": {"KeyId": "1234abcd", "KeyState": "Enabled"}})
    aws.answer("kms", "get_key_policy", _opens(actions, source))
    assert judged(aws, bus.key) is verdict


def test_a_key_policy_that_may_not_be_read_is_taken_to_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR121: a right that is lacking says nothing of the key; nor can the key of another account be looked at."""
    aws = Aws(monkeypatch)
    aws.world.once("bus", lambda: {"Arn": BUS, "KmsKeyIdentifier": KEY, "DeadLetterConfig": {"Arn": QUEUE}})
    aws.answer("kms", "describe_key", {"KeyMetadata": {"KeyId": "1234abcd", "KeyState": "Enabled"}})
    aws.refuse("kms", "get_key_policy", "AccessDeniedException")
    assert judged(aws, bus.key) is WELL


def test_a_bus_under_a_key_is_to_have_a_dead_letter_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR121: PutEvents says yes, and what EventBridge then cannot encrypt has nowhere else to go."""
    aws = Aws(monkeypatch)
    aws.world.once("bus", lambda: {"Arn": BUS, "KmsKeyIdentifier": KEY})
    aws.answer("kms", "describe_key", {"KeyMetadata": {"KeyId": "1234abcd", "KeyState": "Enabled"}})
    aws.answer("kms", "get_key_policy", _opens(BOTH))
    assert judged(aws, bus.key) is Verdict.WARNING
