"""What the receiver says of itself: one snapshot, made on the event loop, and the admin port's views of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from stream_router.process import iso
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.stats import Stats
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import host_names
from stream_router.telemetry import prometheus
from stream_router.telemetry import status as of_both
from stream_router.telemetry.admin_server import AdminServer, Verdict, routes
from stream_router.telemetry.metrics_catalogue import RECEIVER
from stream_router.telemetry.snapshot import Snapshot
from stream_router.telemetry.status import Recent, Sample

SILENT_S = 30.0
"""An event loop that has not come round for so long stands still: only a restart helps (`/healthz`)."""


class Status:
    """`look` is called on the loop; all else on any thread. `clock` is monotonic."""

    def __init__(self, settings: Receiver, stats: Stats, clock: Callable[[], float] = time.monotonic) -> None:
        self._region, self._stream = settings.aws_region, settings.stream
        self._stats = stats
        self._clock = clock
        self._recent = Recent()
        self._lock = threading.Lock()
        self.latest = stats.snapshot({"up": 0, "ready": 0})
        """Never changed once it is here: each look makes a new one."""
        self.latest.states = {"state": "starting", "sinceS": self.latest.at_s, "reason": None}

    def look(self, batcher: Batcher, app: App, certificate_ends_s: float | None, *, up: bool) -> None:
        """How it is now. Called a few times a second."""
        stream, backlog = batcher.stream, batcher.backlog
        known = {
            **(backlog.snapshot() if backlog is not None else dict.fromkeys(SPILL, 0.0)),
            "stream_up": int(not stream.refuses),
            "buckets_refusing": stream.apart,
            "tls_certificate_end_timestamp_seconds": certificate_ends_s,
            "up": int(up),
            "ready": int(up and app.ready),
        }
        made = self._stats.snapshot(known)
        heard_s = time.time() - (batcher.now_s() - stream.heard_s) if stream.heard_s else None
        state, reason = _verdict(app, batcher, heard_s, up=up)
        before = self.latest.states
        since_s = before["sinceS"] if before["state"] == state else made.at_s
        made.states = {
            "state": state,
            "sinceS": since_s,
            "reason": reason,
            "streamCode": stream.failing_code or None,
            "streamTriedS": heard_s,
        }
        with self._lock:
            self._recent.note(Sample(self._clock(), made, {}))
            self.latest = made

    def health(self) -> Verdict:
        """Ill where the event loop has stood still for half a minute; never for the stream."""
        ill = time.time() - self.latest.at_s > SILENT_S
        return Verdict(not ill, "ill" if ill else "well")

    def ready(self) -> Verdict:
        """Ready while it can take events; not while it drains, or stands still."""
        is_ready = bool(self.latest.gauge("receiver_ready")) and self.health().good
        state = self.latest.states["state"]
        return Verdict(is_ready, "ready" if is_ready else "draining" if state == "draining" else "not ready")

    def told(self) -> Snapshot:
        """The latest, and not ready where the loop stands still: then its own word on that is old."""
        return replace(self.latest, gauges=self.latest.gauges | {"receiver_ready": {(): float(self.ready().good)}})

    def metrics(self) -> bytes:
        """`/metrics`."""
        return prometheus.page(self.told(), RECEIVER, "receive")

    def page(self) -> bytes:
        """`/status`."""
        with self._lock:
            now, at = self.latest, self._clock()
            gauge = {name: now.gauge(f"receiver_{name}") or 0 for name in GAUGES}
            up = now.gauge("receiver_stream_up") if gauge["up"] else None
            ends_s = now.gauge("receiver_tls_certificate_end_timestamp_seconds")
            tried_s = now.states.get("streamTriedS")
            parts: dict[str, Any] = {
                "kinesis": {
                    "up": None if up is None else bool(up),
                    "code": now.states.get("streamCode"),
                    "bucketsRefusing": int(gauge["buckets_refusing"]),
                    "lastTriedAt": iso(tried_s * 1000) if tried_s else None,
                },
                "connections": int(gauge["connections"]),
                "heldBytes": int(gauge["held_bytes"]),
                "tlsCertificateEndsAt": iso(ends_s * 1000) if ends_s else None,
                "spill": {
                    "events": int(gauge["spilled_events"]),
                    "bytes": int(gauge["spill_bytes"]),
                    "oldestAgeS": round(gauge["spill_oldest_age_seconds"], 3) if gauge["spilled_events"] else None,
                    "failing": bool(gauge["spill_failing"]),
                },
            }
            shape, recent = of_both.RECEIVER, self._recent
            told = of_both.status(shape, self._region, self._stream, now, recent, at, parts)
        return orjson.dumps(told)


SPILL = ("spilled_events", "spill_bytes", "spill_oldest_age_seconds", "spill_failing")
GAUGES = ("up", "connections", "held_bytes", "buckets_refusing", *SPILL)


def _verdict(app: App, batcher: Batcher, heard_s: float | None, *, up: bool) -> tuple[str, str | None]:
    """The state in a word or two, and why."""
    stream, backlog = batcher.stream, batcher.backlog
    if app.draining:
        return "draining", "told to stop"
    if not up:
        return "starting", None
    if backlog is not None and backlog.error:
        return "spill failing", "the spill is full, or its disk or queue refuses; see the log"
    takes = backlog is not None and backlog.takes
    goes = "events wait in the spill" if takes else "senders are answered 503"
    if stream.refuses:
        if app.ready and not takes and heard_s:  # traffic may try again, and none came
            goes = f"nothing came to try it with since {iso(heard_s * 1000)}"
        return "stream down", f"the stream takes no events ({stream.code}); {goes}"
    if stream.apart:
        return "stream partly down", f"the stream refuses {stream.apart} of its buckets and takes others; {goes}"
    return ("ready", None) if app.ready else ("not ready", "it can take no events")


def serve(settings: Receiver, status: Status) -> AdminServer:
    """Serve the pages until the returned server is closed. Raises SettingsError where it cannot listen."""
    server = AdminServer(
        settings.receiver_admin_listen,
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN",
        settings.key("admin_token") or None,
        host_names(settings.admin_hosts),
        routes(status.health, status.ready, status.page, status.metrics),
    )
    server.start()
    return server
