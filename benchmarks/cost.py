"""How large is a deployment for a load, which of AWS's limits binds first, and what do a million events cost?

`python -m benchmarks.cost` prints the tables of docs/scale.md, which says how each figure is reckoned. Nothing is
run: events have 600 bytes, the peak is twice the mean, prices and quotas are those of us-east-1. `--detail` shows the
dollars a month of each service, so that a row can be worked out again with a calculator.
"""

import argparse
from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from stream_router.consumer.target_check import IDLE_INTERVAL_S, active_interval_s

LOADS, RATES = (1_000, 10_000, 100_000, 1_000_000), (1, 10, 100, 1_000, 10_000)
"""Events a second, mean: the columns of the two tables."""

EVENT_BYTES, PEAK = 600, 2
"""Of the sender's body; how much more than the mean there is at most."""

RECEIVER_US, CHILD_US, JVM_US, READ_US = 48, 20, 24, 7_875
"""CPU of one event (benchmarks/results: receiver_beside_go.json, sizes.json), of one Kinesis record in the daemon
(docs/facts.md), and of one read of a shard in daemon and child, however few events it brings (worker.json)."""

READS_PER_S, PUT_ENTRIES = 4, 10
"""Reads of a shard (properties/consumer.properties); entries of a PutEvents call to a classic bus."""

CHECKPOINT_S = 5.0
"""Default of STREAM_ROUTER_CHECKPOINT_S."""

CHECK_CALLS, WATCH_CALLS_PER_MIN = 3, 2
"""Of a target check on a classic bus: DescribeEventBus, DescribeRule, ListTargetsByRule; of each supervisor besides:
ListShards and DescribeStreamSummary."""

BUSY = 0.6
"""Share of a core that is planned for at the peak: above it latency grows faster than load."""

SHARDS_A_GB, JVM_GB = 7, 0.8
"""A child has 138 MB (sizes.json); heap, the rest of the JVM and the supervisor (docs/daemon.md, "Memory")."""

LIMITS = {
    "target invocations/s": 18_750,
    "PutEvents calls/s": 10_000,
    "buckets, four a shard": 4_096,
    "lease table writes/s": 1_000,
    "EventBridge control calls/s": 50,
    "shards of a stream": 10_000,
}
"""EventBridge's user guide, quotas of us-east-1, 2026-11-25; the bound of STREAM_ROUTER_BUCKETS; DynamoDB's developer
guide, write units of one partition; docs/facts.md, "EventBridge" and "Kinesis and SQS"."""

USD = {
    "shard hour": 0.015 + 0.020,  # provisioned, and a week of retention; kindatechnical.com, calculators on GitHub
    "million PUT units": 0.014,  # of 25 KB; EveryMundo/aws-kinesis-client
    "million events": 1.0,  # custom events of at most 64 KB; factualminds.com, 2026-06
    "million pipe requests": 0.4,  # of at most 64 KB; factualminds.com, 2026-06
    "vCPU hour": 0.04048,  # Fargate, Linux on x86; wring.co, 2026-03-10
    "GB hour": 0.004445,  # the same
    "load balancer hour": 0.0225,  # cloud-horizons.com, 2026-05-08
    "LCU hour": 0.008,  # 1 GB an hour; the same
    "million writes": 0.625,  # DynamoDB, on demand; airbyte.com, 2025-07-21
    "million reads": 0.125,  # the same
    "metric": 0.3,  # a month, of the first 10,000; c3x.dev
    "alarm": 0.1,  # a month, standard resolution; c3x.dev
    "public IPv4 hour": 0.005,  # doit.com, "AWS Public IPv4 price increase", 2024
    "hundred thousand copied management events": 2.0,  # CloudTrail's pricing page, a stored copy without a date
    "thousand metric calls": 0.01,  # support.site24x7.com
    "million queue requests": 0.4,  # SQS; cloudburn.io, 2026-03-14
    "million API requests": 1.0,  # HTTP API, of the first 300 million a month; docs.aws.amazon.com, private APIs
    "million more API requests": 0.9,  # the same
    "million invocations": 0.2,  # Lambda; appropri8-astro.pages.dev, 2025-12-02
    "GB second": 0.0000166667,  # the same
}
"""List prices without free tier or commitment, quoted by the pages named, since AWS's own could not be read as text.
For AWS's Webhook Events (a Custom Event Bus) no figure was found on 2026-12-02, so they have no row."""

HOURS = 730
SECONDS = HOURS * 3600
KCL_METRICS_A_SHARD, KCL_METRICS_A_WORKER = 6, 8
KCL_METRICS_A_CALL, KCL_CALLS_PER_MIN = 20, 6
"""The KCL's own metrics with metricsLevel SUMMARY. It sends them every 10 s, 20 a PutMetricData call (read in the
classes of 3.5.1)."""

