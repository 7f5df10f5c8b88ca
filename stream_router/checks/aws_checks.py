"""Checks of what stands in AWS: stream, dead-letter queue, bucket, and the lease table against the stream."""

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.checks import stream_mark
from stream_router.checks.finding import MAY_NOT_ASK, Finding, Question, Verdict, ask, refused, well
from stream_router.errors import ABSENT, UNUSABLE_KEY, code_of

ONCE = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1}, max_pool_connections=50)
"""A start waits for no more than this; an outage is no reason to wait."""

LEAST_RETENTION_S = 4 * 24 * 3600
STREAM, QUEUE, BUCKET = "STREAM_ROUTER_STREAM", "SQS_DLQ_URL", "STREAM_ROUTER_OFFLOAD_BUCKET"
APPLICATION = "STREAM_ROUTER_APPLICATION"
LEASES_LOOKED_AT = 50


def stream(session: Session, name: str) -> Finding:
    """SR101: the stream is there."""
    kinesis = endpoints.client(session, "kinesis", ONCE)
    missing = ("there is no such stream in this region", "name another, or make it with `stream-router setup`")
    question = Question(
        *("SR101", STREAM, "the stream"),
        lambda: kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"],
        dict.fromkeys(ABSENT, missing),
    )
    no, status = ask(question)
    if no:
        return no
    if status in ("DELETING", "CREATING"):
        return Finding("SR101", STREAM, Verdict.WARNING, f"the stream is {status}", "wait, or name another")
    return well(question)


def stream_writable(session: Session, name: str) -> Finding:
    """SR102: events may be put there, by PutRecords' own DryRun: a receiver may have no other right.

    An emulator that ignores DryRun would store the record; it is asked for the stream instead (SR101).
    """
    kinesis = endpoints.client(session, "kinesis", ONCE)
    if not endpoints.is_aws(kinesis.meta.endpoint_url):
        return stream(session, name)
    question = Question("SR102", STREAM, "PutRecords", lambda: _dry_put(kinesis, name), _NO_PUT)
    no, _ = ask(question)
    return no or well(question)


_NO_PUT = {
    **dict.fromkeys(MAY_NOT_ASK, ("these credentials may not put records there", "grant kinesis:PutRecords")),
    **dict.fromkeys(ABSENT, ("there is no such stream in this region", "make it with `stream-router setup`")),
    **refused("its key cannot be used", UNUSABLE_KEY),
}


def _dry_put(kinesis: Any, name: str) -> None:
    try:
        kinesis.put_records(StreamName=name, Records=[{"Data": b"x", "PartitionKey": "x"}], DryRun=True)
    except ClientError as error:
        if code_of(error) != "DryRunOperationException":  # which says that it would have worked
            raise


def dead_letter_queue(session: Session, url: str, region: str) -> Finding:
    """SR103: the dead-letter queue is there, in this region, and keeps letters for some days."""
    host = urlsplit(url).hostname or ""
    if endpoints.is_aws(url) and f".{region}." not in f".{host}":
        return Finding(
            *("SR103", QUEUE, Verdict.WRONG, "the queue is in another region than AWS_REGION"),
            "name one of this region; `stream-router setup` makes one",
        )
    sqs = endpoints.client(session, "sqs", ONCE)
    missing = ("there is no such queue", "run `stream-router setup` without SQS_DLQ_URL, and set what it prints")
    question = Question(
        *("SR103", QUEUE, "the dead-letter queue"),
        lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]),
        dict.fromkeys(ABSENT, missing),
    )
    no, answer = ask(question)
    if no:
        return no
    kept_s = int(answer.get("Attributes", {}).get("MessageRetentionPeriod", LEAST_RETENTION_S))
    if kept_s < LEAST_RETENTION_S:
        problem = f"the queue keeps letters for {kept_s / 3600:g} hours only"
        return Finding("SR103", QUEUE, Verdict.WARNING, problem, "run `stream-router setup`, which sets 14 days")
    return well(question)


