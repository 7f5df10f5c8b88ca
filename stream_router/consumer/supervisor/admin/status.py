"""`/status` and `/metrics` of the consumer, made from the state folder and the vitals, at most once a second."""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.admin.status_json import Identity, Seen, Verdict, rss_bytes, status, verdict
from stream_router.consumer.supervisor.stream_watch import NOTHING, StreamKnown
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_proof import Standing
from stream_router.model import Reason
from stream_router.process import iso
from stream_router.settings.common import NO_RULE
from stream_router.telemetry import metrics_catalogue as metrics
from stream_router.telemetry import prometheus, shard_state
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.merged import Merged, Merger, Shard, read_snapshots, snapshot_file
from stream_router.telemetry.recent import Age, Recent
from stream_router.telemetry.snapshot import Labels, Numbers, Snapshot

KEPT_S = 1.0
DOWN_S = 60.0
"""A daemon that has been gone for less time is about to be started, as at each start of the program."""

LAST_WORD_S = 60.0
"""A child whose snapshot is older, and whose process is gone, writes no other."""


READ_S = 5.0
"""A shard whose child was called so lately is read."""


class Pages(NamedTuple):
    """Both pages as of one moment."""

    status: bytes
    metrics: bytes


class Status:
    """Makes the pages when asked, and keeps them for a second: a hundred askers cost as much as one.

    `seen` is to be called every few seconds, asked or not: rates and recent percentiles come of it. `standing` is what
    is known of bus and rule, `stream` tells what is known of the stream.
    """

    def __init__(
        self,
        state: StateDir,
        vitals: Vitals,
        identity: Identity,
        standing: Standing,
        stream: Callable[[], StreamKnown] = lambda: NOTHING,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._vitals = vitals
        self._identity = identity
        self._standing = standing
        self._stream = stream
        self._clock = clock
        self._now_s = now_s
        self._merger = Merger(lambda pid: Path(f"/proc/{pid}").exists())
        self._recent = Recent()
        self._verdict: Verdict | None = None
        self._lock = threading.Lock()
        self._seen_at = self._made_at = -KEPT_S
        self._seen: Seen | None = None
        self._pages = Pages(b"", b"")

    def pages(self) -> Pages:
        """The pages, at most a second old."""
        with self._lock:
            now = self._clock()
            if now - self._made_at >= KEPT_S:
                seen = self._look(now)
                told = prometheus.page(snapshot(seen), metrics.CONSUMER, "consume")
                self._pages = Pages(orjson.dumps(status(seen)), told)
                self._made_at = self._seen_at
            return self._pages

    def seen(self) -> Seen:
        """All that is known, at most a second old."""
        with self._lock:
            return self._look(self._clock())

    def _look(self, now: float) -> Seen:
        if self._seen is not None and now - self._seen_at < KEPT_S:
            return self._seen
        at_s = self._now_s()
        merged = self._merger.merge(read_snapshots(self._state.path))
        self._clean_up(at_s)
        lags = {shard.shard_id: shard_state.lag(shard, at_s) for shard in merged.shards}
        ages = _ages(merged)
        self._recent.note(now, merged, ages)
        bus, rule = _target(self._standing, self._identity, now, at_s)
        seen = Seen(
            at_s=at_s,
            clock=now,
            identity=self._identity,
            known=self._vitals.known(),
            rule=rule,
            bus=bus,
            merged=merged,
            lags=lags,
            ages=ages,
            stream=_but_for(self._stream(), merged),
            recent=self._recent,
            verdict=None,
        )
        found = verdict(seen)
        # A state without a beginning of its own began when it was first seen.
        if found.since_s is None and self._verdict and self._verdict.state == found.state:
            found = found._replace(since_s=self._verdict.since_s)
        elif found.since_s is None:
            found = found._replace(since_s=at_s)
        self._verdict = found
        self._seen, self._seen_at = seen._replace(verdict=found), now
        return self._seen

    def _clean_up(self, at_s: float) -> None:
        """Remove what children left that ended long ago: a daemon that dies again and again would fill the folder."""
        for child in self._merger.gone(at_s - LAST_WORD_S):
            with contextlib.suppress(OSError):  # a file that stays is counted by itself as before
                snapshot_file(self._state.path, *child).unlink(missing_ok=True)
                self._merger.let_go(child)


def snapshot(seen: Seen) -> Snapshot:
    """The worker's one snapshot: what its children counted, how its shards are, and what the supervisor knows.

    What is not known has no value: a 0 would claim health. A gauge by shard stands without labels too, as the worst.
    """
    counts: Numbers = {name: dict(series) for name, series in seen.merged.totals.counts.items()}
    # A series that begins with its first event hides it from `rate`; only AWS's codes are not known before.
    reasons: dict[Labels, float] = dict.fromkeys(((reason.value,) for reason in Reason), 0)
    counts[metrics.COUNTERS["dead_lettered"].name] = reasons | counts.get(metrics.COUNTERS["dead_lettered"].name, {})
    counts[metrics.DAEMON_RESTARTS.name] = {(): seen.known.restarts}
    gauges: Numbers = {metric.name: {} for metric in metrics.CONSUMER if metric.kind == "gauge"}
    for shard in seen.merged.shards:
        for name, value in _of_shard(shard, seen).items():
            gauges[name][shard.shard_id,] = value
        gauges[metrics.HOLDING.name][shard.shard_id, shard.holding] = float(bool(shard.holding))
    for hang in seen.known.hangs:
        gauges[metrics.HANGING.name][hang.shard,] = 1.0
    rule, down_s = seen.rule["state"], seen.at_s - seen.known.since_s
    is_down = seen.known.daemon is None and seen.known.state != "draining" and down_s >= DOWN_S
    of_all: dict[metrics.Metric, float | None] = {
        metrics.OLDEST_AGE: seen.oldest_age_s,
        metrics.HEADROOM: seen.headroom_s,
        metrics.HOLDING: sum(bool(shard.holding) for shard in seen.merged.shards) if seen.merged.shards else None,
        metrics.HANGING: len(seen.known.hangs),
        metrics.UNREAD: None if seen.stream.unread is None else len(seen.stream.unread),
        metrics.RULE_MATCHED: {"matched": 1.0, "unmatched": 0.0}.get(rule),
        metrics.CATCH_UP: seen.catch_up_s,
        metrics.DAEMON_UP: float(not is_down),
        metrics.DAEMON_MEMORY: rss_bytes(seen.known.daemon),
        metrics.BUS_UNASKED: seen.bus["unaskedS"] or 0.0,
    }
    for metric, worst in of_all.items():
        if worst is not None:
            gauges[metric.name][()] = worst
    stages: dict[Labels, Histogram] = {(stage,): Histogram() for stage in metrics.STAGES}
    stages |= seen.merged.totals.histograms.get(metrics.STAGE_LATENCY.name, {})
    return Snapshot(seen.at_s, counts, gauges, {metrics.STAGE_LATENCY.name: stages})


def _of_shard(shard: Shard, seen: Seen) -> dict[str, float]:
    """Its gauges, of this moment where the child's word of them ages."""
    told: dict[str, float | None] = {name: series.get(()) for name, series in shard.told.gauges.items()}
    told |= seen.lag_gauges(shard.shard_id)
    told[metrics.SNAPSHOT_AGE.name] = max(0.0, seen.at_s - shard.told.at_s)
    if breaker := shard.told.states.get("breaker"):
        told[metrics.BREAKER.name] = float(breaker != "closed")
    return {name: value for name, value in told.items() if value is not None}


def tells_zeros(told: Snapshot) -> bool:
    """Whether what was not counted is a 0 for CloudWatch: not where no shard is read here, nor while one holds."""
    return told.gauge(metrics.HOLDING.name) == 0


def _but_for(known: StreamKnown, merged: Merged) -> StreamKnown:
    """What is known of the stream, but for shards that are read here: of them a child tells sooner than the table."""
    if not known.unread:
        return known
    here = {one.shard_id for one in merged.shards if (one.number("callbackAgoS") or READ_S) < READ_S}
    return known._replace(unread=[one for one in known.unread if one.shard not in here])


def _ages(merged: Merged) -> dict[str, Age]:
    """Each shard's lag when its child last spoke, where it told."""
    told = [(shard, shard_state.lag(shard, shard.told.at_s).oldest_age_s) for shard in merged.shards]
    return {shard.shard_id: Age(shard.told.at_s, age_s) for shard, age_s in told if age_s is not None}


def _target(standing: Standing, identity: Identity, now: float, at_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known of bus and rule, for the page. `now` is monotonic, `at_s` the same moment in epoch seconds."""
    line, no, unasked_since = standing.line, standing.no, standing.unasked_since
    proven = line.proven_s > -math.inf
    bus: dict[str, Any] = {"name": identity.bus, "state": "proven" if proven else "unproven"}
    bus["unaskedS"] = None if unasked_since is None else round(max(0.0, now - unasked_since), 1)
    bus["proofAgeS"] = round(max(0.0, now - line.proven_s), 1) if proven and not identity.trusted else None
    rule: dict[str, Any] = {"name": identity.rule, "state": "matched" if proven else "unknown"}
    if identity.trusted:
        bus["state"] = "trusted"
    elif no and no.of == "bus":
        bus["state"] = "gone"
    elif unasked_since is not None:
        bus["state"] = "unasked"
    if identity.trusted or identity.rule == NO_RULE:
        rule["state"] = "unwatched"
    elif no:
        rule["state"] = "unmatched"
    elif unasked_since is not None:
        rule["state"] = "unknown"
    rule["since"] = iso((at_s - (now - standing.no_since)) * 1000) if no else None
    return bus, {**rule, "problem": line.problem or None, "cure": no.cure if no else None}
