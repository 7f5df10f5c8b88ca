"""Checks of AWS and of Java before `receive` and `consume` start, and results of checks, also for `doctor`.

Only a definite failure ends a program at start. No answer, throttling or a 5xx is an outage, and a restart in an outage
makes it worse. A check that lacks permission is logged once.
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

ONCE = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1}, max_pool_connections=50)
"""Time limits of the calls at start. A start does not wait longer, even in an outage."""

LEAST_RETENTION_S = 4 * 24 * 3600
"""Minimum retention of a queue in seconds, so that its content outlasts a weekend.

This holds for dead letters, and for spilled events that no program drains.
"""

LEASES_LOOKED_AT = 50


class CheckVerdict(Enum):
    """Result of a check."""

    WELL = "well"
    WARNING = "warning"
    """Working, but not as it should; or the permission for the check is missing."""
    UNKNOWN = "unknown"
    """Missing answer, or an answer of a server that does not know the call."""
    WRONG = "wrong"
    """A definite failure."""
    SKIPPED = "skipped"
    """Nothing to check here, or a missing prerequisite."""


class Finding(NamedTuple):
    """Result of one check. `says` is the result, `cure` the action, `setting` the setting that has to change."""

    code: str
    setting: str
    verdict: CheckVerdict
    says: str
    cure: str = ""


def ok(code: str, says: str) -> Finding:
    """Return the finding of a success; `says` is the observation."""
    return Finding(code, "", CheckVerdict.WELL, says)


def warn(code: str, setting: str, says: str, what_to_do: str) -> Finding:
    """Return the finding that something works, but not as it should."""
    return Finding(code, setting, CheckVerdict.WARNING, says, what_to_do)


def wrong(code: str, setting: str, says: str, what_to_do: str) -> Finding:
    """Return the finding of a definite failure."""
    return Finding(code, setting, CheckVerdict.WRONG, says, what_to_do)


def unknown(code: str, setting: str, says: str, what_to_do: str) -> Finding:
    """Return the finding that a check has no result."""
    return Finding(code, setting, CheckVerdict.UNKNOWN, says, what_to_do)


def skipped(code: str, why: str) -> Finding:
    """Return the finding that a check was not made, and the reason."""
    return Finding(code, "", CheckVerdict.SKIPPED, why)


def at_start(checks: Iterable[Callable[[], Finding]]) -> None:
    """Run the checks of a program that is about to start. Raises SettingsError for the first definite failure."""
    for check in checks:
        finding = check()
        fields = {"code": finding.code, "setting": finding.setting, "cure": finding.cure}
        match finding.verdict:
            case CheckVerdict.WRONG:
                raise SettingsError(finding.setting, finding.says, finding.cure, code=finding.code)
            case CheckVerdict.WARNING:
                log.warning("a check at start: %s", finding.says, extra={"event": "check-warning", **fields})
            case CheckVerdict.UNKNOWN:
                log.info(
                    "a check at start had no answer: %s", finding.says, extra={"event": "check-unanswered", **fields}
                )


# --- calls to AWS, and the meaning of its refusals and of missing answers

LATER = "ask again later"
NO_WAY = "see that there is a way to it (DNS, a NAT or a VPC endpoint, a proxy), or ask again later"
UNCONNECTED = (EndpointConnectionError, ConnectTimeoutError)
"""Errors that a closed network causes more often than an outage of AWS."""
NOT_AWS = "check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, and what stands between here and there"

MAY_NOT_ASK = DENIED | {"403", "Forbidden"}
"""Codes of missing permission. They include those of S3's HEAD, whose answer has no body, and of a proxy."""

Told = tuple[str, str]
"""Problem and cure."""
No = Mapping[str, Told]
"""Refusals that are a definite failure, by AWS's error code; a missing resource is handled separately."""
NOTHING: No = {}


