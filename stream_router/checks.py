"""Checks of AWS before `receive` and `consume` start, and the types of a check's result, which `doctor` uses too.

Only a definite failure ends a program at start. A missing answer, throttling or a 5xx is an outage, and a program that
ends in an outage is restarted again and again, which makes the outage worse. A check that lacks permission is logged
once.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from botocore.session import Session

from stream_router.aws import credentials, endpoints
from stream_router.aws_error_codes import ABSENT, DENIED, UNSUPPORTED_OPERATION, UNUSABLE_KEY, code_of, find_cure
from stream_router.errors import SettingProblem, SettingsError
from stream_router.leases import Lease
from stream_router.settings import reading

log = logging.getLogger(__name__)

STREAM, QUEUE, BUCKET = "STREAM_ROUTER_STREAM", "SQS_DLQ_URL", "STREAM_ROUTER_OFFLOAD_BUCKET"
SPILL_QUEUE = "STREAM_ROUTER_SPILL_QUEUE"
APPLICATION = "STREAM_ROUTER_APPLICATION"

NO_RETRIES_CONFIG = Config(
    connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1}, max_pool_connections=50
)
"""Time limits of each call of a check, in seconds. Without retries, a start is short even in an outage."""

MIN_RETENTION_S = 4 * 24 * 3600
"""Minimum retention of a queue in seconds, so that its content outlasts a weekend.

This holds for dead letters, and for spilled events that no program drains.
"""

MAX_LEASES_CHECKED = 50
"""Maximum number of rows of the lease table that a start checks, with one call to Kinesis each."""


class CheckVerdict(Enum):
    """Result of a check. The values are those of `doctor --json`."""

    OK = "well"
    WARNING = "warning"
    """Working, but not as it should; or the permission for the check is missing."""
    UNKNOWN = "unknown"
    """No answer, or an answer of a server that does not know the call."""
    WRONG = "wrong"
    """A definite failure."""
    SKIPPED = "skipped"
    """Nothing to check here, or a missing prerequisite."""


class Finding(NamedTuple):
    """Result of one check, for example SR101: what was observed, the setting that has to change, and the cure."""

    code: str
    setting: str
    verdict: CheckVerdict
    observation: str
    cure: str = ""


def ok(code: str, observation: str) -> Finding:
    """Return the finding of a success."""
    return Finding(code, "", CheckVerdict.OK, observation)


def warn(code: str, setting: str, observation: str, what_to_do: str) -> Finding:
    """Return the finding that something works, but not as it should."""
    return Finding(code, setting, CheckVerdict.WARNING, observation, what_to_do)


def wrong(code: str, setting: str, observation: str, what_to_do: str) -> Finding:
    """Return a finding that the check has failed for certain."""
    return Finding(code, setting, CheckVerdict.WRONG, observation, what_to_do)


def unknown(code: str, setting: str, observation: str, what_to_do: str) -> Finding:
    """Return the finding that a check has no result."""
    return Finding(code, setting, CheckVerdict.UNKNOWN, observation, what_to_do)


def skipped(code: str, reason: str) -> Finding:
    """Return the finding that a check was not made, and the reason."""
    return Finding(code, "", CheckVerdict.SKIPPED, reason)


def run_start_checks(checks: Iterable[Callable[[], Finding]]) -> None:
    """Run the checks of a program that is about to start, and log warnings and missing answers.

    Raises SettingsError for the first definite failure.
    """
    for check in checks:
        finding = check()
        fields = {"code": finding.code, "setting": finding.setting, "cure": finding.cure}
        match finding.verdict:
            case CheckVerdict.WRONG:
                raise SettingsError(finding.setting, finding.observation, finding.cure, code=finding.code)
            case CheckVerdict.WARNING:
                log.warning("a check at start: %s", finding.observation, extra={"event": "check-warning", **fields})
            case CheckVerdict.UNKNOWN:
                log.info(
                    "a check at start had no answer: %s",
                    finding.observation,
                    extra={"event": "check-unanswered", **fields},
                )


# --- calls to AWS, and the meaning of its refusals and of missing answers

CHECK_LATER = "ask again later"
CHECK_NETWORK = "see that there is a way to it (DNS, a NAT or a VPC endpoint, a proxy), or ask again later"
CONNECTION_ERRORS = (EndpointConnectionError, ConnectTimeoutError)
"""Errors that a closed network causes more often than an outage of AWS."""
CHECK_ENDPOINT = "check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, and what stands between here and there"

NOT_PERMITTED = DENIED | {"403", "Forbidden"}
"""Codes of missing permission. They include those of S3's HEAD, whose answer has no body, and of a proxy."""

