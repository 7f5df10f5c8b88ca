"""`stream-router shards [--to N]`: the load of each shard against its limits, and resharding with its rules explained.

The load is measured by reading the last minute of the stream: CloudWatch has metrics of single
shards only if enhanced monitoring is paid for.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import ceil, lcm
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.clients import Clients
from stream_router.leases import Shard
from stream_router.operate import stream as streams
from stream_router.operate.console import Stop, stopping, warn, write_line
from stream_router.operate.resources import MAX_BUCKETS, buckets_for
from stream_router.operate.stream import Piece, Span, UnreadableError
from stream_router.settings.receiver import Receiver

MEASURED_S = 60
"""Seconds of the stream that are measured: long enough for a mean of bursts, and read in about a minute."""

RECORDS_PER_S, BYTES_PER_S = 1_000, 1_000_000
"""Kinesis's limits of writing to a shard, per second (docs/facts.md)."""

FULL_SHARE, ROOMY_SHARE = 0.8, 0.25
"""Shares of a limit between which nothing is advised.

From FULL_SHARE on a burst may be refused; below ROOMY_SHARE half as many shards are enough.
"""

TARGET_SHARE = 0.5
"""Share of a limit to aim for when resharding: room for a burst, and for a catch-up beside new events."""

MIN_SHARDS = 2
"""Fewest shards that the advice names, however small the load is.

With a single shard a second consumer host would be idle, and a fault of the one child would stop all events.
"""

MAX_SHARDS = 10_000
"""Limit of UpdateShardCount (botocore model `kinesis`, as all rules here)."""

FOLLOW_INTERVAL_S, FOLLOW_LIMIT_S = 2.0, 1_800.0

RULES = (
    "rules: at most double, at least half at once; 10 times in 24 hours; multiples of 25 % are quickest",
    "while it lasts writing and reading go on; the consumer reads a closed shard to its end before its children,",
    "so order within a conversation stays, and new events wait while a closed shard has a backlog",
    "each shard has a child process of its own: see that the consumers' hosts have room for as many",
    "where a template owns the stream (CloudFormation, Terraform): change the number of shards there instead, or its",
    "next deployment may set the old number again",
)


class Load(NamedTuple):
    """Load of a shard. `key_share` is the part of all hash keys that it has (0.0 to 1.0)."""

    shard_id: str
    key_share: float
    records_per_s: float
    bytes_per_s: float

    @property
    def share(self) -> float:
        """Used share of the limit, of records or of bytes, that is nearer: 0.0 idle, 1.0 full."""
        return max(self.records_per_s / RECORDS_PER_S, self.bytes_per_s / BYTES_PER_S)


def run(settings: Receiver, to: int | None) -> int:
    """Show the load if `to` is None, else reshard to `to` shards.

    Return 0, or 1 with a line on standard error if it was not done.
    """
    clients = Clients(settings.aws_region)
    with stopping() as stop:
        try:
            problem = show_load(settings, clients, stop) if to is None else reshard(settings, to, clients, stop)
        except (UnreadableError, ClientError, BotoCoreError) as error:
            problem = str(error)
    if problem:
        warn(f"stream-router shards: {problem}")
    return 1 if problem else 0


# --- the load


def show_load(settings: Receiver, clients: Clients, stop: Stop) -> str:
    """Measure the load of each shard, and print it as a line for each, and an advice.

    A line has the shard's share of the hash keys, and its records and bytes per second with their shares of the limits.
    Return why nothing was measured; "" if it was.
    """
    now_ms = int(time.time() * 1000)
    span = Span(now_ms - MEASURED_S * 1000, now_ms)
    stream = streams.describe(clients.kinesis, settings.stream, span.since_ms, now_ms)
    loads = measure(streams.read(clients, stream, span, stop), stream.shards, span)
    if stop.requested:  # rates over a span that was read in part would be too low
        return "interrupted: nothing was measured"
    _print_line(f"{f'over {MEASURED_S} s':<22}{'keys':>6}{'rec/s':>8}{'':>5}{'kB/s':>8}{'':>5}")
    for load in loads:
        records, size = load.records_per_s / RECORDS_PER_S, load.bytes_per_s / BYTES_PER_S
        _print_line(
            f"{load.shard_id:<22}{load.key_share:>6.1%}{load.records_per_s:>8,.1f}{records:>5.0%}"
            f"{load.bytes_per_s / 1000:>8,.1f}{size:>5.0%}"
        )
    groups = settings.buckets if settings.ordering == "conversation" else 0
    _print_line(advise(loads, on_demand=stream.on_demand, groups=groups))
    return ""


def measure(pieces: Iterable[Piece], shards: Mapping[str, Shard], span: Span) -> list[Load]:
    """Return the mean load of each open shard over the span.

    `pieces` has the user records of the span. The limit is of Kinesis records, so the user records of one Kinesis
    record count as one.
    """
    seconds = (span.until_ms - span.since_ms) / 1000
    records: Counter[str] = Counter()
    size: Counter[str] = Counter()
    latest: dict[str, int] = {}
    for piece in pieces:
        name = piece.shard.shard_id
        for record in piece.records:  # in the shard's order, so that those of one Kinesis record follow each other
            records[name] += record.position.sequence_number != latest.get(name)
            latest[name] = record.position.sequence_number
            size[name] += len(record.data)
    return [
        Load(
            shard.shard_id,
            (shard.last_hash_key - shard.first_hash_key + 1) / 2**128,
            records[shard.shard_id] / seconds,
            size[shard.shard_id] / seconds,
        )
        for shard in shards.values()
        if shard.is_open
    ]


