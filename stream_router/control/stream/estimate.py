"""How long a reading will take, worked out before it starts."""

from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.control.stream.polite_reads import PACE_BYTES_PER_S, READ_BYTES
from stream_router.control.stream.reader import MOST_AT_ONCE, Span

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_FIRST_READS_S = 6.0
"""A polite reader begins with small reads."""

_MOST_POINTS = 1_440
"""Datapoints of one GetMetricStatistics (CloudWatch API reference)."""


class Estimate(NamedTuple):
    """`seconds` at most or about (`size_bytes` known), on shards that are equally full."""

    seconds: float
    size_bytes: int | None


def estimate(size_bytes: int | None, shards: int, span: Span) -> Estimate:
    """By what came into the stream; where that is not known, by what can have come: a shard takes 1 MB a second."""
    most_bytes = (span.until_ms - span.since_ms) / 1000 * READ_BYTES
    of_shard = most_bytes if size_bytes is None else size_bytes / max(1, shards)
    turns = max(1, ceil(shards / MOST_AT_ONCE))
    seconds = turns * (_FIRST_READS_S + of_shard / PACE_BYTES_PER_S)
    return Estimate(seconds, size_bytes)


def incoming_bytes(cloudwatch: "CloudWatchClient", stream: str, span: Span) -> int | None:
    """What came into the stream in the span, by CloudWatch's metric; None where it does not say."""
    minutes = ceil((span.until_ms - span.since_ms) / 60_000)
    try:
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis",
            MetricName="IncomingBytes",
            Dimensions=[{"Name": "StreamName", "Value": stream}],
            StartTime=datetime.fromtimestamp(span.since_ms / 1000, UTC),
            EndTime=datetime.fromtimestamp(span.until_ms / 1000, UTC),
            Period=60 * max(1, ceil(minutes / _MOST_POINTS)),
            Statistics=["Sum"],
        )
    except (BotoCoreError, ClientError):
        return None
    points = answer.get("Datapoints", [])
    return round(sum(point["Sum"] for point in points)) if points else None


def text(made: Estimate, shards: int) -> str:
    """The estimate as one sentence for an operator."""
    many = "1 shard" if shards == 1 else f"{shards} shards"
    pace = f", {MOST_AT_ONCE} shards at a time" if shards > MOST_AT_ONCE else ""
    if made.size_bytes is None:
        how_long = f"at most {duration(made.seconds)}, less where there is less than 1 MB a second"
    else:
        how_long = f"about {duration(made.seconds)} ({made.size_bytes / 1e6:,.1f} MB by CloudWatch)"
    return f"reading {many}, one read of at most about 1 MB a second each{pace}: {how_long}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h"
