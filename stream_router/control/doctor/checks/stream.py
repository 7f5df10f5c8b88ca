"""Checks of the stream: there, writable, readable, kept long enough, encrypted, read up to now."""

import functools
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from stream_router.checks import aws_checks
from stream_router.checks.finding import MAY_NOT_ASK, Finding, Question, Verdict, ask, refused, well
from stream_router.consumer.supervisor.watches.unread_shards import SHARD_END
from stream_router.control.doctor.say import SETUP, ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import ABSENT, UNUSABLE_KEY, code_of
from stream_router.operate.resources import RETENTION_HOURS, buckets_for

STREAM = "STREAM_ROUTER_STREAM"
LATE_S = 300.0
SHARDS_READ = 20
"""Shards of which the lag is read: one read each, of the five a second that a shard serves."""


def there(world: World) -> Finding:
    """SR101: the stream is there."""
    finding = aws_checks.stream(world.session, world.settings.stream)
    summary = world.maybe(world.stream)
    if finding.cure or summary is None:
        return finding
    mode = summary.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
    return ok("SR101", f"{world.settings.stream}: {summary['OpenShardCount']} shards, {mode.lower()}")


def writable(world: World) -> Finding:
    """SR102: events may be put there."""
    if not world.is_aws("kinesis"):
        return skipped("SR102", "an emulator might store what is only tried")
    return aws_checks.stream_writable(world.session, world.settings.stream)


_NO_GET = {
    **dict.fromkeys(MAY_NOT_ASK, ("these credentials may not read it", "grant kinesis:GetRecords")),
    **refused("its key cannot be used", UNUSABLE_KEY),
}


def readable(world: World) -> Finding:
    """SR110: events may be read from there, by GetRecords' own DryRun."""
    if not world.is_aws("kinesis"):
        return skipped("SR110", "emulators know no DryRun")
    shards = world.maybe(world.shards)
    if not shards:
        return skipped("SR110", "waits for SR101")
    kinesis, name = world.client("kinesis"), world.settings.stream

    def read() -> None:
        start = kinesis.get_shard_iterator(StreamName=name, ShardId=shards[-1]["ShardId"], ShardIteratorType="LATEST")
        try:
            kinesis.get_records(ShardIterator=start["ShardIterator"], Limit=1, DryRun=True)
        except ClientError as error:
            if code_of(error) != "DryRunOperationException":
                raise

    question = Question("SR110", STREAM, "GetRecords", read, _NO_GET)
    refused, _ = ask(question)
    return refused or well(question)


def retention(world: World) -> Finding:
    """SR111: the stream keeps events for a week, so that an outage of some days loses none."""
    summary = world.maybe(world.stream)
    if summary is None:
        return skipped("SR111", "waits for SR101")
    hours = summary["RetentionPeriodHours"]
    if hours < RETENTION_HOURS:
        says = f"keeps events for {hours} hours; what is not taken by then is lost"
        return warn("SR111", STREAM, says, f"{SETUP}, which sets {RETENTION_HOURS}")
    return ok("SR111", f"{hours} hours")


def encryption(world: World) -> Finding:
    """SR112: the stream is encrypted at rest."""
    summary = world.maybe(world.stream)
    if summary is None:
        return skipped("SR112", "waits for SR101")
    if summary.get("EncryptionType", "NONE") == "NONE":
        return warn("SR112", STREAM, "is not encrypted at rest", SETUP)
    return ok("SR112", str(summary.get("KeyId") or "encrypted"))


def buckets(world: World) -> Finding:
    """SR113: the receiver's buckets fill all shards."""
    summary = world.maybe(world.stream)
    if summary is None or world.receive is None:
        return skipped("SR113", "waits for SR001 and SR101")
    has, shards = world.receive.buckets, summary["OpenShardCount"]
    if has < (least := buckets_for(shards)):
        says = f"{has} buckets for {shards} shards: some shards get little, others too much"
        return warn("SR113", "STREAM_ROUTER_BUCKETS", says, f"set {least} in all receivers")
    return ok("SR113", f"{has} for {shards} shards")


