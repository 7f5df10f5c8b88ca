"""Status of the consumer: one snapshot of the worker, and the views of it for the admin port and CloudWatch.

The snapshot sums the children's snapshots, and adds the supervisor's knowledge of daemon, bus, rule and stream.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.aws_error_codes import MissingPermission
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.history import History
from stream_router.consumer.supervisor.stream_watch import NO_FACTS, StreamFacts
from stream_router.consumer.supervisor.vitals import Vitals, VitalsSnapshot
from stream_router.consumer.target_check import TargetStateMachine
from stream_router.dead_letter_reasons import Reason
from stream_router.process import iso
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer
from stream_router.settings.types import parse_host_names
from stream_router.telemetry import metrics_catalogue as metrics
from stream_router.telemetry import prometheus, shard_state, silence
from stream_router.telemetry import status as common_status
from stream_router.telemetry.admin_server import AdminServer, ProbeAnswer, routes
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.merged import Merged, MergedShard, Merger
from stream_router.telemetry.shard_state import Lag
from stream_router.telemetry.silence import Silence
from stream_router.telemetry.snapshot import Labels, Numbers, Snapshot
from stream_router.telemetry.status import CONSUMER, RATE_WINDOW_S, RECENT_S, RecentSamples, Sample
from stream_router.telemetry.verdict import START_S, TABLE, Code, Condition, Verdict, VerdictLog, judge

log = logging.getLogger(__name__)

CACHE_S = 1.0
"""Seconds for which a snapshot serves all requests."""
VERDICT_INTERVAL_S = 1.0
"""Seconds between two checks of the verdict: a change is logged within two seconds."""

DAEMON_DOWN_AFTER_S = 60.0
"""Seconds without a daemon after which it counts as down. Before, it is being started, as at each program start."""

RECENT_CALLBACK_S = 5.0
"""Seconds since a child's last callback within which its shard counts as read."""

MIN_CATCH_UP_SPEED = 0.001
"""Seconds of lag made up per second, below which a shard does not count as catching up."""

PARTLY_READ_MEANING = "The shards that are read go on. Events of the others wait in the stream."

ACTIVITIES = ("waiting", "work", "bus", "holding", "deadLetters")
"""Activities between which a child divides its time: `child/vitals.py` counts their seconds."""


class StatusFacts(NamedTuple):
    """All facts about the worker at one time. `at` is the snapshot's time in monotonic seconds."""

    at: float
    snapshot: Snapshot
    """The worker's snapshot: its children's counts, gauges by shard, and the worst of them without labels."""
    shards: list[MergedShard]
    lags: Mapping[str, Lag]
    vitals: VitalsSnapshot
    bus: Mapping[str, Any]
    rule: Mapping[str, Any]
    rule_broken_s: float | None
    """Epoch seconds since which bus or rule do not take our events, None if they do."""
    stream: StreamFacts
    table_waits_for: str = ""
    """Reason for which no shard can be read until the lease table is ready, "" if there is none."""
    silences: Sequence[Silence] = ()
    """Services of AWS that do not answer the supervisor."""
    disk_problem: str = ""
    """Description of the disk that is full, "" if none is."""
    refusals: Sequence[tuple[MissingPermission, float]] = ()
    """Calls of the daemon that AWS refuses, each with its beginning (epoch seconds)."""
    reads_nothing_s: float = 0.0
    """Seconds for which no shard was read here although AWS answered."""
    not_read_yet: Sequence[str] = ()
    """Shards without an owner at the latest check, if not all shards were read since the daemon was started."""


