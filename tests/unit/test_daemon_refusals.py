"""Permissions that the KCL daemon lacks: found in its lines, logged in ours, and part of the worker's verdict."""

import logging

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.aws_error_codes import UNNAMED_RESOURCE, MissingPermission, describe_error, find_refusal
from stream_router.consumer.supervisor.daemon_refusals import REFUSAL_EXPIRY_S, DaemonRefusals

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/cxone-events"
USER = "User: arn:aws:iam::000000000000:user/consume is not authorized to perform"
RECORDED = (
    "cxone-events:shardId-000000000000 :  Exception thrown while fetching records from Kinesis software.amazon.awssdk."
    f"services.kinesis.model.AccessDeniedException: {USER}: kinesis:GetRecords on resource: {STREAM} because no "
    "identity-based policy allows the kinesis:GetRecords action (Service: Kinesis, Status Code: 400, Request ID: NNj)"
)
"""A line of KCL 3.5.1 against moto with IAM enforced (tests/worlds), shortened."""

GET_RECORDS = MissingPermission("kinesis:GetRecords", STREAM)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (RECORDED, GET_RECORDS),
        (f"{USER}: dynamodb:Query with an explicit deny", MissingPermission("dynamodb:Query", UNNAMED_RESOURCE)),
        (
            f'{USER}: s3:PutObject on resource: "arn:aws:s3:::b/k" because',
            MissingPermission("s3:PutObject", "arn:aws:s3:::b/k"),
        ),
        (
            'User u is not authorized to perform s3:PutObject on "arn:aws:s3:::b/k" because no',
            MissingPermission("s3:PutObject", "arn:aws:s3:::b/k"),
        ),
        ("Exception thrown while fetching records: Rate exceeded", None),
    ],
)
def test_a_refusal_is_read_from_awss_sentence(message: str, expected: MissingPermission | None) -> None:
    """With action and resource, as far as AWS names them."""
    assert find_refusal(message) == expected


def test_an_error_is_described_with_action_and_resource_if_it_is_a_refusal() -> None:
    """Otherwise its code is all that is known."""
    answer = {"Error": {"Code": "AccessDeniedException", "Message": RECORDED}}
    described = describe_error(ClientError(answer, "GetRecords"))  # type: ignore[arg-type]
    assert described == f"AccessDeniedException: kinesis:GetRecords on {STREAM} is refused"
    assert describe_error(EndpointConnectionError(endpoint_url="http://x")) == "EndpointConnectionError"


def test_a_refusal_is_logged_once_a_minute_and_is_over_when_it_stops(caplog: pytest.LogCaptureFixture) -> None:
    """Each line names program, action, resource and cure. The beginning stays while the refusal lasts."""
    now = 0.0
    refusals = DaemonRefusals(lambda: now, lambda: 1_000.0 + now)
    other = MissingPermission("dynamodb:UpdateItem", "arn:aws:dynamodb:us-east-1:000000000000:table/t")
    for second in range(100):
        now = float(second)
        refusals.note(GET_RECORDS)
        if second == 70:
            refusals.note(other)
    lines = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.__dict__["action"] for record in lines] == [*[GET_RECORDS.action] * 2, other.action]
    for word in ("stream-router consume", *GET_RECORDS, "setup --policy consume"):
        assert word in lines[0].getMessage()
    assert refusals.current() == [(GET_RECORDS, 1_000.0), (other, 1_070.0)]
    now = 71.0 + REFUSAL_EXPIRY_S
    assert refusals.current() == [(GET_RECORDS, 1_000.0)]
    now = 99.0 + REFUSAL_EXPIRY_S
    assert refusals.current() == []
