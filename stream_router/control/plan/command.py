"""`stream-router plan`, from the arguments to the last line."""

import json
import math
import sys
import textwrap
from typing import Any, NamedTuple

from stream_router.control.plan import capacity, cost, data
from stream_router.control.plan.bounds import Bound, First, binds_first, bounds
from stream_router.control.plan.capacity import Capacity, Fleet, Load
from stream_router.errors import SettingsError

MOST_EVENT_BYTES = 1_000_000
"""A PutEvents call takes less than 1 MB, so no event larger than that can be published."""

MOST_EVENTS_PER_S, MOST_PEAK = 10_000_000, 1_000
WIDTH = 60


class Plan(NamedTuple):
    """All of the answer. `dollars` are a month's, by service."""

    load: Load
    found: Capacity
    bounds: list[Bound]
    first: First
    dollars: dict[str, float]
    quota_calls: int


def checked(events_per_s: float, event_bytes: int, peak: float, region: str) -> Load:
    """The load, where it can be reckoned. Raises SettingsError (one line)."""
    if not (math.isfinite(events_per_s) and 0 < events_per_s <= MOST_EVENTS_PER_S):
        raise SettingsError(
            f"--events-per-second: {events_per_s:g} is not above 0 and at most {MOST_EVENTS_PER_S:,}; give the mean"
        )
    if not 1 <= event_bytes <= MOST_EVENT_BYTES:
        raise SettingsError(f"--event-bytes: {event_bytes} is not from 1 to {MOST_EVENT_BYTES:,}; give the mean size")
    if not (math.isfinite(peak) and 1 <= peak <= MOST_PEAK):
        raise SettingsError(
            f"--peak: {peak:g} is not from 1 to {MOST_PEAK:,}; it is the peak as a multiple of the mean"
        )
    data.check_region(region)
    return Load(events_per_s, event_bytes, peak, region)


def plan(load: Load) -> Plan:
    """Reckon it, with the figures and prices that came with the program."""
    figures, measured_bytes, _ = data.measured()
    quota, invocations = data.put_events_per_s(load.region), data.invocations_per_s(load.region)

    def reckoned(load: Load) -> tuple[Capacity, list[Bound]]:
        found = capacity.reckon(load, figures, measured_bytes, quota)
        return found, bounds(load, found, quota, invocations)

    found, used = reckoned(load)
    first = binds_first(lambda times: reckoned(load._replace(events_per_s=load.events_per_s * times))[1])
    entry_bytes = load.event_bytes + figures.entry_bytes
    dollars = cost.product(load, found, data.prices(), entry_bytes)
    return Plan(load, found, used, first, dollars, quota)


def run(load: Load, *, as_json: bool) -> int:
    """The command. Always 0: a plan over a limit is an answer too."""
    made = plan(load)
    lines = [json.dumps(as_object(made), indent=1)] if as_json else table(made)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def table(made: Plan) -> list[str]:
    """For people, at most 60 columns."""
    load, found = made.load, made.found
    return [
        f"{_rate(load.events_per_s)} events/s of {load.event_bytes:,} bytes, peak {_rate(load.peak_per_s)}",
        f"quotas of {load.region}",
        "",
        *_rows(_capacity(found)),
        "",
        f"{'limits':<22}{'at the peak':>12}{'limit':>10}",
        *(f"{one.name:<22}{_few(one.used):>12}{one.limit:>10,.0f}{_share(one.share)}" for one in made.bounds),
        *_verdict(made.first),
        "",
        f"dollars a month (list prices of {data.price_region()})",
        *_rows([(name, f"{usd:,.2f}", "") for name, usd in made.dollars.items()]),
        *_rows(
            [("all", f"{(total := sum(made.dollars.values())):,.2f}", f"{_per_million(load, total):,.2f} a million")]
        ),
        "",
        "reckoned, not run: docs/scale.md says how and with what",
    ]


def _rows(rows: list[tuple[str, str, str]]) -> list[str]:
    return [f"{name:<19}{value:>13}  {more}".rstrip() for name, value, more in rows]


