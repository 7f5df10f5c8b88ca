"""How many shards, receivers, consumers, calls and bytes a load takes. Plain arithmetic; docs/scale.md explains it."""

from math import ceil
from typing import NamedTuple

from stream_router import limits
from stream_router.control.plan.data import Figures
from stream_router.control.setup.streams import RETENTION_HOURS
from stream_router.control.shards.load import BYTES_PER_S, FULL, RECORDS_PER_S, WANTED
from stream_router.control.shards.reshard import LEAST_SHARDS, buckets_for

BUSY = 0.6
"""Share of a core that is planned for at the peak: above it latency grows faster than load."""

LINGER_S, LEAST_BUCKETS = 0.005, 8
"""STREAM_ROUTER_LINGER_MS, and the default of STREAM_ROUTER_BUCKETS (docs/configuration.md)."""

READS_PER_S = 4
"""Batches of a shard a second: idleTimeBetweenReadsInMillis (properties/consumer.properties). Each costs daemon and
child something, however few events are in it."""

SHARD_OUT_BYTES_PER_S = 2_000_000
"""What a shard serves to all that poll (docs/facts.md, "Kinesis and SQS")."""

PUT_ENTRIES = 10
"""Entries of a call to a classic bus (docs/facts.md, "EventBridge")."""

LEAST_RECEIVER_VCPU, LEAST_CONSUMER_VCPU = 0.5, 0.5
"""The receiver was measured at saturation, where events share calls; at a low rate each costs several times as much."""

JVM_MB, JVM_BASE_MB, JVM_STEP_MB = 512, 40, 128
"""The heap's ceiling (-Xmx) in properties/consumer.properties; what no shard takes of it; in which steps it is told."""

READ_RECORDS, READ_BYTES, READS_AHEAD, AHEAD_BYTES = 2_000, 10 * 2**20, 3, 8 * 2**20
"""A read's records (maxRecords in that file) and bytes; how many of them, or bytes, the daemon reads ahead of a shard
(docs/facts.md, "KCL")."""

BESIDE_MB = 270
"""The most that the JVM takes beside its heap and the supervisor, together (docs/daemon.md, "Memory")."""

RENEWALS_AND_CHECKPOINTS, REPORTS, LOOKS, QUERIES, WATCHES = 30, 12, 12, 24.5, 1.2
"""Calls a minute to the lease table: of a shard, of a worker, of the leader, of a worker (docs/daemon.md); of its
supervisor, which scans the table for shards that nobody reads."""

LEASE_BYTES, READ_UNIT_BYTES = 500, 4_096
"""Of the table, a lease (docs/daemon.md), and what a strongly consistent read unit covers."""

OUTAGE_S = 3_600

TASKS = ((0.25, 0.5, 2), (0.5, 1, 4), (1, 2, 8), (2, 4, 16))
"""vCPU, least and most GB of a Fargate task; larger ones are not used. Source: ECS developer guide, "Task size"."""


class Load(NamedTuple):
    """What is asked for. `peak` is the highest rate as a multiple of the mean."""

    events_per_s: float
    event_bytes: int
    peak: float
    region: str

    @property
    def peak_per_s(self) -> float:
        """Events a second at the peak."""
        return self.events_per_s * self.peak


class Fleet(NamedTuple):
    """Equal tasks. `tasks` holds one more than the peak takes, so that one may be missing."""

    tasks: int
    vcpu: float
    gb: float
    cores: float


class Capacity(NamedTuple):
    """What the load takes. Rates ending in `_peak` are at the peak, the others at the mean."""

    shards: int
    buckets: int
    record_rate: float
    record_rate_peak: float
    record_bytes: float
    receivers: Fleet
    consumers: Fleet
    consumer_shards: int
    """The shards of one consumer where one of them is missing."""
    heap_mb: int
    child_us: float
    child_mb: float
    event_us: float
    entries_per_call: int
    calls: float
    calls_peak: float
    lease_writes: float
    lease_reads: float
    catch_up_s: float | None
    catch_up_binds: str
    retention_left_h: float | None


