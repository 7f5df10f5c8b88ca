"""Whether a target's resource policy lets EventBridge deliver, by the forms that IAM allows."""

from typing import Any

import pytest

from stream_router.operate.resources import eventbridge_statement
from stream_router.operate.target_access import allows

QUEUE = "arn:aws:sqs:us-east-1:123456789012:out"
RULE = "arn:aws:events:us-east-1:123456789012:rule/bus/ours"
OTHER = "arn:aws:events:us-east-1:123456789012:rule/bus/other"


def statement(**changes: Any) -> dict[str, Any]:
    return {**eventbridge_statement(QUEUE, RULE), **changes}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([statement()], True),
        (statement(), True),
        ([], False),
        ([statement(Principal="*")], True),
        ([statement(Principal={"AWS": "*"})], True),
        ([statement(Principal={"Service": ["sns.amazonaws.com", "events.amazonaws.com"]})], True),
        ([statement(Principal={"Service": "sns.amazonaws.com"})], False),
        ([statement(Action=["SQS:*"])], True),
        ([statement(Action="sqs:ReceiveMessage")], False),
        ([statement(Condition={"ArnEquals": {"aws:SourceArn": OTHER}})], False),
        ([statement(Condition={"ArnLike": {"AWS:SourceArn": "arn:aws:events:*:*:rule/bus/*"}})], True),
        ([statement(Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}})], True),
        ([statement(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}})], False),
        ([statement(Condition={"Bool": {"aws:SecureTransport": "true"}})], True),
        ([statement(), statement(Effect="Deny")], False),
        (
            [
                statement(),
                statement(Effect="Deny", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
            ],
            True,
        ),
    ],
)
def test_only_a_certain_refusal_counts(statements: Any, expected: bool) -> None:
    """Each form of principal, action and condition that the user guides of SQS, SNS and Lambda show."""
    assert allows({"Statement": statements}, "sqs:SendMessage", RULE) is expected
