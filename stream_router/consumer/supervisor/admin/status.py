"""`/status` and `/metrics` of the consumer, made from the state folder and the vitals, at most once a second."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.consumer.state_dir import BUS_GONE, BUS_PROOF, BUS_UNASKED, RULE_STATE, StateDir
from stream_router.consumer.supervisor.admin.status_json import Identity, Seen, Verdict, rss_bytes, status, verdict
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.supervisor.watches.stream_watch import NOTHING, StreamKnown
from stream_router.model import SNAPSHOTS
from stream_router.telemetry.shards import consumer_page, shard_state
from stream_router.telemetry.shards.merged_shards import Merged, ShardMerger
from stream_router.telemetry.shards.recent import Age, Recent
from stream_router.telemetry.shards.shard_metrics import read_snapshots, snapshot_file

KEPT_S = 1.0
LAST_WORD_S = 60.0
"""A child whose snapshot is older, and whose process is gone, writes no other."""

RULE_STALE_S = 300.0
"""The rule is looked at twice a minute. An older word is an earlier run's, or the folder takes no newer one."""


class Pages(NamedTuple):
    """Both pages as of one moment."""

    status: bytes
    metrics: bytes


class Status:
    """Makes the pages when asked, and keeps them for a second: a hundred askers cost as much as one.

    `seen` is to be called every few seconds, asked or not: rates and recent percentiles come of it. `stream` tells what
    is known of the stream.
    """

    def __init__(
        self,
        state: StateDir,
        vitals: Vitals,
        identity: Identity,
        stream: Callable[[], StreamKnown] = lambda: NOTHING,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._vitals = vitals
        self._identity = identity
        self._stream = stream
        self._clock = clock
        self._now_s = now_s
        self._merger = ShardMerger(lambda pid: Path(f"/proc/{pid}").exists())
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
                self._pages = Pages(orjson.dumps(status(seen)), self._metrics(seen))
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
        seen = Seen(
            at_s=at_s,
            clock=now,
            identity=self._identity,
            known=self._vitals.known(),
            rule=_rule(self._state, at_s),
            bus=_bus(self._state, self._identity.bus, now, trusted=self._identity.bus_trusted),
            merged=merged,
            lags=lags,
            ages=ages,
            stream=self._stream(),
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
        for shard_id, pid in self._merger.gone(at_s - LAST_WORD_S):
            with contextlib.suppress(OSError):  # a file that stays is counted by itself as before
                snapshot_file(self._state.path / SNAPSHOTS, shard_id, pid).unlink(missing_ok=True)
                self._merger.let_go((shard_id, pid))

    def _metrics(self, seen: Seen) -> bytes:
        facts = consumer_page.Facts(
            daemon_up=seen.known.daemon is not None,
            daemon_restarts=seen.known.restarts,
            rule_matched={"matched": True, "unmatched": False}.get(str(seen.rule.get("state"))),
            bus_unasked_s=float(seen.bus.get("unaskedS") or 0.0),
            daemon_memory_bytes=rss_bytes(seen.known.daemon),
            unread_shards=None if seen.stream.unread is None else len(seen.stream.unread),
            catch_up_s=seen.catch_up_s,
            hangs=[(hang.shard, hang.kind) for hang in seen.known.hangs],
            shards={name: seen.lag_gauges(name) for name in seen.lags},
        )
        return consumer_page.page(seen.merged, facts, seen.at_s)


def _ages(merged: Merged) -> dict[str, Age]:
    """Each shard's lag when its child last spoke, where it told."""
    told = [(shard, shard_state.lag(shard, shard.at_s).oldest_age_s) for shard in merged.shards]
    return {shard.shard_id: Age(shard.at_s, age_s) for shard, age_s in told if age_s is not None}


def _rule(state: StateDir, now_s: float) -> dict[str, Any]:
    """The rule watch's own words; `unknown` where there are none, or none of late. `now_s` is epoch seconds."""
    try:
        found: dict[str, Any] = json.loads(state.read(RULE_STATE))
        looked_at = found.get("lookedAt")
        is_stale = looked_at is not None and now_s - datetime.fromisoformat(looked_at).timestamp() > RULE_STALE_S
    except (OSError, ValueError, TypeError, AttributeError):
        return {"state": "unknown"}
    return found | {"state": "unknown"} if is_stale else found


def _bus(state: StateDir, name: str, now: float, *, trusted: bool) -> dict[str, Any]:
    """`proven`, `unasked` or `gone`, and `unproven` before the first answer; `now` is monotonic.

    Of a bus that is `trusted` a proof is written too, and nobody has asked.
    """
    unasked_s = proof_age_s = None
    try:
        if since := state.read(BUS_UNASKED):
            unasked_s = round(max(0.0, now - float(since)), 1)
        if proof := state.read(BUS_PROOF).split():
            proof_age_s = round(max(0.0, now - float(proof[0])), 1)
        gone = bool(state.read(BUS_GONE))
    except (OSError, ValueError):
        gone = False
    known = "gone" if gone else "unasked" if unasked_s is not None else "proven" if proof_age_s is not None else None
    if trusted and known == "proven":
        known, proof_age_s = "trusted", None
    return {"name": name, "state": known or "unproven", "unaskedS": unasked_s, "proofAgeS": proof_age_s}