ALARMS, BALANCER_ADDRESSES = 27, 2
"""Of the shipped templates with their defaults, those that scale consumers too: one of them is on two metrics, and
costs as two. Of an internet-facing load balancer in two zones."""

METRICS = 66
"""The product's own in CloudWatch, each with two sets of dimensions (docs/metrics.md)."""

DEAD_SHARE, DEAD_REQUESTS = 0.001, 3
"""Assumed: one event in a thousand becomes a dead letter, which is sent, received and deleted."""

LAMBDA_GB, LAMBDA_S = 0.25, 0.05
"""Assumed: a function that calls PutEvents has 256 MB and takes 50 ms."""

OURS = "this product (Fargate)"


class Fleet(NamedTuple):
    """Equal Fargate tasks, one of them to spare. `cores` are at work at the peak."""

    tasks: int
    vcpu: float
    gb: float
    cores: float

    @property
    def dollars(self) -> float:
        """A month."""
        return self.tasks * HOURS * (self.vcpu * USD["vCPU hour"] + self.gb * USD["GB hour"])


class Size(NamedTuple):
    """What a load takes."""

    shards: int
    receivers: Fleet
    consumers: Fleet
    calls_peak: float
    lease_writes: float


def shards(rate: float) -> int:
    """An event a record, so records bind (1,000 a second): the mean may fill a half of them, the peak 80 %."""
    return max(2, ceil(rate / 500), ceil(rate * PEAK / 800))


def fleet(cores: float, vcpu: float, gb: float, least: int = 1) -> Fleet:
    """Tasks for so many cores at work: at least `least`, and one; of half a vCPU where one such is enough."""
    if least == 1 and cores <= BUSY / 2:
        return Fleet(2, 0.5, gb, cores)
    return Fleet(max(least, ceil(cores / BUSY / vcpu)) + 1, vcpu, gb, cores)


def size(rate: float) -> Size:
    """What a mean of `rate` events a second takes."""
    count, peak = shards(rate), rate * PEAK
    at_work = (peak * (CHILD_US + JVM_US) + count * READS_PER_S * READ_US) / 1e6
    consumers = fleet(at_work, 1, 2, ceil(count / (SHARDS_A_GB * (2 - JVM_GB))))
    calls = peak / PUT_ENTRIES + min(peak, READS_PER_S * count) * (1 - 1 / PUT_ENTRIES)
    writes = (30 * count + 12 * consumers.tasks) / 60
    return Size(count, fleet(peak * RECEIVER_US / 1e6, 1, 1), consumers, calls, writes)


def used(rate: float, outcome: Size) -> dict[str, float]:
    """What of each of LIMITS is used at the peak."""
    return {
        "target invocations/s": rate * PEAK,
        "PutEvents calls/s": outcome.calls_peak,
        "buckets, four a shard": 4 * outcome.shards,
        "lease table writes/s": outcome.lease_writes,
        "EventBridge control calls/s": 3
        * outcome.consumers.tasks
        / active_interval_s(CHECKPOINT_S, outcome.consumers.tasks),
        "shards of a stream": outcome.shards,
    }


def services(rate: float) -> dict[str, dict[str, float]]:
    """Dollars a month by way and service, at a mean of `rate` events a second."""
    millions = rate * SECONDS / 1e6
    api = min(millions, 300) * USD["million API requests"] + max(0, millions - 300) * USD["million more API requests"]
    function = millions * (USD["million invocations"] + 1e6 * LAMBDA_GB * LAMBDA_S * USD["GB second"])
    bus, stream = {"EventBridge": millions * USD["million events"]}, {"Kinesis": _kinesis(rate)}
    return {
        OURS: {**stream, **bus, **_ours(rate)},
        "API Gateway + Lambda + EventBridge": {"API Gateway": api, "Lambda": function, **bus},
        "Lambda with a function URL + EventBridge": {"Lambda": function, **bus},
        "API Gateway straight into EventBridge": {"API Gateway": api, **bus},
        "API Gateway + Kinesis + Pipes": {
            "API Gateway": api,
            **stream,
            "Pipes": millions * USD["million pipe requests"],
            **bus,
        },
    }


def idle() -> float:
    """Dollars a month of the shipped CloudFormation templates without an event: tasks, shards, metrics, alarms."""
    tasks = Fleet(2, 0.5, 1, 0).dollars + Fleet(2, 1, 4, 0).dollars
    leases = (30 * 2 + 12 * 2) / 60  # docs/scale.md, "Many shards, many hosts"
    watch = _metrics(shards=2, consumers=2, senders=6)
    steady = 2 * HOURS * USD["shard hour"] + _balancer(0)
    return tasks + steady + watch + leases * SECONDS / 1e6 * USD["million writes"]