def _capacity(found: Capacity) -> list[tuple[str, str, str]]:
    left = "none" if found.retention_left_h is None else f"{found.retention_left_h:,.0f} h"
    catch_up = "never" if found.catch_up_s is None else f"{found.catch_up_s / 60:,.1f} min"
    return [
        ("shards", f"{found.shards:,}", f"{found.buckets:,} buckets"),
        ("receivers", f"{found.receivers.tasks:,}", _fleet(found.receivers)),
        ("consumers", f"{found.consumers.tasks:,}", _fleet(found.consumers)),
        ("memory", f"{_memory_gb(found):,.0f} GB", f"{found.child_mb:,.0f} MB a child (a shard)"),
        ("JVM heap", f"{found.heap_mb:,} MB", f"-Xmx{found.heap_mb}m for {found.consumer_shards} shards"),
        ("CPU an event", f"{found.event_us:,.0f} µs", "child and JVM"),
        ("PutEvents calls/s", f"{found.calls:,.0f}", f"{found.calls_peak:,.0f} at the peak"),
        ("lease table", f"{found.lease_writes:,.1f} W/s", f"{found.lease_reads:,.1f} R/s, units"),
        ("after 1 h outage", catch_up, found.catch_up_binds),
        ("retention left", left, "of 168 h, after it"),
    ]


def _rate(events_per_s: float) -> str:
    return f"{events_per_s:,.0f}" if events_per_s >= 10 else f"{events_per_s:g}"


def _few(number: float) -> str:
    return f"{number:,.2f}" if number < 10 else f"{number:,.0f}"


def _share(share: float) -> str:
    return f"{share:>9.1%}" if share < 10 else f"{share:>8,.0f}x"


def _fleet(fleet: Fleet) -> str:
    return f"{fleet.vcpu:g} vCPU {fleet.gb:g} GB; {_few(fleet.cores)} busy"


def _memory_gb(found: Capacity) -> float:
    return found.receivers.tasks * found.receivers.gb + found.consumers.tasks * found.consumers.gb


def _verdict(first: First) -> list[str]:
    name, cure, times = first.bound.name, first.bound.cure, first.times
    over = "passed already" if times < 1 else "binds first"
    at = f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
    return textwrap.wrap(f"{name}: {over}, at {at} times this load. {cure[0].upper()}{cure[1:]}.", WIDTH)


def _per_million(load: Load, total: float) -> float:
    return total / (load.events_per_s * cost.SECONDS / 1e6)


def as_object(made: Plan) -> dict[str, Any]:
    """For programs. Names end in their unit."""
    load, found, total = made.load, made.found, sum(made.dollars.values())
    return {
        "eventsPerSecond": load.events_per_s,
        "eventBytes": load.event_bytes,
        "peakEventsPerSecond": load.peak_per_s,
        "region": load.region,
        "shards": found.shards,
        "buckets": found.buckets,
        "receivers": found.receivers._asdict(),
        "consumers": found.consumers._asdict(),
        "shardsAConsumer": found.consumer_shards,
        "jvmHeapMb": found.heap_mb,
        "memoryGb": _memory_gb(found),
        "childMb": found.child_mb,
        "childCpuUs": found.child_us,
        "consumerCpuUs": found.event_us,
        "recordsPerSecond": found.record_rate,
        "entriesPerCall": found.entries_per_call,
        "putEventsPerSecond": found.calls,
        "putEventsPerSecondPeak": found.calls_peak,
        "putEventsQuota": made.quota_calls,
        "leaseWriteUnitsPerSecond": found.lease_writes,
        "leaseReadUnitsPerSecond": found.lease_reads,
        "catchUpSeconds": found.catch_up_s,
        "catchUpBinds": found.catch_up_binds,
        "retentionLeftHours": found.retention_left_h,
        "limits": [{**one._asdict(), "share": one.share} for one in made.bounds],
        "bindsFirst": made.first.bound.name,
        "bindsAtTimesThisLoad": float(f"{made.first.times:.3g}"),
        "dollarsAMonth": made.dollars,
        "dollarsAMonthAll": total,
        "dollarsAMillionEvents": _per_million(load, total),
        "priceRegion": data.price_region(),
    }
