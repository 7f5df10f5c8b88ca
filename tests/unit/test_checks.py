"""The checks at start: only a definite no ends a program."""

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.session import Session

from stream_router import checks
from stream_router.aws import endpoints
from stream_router.checks import CheckVerdict, Finding, run_start_checks
from stream_router.errors import SettingsError

REGION = "eu-west-1"
QUEUE = f"https://sqs.{REGION}.amazonaws.com/123456789012/dead"
SESSION = Session()
WELL, WARNING, UNKNOWN, WRONG = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.UNKNOWN, CheckVerdict.WRONG

Answer = dict[str, Any] | Exception


class Aws:
    """Every client at once; its calls are answered by script, in turn."""

    meta = SimpleNamespace(endpoint_url=f"https://x.{REGION}.amazonaws.com", region_name=REGION)

    def __init__(self, answers: list[Answer]) -> None:
        self._answers = list(answers)

    def __getattr__(self, _: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def no(code: str, message: str = "") -> Exception:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Asked")


def stream(status: str) -> Answer:
    return {"StreamDescriptionSummary": {"StreamStatus": status}}


def queue(kept_s: int) -> Answer:
    return {"Attributes": {"MessageRetentionPeriod": str(kept_s)}}


def rows(*checkpoints: str) -> Answer:
    leases = [
        {"leaseKey": {"S": "shardId-000000000000"}, "checkpoint": {"S": checkpoint}} for checkpoint in checkpoints
    ]
    return {"Items": [{"leaseKey": {"S": "Leader"}}, *leases]}


FOREIGN = no("InvalidArgumentException", "StartingSequenceNumber 495 did not come from this stream.")
THROTTLED = no("ProvisionedThroughputExceededException")


@pytest.mark.parametrize(
    ("code", "answers", "verdict"),
    [
        ("SR101", [no("ResourceNotFoundException")], WRONG),
        ("SR101", [no("AccessDeniedException")], WARNING),
        *(("SR101", [no(code)], UNKNOWN) for code in ("LimitExceededException", "ExpiredTokenException", "UnknownOp")),
        ("SR101", [KeyError("a proxy's page")], UNKNOWN),
        *(("SR101", [stream(status)], WELL) for status in ("ACTIVE", "UPDATING")),
        *(("SR101", [stream(status)], WARNING) for status in ("CREATING", "DELETING")),
        ("SR102", [no("DryRunOperationException")], WELL),
        *(("SR102", [no(code)], WRONG) for code in ("AccessDeniedException", "ResourceNotFoundException")),
        ("SR102", [no("KMSDisabledException")], WRONG),
        *(("SR102", [item], UNKNOWN) for item in (THROTTLED, no("KMSThrottlingException"))),
        *(("SR103", [no(code)], WRONG) for code in ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")),
        ("SR103", [no("AccessDenied")], WARNING),
        ("SR103", [no("ServiceUnavailable")], UNKNOWN),
        ("SR103", [queue(1_209_600)], WELL),
        ("SR103", [queue(3600)], WARNING),
        ("SR103 of us-east-1", [], WRONG),  # the queue's URL says its region
        ("SR107", [no("AWS.SimpleQueueService.NonExistentQueue")], WRONG),
        ("SR107", [no("AccessDenied")], WARNING),
        ("SR107", [no("ServiceUnavailable")], UNKNOWN),
        ("SR107", [queue(345_600)], WELL),
        ("SR107", [queue(345_599)], WARNING),
        ("SR107 of us-east-1", [], WRONG),
        *(("SR104", [no(code)], verdict) for code, verdict in (("404", WRONG), ("403", WARNING), ("503", UNKNOWN))),
        ("SR104", [{"BucketRegion": "us-east-1"}], WRONG),  # boto3 follows S3 there; the uploads do not
        ("SR105", [no("ResourceNotFoundException")], WELL),
        ("SR105", [rows("TRIM_HORIZON", "495"), FOREIGN], WRONG),
        ("SR105", [rows("494", "495"), THROTTLED, FOREIGN], WRONG),
        ("SR105", [rows("495"), no("ResourceNotFoundException")], WELL),
        ("SR105", [rows("495"), no("InvalidArgumentException")], WELL),
        ("SR105", [rows("495"), THROTTLED], UNKNOWN),
        ("SR105", [rows("495"), no("AccessDeniedException")], WARNING),
        # Of an outage one silence is enough: a chaos run found `consume` ended by it.
        *(
            ("SR105", [rows("49", "50"), kind(endpoint_url="https://kinesis", error="none")], UNKNOWN)
            for kind in (ConnectionClosedError, ReadTimeoutError, EndpointConnectionError)
        ),
    ],
)
def test_only_a_definite_no_is_one(
    monkeypatch: pytest.MonkeyPatch, code: str, answers: list[Answer], verdict: CheckVerdict
) -> None:
    """Throttled, failing, expired, silent, another server's answer: it may be there. What may not be asked is told."""
    aws = Aws(answers)
    monkeypatch.setattr(endpoints, "create_client", lambda *_: aws)
    look: dict[str, Callable[[], Finding]] = {
        "SR101": lambda: checks.check_stream(SESSION, "s"),
        "SR102": lambda: checks.check_stream_writable(SESSION, "s"),
        "SR103": lambda: checks.check_dead_letter_queue(SESSION, QUEUE, REGION),
        "SR103 of us-east-1": lambda: checks.check_dead_letter_queue(SESSION, QUEUE, "us-east-1"),
        "SR107": lambda: checks.check_spill_queue(SESSION, QUEUE, REGION),
        "SR107 of us-east-1": lambda: checks.check_spill_queue(SESSION, QUEUE, "us-east-1"),
        "SR104": lambda: checks.check_bucket(SESSION, "bucket"),
        "SR105": lambda: checks.check_lease_table(SESSION, "app", "s"),
    }
    check_result = look[code]()
    assert (check_result.code, check_result.verdict) == (code[:5], verdict), check_result
    assert check_result.cure or verdict is WELL


def test_a_no_ends_the_program_and_everything_else_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """One line with the code, as for every setting; a warning as such; what had no answer at INFO."""
    ends = [Finding("SR199", "SETTING", item, "problem", "cure") for item in (WARNING, UNKNOWN, WELL, WRONG)]
    with caplog.at_level(logging.INFO), pytest.raises(SettingsError, match=r"^SETTING: problem; cure \(SR199\)$"):
        run_start_checks([lambda end=end: end for end in ends])  # type: ignore[misc]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
