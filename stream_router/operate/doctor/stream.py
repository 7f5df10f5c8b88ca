"""Checks of the stream and its readers: existence, checkpoints, an owner for every shard, lag."""

import functools
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import checks
from stream_router.aws.endpoints import is_aws
from stream_router.aws_error_codes import ABSENT
from stream_router.checks import (
    APPLICATION,
    NOT_PERMITTED,
    STREAM,
    CheckVerdict,
    Finding,
    ok,
    report_error,
    skipped,
    try_call,
    unknown,
    warn,
    wrong,
)
from stream_router.consumer.supervisor.stream_watch import (
    StreamView,
    UnreadShard,
    unread,
)
from stream_router.leases import SHARD_END, TRIM_HORIZON, Lease, list_shards
from stream_router.operate import leases
from stream_router.operate.doctor.world import BOTH, CONSUME, RECEIVE, Check, Subject, World
from stream_router.operate.resources import count_messages


def _check_stream(world: World) -> Iterator[Finding]:
    name = world.settings.stream
    finding = checks.check_stream(world.session, name)
    yield finding
    if finding.verdict is not CheckVerdict.OK:
        return
    if is_aws(world.client("kinesis").meta.endpoint_url):
        yield checks.check_stream_writable(world.session, name)
    else:
        yield skipped("SR102", "an emulator might store the test record")


ITSELF = Subject({"SR101": Check("stream", BOTH, "holding"), "SR102": Check("writing to it", RECEIVE)}, _check_stream)

# --- the spill queue in front of it


def _check_spill(world: World) -> Iterator[Finding]:
    """Check the spill queue, and count the messages that wait there."""
    if world.receive is None:
        yield skipped("SR107", "waits for SR001")
        return
    url = world.receive.spill_queue
    if not url:
        yield skipped("SR107", "no spill queue is set")
        return
    queue = checks.check_spill_queue(world.session, url, world.settings.aws_region)
    yield queue
    if queue.verdict not in (CheckVerdict.OK, CheckVerdict.WARNING):
        return
    sqs = world.client("sqs")
    failed_check, attributes = try_call(
        *("SR154", checks.SPILL_QUEUE, "the number of its messages"),
        lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"],
    )
    if failed_check:
        yield failed_check
    elif count := count_messages(attributes):
        cure = "start a receiver, or see why the stream accepts no records"
        yield warn("SR154", checks.SPILL_QUEUE, f"{count} messages of accepted events wait", cure)
    else:
        yield ok("SR154", "none")


SPILL = Subject(
    {
        "SR107": Check("spill queue", RECEIVE, "spill"),
        "SR154": Check("spilled events", RECEIVE, "spill"),
    },
    _check_spill,
)

# --- its leases

LEASE_READS, LEASE_READ_INTERVAL_S = 7, 1.0
"""Reads of the lease table, and seconds between them.

A worker renews a lease three times in 10 s (failoverTimeMillis). So after 7 s the counter of each lease that is renewed
has changed.
"""

MAX_NAMED = 10
"""Most workers or shards that a finding names, so that its line stays readable."""

RESTART_CURE = (
    "start `stream-router consume`. One that runs restarts its daemon after three to four minutes without a reader, at "
    "most once in ten minutes; its log says why it takes no lease"
)

LAG_WARN_S = 300.0
LAG_SHARDS_MAX = 20
"""Most shards whose lag is measured. Each costs one of the five reads a second that the shard serves to all readers."""


def _check_leases(world: World) -> Iterator[Finding]:
    yield checks.check_lease_table(world.session, world.settings.application, world.settings.stream)
    failed_check, view = _read_view(world)
    if failed_check:
        yield failed_check
        return
    yield _check_owners(world, view)
    yield _check_lag(world, [lease for lease in view.leases.values() if lease.checkpoint != SHARD_END])


def _read_view(world: World) -> tuple[Finding | None, Any]:
    """Return None and the present view of shards and leases, or a finding and None if they cannot be read.

    The supervisor judges the same kind of view.
    """
    try:
        lease_rows = leases.read(world.client("dynamodb"), world.settings.application)
        shards = [*list_shards(world.client("kinesis"), world.settings.stream)]
    except leases.LeasesError as error:
        cure = error.cure
        if error.code in ABSENT:
            cure = "start `stream-router consume`; one that runs has to be restarted"
        judge = warn if error.code in ABSENT | NOT_PERMITTED else unknown
        return judge("SR160", APPLICATION, error.problem, cure), None
    except (ClientError, BotoCoreError) as error:
        return report_error("SR160", STREAM, "its shards", error, ("there is no such stream", "see SR101")), None
    return None, StreamView(world.now_s(), shards, lease_rows)