ProblemAndCure = tuple[str, str]
ProblemByCode = Mapping[str, ProblemAndCure]
"""Problem and cure by AWS's error code, for refusals that are definite failures of a check."""
NO_PROBLEMS: ProblemByCode = {}


def describe_codes(problem: str, codes: Iterable[str]) -> dict[str, ProblemAndCure]:
    """Return `problem` for each of the codes, with the code's cure from `aws_error_codes`."""
    return {code: (f"{problem} ({code})", find_cure(code)) for code in codes}


def try_call(
    code: str,
    setting: str,
    subject: str,
    call: Callable[[], Any],
    absent: ProblemAndCure | None = None,
    problems: ProblemByCode = NO_PROBLEMS,
) -> tuple[Finding | None, Any]:
    """Make a call of a check. Return (None, its answer), or (the finding, None) if it fails.

    `code` is that of the check. `setting`, `subject`, `absent` and `problems` are those of `report_error`, which makes
    the finding.
    """
    try:
        return None, call()
    except Exception as error:  # noqa: BLE001 - botocore's parsers may raise any exception, for example on a proxy's page
        return report_error(code, setting, subject, error, absent, problems), None


def report_error(
    code: str,
    setting: str,
    subject: str,
    error: Exception,
    absent: ProblemAndCure | None = None,
    problems: ProblemByCode = NO_PROBLEMS,
) -> Finding:
    """Return the finding of the check `code` whose call about `subject` raised `error`.

    `subject` begins a sentence, for example "the stream", and `setting` is the setting that names it. `absent` is the
    problem and cure if it does not exist; None if that is not a definite failure. `problems` are the other definite
    failures.
    """
    if isinstance(error, SettingsError):
        return report_problem(code, error.problems[0])
    if isinstance(error, ClientError):
        aws_code = code_of(error)
        if absent and aws_code in ABSENT | {"NotFound", "404"}:  # S3's HEAD has no body with a better code
            return wrong(code, setting, *absent)
        if aws_code in problems:
            return wrong(code, setting, *problems[aws_code])
        if aws_code in NOT_PERMITTED:
            problem = f"{subject} may not be looked at ({aws_code})"
            return warn(code, setting, problem, "grant it (`stream-router setup --policy`), or be sure of the setting")
        reason = "is not known to this emulator" if aws_code in UNSUPPORTED_OPERATION else "could not be asked for"
        return unknown(code, setting, f"{subject} {reason} ({aws_code})", CHECK_LATER)
    if isinstance(error, BotoCoreError):
        where, what_to_do = explain_no_answer(error)
        return unknown(code, setting, f"{subject} gave no answer{where}", what_to_do)
    observation = f"{subject} could not be judged ({type(error).__name__}): another server than AWS's may have answered"
    return unknown(code, setting, observation, CHECK_ENDPOINT)


def report_problem(code: str, problem: SettingProblem) -> Finding:
    """Return a problem of a SettingsError as a finding of the check `code`.

    If credentials are missing, the finding of every check but SR010, which reports that, is `skipped`.
    """
    if problem.setting == credentials.SETTING and code != "SR010":
        return skipped(code, "waits for SR010")
    return wrong(code, problem.setting, problem.located, problem.cure)


def explain_no_answer(error: BotoCoreError) -> tuple[str, str]:
    """Return the end of a sentence about a call without an answer, such as ` at HOST (ReadTimeoutError)`, and the cure.

    If the endpoint is not AWS's, the cure names its setting, which may be left over from a local test.
    """
    url = str(error.kwargs.get("endpoint_url") or "")
    kind = f" ({type(error).__name__})"
    if not url:
        return kind, CHECK_LATER
    host = urlsplit(url).netloc
    if endpoints.is_aws(url):
        return f" at {host}{kind}", CHECK_NETWORK if isinstance(error, CONNECTION_ERRORS) else CHECK_LATER
    variables = [
        row.variable for row in reading.list_aws_settings() if "ENDPOINT" in row.variable and host in row.value
    ]
    setting = variables[0] if variables else "endpoint_url in the profile"
    host_without_user = host.rpartition("@")[2]
    return f" at {host_without_user}{kind}", f"start what listens there, or unset {setting}"