def offload_bucket(session: Session, name: str) -> Finding:
    """SR104: the bucket of claim checks is there, in our region: boto3 follows S3 to another, the uploads do not."""
    s3 = endpoints.client(session, "s3", ONCE)
    missing = ("there is no such bucket", "make it, name another, or unset it")
    question = Question(
        *("SR104", BUCKET, "the bucket"),
        lambda: s3.head_bucket(Bucket=name),
        dict.fromkeys({*ABSENT, "NotFound", "404"}, missing),
    )
    no, answer = ask(question)
    if no:
        return no
    region = answer.get("BucketRegion")
    if region and region != s3.meta.region_name and endpoints.is_aws(s3.meta.endpoint_url):
        return Finding("SR104", BUCKET, Verdict.WRONG, f"the bucket is in {region}", "name one in AWS_REGION")
    return well(question)


def lease_table(session: Session, application: str, stream_name: str, *, note: bool = False) -> Finding:
    """SR105: the application's checkpoints are of this stream.

    A lease's row names no stream, so the same application on another stream would begin at that one's checkpoints:
    beyond what is there, or in the middle. AWS refuses an iterator at a number that another stream gave; with an
    emulator the stream is compared with the one that `note` has noted.
    """
    dynamodb = endpoints.client(session, "dynamodb", ONCE)
    question = Question(
        *("SR105", APPLICATION, "the lease table"),
        lambda: dynamodb.scan(TableName=application, Limit=LEASES_LOOKED_AT),
        dict.fromkeys(ABSENT, ("there is none yet", "")),
    )
    no, answer = ask(question)
    if no and no.verdict is not Verdict.WRONG:
        return no
    checkpoints = _checkpoints(answer.get("Items", []) if answer else [])  # an application's first start finds no table
    kinesis = endpoints.client(session, "kinesis", ONCE)
    compare = functools.partial(_are_foreign, kinesis, stream_name, checkpoints)
    silent, foreign = ask(Question("SR105", APPLICATION, "the stream", compare, {}))
    if foreign:
        return _FOREIGN
    if not endpoints.is_aws(kinesis.meta.endpoint_url):
        mark, noted = stream_mark.of(kinesis, stream_name), stream_mark.read(dynamodb, application)
        if checkpoints and mark and noted and mark != noted:
            return _FOREIGN
        if note and mark and mark != noted:
            stream_mark.write(dynamodb, application, mark)
    return silent or well(question)


_FOREIGN = Finding(
    *("SR105", APPLICATION, Verdict.WRONG, "its checkpoints are of another stream (or of one deleted since)"),
    "give each stream an application of its own, or delete its lease table to read this stream anew",
)


def _checkpoints(rows: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Shard and sequence number of each lease that has one; other rows of the KCL's have no checkpoint."""
    found = [(row.get("leaseKey", {}).get("S", ""), row.get("checkpoint", {}).get("S", "")) for row in rows]
    return [(shard, number) for shard, number in found if number.isdigit()]


def _are_foreign(kinesis: Any, stream_name: str, checkpoints: list[tuple[str, str]]) -> bool:
    """Whether one of them is foreign. A refusal for one lease says nothing of the next.

    Raises ClientError where one was not compared, and none of the others is foreign; BotoCoreError where there is no
    answer, and so would be none for the next: a start does not wait for each of them.
    """
    unknown = None
    for shard, number in checkpoints:
        try:
            if _is_foreign(kinesis, stream_name, shard, number):
                return True
        except ClientError as error:
            unknown = error
    if unknown:
        raise unknown
    return False


def _is_foreign(kinesis: Any, stream_name: str, shard: str, number: str) -> bool:
    """Whether AWS says that the number is not this stream's; a shard that is gone says nothing of it.

    Raises ClientError where it was not compared.
    """
    try:
        kinesis.get_shard_iterator(
            StreamName=stream_name,
            ShardId=shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            StartingSequenceNumber=number,
        )
    except ClientError as error:
        if code_of(error) not in {"InvalidArgumentException", *ABSENT}:
            raise
        return "did not come from this stream" in error.response.get("Error", {}).get("Message", "")
    return False