def records(rate: float, receivers: int, buckets: int) -> float:
    """Kinesis records a second: a receiver sends at most once a linger, a record for each bucket that has an event."""
    each = rate / receivers
    sends = min(each, 1 / LINGER_S)
    touched: float = buckets * (1 - (1 - 1 / buckets) ** (each / sends))
    return receivers * sends * touched


def shards(load: Load, stream_bytes: float, receivers: int) -> tuple[int, int]:
    """Shards and buckets: the mean fills half of a shard, the peak 80 %; more shards want more buckets, and so on."""
    count, buckets = 1, LEAST_BUCKETS
    while True:
        by_bytes = stream_bytes / BYTES_PER_S
        mean = max(load.events_per_s * by_bytes, records(load.events_per_s, receivers, buckets) / RECORDS_PER_S)
        peak = max(load.peak_per_s * by_bytes, records(load.peak_per_s, receivers, buckets) / RECORDS_PER_S)
        wanted = max(LEAST_SHARDS, ceil(mean / WANTED), ceil(peak / FULL))
        if wanted <= count:
            return count, buckets
        count, buckets = wanted, max(LEAST_BUCKETS, buckets_for(wanted))


def fleet(cores: float, mb: float, each_mb: float, most_vcpu: float, least_vcpu: float) -> Fleet:
    """Tasks for so many cores at work and so much memory, `each_mb` of it in every task; one of them is to spare."""
    most_gb = next(most for vcpu, _, most in TASKS if vcpu == most_vcpu)
    needed = max(1, ceil(cores / BUSY / most_vcpu), ceil(mb / (most_gb * 1000 - each_mb)))
    gb = (mb / needed + each_mb) / 1000
    vcpu, least, _ = next(
        one
        for one in TASKS
        if one[0] == most_vcpu or (one[0] >= least_vcpu and one[0] * BUSY * needed >= cores and one[2] >= gb)
    )
    return Fleet(needed + 1, vcpu, max(least, ceil(gb * 2) / 2 if gb <= 1 else ceil(gb)), cores)


def calls(rate: float, shard_count: int, entries: int) -> float:
    """PutEvents calls a second at most: full ones, and for each batch of the daemon a last one that is not full."""
    batches = min(rate, READS_PER_S * shard_count)
    return rate / entries + batches * (1 - 1 / entries)