def describe_failure(error: ClientError | BotoCoreError) -> tuple[str, str]:
    """Return the end of a sentence about a failed call, such as ` (AccessDenied)` or ` at HOST (…)`, and the cure."""
    if isinstance(error, BotoCoreError):
        return explain_no_answer(error)
    code = code_of(error)
    return f" ({code})", find_cure(code)


def describe_call_error(error: Exception, policy: str) -> str:
    """Return a call's error and its cure in words for an operator.

    `policy` is the option of `setup --policy` that prints the permissions of the call, for example `consume`.
    """
    if isinstance(error, BotoCoreError):
        where, what_to_do = explain_no_answer(error)
        return f"no answer{where}; {what_to_do}"
    if isinstance(error, ClientError) and code_of(error) in NOT_PERMITTED:
        return f"{error}; grant what `stream-router setup --policy {policy}` prints"
    return str(error)


# --- the checks at start


def check_stream(session: Session, name: str) -> Finding:
    """Check that the stream exists (SR101)."""
    kinesis = endpoints.create_client(session, "kinesis", NO_RETRIES_CONFIG)
    region = session.get_config_variable("region")
    cure = f"check that AWS_REGION ({region}) is right, name another stream, or make it with `stream-router setup`"
    missing = ("there is no such stream in this region", cure)
    failure, status = try_call(
        *("SR101", STREAM, "the stream"),
        lambda: kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"],
        missing,
    )
    if failure:
        return failure
    if status in ("DELETING", "CREATING"):
        return warn("SR101", STREAM, f"the stream is {status}", "wait, or name another")
    return ok("SR101", f"{name} is there")


_PUT_PROBLEMS = {
    **dict.fromkeys(NOT_PERMITTED, ("these credentials may not put records there", "grant kinesis:PutRecords")),
    **describe_codes("its key cannot be used", UNUSABLE_KEY),
}


def check_stream_writable(session: Session, name: str) -> Finding:
    """Check with PutRecords and DryRun that events may be written (SR102): a receiver may have no other permission.

    An emulator that ignores DryRun would store the record, so there the check is that of SR101.
    """
    kinesis = endpoints.create_client(session, "kinesis", NO_RETRIES_CONFIG)
    if not endpoints.is_aws(kinesis.meta.endpoint_url):
        return check_stream(session, name)

    def put_dry_run() -> None:
        try:
            kinesis.put_records(StreamName=name, Records=[{"Data": b"x", "PartitionKey": "x"}], DryRun=True)
        except ClientError as error:
            if code_of(error) != "DryRunOperationException":  # this error means that the call would have worked
                raise

    missing = ("there is no such stream in this region", "see SR101")
    failure, _ = try_call("SR102", STREAM, "PutRecords", put_dry_run, missing, _PUT_PROBLEMS)
    return failure or ok("SR102", "PutRecords would work")


def check_dead_letter_queue(session: Session, url: str, region: str) -> Finding:
    """Check that the dead-letter queue exists in this region and keeps letters for MIN_RETENTION_S (SR103)."""
    missing = ("there is no such queue", "run `stream-router setup` without SQS_DLQ_URL, and set what it prints")
    return _check_queue("SR103", QUEUE, "the dead-letter queue", "letters", session, url, region, missing)


def check_spill_queue(session: Session, url: str, region: str) -> Finding:
    """Check that the spill queue exists in this region and keeps events for MIN_RETENTION_S (SR107).

    The setting itself refuses the URL of a FIFO queue.
    """
    missing = ("there is no such queue", "make it with `stream-router setup`, or name another")
    return _check_queue("SR107", SPILL_QUEUE, "the spill queue", "events", session, url, region, missing)