def advise(loads: list[Load], *, on_demand: bool = False, groups: int = 0) -> str:
    """Return one sentence of advice. Kinesis itself reshards a stream that is `on_demand`.

    `groups` is the receivers' number of partition groups if conversations keep their order, else 0.
    """
    hottest = max(loads, key=lambda load: load.share)
    total = sum(load.share for load in loads)
    if hottest.share >= FULL_SHARE and hottest.share > 2 * total / len(loads):
        return (
            f"{hottest.shard_id} is far fuller than the others: more shards help only where its load comes from many "
            "conversations (STREAM_ROUTER_BUCKETS, at least 4 for each shard)"
        )
    if on_demand:
        return "the stream is on demand: Kinesis adds shards, and takes them away, by itself"
    if hottest.share >= FULL_SHARE:
        more = range(max(len(loads) + 1, ceil(total / TARGET_SHARE)), 2 * len(loads) + 1)
        return f"nearly full: `stream-router shards --to {_choose_shard_count(more, groups)}`"
    if len(loads) > MIN_SHARDS and hottest.share < ROOMY_SHARE:
        fewer = range(ceil(len(loads) / 2), len(loads))
        to = _choose_shard_count(fewer, groups)
        return f"half as many shards would do at this load: `stream-router shards --to {to}`"
    return "nothing to do"


def _choose_shard_count(numbers: range, groups: int) -> int:
    """Return the first of `numbers` that keeps the order of conversations; the first of all if none does.

    With `groups` 0 order is not needed, so every number is suitable.
    """
    keeping = [number for number in numbers if number in shard_counts_keeping_order(groups)] if groups else []
    return keeping[0] if keeping else numbers.start


# --- resharding


def reshard(settings: Receiver, wanted: int, clients: Clients, stop: Stop) -> str:
    """Reshard the stream to `wanted` shards, and print the progress until it is done.

    Return why it was refused, or is not known to be done; "" if it is done.
    """

    def summary() -> Any:
        return clients.kinesis.describe_stream_summary(StreamName=settings.stream)["StreamDescriptionSummary"]

    current_summary = summary()
    if wanted == current_summary["OpenShardCount"]:
        _print_line(f"stream {settings.stream} has {wanted} shards already")
        return ""
    for line in RULES:
        _print_line(line)
    ordered = settings.ordering == "conversation"
    if ordered:
        counts = _join_with_or(shard_counts_keeping_order(settings.buckets))
        _print_line(f"{counts} shards keep order with {settings.buckets} partition groups")
    if problem := next(find_refusals(current_summary, wanted, settings.buckets, ordered=ordered), ""):
        return problem
    clients.kinesis.update_shard_count(
        StreamName=settings.stream, TargetShardCount=wanted, ScalingType="UNIFORM_SCALING"
    )
    _print_line(f"stream {settings.stream}: from {current_summary['OpenShardCount']} shards to {wanted}")
    until_s, shown_state = time.monotonic() + FOLLOW_LIMIT_S, ""
    while True:
        current_summary = summary()
        state = f"{current_summary['StreamStatus']}, {current_summary['OpenShardCount']} shards open"
        if state != shown_state:
            _print_line(state)
            shown_state = state
        if current_summary["StreamStatus"] == "ACTIVE" and current_summary["OpenShardCount"] == wanted:
            _print_line("done")
            return ""
        if stop.wait(FOLLOW_INTERVAL_S) or time.monotonic() > until_s:
            note = "Kinesis continues by itself; run the same command again to see whether it is done"
            return f"no longer followed, the stream is {state}: {note}"


def find_refusals(summary: Any, wanted: int, groups: int, *, ordered: bool = False) -> Iterator[str]:
    """Yield why the stream cannot have `wanted` shards now.

    `summary` is the answer of DescribeStreamSummary.

    `groups` is the receivers' number of partition groups; `ordered`: conversations have to keep
    their order.
    """
    now, least = summary["OpenShardCount"], buckets_for(wanted)
    if summary.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND":
        yield "the stream is on demand: Kinesis reshards it by itself; switch it to provisioned first"
    if summary["StreamStatus"] != "ACTIVE":
        yield f"the stream is {summary['StreamStatus']}: wait until it is ACTIVE"
    if wanted > MAX_SHARDS:
        yield f"at most {MAX_SHARDS:,} shards"
    if wanted > 2 * now:
        yield f"at most double at once: first --to {2 * now}"
    if wanted < ceil(now / 2):
        yield f"at least half at once: first --to {ceil(now / 2)}"
    if groups < least:
        yield (
            f"{wanted} shards want STREAM_ROUTER_BUCKETS of at least {least} (here it is {groups}): set it in all "
            "receivers first, and here, or shards stay empty"
        )
    if ordered and groups % wanted:
        common = lcm(now, wanted)
        multiple = common * ceil(least / common)
        or_else = f", or first set STREAM_ROUTER_BUCKETS to {multiple}, in all receivers and here"
        yield (
            f"STREAM_ROUTER_BUCKETS is {groups}, no multiple of {wanted}: a partition group would lie across two"
            " shards, so a later change of that setting would move conversations, and their order would break; take"
            f" {_join_with_or(shard_counts_keeping_order(groups))} shards{or_else if multiple <= MAX_BUCKETS else ''}"
        )


def shard_counts_keeping_order(groups: int) -> list[int]:
    """Return the numbers of shards with which no partition group lies across two shards, and each shard has enough.

    `groups` is the number of partition groups (STREAM_ROUTER_BUCKETS). With such a number of shards, each conversation
    stays on its shard when that setting changes to another multiple of the number.
    """
    return [number for number in range(1, groups + 1) if groups % number == 0 and buckets_for(number) <= groups]


def _join_with_or(numbers: list[int]) -> str:
    """Return the numbers as "1, 2 or 4"."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def _print_line(line: str) -> None:
    write_line(sys.stdout, line)
