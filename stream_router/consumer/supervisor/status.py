"""`/status` and `/metrics` of the consumer, made from the state folder and the vitals, at most once a second."""

import json
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.consumer.state_dir import BUS_GONE, BUS_PROOF, BUS_UNASKED, RULE_STATE, StateDir
from stream_router.consumer.supervisor.vitals import Known, Vitals
from stream_router.pipeline.mapping.timestamps import iso
from stream_router.telemetry import consumer_page
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.merged_shards import Merged, Shard, ShardMerger
from stream_router.telemetry.shard_metrics import read_snapshots

SCHEMA = "stream-router.consumer-status/1"
KEPT_S = 1.0
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


class Pages(NamedTuple):
    """Both pages as of one moment."""

    status: bytes
    metrics: bytes


class Status:
    """Makes the pages when asked, and keeps them for a second: a hundred askers cost as much as one."""

    def __init__(
        self,
        state: StateDir,
        vitals: Vitals,
        bus: str,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._vitals = vitals
        self._bus = bus
        self._clock = clock
        self._now_s = now_s
        self._merger = ShardMerger(lambda pid: Path(f"/proc/{pid}").exists())
        self._lock = threading.Lock()
        self._made_at = -KEPT_S
        self._pages = Pages(b"", b"")

    def pages(self) -> Pages:
        """The pages, at most a second old."""
        with self._lock:
            now = self._clock()
            if now - self._made_at >= KEPT_S:
                self._pages = self._make()
                self._made_at = now
            return self._pages

    def _make(self) -> Pages:
        merged = self._merger.merge(read_snapshots(self._state.path))
        known, rule, bus = self._vitals.known(), self._rule(), self._bus_state()
        facts = consumer_page.Facts(
            daemon_up=known.daemon is not None,
            daemon_restarts=known.restarts,
            rule_matched={"matched": True, "unmatched": False}.get(str(rule.get("state"))),
            bus_unasked_s=float(bus.get("unaskedS") or 0.0),
        )
        status = {
            "schema": SCHEMA,
            "at": self._iso(self._now_s()),
            "version": version("stream_router"),
            **self._verdict(known, merged, rule),
            "daemon": {"pid": known.daemon, "restarts": known.restarts},
            "bus": bus,
            "rule": rule,
            "totals": _totals(merged),
            "shards": [self._shard(shard) for shard in merged.shards],
        }
        return Pages(orjson.dumps(status), consumer_page.page(merged, facts, self._now_s()))

    def _verdict(self, known: Known, merged: Merged, rule: dict[str, Any]) -> dict[str, Any]:
        """State and reason in words: what the supervisor does, unless a shard or the rule has worse to tell."""
        holding = [shard for shard in merged.shards if shard.holding]
        if known.state == "running" and holding:
            reasons = ", ".join(sorted({shard.holding for shard in holding}))
            reason = f"{len(holding)} of {len(merged.shards)} shards hold: {reasons}"
            return {"state": "holding", "since": None, "reason": reason}
        if known.state == "running" and rule.get("state") == "unmatched":
            return {"state": "rule unmatched", "since": rule.get("since"), "reason": rule.get("problem")}
        return {"state": known.state, "since": self._iso(known.since_s), "reason": known.reason or None}

    def _rule(self) -> dict[str, Any]:
        try:
            found = json.loads(self._state.read(RULE_STATE))
        except (OSError, ValueError):
            return {"state": "unknown"}
        return found if isinstance(found, dict) else {"state": "unknown"}

    def _bus_state(self) -> dict[str, Any]:
        """`proven`, `unasked` or `gone`, and `unproven` before the first answer."""
        now = self._clock()
        unasked_s = proof_age_s = None
        try:
            if since := self._state.read(BUS_UNASKED):
                unasked_s = round(max(0.0, now - float(since)), 1)
            if proof := self._state.read(BUS_PROOF).split():
                proof_age_s = round(max(0.0, now - float(proof[0])), 1)
            gone = bool(self._state.read(BUS_GONE))
        except (OSError, ValueError):
            gone = False
        state = (
            "gone" if gone else "unasked" if unasked_s is not None else "proven" if proof_age_s is not None else None
        )
        return {"name": self._bus, "state": state or "unproven", "unaskedS": unasked_s, "proofAgeS": proof_age_s}

    def _shard(self, shard: Shard) -> dict[str, Any]:
        return {
            "shard": shard.shard_id,
            "pid": shard.pid,
            "at": self._iso(shard.at_s),
            "holding": shard.holding or None,
            "counters": shard.counters,
            "gauges": shard.gauges,
        }

    @staticmethod
    def _iso(epoch_s: float) -> str:
        return iso(int(epoch_s * 1000))


def _totals(merged: Merged) -> dict[str, Any]:
    totals = merged.totals
    calls = sum(totals.entries_per_call.values())
    entries = sum(entries * count for entries, count in totals.entries_per_call.items())
    return {
        "counters": dict(totals.counters),
        "deadLetters": dict(totals.dead_letters),
        "retries": dict(totals.retries),
        "calls": calls,
        "entriesPerCall": round(entries / calls, 2) if calls else None,
        "latenciesMs": {stage: _percentiles(histogram) for stage, histogram in sorted(totals.latencies.items())},
    }


def _percentiles(histogram: Histogram) -> dict[str, float]:
    found = {name: round(histogram.percentile(percent), 3) for name, percent in PERCENTILES.items()}
    return {"count": histogram.count, **found, "max": round(histogram.largest_ms, 3)}
