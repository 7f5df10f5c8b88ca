"""The checks at start: only a definite no ends a program, and each says what it means and what to do."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session
from botocore.stub import Stubber

from stream_router import checks
from stream_router.aws import endpoints
from stream_router.checks import LATER, NO_WAY, NOT_AWS, Finding, Verdict, ask, at_start, said, silence
from stream_router.consumer.supervisor import java
from stream_router.errors import SettingsError

REGION = "eu-west-1"
QUEUE = f"https://sqs.{REGION}.amazonaws.com/123456789012/dead"
SHARD = "shardId-000000000000"
SESSION = Session()


class Aws:
    """Clients whose next call is answered by script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stubs: dict[str, Stubber] = {}
        made = boto3.Session("AKIDEXAMPLE", "secret", region_name=REGION)
        for service in ("kinesis", "sqs", "s3", "dynamodb"):
            self._stubs[service] = Stubber(made.client(service))
            self._stubs[service].activate()
        monkeypatch.setattr(endpoints, "client", lambda _, service, __=None: self._stubs[service].client)

    def refuse(self, service: str, operation: str, code: str, message: str = "") -> None:
        self._stubs[service].add_client_error(operation, code, message)

    def answer(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        self._stubs[service].add_response(operation, answer)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    return Aws(monkeypatch)


def summary(status: str) -> dict[str, Any]:
    return {
        "StreamDescriptionSummary": {
            "StreamName": "s",
            "StreamARN": f"arn:aws:kinesis:{REGION}:123456789012:stream/s",
            "StreamStatus": status,
            "RetentionPeriodHours": 168,
            "StreamCreationTimestamp": 0,
            "EnhancedMonitoring": [],
            "OpenShardCount": 2,
        }
    }


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("ResourceNotFoundException", Verdict.WRONG),
        ("AccessDeniedException", Verdict.WARNING),
        ("LimitExceededException", Verdict.UNKNOWN),
        ("InternalFailure", Verdict.UNKNOWN),
        ("ExpiredTokenException", Verdict.UNKNOWN),
        ("UnknownOperationException", Verdict.UNKNOWN),
    ],
)
def test_only_not_found_is_a_no_for_a_stream(aws: Aws, code: str, verdict: Verdict) -> None:
    """Throttled, failing, expired: it may be there."""
    aws.refuse("kinesis", "describe_stream_summary", code)
    found = checks.stream(SESSION, "s")
    assert (found.code, found.verdict) == ("SR101", verdict)
    assert found.cure


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("x"), ValueError("x"), ResponseParserError("x")])
def test_what_is_no_answer_of_aws_s_is_not_a_no(error: Exception) -> None:
    """A page of a proxy, or another server at the endpoint: botocore's parsers raise what they stumble over."""

    def call() -> None:
        raise error

    found, _ = ask("SR101", "STREAM_ROUTER_STREAM", "the stream", call, {})
    assert found
    assert (found.verdict, found.cure) == (Verdict.UNKNOWN, NOT_AWS)


def test_an_answer_that_knows_no_stream_is_not_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore takes any 200 for the operation's answer, however little of it is there."""
    kinesis = SimpleNamespace(describe_stream_summary=lambda **_: {"ResponseMetadata": {}})
    monkeypatch.setattr(endpoints, "client", lambda *_: kinesis)
    found = checks.stream(SESSION, "s")
    assert (found.code, found.verdict, found.cure) == ("SR101", Verdict.UNKNOWN, NOT_AWS)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("ACTIVE", Verdict.WELL),
        ("UPDATING", Verdict.WELL),
        ("CREATING", Verdict.WARNING),
        ("DELETING", Verdict.WARNING),
    ],
)
def test_a_stream_that_changes_is_there(aws: Aws, status: str, verdict: Verdict) -> None:
    """A reshard is everyday; the others are told."""
    aws.answer("kinesis", "describe_stream_summary", summary(status))
    assert checks.stream(SESSION, "s").verdict is verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("DryRunOperationException", Verdict.WELL),
        ("AccessDeniedException", Verdict.WRONG),
        ("ResourceNotFoundException", Verdict.WRONG),
        ("KMSDisabledException", Verdict.WRONG),
        ("ProvisionedThroughputExceededException", Verdict.UNKNOWN),
        ("KMSThrottlingException", Verdict.UNKNOWN),
    ],
)
def test_putrecords_itself_says_whether_it_would_work(aws: Aws, code: str, verdict: Verdict) -> None:
    """By DryRun: nothing is stored."""
    aws.refuse("kinesis", "put_records", code)
    found = checks.stream_writable(SESSION, "s")
    assert (found.code, found.verdict) == ("SR102", verdict)