def entries_per_call(load: Load, figures: Figures) -> int:
    """Entries of a full PutEvents call."""
    most = int(limits.request_bytes(load.region) // (load.event_bytes + figures.entry_bytes))
    return max(1, min(PUT_ENTRIES, most))


def _child(load: Load, figures: Figures) -> tuple[float, float]:
    """A child's CPU an event (µs), and its memory (MB)."""
    kb = load.event_bytes / 1000
    return figures.child_base_us + figures.child_ns_per_byte * kb, figures.child_base_mb + figures.child_mb_per_kb * kb


def _reading(shard_count: int, figures: Figures) -> float:
    """Cores that the reads of so many shards take, however few events they bring."""
    return shard_count * READS_PER_S * figures.read_us / 1e6


def _receivers(load: Load, figures: Figures, measured_bytes: int) -> Fleet:
    """One worker process a task. More bytes are taken to cost what they cost the child, which is more than they do."""
    more_us = figures.child_ns_per_byte * (load.event_bytes - measured_bytes) / 1000
    each_us = max(figures.receiver_us + more_us, figures.receiver_us / 2)
    return fleet(load.peak_per_s * each_us / 1e6, 0, figures.receiver_mb, 1, LEAST_RECEIVER_VCPU)


def heap_of_shard_mb(record_bytes: float) -> float:
    """What a shard with a backlog takes of the heap (docs/daemon.md, "Memory").

    What is read ahead, the batch that its child has, and that twice more as a line of base64 while it is handed over.
    """
    read = min(READ_RECORDS * record_bytes, READ_BYTES)
    return (min(READS_AHEAD * read, AHEAD_BYTES + read) + read * (1 + 2 * 4 / 3)) / 1e6


def _consumers(cores: float, count: int, child_mb: float, record_bytes: float) -> tuple[Fleet, int, int]:
    """The consumers, the shards of each, and a heap that carries them: a larger one leaves room for fewer shards."""
    heap_mb, shard_mb = JVM_MB, heap_of_shard_mb(record_bytes)
    while True:
        found = fleet(cores, count * child_mb, heap_mb + BESIDE_MB + child_mb, 2, LEAST_CONSUMER_VCPU)
        each = ceil(count / (found.tasks - 1))
        needed_mb = max(JVM_MB, ceil((JVM_BASE_MB + each * shard_mb) / JVM_STEP_MB) * JVM_STEP_MB)
        if needed_mb <= heap_mb:
            return found, each, needed_mb
        heap_mb = needed_mb


def reckon(load: Load, figures: Figures, measured_bytes: int, quota_calls: int) -> Capacity:
    """The capacity that `load` takes where the account may make `quota_calls` PutEvents calls a second."""
    receivers = _receivers(load, figures, measured_bytes)
    stream_bytes = load.event_bytes + figures.envelope_bytes
    count, buckets = shards(load, stream_bytes, receivers.tasks)
    rate, rate_peak = (records(r, receivers.tasks, buckets) for r in (load.events_per_s, load.peak_per_s))
    child_us, child_mb = _child(load, figures)
    full_us, reading = child_us + figures.jvm_us_per_record * rate_peak / load.peak_per_s, _reading(count, figures)
    cores, record_bytes = load.peak_per_s * full_us / 1e6 + reading, load.peak_per_s * stream_bytes / rate_peak
    consumers, each, heap_mb = _consumers(cores, count, child_mb, record_bytes)
    entries = entries_per_call(load, figures)
    caught = _catch_up(
        load,
        {
            "what the shards serve": count * SHARD_OUT_BYTES_PER_S / stream_bytes,
            "the children's cores": count * 1e6 / child_us,
            "the consumers' cores": max(0.0, consumers.tasks * consumers.vcpu - reading) * 1e6 / full_us,
            "the PutEvents quota": float(quota_calls * entries),
        },
    )
    return Capacity(
        count,
        buckets,
        rate,
        rate_peak,
        load.events_per_s * stream_bytes / rate,
        receivers,
        consumers,
        each,
        heap_mb,
        child_us,
        child_mb,
        cores / load.peak_per_s * 1e6,
        entries,
        calls(load.events_per_s, count, entries),
        calls(load.peak_per_s, count, entries),
        *_lease_units(count, consumers.tasks),
        *caught,
        RETENTION_HOURS - OUTAGE_S / 3600 if caught[0] is not None else None,
    )


def _catch_up(load: Load, most: dict[str, float]) -> tuple[float | None, str]:
    """Seconds until an outage is made up while the mean goes on coming, None for never; and what bounds it."""
    binds = min(most, key=lambda name: most[name])
    spare = most[binds] - load.events_per_s
    return (load.events_per_s * OUTAGE_S / spare if spare > 0 else None), binds


def _lease_units(shard_count: int, workers: int) -> tuple[float, float]:
    """Write and read units a second of the lease table."""
    scan = ceil(shard_count * LEASE_BYTES / READ_UNIT_BYTES)
    query = ceil(shard_count / workers * LEASE_BYTES / READ_UNIT_BYTES)
    writes = shard_count * RENEWALS_AND_CHECKPOINTS + workers * REPORTS
    # A supervisor's scan is eventually consistent: half of a unit.
    return writes / 60, (LOOKS * scan + workers * (QUERIES * query + WATCHES * scan / 2)) / 60