def refused(problem: str, codes: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a `No` of these codes, each with its cure from the table of codes."""
    return {code: (f"{problem} ({code})", find_cure(code)) for code in codes}


def ask(
    code: str, setting: str, subject: str, call: Callable[[], Any], gone: Told | None = None, no: No = NOTHING
) -> tuple[Finding | None, Any]:
    """Return the call's answer, or the finding of its error for the check `code` of `subject`.

    `gone` is the problem and cure if `subject` does not exist.
    """
    try:
        return None, call()
    except Exception as error:  # noqa: BLE001 - botocore's parsers may raise any exception, for example on a proxy's page
        return of_error(code, setting, subject, error, gone, no), None


def of_error(
    code: str, setting: str, subject: str, error: Exception, gone: Told | None = None, no: No = NOTHING
) -> Finding:
    """Return the finding of a check whose call raised `error`. `gone` and `no` are as in `ask`."""
    if isinstance(error, SettingsError):
        return of_problem(code, error.problems[0])
    if isinstance(error, ClientError):
        said_code = code_of(error)
        if gone and said_code in ABSENT | {"NotFound", "404"}:  # S3's HEAD has no body with a better code
            return wrong(code, setting, *gone)
        if said_code in no:
            return wrong(code, setting, *no[said_code])
        if said_code in MAY_NOT_ASK:
            problem = f"{subject} may not be looked at ({said_code})"
            return warn(code, setting, problem, "grant it (`stream-router setup --policy`), or be sure of the setting")
        why = "is not known to this emulator" if said_code in UNSUPPORTED_OPERATION else "could not be asked for"
        return unknown(code, setting, f"{subject} {why} ({said_code})", LATER)
    if isinstance(error, BotoCoreError):
        where, what_to_do = explain_no_answer(error)
        return unknown(code, setting, f"{subject} gave no answer{where}", what_to_do)
    says = f"{subject} could not be judged ({type(error).__name__}): another server than AWS's may have answered"
    return unknown(code, setting, says, NOT_AWS)


def of_problem(code: str, problem: SettingProblem) -> Finding:
    """Return a problem of a SettingsError as a finding. SR010 alone reports missing credentials."""
    if problem.setting == credentials.SETTING and code != "SR010":
        return skipped(code, "waits for SR010")
    return wrong(code, problem.setting, problem.located, problem.cure)


def explain_no_answer(error: BotoCoreError) -> tuple[str, str]:
    """Return the end of a sentence that says where no answer came from and why, and the cure.

    If the endpoint is not AWS's, the cure names its setting, which may be left over from a local test.
    """
    url = str(error.kwargs.get("endpoint_url") or "")
    kind = f" ({type(error).__name__})"
    if not url:
        return kind, LATER
    there = urlsplit(url).netloc
    if endpoints.is_aws(url):
        return f" at {there}{kind}", NO_WAY if isinstance(error, UNCONNECTED) else LATER
    named = [row.variable for row in reading.list_aws_settings() if "ENDPOINT" in row.variable and there in row.value]
    what_to_do = f"start what listens there, or unset {named[0] if named else 'endpoint_url in the profile'}"
    return f" at {there.rpartition('@')[2]}{kind}", what_to_do


def failure_of(error: ClientError | BotoCoreError) -> tuple[str, str]:
    """Return the failure as the end of a sentence (code, or host and kind of missing answer), and the cure."""
    if isinstance(error, BotoCoreError):
        where, what_to_do = explain_no_answer(error)
        return f"{where}", what_to_do
    code = code_of(error)
    return f" ({code})", find_cure(code)


def describe_call_error(error: Exception, policy: str) -> str:
    """Return a call's error in an operator's words; `policy` names the `setup --policy` whose rights it needs."""
    if isinstance(error, BotoCoreError):
        where, what_to_do = explain_no_answer(error)
        return f"no answer{where}; {what_to_do}"
    if isinstance(error, ClientError) and code_of(error) in MAY_NOT_ASK:
        return f"{error}; grant what `stream-router setup --policy {policy}` prints"
    return str(error)


# --- the checks at start


def stream(session: Session, name: str) -> Finding:
    """Check that the stream exists (SR101)."""
    kinesis = endpoints.create_client(session, "kinesis", ONCE)
    region = session.get_config_variable("region")
    cure_ = f"check that AWS_REGION ({region}) is right, name another stream, or make it with `stream-router setup`"
    missing = ("there is no such stream in this region", cure_)
    no, status = ask(
        *("SR101", STREAM, "the stream"),
        lambda: kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"],
        missing,
    )
    if no:
        return no
    if status in ("DELETING", "CREATING"):
        return warn("SR101", STREAM, f"the stream is {status}", "wait, or name another")
    return ok("SR101", f"{name} is there")


_NO_PUT = {
    **dict.fromkeys(MAY_NOT_ASK, ("these credentials may not put records there", "grant kinesis:PutRecords")),
    **refused("its key cannot be used", UNUSABLE_KEY),
}


def stream_writable(session: Session, name: str) -> Finding:
    """Check by PutRecords' own DryRun that events may be written (SR102): a receiver may have no other permission.

    An emulator that ignores DryRun would store the record, so there the check is that of SR101.
    """
    kinesis = endpoints.create_client(session, "kinesis", ONCE)
    if not endpoints.is_aws(kinesis.meta.endpoint_url):
        return stream(session, name)

    def try_it() -> None:
        try:
            kinesis.put_records(StreamName=name, Records=[{"Data": b"x", "PartitionKey": "x"}], DryRun=True)
        except ClientError as error:
            if code_of(error) != "DryRunOperationException":  # this error means that the call would have worked
                raise

    gone = ("there is no such stream in this region", "see SR101")
    no, _ = ask("SR102", STREAM, "PutRecords", try_it, gone, _NO_PUT)
    return no or ok("SR102", "PutRecords would work")


def dead_letter_queue(session: Session, url: str, region: str) -> Finding:
    """Check that the dead-letter queue exists in this region and keeps letters for LEAST_RETENTION_S (SR103)."""
    missing = ("there is no such queue", "run `stream-router setup` without SQS_DLQ_URL, and set what it prints")
    return _queue("SR103", QUEUE, ("the dead-letter queue", "letters"), session, url, region, missing)


def spill_queue(session: Session, url: str, region: str) -> Finding:
    """Check that the spill queue exists in this region and keeps events for LEAST_RETENTION_S (SR107).

    The setting itself refuses the URL of a FIFO queue.
    """
    missing = ("there is no such queue", "make it with `stream-router setup`, or name another")
    return _queue("SR107", SPILL_QUEUE, ("the spill queue", "events"), session, url, region, missing)


def _queue(
    code: str, setting: str, names: tuple[str, str], session: Session, url: str, region: str, missing: Told
) -> Finding:
    """Check a queue's region, existence and retention. `names` are the words for the queue and for its content."""
    about, content = names
    host = urlsplit(url).hostname or ""
    if endpoints.is_aws(url) and f".{region}." not in f".{host}":
        cure_ = "name one of this region; `stream-router setup` makes one"
        return wrong(code, setting, "the queue is in another region than AWS_REGION", cure_)
    sqs = endpoints.create_client(session, "sqs", ONCE)
    no, answer = ask(
        *(code, setting, about), lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]), missing
    )
    if no:
        return no
    kept_s = int(answer.get("Attributes", {}).get("MessageRetentionPeriod", LEAST_RETENTION_S))
    if kept_s < LEAST_RETENTION_S:
        problem = f"the queue keeps {content} for {kept_s / 3600:g} hours only"
        return warn(code, setting, problem, "run `stream-router setup`, which sets 14 days")
    return ok(code, url)