def test_an_emulator_is_not_asked_by_dry_run(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ignores it would store the record; it is asked for the stream."""
    monkeypatch.setattr(endpoints, "is_aws", lambda _: False)
    aws.answer("kinesis", "describe_stream_summary", summary("ACTIVE"))
    assert checks.stream_writable(SESSION, "s").code == "SR101"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", Verdict.WRONG),
        ("QueueDoesNotExist", Verdict.WRONG),
        ("AccessDenied", Verdict.WARNING),
        ("ServiceUnavailable", Verdict.UNKNOWN),
    ],
)
def test_a_queue_that_is_not_there_is_a_no(aws: Aws, code: str, verdict: Verdict) -> None:
    """It would show at the first dead letter, which then stops the shard."""
    aws.refuse("sqs", "get_queue_attributes", code)
    found = checks.dead_letter_queue(SESSION, QUEUE, REGION)
    assert (found.code, found.verdict) == ("SR103", verdict)


def test_a_queue_of_another_region_is_a_no(aws: Aws) -> None:
    """Its name says so; nobody is asked."""
    found = checks.dead_letter_queue(SESSION, QUEUE, "us-east-1")
    assert (found.code, found.verdict) == ("SR103", Verdict.WRONG)


@pytest.mark.parametrize(("kept_s", "verdict"), [("1209600", Verdict.WELL), ("3600", Verdict.WARNING)])
def test_a_queue_that_forgets_soon_is_told(aws: Aws, kept_s: str, verdict: Verdict) -> None:
    """Dead letters are for someone who comes after a weekend."""
    aws.answer("sqs", "get_queue_attributes", {"Attributes": {"MessageRetentionPeriod": kept_s}})
    assert checks.dead_letter_queue(SESSION, QUEUE, REGION).verdict is verdict


@pytest.mark.parametrize(("region", "verdict"), [("us-east-1", Verdict.WRONG), (REGION, Verdict.WELL)])
def test_a_bucket_in_another_region_is_a_no(aws: Aws, region: str, verdict: Verdict) -> None:
    """boto3 follows S3 there, and so finds it; the uploads, signed for AWS_REGION, do not."""
    aws.answer("s3", "head_bucket", {"BucketRegion": region})
    found = checks.offload_bucket(SESSION, "bucket")
    assert found.verdict is verdict
    assert (region in found.says) is (verdict is Verdict.WRONG)


@pytest.mark.parametrize(
    ("code", "verdict"), [("404", Verdict.WRONG), ("403", Verdict.WARNING), ("503", Verdict.UNKNOWN)]
)
def test_a_bucket_that_is_not_there_is_a_no(aws: Aws, code: str, verdict: Verdict) -> None:
    """HeadBucket has no body, so its code is the status."""
    aws.refuse("s3", "head_bucket", code)
    found = checks.offload_bucket(SESSION, "bucket")
    assert (found.code, found.verdict) == ("SR104", verdict)


def test_no_answer_names_the_variable_that_sends_the_call_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a trial left behind is no outage; of AWS's own the name says which way is closed."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    where, cure = silence(EndpointConnectionError(endpoint_url="http://127.0.0.1:9/"))
    assert where == " at 127.0.0.1:9 (EndpointConnectionError)"
    assert cure == "start what listens there, or unset AWS_ENDPOINT_URL_SQS"
    aws_s_own = EndpointConnectionError(endpoint_url="https://sqs.eu-central-1.amazonaws.com/")
    assert silence(aws_s_own) == (" at sqs.eu-central-1.amazonaws.com (EndpointConnectionError)", NO_WAY)
    late = ReadTimeoutError(endpoint_url="https://sqs.eu-central-1.amazonaws.com/")
    assert silence(late) == (" at sqs.eu-central-1.amazonaws.com (ReadTimeoutError)", LATER)


def leases(*checkpoints: str) -> dict[str, Any]:
    rows = [{"leaseKey": {"S": SHARD}, "checkpoint": {"S": checkpoint}} for checkpoint in checkpoints]
    return {"Items": [{"leaseKey": {"S": "Leader"}}, *rows]}


def test_checkpoints_of_another_stream_are_a_no(aws: Aws) -> None:
    """AWS's own words; the rows of the KCL that are no leases are passed over."""
    aws.answer("dynamodb", "scan", leases("TRIM_HORIZON", "495"))
    why = f"StartingSequenceNumber 495 used in GetShardIterator on shard {SHARD} did not come from this stream."
    aws.refuse("kinesis", "get_shard_iterator", "InvalidArgumentException", why)
    found = checks.lease_table(SESSION, "app", "s")
    assert (found.code, found.verdict, found.setting) == ("SR105", Verdict.WRONG, "STREAM_ROUTER_APPLICATION")


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("ResourceNotFoundException", Verdict.WELL),
        ("InvalidArgumentException", Verdict.WELL),
        ("ProvisionedThroughputExceededException", Verdict.UNKNOWN),
        ("AccessDeniedException", Verdict.WARNING),
    ],
)
def test_another_refusal_of_an_iterator_proves_nothing(aws: Aws, code: str, verdict: Verdict) -> None:
    """A shard that is gone since a reshard is no matter; what could not be compared is not called well."""
    aws.answer("dynamodb", "scan", leases("495"))
    aws.refuse("kinesis", "get_shard_iterator", code, "as scripted")
    assert checks.lease_table(SESSION, "app", "s").verdict is verdict


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "AccessDeniedException"])
def test_a_refusal_for_one_lease_hides_no_foreign_checkpoint(aws: Aws, code: str) -> None:
    """Many hosts that start at once ask for the same shard first; a later lease says no all the same."""
    aws.answer("dynamodb", "scan", leases("494", "495"))
    aws.refuse("kinesis", "get_shard_iterator", code)
    aws.refuse("kinesis", "get_shard_iterator", "InvalidArgumentException", "it did not come from this stream.")
    assert checks.lease_table(SESSION, "app", "s").verdict is Verdict.WRONG