def management_events(consumers: int, *, flows: bool) -> float:
    """Management events of a month that each of so many consumers leaves in CloudTrail."""
    interval_s = active_interval_s(CHECKPOINT_S, consumers)
    if not flows:
        interval_s = max(interval_s, IDLE_INTERVAL_S)
    return SECONDS * (CHECK_CALLS / interval_s + WATCH_CALLS_PER_MIN / 60)


def _metrics(shards: int, consumers: int, senders: int) -> float:
    """Dollars a month of CloudWatch: our metrics, sent once a minute by each of `senders`, the KCL's, alarms."""
    of_kcl = KCL_METRICS_A_SHARD * shards + KCL_METRICS_A_WORKER * consumers
    kcl_calls = KCL_CALLS_PER_MIN * consumers * ceil(of_kcl / consumers / KCL_METRICS_A_CALL)
    calls = (senders + kcl_calls) * HOURS * 60
    metrics = (METRICS + of_kcl) * USD["metric"]
    return metrics + calls / 1000 * USD["thousand metric calls"] + ALARMS * USD["alarm"]


def _balancer(rate: float) -> float:
    """Dollars a month of the load balancer and its public addresses."""
    lcu = rate * EVENT_BYTES * 3600 / 1e9
    hour = USD["load balancer hour"] + lcu * USD["LCU hour"] + BALANCER_ADDRESSES * USD["public IPv4 hour"]
    return HOURS * hour


def _kinesis(rate: float) -> float:
    return shards(rate) * HOURS * USD["shard hour"] + rate * SECONDS / 1e6 * USD["million PUT units"]


def _ours(rate: float) -> dict[str, float]:
    """Of this product, besides stream and bus."""
    result = size(rate)
    senders = result.shards + result.consumers.tasks + result.receivers.tasks  # each sends its metrics once a minute
    reads = result.consumers.tasks / 2  # a second: each looks for its leases, the leader and each supervisor for all
    return {
        "Fargate": result.receivers.dollars + result.consumers.dollars,
        "load balancer": _balancer(rate),
        "DynamoDB": (result.lease_writes * USD["million writes"] + reads * USD["million reads"]) * SECONDS / 1e6,
        "CloudWatch": _metrics(result.shards, result.consumers.tasks, senders),
        "SQS": rate * SECONDS / 1e6 * DEAD_SHARE * DEAD_REQUESTS * USD["million queue requests"],
    }


def load_table() -> list[str]:
    """1, 10, 100 and 1,000 times a small deployment, as a Markdown table."""
    result = {rate: size(rate) for rate in LOADS}
    rows = {
        "shards": [f"{value.shards:,}" for value in result.values()],
        "receivers": [f"{value.receivers.tasks:,}" for value in result.values()],
        "consumers": [f"{value.consumers.tasks:,}" for value in result.values()],
        "PutEvents calls a second at the peak": [f"{value.calls_peak:,.0f}" for value in result.values()],
    }
    for name, limit in LIMITS.items():
        shares = [used(rate, item)[name] / limit for rate, item in result.items()]
        rows[f"of {name}"] = [f"{share:,.0%}" if share >= 0.01 else "< 1%" for share in shares]
    return _table("events a second, mean", [f"{rate:,}" for rate in LOADS], rows)


def table() -> list[str]:
    """Dollars for a million events, as a Markdown table."""
    result = [services(rate) for rate in RATES]
    millions = [rate * SECONDS / 1e6 for rate in RATES]
    rows = {
        way: [f"{sum(item[way].values()) / each:.2f}" for item, each in zip(result, millions, strict=True)]
        for way in result[0]
    }
    return _table("dollars for a million events", [f"{rate:,}/s" for rate in RATES], rows)


def _table(head: str, names: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    cells = [[head, *names], ["---"] * (1 + len(names)), *([name, *row] for name, row in rows.items())]
    return ["| " + " | ".join(row) + " |" for row in cells]


def detail() -> list[str]:
    """Dollars a month, a line for each service."""
    lines = []
    for rate in RATES:
        for way, dollars in services(rate).items():
            each = " + ".join(f"{name} {usd:,.2f}" for name, usd in dollars.items())
            lines.append(f"{rate:,}/s, {way}: {each} = {sum(dollars.values()):,.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detail", action="store_true", help="the dollars of each service too")
    chosen = parser.parse_args()
    template = f"the shipped template, without an event: {idle():,.0f} dollars a month"
    copied = [
        f"{name}: {events:,.0f} management events a month and consumer; a second copy in CloudTrail "
        f"{events / 1e5 * USD['hundred thousand copied management events']:.2f} dollars"
        for name, events in (("idle", management_events(2, flows=False)), ("busy", management_events(2, flows=True)))
    ]
    lines = [*load_table(), "", *table(), "", template, *copied]
    print("\n".join([*lines, *(["", *detail()] if chosen.detail else [])]))


if __name__ == "__main__":
    main()