def offload_bucket(session: Session, name: str) -> Finding:
    """Check that the bucket of claim checks exists in our region (SR104).

    boto3 follows S3 to another region, but the calls that store claim checks do not.
    """
    s3 = endpoints.create_client(session, "s3", ONCE)
    missing = ("there is no such bucket", "make it, name another, or unset it")
    no, answer = ask("SR104", BUCKET, "the bucket", lambda: s3.head_bucket(Bucket=name), missing)
    if no:
        return no
    region = answer.get("BucketRegion")
    if region and region != s3.meta.region_name and endpoints.is_aws(s3.meta.endpoint_url):
        return wrong("SR104", BUCKET, f"the bucket is in {region}", "name one in AWS_REGION")
    return ok("SR104", f"{name} is there")


def lease_table(session: Session, application: str, stream_name: str) -> Finding:
    """Check that the application's checkpoints belong to this stream (SR105).

    A lease's row names no stream, so the same application on another stream would begin at the checkpoints of the first
    stream: beyond the records, or amid them. AWS refuses an iterator at a number that another stream gave. Most
    emulators accept any number, so there the check finds nothing.
    """
    dynamodb, kinesis = (endpoints.create_client(session, service, ONCE) for service in ("dynamodb", "kinesis"))
    no, answer = ask(
        *("SR105", APPLICATION, "the lease table"),
        lambda: dynamodb.scan(TableName=application, Limit=LEASES_LOOKED_AT)["Items"],
        ("there is none yet", ""),
    )
    if no and no.verdict is CheckVerdict.WRONG:
        return ok("SR105", "there is no lease table yet")
    if no:
        return no
    silent = None
    for row in answer:
        lease = Lease.parse(row)
        if lease is None or not lease.sequence_number.isdigit():  # a word of the KCL, such as TRIM_HORIZON
            continue
        asked = {
            "StreamName": stream_name,
            "ShardId": lease.shard_id,
            "StartingSequenceNumber": lease.sequence_number,
        }
        try:
            kinesis.get_shard_iterator(**asked, ShardIteratorType="AFTER_SEQUENCE_NUMBER")
        except ClientError as error:  # the error concerns this lease alone
            if "did not come from this stream" in error.response.get("Error", {}).get("Message", ""):
                says = "its checkpoints are of another stream (or of one deleted since)"
                cure_ = "give each stream an application of its own, or delete its lease table to read this stream anew"
                return wrong("SR105", APPLICATION, says, cure_)
            if code_of(error) not in {"InvalidArgumentException", *ABSENT}:  # otherwise a reshard removed the shard
                silent = of_error("SR105", APPLICATION, "the stream", error)
        except BotoCoreError as error:  # the next call would get no answer either
            return of_error("SR105", APPLICATION, "the stream", error)
    return silent or ok("SR105", "the checkpoints are of this stream")
