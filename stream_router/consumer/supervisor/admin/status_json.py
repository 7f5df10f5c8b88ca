"""The text of `/status`: one object with a stable schema. `docs/metrics.md` says it to operators."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from stream_router.consumer.supervisor.stream_watch import StreamKnown
from stream_router.consumer.supervisor.vitals import Known
from stream_router.process import iso
from stream_router.telemetry import shard_state
from stream_router.telemetry.merged import Merged, Shard
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, HEADROOM, OLDEST_AGE, STAGE_LATENCY
from stream_router.telemetry.recent import Age, Recent
from stream_router.telemetry.shard_state import Lag
from stream_router.telemetry.snapshot import Snapshot

SCHEMA = "stream-router.consumer-status/2"

STARTED_ANEW_S = 60.0
"""A daemon without shards for longer has none to read: the other hosts have them."""


class Identity(NamedTuple):
    """Whose status it is."""

    application: str
    stream: str
    region: str
    worker: str
    bus: str
    rule: str = ""
    trusted: bool = False
    """By the settings: then nobody asks for bus and rule (`STREAM_ROUTER_BUS_PROOF=trust`)."""


class Verdict(NamedTuple):
    """The state of the whole in a word, since when (epoch seconds), and why in words."""

    state: str
    since_s: float | None
    reason: str | None


class Seen(NamedTuple):
    """All that is known at a moment. `clock` is the same moment in monotonic seconds."""

    at_s: float
    clock: float
    identity: Identity
    known: Known
    rule: Mapping[str, Any]
    bus: Mapping[str, Any]
    merged: Merged
    lags: Mapping[str, Lag]
    ages: Mapping[str, Age]
    stream: StreamKnown
    recent: Recent
    verdict: Verdict | None

    @property
    def oldest_age_s(self) -> float | None:
        """The lag: the largest of any shard that is read here; None where none tells."""
        ages = [lag.oldest_age_s for lag in self.lags.values() if lag.oldest_age_s is not None]
        return max(ages, default=None)

    @property
    def arrived_ago_s(self) -> float | None:
        """The same since the oldest event arrived in the stream."""
        return max((lag.arrived_ago_s for lag in self.lags.values() if lag.arrived_ago_s is not None), default=None)

    @property
    def headroom_s(self) -> float | None:
        """Time until the stream drops something that is not settled: the smallest of any shard that is read here."""
        known = [seconds for name in self.lags if (seconds := self.shard_headroom_s(name)) is not None]
        return min(known, default=None)

    def shard_headroom_s(self, shard: str) -> float | None:
        """The same of one shard."""
        arrived_ago_s = self.lags[shard].arrived_ago_s
        if self.stream.retention_s is None or arrived_ago_s is None:
            return None
        return self.stream.retention_s - arrived_ago_s

    def lag_gauges(self, shard: str) -> dict[str, float | None]:
        """A shard's lag, by the catalogue's names."""
        return {
            OLDEST_AGE.name: _round(self.lags[shard].oldest_age_s),
            HEADROOM.name: _round(self.shard_headroom_s(shard)),
        }

    @property
    def catch_up_s(self) -> float | None:
        """Seconds until the last shard has caught up, at the speed of the last minute; None where one gains nothing."""
        found = [self.recent.catch_up_s(self.clock, name, self.ages.get(name)) for name in self.lags]
        known = [seconds for seconds in found if seconds is not None]
        return max(known) if known and len(known) == len(found) else None

    @property
    def caught_up(self) -> bool:
        """Whether every shard is caught up by the contract, as far as is known, and none unread."""
        return bool(self.lags) and all(lag.caught_up for lag in self.lags.values()) and not self.stream.unread


def verdict(seen: Seen) -> Verdict:
    """What the supervisor does, unless the shards or the rule have worse to tell."""
    known = seen.known
    if known.state != "draining" and (problem := seen.rule["problem"]):
        return Verdict("rule unmatched", None, problem)
    if known.state != "running" or known.hangs:
        return _of_processes(known)
    states = [shard_state.state(shard, seen.lags[shard.shard_id], seen.at_s) for shard in seen.merged.shards]
    if holding := [one for one in states if one[0] == "holding"]:
        reasons = ", ".join(sorted({str(reason) for _, reason, _ in holding}))
        since_s = min((since for _, _, since in holding if since is not None), default=None)
        return Verdict("holding", since_s, f"{len(holding)} of {len(states)} shards hold: {reasons}")
    if seen.stream.unread:
        names = _the_first([f"{one.shard} ({one.why})" for one in seen.stream.unread], ", ")
        since_s = min(one.since_s for one in seen.stream.unread)
        return Verdict("shards unread", since_s, f"nobody reads {names}")
    if not states:
        return _without_shards(seen)
    late = [one for one in states if one[0] != "caught up"]
    return Verdict("catching up", None, late[0][1]) if late else Verdict("caught up", None, None)


def _the_first(told: list[str], between: str) -> str:
    """Three of them, and how many more there are: a host may have a hundred shards."""
    return between.join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def _without_shards(seen: Seen) -> Verdict:
    known, unasked_s = seen.known, seen.bus["unaskedS"]
    if unasked_s is not None and seen.stream.unread is None:
        reason = "no shard is read here, and neither bus nor stream can be asked"
        return Verdict("cut off", seen.at_s - unasked_s, reason)
    if known.restarts and seen.at_s - known.since_s < STARTED_ANEW_S:
        return Verdict("restarting", known.since_s, "the KCL daemon was started again and reads no shard yet")
    return Verdict("running", known.since_s, "no shard is read here")


def _of_processes(known: Known) -> Verdict:
    if known.hangs:
        return Verdict("hanging", None, _the_first([hang.problem for hang in known.hangs], "; "))
    return Verdict(known.state, known.since_s, known.reason or None)


def status(seen: Seen) -> dict[str, Any]:
    """The object."""
    told, identity = seen.verdict or verdict(seen), seen.identity
    return {
        "schema": SCHEMA,
        "at": _iso(seen.at_s),
        "version": version("stream_router"),
        "application": identity.application,
        "stream": identity.stream,
        "region": identity.region,
        "worker": identity.worker,
        "state": told.state,
        "since": None if told.since_s is None else _iso(told.since_s),
        "reason": told.reason,
        "daemon": {"pid": seen.known.daemon, "restarts": seen.known.restarts, "rssBytes": rss_bytes(seen.known.daemon)},
        "bus": seen.bus,
        "rule": seen.rule,
        "lag": _lag(seen),
        "rates": seen.recent.rates(seen.clock, seen.merged.totals),
        "totals": _totals(seen.merged.totals),
        "recent": _recent(seen),
        "unreadShards": None
        if seen.stream.unread is None
        else [{"shard": one.shard, "why": one.why, "since": _iso(one.since_s)} for one in seen.stream.unread],
        "shards": [_shard(shard, seen) for shard in seen.merged.shards],
    }


def _lag(seen: Seen) -> dict[str, Any]:
    return {
        "oldestUnsettledAgeS": _round(seen.oldest_age_s),
        "retentionHeadroomS": _round(seen.headroom_s),
        "caughtUp": seen.caught_up,
        "catchUpS": seen.catch_up_s,
    }


def _recent(seen: Seen) -> dict[str, Any]:
    seconds, totals = seen.recent.totals(seen.clock, seen.merged.totals)
    return {"seconds": round(seconds), "latenciesMs": _latencies(totals)}


def _shard(shard: Shard, seen: Seen) -> dict[str, Any]:
    lag = seen.lags[shard.shard_id]
    state, reason, since_s = shard_state.state(shard, lag, seen.at_s)
    return {
        "shard": shard.shard_id,
        "owner": seen.identity.worker,
        "pid": shard.pid,
        "at": _iso(shard.told.at_s),
        "state": state,
        "reason": reason,
        "since": None if since_s is None else _iso(since_s),
        "gauges": {**{name: of[()] for name, of in shard.told.gauges.items()}, **seen.lag_gauges(shard.shard_id)},
        "breaker": shard.told.states.get("breaker"),
        "timeShares": seen.recent.shares(seen.clock, shard),
        **_counters(shard.told),
    }


def _totals(totals: Snapshot) -> dict[str, Any]:
    by_size = totals.counts.get(ENTRIES_PER_CALL.name, {})
    calls = sum(by_size.values())
    entries = sum(int(size) * count for (size,), count in by_size.items())
    sent, sent_bytes = totals.count(COUNTERS["calls"].name), totals.count(COUNTERS["sent_bytes"].name)
    return {
        **_counters(totals),
        "calls": calls,
        "entriesPerCall": round(entries / calls, 2) if calls else None,
        "bytesPerCall": round(sent_bytes / sent) if sent else None,
        "latenciesMs": _latencies(totals),
    }


def _counters(told: Snapshot) -> dict[str, Any]:
    """Every counter by its name here, and those with a label by its value."""
    by_label = {"deadLetters": COUNTERS["dead_lettered"], "retries": COUNTERS["retried"]}
    return {
        "counters": {name: told.total(metric.name) for name, metric in COUNTERS.items()},
        **{
            key: {label: count for (label,), count in told.counts.get(metric.name, {}).items() if count}
            for key, metric in by_label.items()
        },
    }


def _latencies(totals: Snapshot) -> dict[str, Any]:
    stages = totals.histograms.get(STAGE_LATENCY.name, {})
    return {stage: histogram.summary() for (stage,), histogram in sorted(stages.items())}


def rss_bytes(pid: int | None) -> int | None:
    """Memory of the JVM that is in RAM; None where there is none, or the kernel does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")  # 64 KiB on some arm64


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _iso(epoch_s: float) -> str:
    return iso(epoch_s * 1000)