def _check_owners(world: World, first: StreamView) -> Finding:
    """Check that every readable shard has an owner that renews its lease, by the same function as the supervisor.

    `first` is an earlier view. The leases are read again until no shard is unread compared with it, at most LEASE_READS
    times.
    """
    latest, failed_check, unread_shards = first, None, list[UnreadShard]()
    for _ in range(LEASE_READS):
        world.wait(LEASE_READ_INTERVAL_S)
        failed_check, view = _read_view(world)
        if failed_check:
            continue  # only the last read counts: before it a worker may not have renewed yet
        latest = view
        # A shard whose lease was renewed since `first` is read.
        unread_shards = unread(latest, first)
        if not unread_shards:
            break
    if failed_check:
        return failed_check
    owners = {name: lease.owner for name, lease in latest.leases.items() if lease.checkpoint != SHARD_END}
    if unread_shards:
        examples = ", ".join(f"{shard.shard}: {shard.why}" for shard in unread_shards[:MAX_NAMED])
        observation = (
            f"{len(unread_shards)} of {len(owners) or len(latest.shards)} shards are read by nobody ({examples})"
        )
        return wrong("SR160", APPLICATION, observation, RESTART_CURE)
    workers = sorted({*owners.values()} - {""})
    more = f" and {len(workers) - MAX_NAMED} more" if len(workers) > MAX_NAMED else ""
    return ok("SR160", f"{len(owners)} leases, {len(workers)} workers: {', '.join(workers[:MAX_NAMED])}{more}")


def _check_lag(world: World, unfinished: list[Lease]) -> Finding:
    """Check the lag: the age of the oldest event after each shard's checkpoint.

    `unfinished` has the leases of the shards that were not read to their end.
    """
    summary = world.client("kinesis").describe_stream_summary(StreamName=world.settings.stream)
    retention_s = summary["StreamDescriptionSummary"]["RetentionPeriodHours"] * 3600
    lags_s: dict[str, float] = {}
    failed_lag_check: Finding | None = None
    for lease in unfinished[:LAG_SHARDS_MAX]:
        behind = functools.partial(_measure_lag_s, world, lease)
        failed_check, behind_s = try_call(
            "SR115",
            STREAM,
            f"the lag of {lease.shard_id}",
            behind,
            NO_LONGER_THERE,
            {"InvalidArgumentException": NO_LONGER_THERE},
        )
        if failed_check and failed_check.verdict is not CheckVerdict.WRONG:
            failed_lag_check = failed_check
        elif behind_s is not None:
            lags_s[lease.shard_id] = behind_s
    if not lags_s:
        return failed_lag_check or skipped("SR115", "no shard is read")
    shard = max(lags_s, key=lambda name: lags_s[name])
    observation = f"{lags_s[shard]:.0f} s behind at {shard}"
    if len(unfinished) > LAG_SHARDS_MAX:
        observation += f", of the {LAG_SHARDS_MAX} of {len(unfinished)} shards that were checked"
    if lags_s[shard] > retention_s / 2:
        observation += f"; events are lost {(retention_s - lags_s[shard]) / 3600:.0f} hours from now"
        return wrong(
            "SR115", STREAM, observation, "start `consume`, or more of it; its log says whether it holds, and why"
        )
    if lags_s[shard] > LAG_WARN_S:
        return warn(
            "SR115", STREAM, observation, "see SR160, and the log of `consume`: it holds, stands, or is too small"
        )
    return failed_lag_check or ok("SR115", observation)


NO_LONGER_THERE = ("it is gone", "")
"""Problem and cure if the stream no longer has a lease's shard, or if its checkpoint is of another stream.

It makes the call a definite failure, by which `_check_lag` knows that the lease has no lag; SR105 reports the cause.
"""


def _measure_lag_s(world: World, lease: Lease) -> float | None:
    """Return the age of the oldest event after the checkpoint in seconds; None if the checkpoint is not a position."""
    start: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
    if lease.checkpoint.sequence_number >= 0:
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": lease.sequence_number}
    elif lease.checkpoint != TRIM_HORIZON:
        return None
    kinesis: Any = world.client("kinesis")
    request = {"StreamName": world.settings.stream, "ShardId": lease.shard_id}
    iterator = kinesis.get_shard_iterator(**request, **start)["ShardIterator"]
    answer = kinesis.get_records(ShardIterator=iterator, Limit=1)
    for record in answer["Records"]:  # one at most; a read may also return none although later records exist
        return float(max(0.0, world.now_s() - record["ApproximateArrivalTimestamp"].timestamp()))
    return float(answer.get("MillisBehindLatest", 0)) / 1000


LEASES = Subject(
    {
        "SR105": Check("checkpoints", CONSUME),
        "SR160": Check("shards' owners", CONSUME, "unread-shards"),
        "SR115": Check("lag", CONSUME, "behind"),
    },
    _check_leases,
)