def _check_queue(
    code: str,
    setting: str,
    subject: str,
    content: str,
    session: Session,
    url: str,
    region: str,
    missing: ProblemAndCure,
) -> Finding:
    """Check a queue's region, existence and retention. `subject` and `content` are the finding's words for both."""
    host = urlsplit(url).hostname or ""
    if endpoints.is_aws(url) and f".{region}." not in f".{host}":
        cure = "name one of this region; `stream-router setup` creates one"
        return wrong(code, setting, "the queue is in another region than AWS_REGION", cure)
    sqs = endpoints.create_client(session, "sqs", NO_RETRIES_CONFIG)
    failure, answer = try_call(
        code, setting, subject, lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]), missing
    )
    if failure:
        return failure
    # An answer without the retention, which an emulator may give, counts as sufficient.
    retention_s = int(answer.get("Attributes", {}).get("MessageRetentionPeriod", MIN_RETENTION_S))
    if retention_s < MIN_RETENTION_S:
        problem = f"the queue keeps {content} for {retention_s / 3600:g} hours only"
        return warn(code, setting, problem, "run `stream-router setup`, which sets 14 days")
    return ok(code, url)


def check_bucket(session: Session, name: str) -> Finding:
    """Check that the bucket of claim checks exists in our region (SR104).

    boto3 follows S3 to another region, but the calls that store claim checks do not.
    """
    s3 = endpoints.create_client(session, "s3", NO_RETRIES_CONFIG)
    missing = ("there is no such bucket", "make it, name another, or unset it")
    failure, answer = try_call("SR104", BUCKET, "the bucket", lambda: s3.head_bucket(Bucket=name), missing)
    if failure:
        return failure
    region = answer.get("BucketRegion")
    if region and region != s3.meta.region_name and endpoints.is_aws(s3.meta.endpoint_url):
        return wrong("SR104", BUCKET, f"the bucket is in {region}", "name one in AWS_REGION")
    return ok("SR104", f"{name} is there")


def check_lease_table(session: Session, application: str, stream_name: str) -> Finding:
    """Check that the checkpoints in the application's lease table belong to this stream (SR105).

    A lease's row names no stream. If an application is used for a second stream, it begins there at the first stream's
    checkpoints: behind the last record, or between records that it then skips. AWS refuses an iterator at a sequence
    number of another stream, so the check asks for one per lease. Most emulators accept any number, and the check finds
    nothing there.
    """
    dynamodb = endpoints.create_client(session, "dynamodb", NO_RETRIES_CONFIG)
    kinesis = endpoints.create_client(session, "kinesis", NO_RETRIES_CONFIG)
    # A missing table is no failure, but without a problem for it `try_call` could not distinguish it from no answer.
    failure, rows = try_call(
        *("SR105", APPLICATION, "the lease table"),
        lambda: dynamodb.scan(TableName=application, Limit=MAX_LEASES_CHECKED)["Items"],
        ("there is none yet", ""),
    )
    if failure and failure.verdict is CheckVerdict.WRONG:
        return ok("SR105", "there is no lease table yet")
    if failure:
        return failure
    lease_failure = None
    for row in rows:
        lease = Lease.parse(row)
        if lease is None or not lease.sequence_number.isdigit():  # a word of the KCL, such as TRIM_HORIZON
            continue
        try:
            kinesis.get_shard_iterator(
                StreamName=stream_name,
                ShardId=lease.shard_id,
                StartingSequenceNumber=lease.sequence_number,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            )
        except ClientError as error:  # the error concerns this lease alone
            if "did not come from this stream" in error.response.get("Error", {}).get("Message", ""):
                problem = "its checkpoints are of another stream (or of one deleted since)"
                cure = "give each stream an application of its own, or delete its lease table to read this stream anew"
                return wrong("SR105", APPLICATION, problem, cure)
            if code_of(error) not in {"InvalidArgumentException", *ABSENT}:  # otherwise a reshard removed the shard
                lease_failure = report_error("SR105", APPLICATION, "the stream", error)
        except BotoCoreError as error:  # the next call would get no answer either
            return report_error("SR105", APPLICATION, "the stream", error)
    return lease_failure or ok("SR105", "the checkpoints are of this stream")