def order(world: World) -> Finding:
    """SR114: Kinesis puts a conversation into one shard: a stream may be told to pass over partition keys."""
    summary = world.maybe(world.stream)
    if summary is None:
        return skipped("SR114", "waits for SR101")
    if str(summary.get("RecordDistributionStrategy", "")).upper() == "AUTO":
        says = "spreads records over shards whatever their key (AUTO), so a conversation's events lose their order"
        return warn("SR114", STREAM, says, "set its record distribution strategy back to the partition key")
    return ok("SR114", "by partition key")


def lag(world: World) -> Finding:
    """SR115: the consumer is up to date: the oldest event above each shard's checkpoint is a recent one."""
    leases, summary = world.maybe(world.leases), world.maybe(world.stream)
    if not leases or summary is None:
        return skipped("SR115", "waits for SR101 and the lease table (SR160)")
    kept_s = summary["RetentionPeriodHours"] * 3600
    rows = [row for row in leases if row["checkpoint"].get("S") != SHARD_END]
    late, unread = _late(world, rows[:SHARDS_READ])
    if unread and max(late.values(), default=0.0) <= LATE_S:
        return unread
    if not late:
        return skipped("SR115", "no shard is read")
    shard = max(late, key=lambda one: late[one])
    says = f"{late[shard]:.0f} s behind at {shard}"
    if len(rows) > SHARDS_READ:
        says += f", of the {SHARDS_READ} of {len(rows)} shards that were looked at"
    if late[shard] > kept_s / 2:
        says += f"; events are lost {(kept_s - late[shard]) / 3600:.0f} hours from now"
        return wrong("SR115", STREAM, says, "start `consume`, or more of it; its log says whether it holds, and why")
    if late[shard] > LATE_S:
        return warn("SR115", STREAM, says, "see SR160, and the log of `consume`: it holds, stands, or is too small")
    return ok("SR115", says)


def _late(world: World, rows: list[Any]) -> tuple[dict[str, float], Finding | None]:
    """How far each shard is behind, by seconds; and why one of them could not be read, None where all could."""
    late: dict[str, float] = {}
    unread = None
    for row in rows:
        shard = row["leaseKey"]["S"]
        look = functools.partial(_behind_s, world, shard, row["checkpoint"]["S"])
        refused, behind_s = ask(Question("SR115", STREAM, f"the lag of {shard}", look, _NO_SHARD))
        if behind_s is not None:
            late[shard] = behind_s
        elif refused and refused.verdict is not Verdict.WRONG:
            unread = unread or refused
    return late, unread


_NO_SHARD = dict.fromkeys((*ABSENT, "InvalidArgumentException"), ("it is gone", ""))
"""Of a lease whose shard the stream has no more, of a stream that is gone (SR101), of foreign checkpoints (SR105)."""


def _behind_s(world: World, shard: str, checkpoint: str) -> float | None:
    """Seconds since the oldest event above the checkpoint came; None for a shard that is read to its end."""
    kinesis: Any = world.client("kinesis")
    asked: dict[str, Any] = {"StreamName": world.settings.stream, "ShardId": shard}
    if checkpoint.isdigit():
        asked |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": checkpoint}
    elif checkpoint == "TRIM_HORIZON":
        asked |= {"ShardIteratorType": "TRIM_HORIZON"}
    else:
        return None
    start = kinesis.get_shard_iterator(**asked)["ShardIterator"]
    answer = kinesis.get_records(ShardIterator=start, Limit=1)
    if answer["Records"]:
        came: datetime = answer["Records"][0]["ApproximateArrivalTimestamp"]
        return max(0.0, world.now_s() - came.astimezone(UTC).timestamp())
    return float(answer.get("MillisBehindLatest", 0)) / 1000