@pytest.mark.parametrize("silence", [ConnectionClosedError, ReadTimeoutError, EndpointConnectionError])
def test_a_stream_that_does_not_answer_proves_nothing_of_the_checkpoints(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, silence: type[BotoCoreError]
) -> None:
    """A start in an outage of Kinesis goes on, and waits for one silence only. The lane found `consume` ended by it."""
    aws.answer("dynamodb", "scan", leases("49", "50"))
    asked: list[str] = []

    def get_shard_iterator(**named: str) -> None:
        asked.append(named["StartingSequenceNumber"])
        raise silence(endpoint_url="https://kinesis", error="none")

    kinesis = endpoints.client(SESSION, "kinesis")
    monkeypatch.setattr(kinesis, "get_shard_iterator", get_shard_iterator)
    assert checks.lease_table(SESSION, "app", "s").verdict is Verdict.UNKNOWN
    assert asked == ["49"]


def test_an_application_that_was_never_started_is_well(aws: Aws) -> None:
    """The daemon makes its table."""
    aws.refuse("dynamodb", "scan", "ResourceNotFoundException")
    assert checks.lease_table(SESSION, "app", "s").verdict is Verdict.WELL


@pytest.mark.parametrize("options", [["-Xmx1banana"], ["-Xms900000g"], ["-XX:NoSuchOption"]])
def test_options_with_which_no_jvm_starts_are_a_no(options: list[str], tmp_path: Path) -> None:
    """The JVM's own reason is in it, not what it says before; it leaves no report of its crash behind."""
    found = checks.jvm_starts(java.find_java(), options)
    assert (found.code, found.verdict) == ("SR106", Verdict.WRONG)
    assert checks._PREAMBLE not in found.says
    assert not list(Path.cwd().glob("hs_err_pid*"))


def test_options_with_which_it_starts_are_well() -> None:
    """As in consumer.properties."""
    assert checks.jvm_starts(java.find_java(), ["-Xmx256m"]).verdict is Verdict.WELL


def finding(verdict: Verdict) -> Finding:
    return Finding("SR199", "SETTING", verdict, "problem", "cure")


def test_a_no_ends_the_program_with_its_code() -> None:
    """One line, as for every setting."""
    with pytest.raises(SettingsError, match=r"^SETTING: problem; cure \(SR199\)$"):
        at_start([lambda: finding(Verdict.WELL), lambda: finding(Verdict.WRONG)])


def test_everything_else_is_told_and_the_program_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A warning as such; what had no answer at INFO, since an outage says enough elsewhere."""
    with caplog.at_level(logging.INFO):
        at_start([lambda: finding(Verdict.WARNING), lambda: finding(Verdict.UNKNOWN), lambda: finding(Verdict.WELL)])
    assert [(record.levelname, json.dumps(record.__dict__["code"])) for record in caplog.records] == [
        ("WARNING", '"SR199"'),
        ("INFO", '"SR199"'),
    ]


def test_a_call_that_was_denied_is_told_with_the_policy_that_grants_it() -> None:
    """AWS says what was denied; the command says where the right stands. Another refusal has no such cure."""
    denied, other = (ClientError({"Error": {"Code": code}}, "PutRule") for code in ("AccessDeniedException", "Limit"))
    assert said(denied, "setup").endswith(
        "PutRule operation: Unknown; grant what `stream-router setup --policy setup` prints"
    )
    assert "grant" not in said(other, "setup") + said(denied)


@pytest.mark.parametrize(
    "why",
    [
        "with an explicit deny in a service control policy",
        "with an explicit deny in an identity-based policy",
        "because no permissions boundary allows the kinesis:CreateStream action",
        "because no session policy allows the kinesis:CreateStream action",
        "because no VPC endpoint policy allows the kinesis:CreateStream action",
    ],
)
def test_where_another_policy_denies_no_grant_is_advised(why: str) -> None:
    """AWS names the policy; what the printed one grants does not outweigh it."""
    message = f"User: arn is not authorized to perform: kinesis:CreateStream on resource: arn {why}"
    answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": message}}
    line = said(ClientError(answer, "CreateStream"), "setup")
    assert "setup --policy" not in line
    assert line.endswith("; have the policy changed that AWS names, no grant outweighs it")


def test_where_nothing_grants_it_the_printed_policy_is_advised() -> None:
    """As AWS says it of a right that is merely lacking."""
    message = "arn is not authorized to perform: x because no identity-based policy allows the x action"
    answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": message}}
    assert said(ClientError(answer, "CreateStream"), "setup").endswith("`stream-router setup --policy setup` prints")
