"""Resharding by UpdateShardCount: what stands against it, what it means, and its way to the end.

Rules: botocore model `kinesis`, UpdateShardCount.
"""

from collections.abc import Callable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

from stream_router.operate.resources import buckets_for

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

LEAST_SHARDS = 2
"""Fewer are advised nowhere: with one, a second consumer has nothing to do, and one child's trouble is everybody's."""
MOST_SHARDS = 10_000
FOLLOWED_EVERY_S = 2.0
FOLLOWED_FOR_S = 1_800.0

GOES_ON = "Kinesis goes on by itself; say the same again to see whether it is done"

RULES = (
    "rules: at most double, at least half at once; 10 times in 24 hours; multiples of 25 % are quickest",
    "while it lasts writing and reading go on; the consumer reads a closed shard to its end before its children,",
    "so order within a conversation stays, and new events wait while a closed shard has a backlog",
    "each shard has a child process of its own: see that the consumers' hosts have room for as many",
    "where a template owns the stream (CloudFormation, Terraform): change the number of shards there instead, or its",
    "next deployment may set the old number again",
)


def refusal(summary: Any, wanted: int, buckets: int) -> str:
    """Why the stream cannot have so many shards now; "" where it can. `summary` is DescribeStreamSummary's."""
    return next(_refusals(summary, wanted, buckets), "")


def _refusals(summary: Any, wanted: int, buckets: int) -> Iterator[str]:
    now, least = summary["OpenShardCount"], buckets_for(wanted)
    if summary.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND":
        yield "the stream is on demand: Kinesis reshards it by itself; switch it to provisioned first"
    if summary["StreamStatus"] != "ACTIVE":
        yield f"the stream is {summary['StreamStatus']}: wait until it is ACTIVE"
    if wanted > MOST_SHARDS:
        yield f"at most {MOST_SHARDS:,} shards"
    if wanted > 2 * now:
        yield f"at most double at once: first --to {2 * now}"
    if wanted < ceil(now / 2):
        yield f"at least half at once: first --to {ceil(now / 2)}"
    if buckets < least:
        yield (
            f"{wanted} shards want STREAM_ROUTER_BUCKETS of at least {least} (here it is {buckets}): set it in all "
            "receivers first, and here, or shards stay empty"
        )


def follow(
    kinesis: "KinesisClient", stream: str, wanted: int, clock: Callable[[], float], wait: Callable[[float], bool]
) -> Iterator[tuple[str, int]]:
    """Status and number of open shards, time after time, until it is done. Raises TimeoutError after half an hour."""
    until = clock() + FOLLOWED_FOR_S
    while True:
        summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        yield summary["StreamStatus"], summary["OpenShardCount"]
        if summary["StreamStatus"] == "ACTIVE" and summary["OpenShardCount"] == wanted:
            return
        if clock() > until:
            raise TimeoutError(
                f"after {FOLLOWED_FOR_S / 60:.0f} minutes the stream is {summary['StreamStatus']}, with "
                f"{summary['OpenShardCount']} shards open: {GOES_ON}"
            )
        if wait(FOLLOWED_EVERY_S):
            return