class ConsumerStatus:
    """Status of this worker, evaluated on request and at most once a second. Any thread may call it.

    `observe` must be called every few seconds, since rates, recent percentiles and the history come from its samples.
    `target_state` is the result of the target check. The other arguments return the fields of StatusFacts with similar
    names.
    """

    def __init__(
        self,
        settings: Consumer,
        state: StateDir,
        vitals: Vitals,
        target_state: TargetStateMachine,
        stream: Callable[[], StreamFacts] = lambda: NO_FACTS,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
        table_waits_for: Callable[[], str] = lambda: "",
        silences: Callable[[], Sequence[Silence]] = lambda: (),
        disk_problem: Callable[[], str] = lambda: "",
        refusals: Callable[[], Sequence[tuple[MissingPermission, float]]] = lambda: (),
    ) -> None:
        self._settings = settings
        self._worker = state.worker_id(settings.worker)
        self._vitals = vitals
        self._target_state = target_state
        self._stream = stream
        self._table_waits_for = table_waits_for
        self._silences = silences
        self._disk_problem = disk_problem
        self._refusals = refusals
        self._clock = clock
        self._now_s = now_s
        self._merger = Merger(state.path, lambda pid: Path(f"/proc/{pid}").exists())
        self._recent = RecentSamples()
        self._history = History()
        self._lock = threading.Lock()
        self._facts: StatusFacts | None = None
        self.latest_verdict = judge([Condition(Code.STARTING)], now_s())
        self._verdict_log = VerdictLog()
        self._read_at: float | None = None
        """Latest monotonic time at which a shard was read here, or AWS did not answer; at first that of the start."""
        self._all_read_since: float | None = None
        """Start of a daemon (epoch seconds), set once a check after that start has found a reader for every shard."""

    def observe(self) -> StatusFacts:
        """Return all known facts, at most a second old."""
        with self._lock:
            if self._facts is None or self._clock() - self._facts.at >= CACHE_S:
                self._facts = self._observe(self._clock(), self._now_s())
            return self._facts

    def log_change(self) -> None:
        """Log the verdict if it has changed. Called every VERDICT_INTERVAL_S."""
        self._verdict_log.note(self.verdict(), self._now_s())

    def verdict(self) -> Verdict:
        """Return the verdict, at most a second old."""
        self.observe()
        return self.latest_verdict

    def snapshot(self) -> Snapshot:
        """Return the worker's snapshot, at most a second old."""
        return self.observe().snapshot

    def status(self) -> bytes:
        """Return the document of `/status`."""
        facts = self.observe()
        with self._lock:
            return orjson.dumps(self._status_object(facts))

    def metrics(self) -> bytes:
        """Return the page of `/metrics`."""
        return prometheus.page(self.snapshot(), metrics.CONSUMER, "consume")

    def history(self) -> bytes:
        """Return the document of `/history`."""
        with self._lock:
            return self._history.page(self._now_s() - self._clock())

    def log_work(self) -> None:
        """Log the work of the last RECENT_S, so that an idle consumer and a hung one differ.

        The caller runs this every RECENT_S.
        """
        facts = self.observe()
        with self._lock:
            now, before = facts.snapshot, self._recent.before(facts.at, RECENT_S)
        if before is None or facts.at - before.at < RATE_WINDOW_S:
            return  # just started: there is no earlier sample to compare with
        done = common_status.counters(CONSUMER, now.since(before.snapshot))
        lag_s, over_s = now.gauge(metrics.OLDEST_AGE.name), facts.at - before.at
        fields = {
            "event": "consumer-runs",
            "shards": [shard.shard_id for shard in facts.shards],
            "lagS": None if lag_s is None else round(lag_s, 1),
            "holdingShards": int(now.gauge(metrics.HOLDING.name) or 0),
            "deliveredPerSecond": round(done["delivered"] / over_s, 1),
            "delivered": done["delivered"],
            "deadLetters": done["dead_lettered"],
            "dropped": done["dropped"],
            "retried": done["retried"],
            "overS": round(over_s),
        }
        log.info("The consumer runs.", extra=fields)

    def _observe(self, at: float, at_s: float) -> StatusFacts:
        """Collect all facts, judge them, and add a sample if one is due. `at` is monotonic, `at_s` epoch seconds."""
        merged = self._merger.merge()
        bus, rule = self._target(at, at_s)
        silences = [*self._silences(), *_silent_destinations(merged.shards, at_s)]
        if merged.shards or silences or self._read_at is None:
            self._read_at = at
        facts = StatusFacts(
            at=at,
            snapshot=Snapshot(at_s),
            shards=merged.shards,
            lags={shard.shard_id: shard_state.lag(shard, at_s) for shard in merged.shards},
            vitals=self._vitals.read(),
            bus=bus,
            rule=rule,
            rule_broken_s=at_s - (at - self._target_state.broken_since_s) if self._target_state.broken else None,
            stream=_without_shards_read_here(self._stream(), merged),
            table_waits_for=self._table_waits_for(),
            silences=silences,
            disk_problem=self._disk_problem(),
            refusals=self._refusals(),
            reads_nothing_s=at - self._read_at,
        )
        facts = facts._replace(not_read_yet=self._not_read_yet(facts))
        snapshot = _snapshot(facts, merged.totals)
        if (catch_up_s := self._catch_up_s(facts, snapshot)) is not None:
            snapshot.gauges[metrics.CATCH_UP.name][()] = catch_up_s
        self.latest_verdict = judge(conditions(facts), at_s, self.latest_verdict)
        snapshot.states = self.latest_verdict.fields()
        times = {(shard.shard_id, shard.pid): _activity_times(shard) for shard in facts.shards}
        if last := self._recent.note(Sample(at, snapshot, times)):
            self._history.add(at, at - last.at, snapshot.since(last.snapshot), len(facts.shards))
        return facts._replace(snapshot=snapshot)

    def _not_read_yet(self, facts: StatusFacts) -> Sequence[str]:
        """Return the shards that no worker reads yet, in the first START_S after the daemon's start.

        The result is empty later, and once every shard was read since that start.
        """
        vitals, stream = facts.vitals, facts.stream
        if vitals.state != "running" or facts.snapshot.at_s - vitals.since_s >= START_S:
            return ()
        if stream.unread is not None and not stream.unread and not stream.without_owner:
            self._all_read_since = vitals.since_s
        if self._all_read_since == vitals.since_s:
            return ()
        here = {shard.shard_id for shard in facts.shards}
        unread = {shard.shard for shard in stream.unread or ()}
        return sorted({*stream.without_owner, *unread} - here)

    def _target(self, at: float, at_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the objects `bus` and `rule` of `/status`. `at` is monotonic, `at_s` the same in epoch seconds."""
        report, broken = self._target_state.report, self._target_state.broken
        unanswered_since_s = self._target_state.unanswered_since_s
        trusted, proven = self._settings.bus_proof == "trust", report.proven_s > -math.inf
        bus, rule = ("proven", "matched") if proven else ("unproven", "unknown")
        if broken:
            bus, rule = "gone" if broken.part == "bus" else bus, "unmatched"
        elif unanswered_since_s is not None:
            bus, rule = "unasked", "unknown"
        if trusted or self._settings.rule == NO_RULE:
            bus, rule = "trusted" if trusted else bus, "unwatched"
        return {
            "name": self._settings.event_bus,
            "state": bus,
            "unaskedS": None if unanswered_since_s is None else round(max(0.0, at - unanswered_since_s), 1),
            "proofAgeS": round(max(0.0, at - report.proven_s), 1) if proven and not trusted else None,
        }, {
            "name": self._settings.rule,
            "state": rule,
            "since": iso((at_s - (at - self._target_state.broken_since_s)) * 1000) if broken else None,
            "problem": report.problem or None,
            "cure": broken.cure if broken else None,
        }

    def _catch_up_s(self, facts: StatusFacts, now: Snapshot) -> float | None:
        """Return the seconds until all shards have caught up, at the last minute's speed.

        Return None if that is not known: no shard is read here, a lag is unknown, or a shard does not catch up.
        """
        slowest_s, before = 0.0, self._recent.before(facts.at, RATE_WINDOW_S)
        for shard in facts.lags:
            lag_s = now.gauge(metrics.OLDEST_AGE.name, (shard,))
            lag_before_s = before.snapshot.gauge(metrics.OLDEST_AGE.name, (shard,)) if before else None
            if lag_s is None:
                return None
            if lag_s:
                if before is None or lag_before_s is None:
                    return None
                speed = (lag_before_s - lag_s) / (facts.at - before.at)
                if speed < MIN_CATCH_UP_SPEED:
                    return None
                slowest_s = max(slowest_s, lag_s / speed)
        return round(slowest_s, 1) if facts.lags else None

    def _time_shares(self, facts: StatusFacts, shard: MergedShard) -> dict[str, float] | None:
        """Return the child's activities in the last minute, as shares that sum to 1; None if it reports none."""
        now, sample = _activity_times(shard), self._recent.before(facts.at, RATE_WINDOW_S)
        before = sample.times.get((shard.shard_id, shard.pid), {}) if sample else {}
        spent = {name: max(0.0, now.get((name,), 0.0) - before.get((name,), 0.0)) for name in ACTIVITIES}
        total = sum(spent.values())
        return {name: round(seconds / total, 4) for name, seconds in spent.items()} if total > 0 else None

    def _status_object(self, facts: StatusFacts) -> dict[str, Any]:
        """Return the object of `/status`: the fields of both programs, then the consumer's own."""
        now, settings, unread = facts.snapshot, self._settings, facts.stream.unread
        calls_by_size = now.counts.get(metrics.ENTRIES_PER_CALL.name, {})
        calls, entries = sum(calls_by_size.values()), sum(int(size) * count for (size,), count in calls_by_size.items())
        caught_up = bool(facts.lags) and all(lag.caught_up for lag in facts.lags.values()) and not unread
        return common_status.status(
            CONSUMER,
            settings.aws_region,
            settings.stream,
            now,
            self._recent,
            facts.at,
            {
                "application": settings.application,
                "worker": self._worker,
                "daemon": {
                    "pid": facts.vitals.daemon,
                    "restarts": facts.vitals.restarts,
                    "plannedRestarts": sum(facts.vitals.planned_restarts.values()),
                    "rssBytes": rss_bytes(facts.vitals.daemon),
                },
                "bus": facts.bus,
                "rule": facts.rule,
                "lag": {
                    "oldestUnsettledAgeS": _round(now.gauge(metrics.OLDEST_AGE.name)),
                    "retentionHeadroomS": _round(now.gauge(metrics.HEADROOM.name)),
                    "caughtUp": caught_up,
                    "catchUpS": now.gauge(metrics.CATCH_UP.name),
                },
                "unreadShards": None
                if unread is None
                else [{"shard": shard.shard, "why": shard.why, "since": iso(shard.since_s * 1000)} for shard in unread],
                "shards": [self._shard(shard, facts) for shard in facts.shards],
            },
            {"entriesPerCall": round(entries / calls, 2) if calls else None},
        )

    def _shard(self, shard: MergedShard, facts: StatusFacts) -> dict[str, Any]:
        condition = shard_state.condition(shard, facts.lags[shard.shard_id], facts.snapshot.at_s) or Condition(
            Code.WELL
        )
        row = TABLE[condition.code]
        return {
            "shard": shard.shard_id,
            "pid": shard.pid,
            "at": iso(shard.snapshot.at_s * 1000),
            "code": condition.code.value,
            "state": row.words,
            "level": row.level.value,
            "reason": condition.reason or None,
            "since": None if condition.since_s is None else iso(condition.since_s * 1000),
            "gauges": {name: _round(value) for name, value in _gauges(shard, facts).items()},
            "manyDeadLetters": _many_dead_letters(shard),
            "timeShares": self._time_shares(facts, shard),
            "counters": common_status.counters(CONSUMER, shard.snapshot),
        }


def _many_dead_letters(shard: MergedShard) -> dict[str, Any] | None:
    """Return the fields of `/status` for the alarm on dead letters; None if it is not raised."""
    if (raised := shard.many_dead_letters) is None:
        return None
    counts = {"since": iso(raised["sinceS"] * 1000), "letters": raised["letters"], "accepted": raised["accepted"]}
    return {**counts, "reason": raised["reason"], "source": raised["source"], "eventType": raised["event_type"]}


def _snapshot(facts: StatusFacts, totals: Snapshot) -> Snapshot:
    """Return the worker's snapshot: its children's counts, its shards' gauges, and the supervisor's own gauges.

    An unknown value is omitted, since a 0 would claim health. A gauge by shard also exists without labels, with the
    worst value.
    """
    counts: Numbers = {name: dict(series) for name, series in totals.counts.items()}
    # All reasons begin at 0: Prometheus' `rate` misses the first event of a series that begins with it. AWS's error
    # codes, the labels of the retries, are not known in advance.
    reasons: dict[Labels, float] = dict.fromkeys(((reason.value,) for reason in Reason), 0)
    counts[metrics.COUNTERS["dead_lettered"].name] = reasons | counts.get(metrics.COUNTERS["dead_lettered"].name, {})
    counts[metrics.DAEMON_RESTARTS.name] = {(): facts.vitals.restarts}
    counts[metrics.PLANNED_RESTARTS.name] = {(cause,): n for cause, n in facts.vitals.planned_restarts.items()}
    gauges: Numbers = {metric.name: {} for metric in metrics.CONSUMER if metric.kind == "gauge"}
    for shard in facts.shards:
        for name, value in _gauges(shard, facts).items():
            if value is not None and name in gauges:
                gauges[name][shard.shard_id,] = value
        gauges[metrics.HOLDING.name][shard.shard_id, shard.holding] = float(bool(shard.holding))
        raised = shard.many_dead_letters or {"reason": "", "source": ""}
        labels = (shard.shard_id, str(raised["reason"]), str(raised["source"]))
        gauges[metrics.MANY_DEAD_LETTERS.name][labels] = float(bool(shard.many_dead_letters))
    vitals, at_s = facts.vitals, facts.snapshot.at_s
    is_down = vitals.daemon is None and vitals.state != "draining" and at_s - vitals.since_s >= DAEMON_DOWN_AFTER_S
    worst_values: dict[metrics.Metric, float | None] = {
        metrics.OLDEST_AGE: max(gauges[metrics.OLDEST_AGE.name].values(), default=None),
        metrics.HEADROOM: min(gauges[metrics.HEADROOM.name].values(), default=None),
        metrics.HOLDING: sum(bool(shard.holding) for shard in facts.shards) if facts.shards else None,
        metrics.MANY_DEAD_LETTERS: sum(bool(shard.many_dead_letters) for shard in facts.shards)
        if facts.shards
        else None,
        metrics.UNREAD: None if facts.stream.unread is None else len(facts.stream.unread),
        metrics.RULE_MATCHED: {"matched": 1.0, "unmatched": 0.0}.get(facts.rule["state"]),
        metrics.DAEMON_UP: float(not is_down),
        metrics.DAEMON_MEMORY: rss_bytes(vitals.daemon),
    }
    for metric, worst in worst_values.items():
        if worst is not None:
            gauges[metric.name][()] = worst
    stages: dict[Labels, Histogram] = {(stage,): Histogram() for stage in metrics.STAGES}
    stages |= totals.histograms.get(metrics.STAGE_LATENCY.name, {})
    return Snapshot(at_s, counts, gauges, {metrics.STAGE_LATENCY.name: stages})


def _gauges(shard: MergedShard, facts: StatusFacts) -> dict[str, float | None]:
    """Return a shard's gauges by the catalogue's names: its child's, and its lag, which grows with the clock."""
    lag, retention_s = facts.lags[shard.shard_id], facts.stream.retention_s
    gauges: dict[str, float | None] = {name: series.get(()) for name, series in shard.snapshot.gauges.items()}
    gauges[metrics.OLDEST_AGE.name] = lag.oldest_age_s
    unknown = retention_s is None or lag.arrived_ago_s is None
    gauges[metrics.HEADROOM.name] = None if unknown else retention_s - lag.arrived_ago_s  # type: ignore[operator]
    return gauges


def conditions(facts: StatusFacts) -> Iterator[Condition]:
    """Yield every state that the worker is in. The table of states decides which of them is reported."""
    vitals, at_s, unread = facts.vitals, facts.snapshot.at_s, facts.stream.unread
    if facts.silences:
        began_s = min(silence.since_s for silence in facts.silences)
        yield Condition(Code.AWS_SILENT, silence.join_service_names(facts.silences), began_s)
    if vitals.state == "draining":
        yield Condition(Code.DRAINING, vitals.reason, vitals.since_s)
        return
    if facts.rule_broken_s is not None:
        yield Condition(
            Code.TARGET_BROKEN, facts.rule["problem"], facts.rule_broken_s, cure=_as_sentence(facts.rule["cure"])
        )
    if facts.disk_problem:
        yield Condition(Code.DISK_FULL, facts.disk_problem)
    if facts.refusals:
        refused = _join_first([refusal.in_words() for refusal, _ in facts.refusals], "; ")
        yield Condition(Code.DAEMON_REFUSED, refused, facts.refusals[0][1])
    if vitals.state != "running":
        code = Code.STARTING if vitals.state == "starting" else Code.RESTARTING
        yield Condition(code, vitals.reason, vitals.since_s)
        return
    if vitals.hangs:
        yield Condition(Code.HANGING, _join_first(vitals.hangs, "; "))
    yield from _shard_conditions(facts)
    if facts.shards and facts.not_read_yet:
        shards = _join_first(facts.not_read_yet, ", ")
        yield Condition(Code.STARTING, f"not read yet: {shards}", vitals.since_s, meaning=PARTLY_READ_MEANING)
    is_young = at_s - vitals.since_s < START_S and (not facts.shards or bool(facts.not_read_yet))
    # Unread shards are normal while a new daemon takes its leases, and while the lease table is made ready.
    if unread and not is_young and not (facts.table_waits_for and not facts.shards):
        shards = _join_first([f"{shard.shard} ({shard.why})" for shard in unread], ", ")
        yield Condition(Code.SHARDS_UNREAD, f"nobody reads {shards}", min(shard.since_s for shard in unread))
    if not facts.shards:
        yield _condition_without_shards(facts)


def _condition_without_shards(facts: StatusFacts) -> Condition:
    """Return the state of a worker that runs and reads no shard."""
    vitals = facts.vitals
    if facts.table_waits_for:
        return Condition(Code.STARTING, facts.table_waits_for)
    if facts.reads_nothing_s < START_S:
        has_restarted = vitals.restarts or any(vitals.planned_restarts.values())
        daemon = "the KCL daemon was restarted and" if has_restarted else "the KCL daemon"
        return Condition(Code.STARTING, f"{daemon} reads no shard yet")
    if facts.bus["unaskedS"] is not None and facts.stream.unread is None:
        return Condition(Code.CUT_OFF, "no shard is read here, and neither bus nor stream can be checked")
    return Condition(Code.WELL, "no shard is read here")


def _shard_conditions(facts: StatusFacts) -> Iterator[Condition]:
    """Yield the states that shards of this worker are in, each once."""
    conditions = [
        shard_state.condition(shard, facts.lags[shard.shard_id], facts.snapshot.at_s) for shard in facts.shards
    ]
    by_code: dict[Code, list[Condition]] = {}
    for condition in conditions:
        if condition is not None:
            by_code.setdefault(condition.code, []).append(condition)
    for code, same in by_code.items():
        reasons = sorted({condition.reason for condition in same})
        began_s = [condition.since_s for condition in same if condition.since_s is not None]
        where = f"{len(same)} of {len(conditions)} shards: {_join_first(reasons, ', ')}"
        yield Condition(code, where, min(began_s, default=None))


def _silent_destinations(shards: Sequence[MergedShard], at_s: float) -> Iterator[Silence]:
    """Yield the destinations that do not answer a child, so that its shard holds."""
    for shard in shards:
        if name := shard.snapshot.states.get("silent"):
            held_s = shard.number("holdingS") or 0.0
            yield Silence(str(name), min(at_s, shard.snapshot.at_s) - held_s)


def _as_sentence(text: str | None) -> str:
    """Return a cure of the target check as a sentence; "" if there is none."""
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _join_first(texts: Sequence[str], between: str) -> str:
    """Join the first three texts and the number of the others, since a host may have a hundred shards."""
    return between.join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _without_shards_read_here(stream: StreamFacts, merged: Merged) -> StreamFacts:
    """Return `stream` without the unread shards that this worker reads by now: its children know sooner."""
    if not stream.unread:
        return stream
    called_ago_s = {shard.shard_id: shard.number("callbackAgoS") for shard in merged.shards}
    here = {shard for shard, ago_s in called_ago_s.items() if ago_s is not None and ago_s < RECENT_CALLBACK_S}
    return stream._replace(unread=[unread for unread in stream.unread if unread.shard not in here])


def _activity_times(shard: MergedShard) -> Mapping[Labels, float]:
    return shard.snapshot.counts.get(metrics.TIME.name, {})


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def rss_bytes(pid: int | None) -> int | None:
    """Return the bytes of a process that are in RAM; None if there is no process, or no permission to read it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")  # 64 KiB on some arm64


def sends_zeros(snapshot: Snapshot) -> bool:
    """Return whether CloudWatch gets a 0 for each counter without events: only if shards are read and none holds.

    If no shard is read, the gauge has no value, so the comparison is false.
    """
    return snapshot.gauge(metrics.HOLDING.name) == 0


def admin_port(listen: str, token: str | None, hosts: str, vitals: Vitals, status: ConsumerStatus) -> AdminServer:
    """Return the consumer's admin port, which listens from now on. Raises SettingsError if it cannot listen."""

    def health() -> ProbeAnswer:
        # The latest verdict, however old: a new one reads files, and a disk that hangs must not fail a liveness probe.
        healthy, verdict = vitals.read().healthy, status.latest_verdict
        return ProbeAnswer(healthy, verdict.probe_words(healthy=healthy))

    def ready() -> ProbeAnswer:
        current = vitals.read()
        if current.ready:
            return ProbeAnswer(good=True, word="ready")
        return ProbeAnswer(good=False, word="hanging" if current.hangs else current.state)

    pages = routes(health, ready, status.status, status.metrics, status.history)
    return AdminServer(listen, "STREAM_ROUTER_ADMIN_LISTEN", token, parse_host_names(hosts), pages)
