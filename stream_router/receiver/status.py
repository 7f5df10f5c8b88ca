"""What the receiver says of itself: one snapshot, made on the event loop, and the admin port's views of it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream_router.process import iso
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.stats import Stats
from stream_router.settings.receiver import Receiver
from stream_router.telemetry import prometheus
from stream_router.telemetry.admin_server import JSON, AdminServer, Page, Verdict, probe
from stream_router.telemetry.metrics_catalogue import DURATION, RECEIVER, RECORDS_FAILED, REQUESTS
from stream_router.telemetry.snapshot import Snapshot

SCHEMA = "stream-router.receiver-status/2"
SILENT_S = 30.0
"""An event loop that has not come round for so long stands still: only a restart helps (`/healthz`)."""
RATES_S, SAMPLE_S = 60.0, 5.0
RATES = {"storedPerS": "events_stored", "spilledPerS": "events_spilled", "refusedPerS": "events_refused"}


class Status:
    """`look` is called on the loop; all else on any thread. `clock` is monotonic."""

    def __init__(self, settings: Receiver, stats: Stats, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = settings.stream
        self._stats = stats
        self._clock = clock
        self._samples: deque[tuple[float, Snapshot]] = deque()
        self._lock = threading.Lock()
        self.latest = stats.snapshot({"up": 0, "ready": 0}, {})
        """Never changed once it is here: each look makes a new one."""
        self.latest.states = {"state": "starting", "sinceS": self.latest.at_s, "reason": None}

    def look(self, batcher: Batcher, app: App, certificate_ends_s: float | None, *, up: bool) -> None:
        """How it is now. Called a few times a second."""
        told = batcher.snapshot()
        known = {
            **told,
            "connections": self._stats.connections,
            "held_bytes": batcher.held_bytes + self._stats.read_bytes,
            "tls_certificate_end_timestamp_seconds": certificate_ends_s,
            "up": int(up),
            "ready": int(up and app.ready),
            "heartbeat_timestamp_seconds": time.time(),
        }
        made = self._stats.snapshot(known, batcher.failures)
        state, reason = _verdict(app, batcher, told, up=up)
        before = self.latest.states
        since_s = before["sinceS"] if before["state"] == state else made.at_s
        heard_s = told["stream_heard_s"] or None
        made.states = {
            "state": state,
            "sinceS": since_s,
            "reason": reason,
            "streamCode": batcher.stream_code or None,
            "streamTriedS": heard_s,
        }
        now = self._clock()
        with self._lock:
            if not self._samples or now - self._samples[-1][0] >= SAMPLE_S:
                self._samples.append((now, made))
            while len(self._samples) > 1 and now - self._samples[1][0] >= RATES_S:
                self._samples.popleft()
            self.latest = made

    def health(self) -> Verdict:
        """Ill where the event loop has stood still for half a minute; never for the stream."""
        beat_s = self.latest.gauge("receiver_heartbeat_timestamp_seconds")
        ill = beat_s is not None and time.time() - beat_s > SILENT_S
        return Verdict(not ill, "ill" if ill else "well")

    def ready(self) -> Verdict:
        """Ready while it can take events; not while it drains, or stands still."""
        is_ready = bool(self.latest.gauge("receiver_ready")) and self.health().good
        state = self.latest.states["state"]
        return Verdict(is_ready, "ready" if is_ready else "draining" if state == "draining" else "not ready")

    def metrics(self) -> bytes:
        """`/metrics`."""
        return prometheus.page(self.latest, RECEIVER, "receive")

    def page(self) -> bytes:
        """`/status`."""
        with self._lock:
            now, at, before = self.latest, *(self._samples[0] if self._samples else (self._clock(), self.latest))
            over_s = self._clock() - at
        lately = now.since(before)
        states, latency = now.states, now.histogram(DURATION.name)
        gauge = {name: now.gauge(f"receiver_{name}") or 0 for name in GAUGES}
        up = now.gauge("receiver_stream_up") if gauge["up"] else None
        ends_s, tried_s = now.gauge("receiver_tls_certificate_end_timestamp_seconds"), states.get("streamTriedS")
        made: dict[str, Any] = {
            "schema": SCHEMA,
            "at": iso(now.at_s * 1000),
            "version": version("stream_router"),
            "state": states["state"],
            "since": iso(states["sinceS"] * 1000),
            "reason": states["reason"],
            "stream": {
                "name": self._stream,
                "up": None if up is None else bool(up),
                "code": states.get("streamCode"),
                "bucketsRefusing": int(gauge["buckets_refusing"]),
                "lastTriedAt": iso(tried_s * 1000) if tried_s else None,
            },
            "rates": {
                name: round(lately.count(f"receiver_{one}") / over_s, 3) if over_s >= 1 else None
                for name, one in RATES.items()
            },
            "latencyMs": latency.summary(),
            "recent": {"seconds": round(over_s), "latencyMs": lately.histogram(DURATION.name).summary()},
            "connections": int(gauge["connections"]),
            "heldBytes": int(gauge["held_bytes"]),
            "tlsCertificateEndsAt": iso(ends_s * 1000) if ends_s else None,
            "spill": {
                "events": int(gauge["spilled_events"]),
                "bytes": int(gauge["spill_bytes"]),
                "oldestAgeS": round(gauge["spill_oldest_age_seconds"], 3) if gauge["spilled_events"] else None,
                "failing": bool(gauge["spill_failing"]),
            },
            "answers": _answers(now),
            "failures": {code: int(n) for (code,), n in now.counts.get(RECORDS_FAILED.name, {}).items() if n},
        }
        return orjson.dumps(made)


GAUGES = (
    *("up", "connections", "held_bytes", "buckets_refusing"),
    *("spilled_events", "spill_bytes", "spill_oldest_age_seconds", "spill_failing"),
)


def _answers(now: Snapshot) -> dict[str, int]:
    """By status and reason, of all sources."""
    answers: dict[str, int] = {}
    for (_, code, reason), count in now.counts[REQUESTS.name].items():
        if count:
            answers[f"{code} {reason}"] = answers.get(f"{code} {reason}", 0) + int(count)
    return answers


def _verdict(app: App, batcher: Batcher, told: dict[str, float], *, up: bool) -> tuple[str, str | None]:
    """The state in a word or two, and why."""
    if app.draining:
        return "draining", "told to stop"
    if not up:
        return "starting", None
    if told["spill_failing"]:
        return "spill failing", "the spill takes nothing, since it is full or its disk refuses; see the log"
    goes = "events wait in the spill" if told["spill_takes"] else "senders are answered 503"
    if not told["stream_up"]:
        code = f" ({batcher.stream_code})" if batcher.stream_code else ""
        if app.ready and not told["spill_takes"]:  # traffic may try again, and none came
            goes = f"nothing came to try it with since {iso(told['stream_heard_s'] * 1000)}"
        return "stream down", f"the stream takes no events{code}; {goes}"
    if refusing := int(told["buckets_refusing"]):
        return "stream partly down", f"the stream refuses {refusing} of its buckets and takes others; {goes}"
    return ("ready", None) if app.ready else ("not ready", "it can take no events")


def serve(settings: Receiver, status: Status) -> AdminServer:
    """Serve the pages until the returned server is closed. Raises SettingsError where it cannot listen."""
    server = AdminServer(
        settings.receiver_admin_listen,
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN",
        settings.key("admin_token") or None,
        {
            "/healthz": lambda: probe(status.health()),
            "/readyz": lambda: probe(status.ready()),
            "/status": lambda: Page(200, JSON, status.page()),
            "/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, status.metrics()),
        },
    )
    server.start()
    return server
