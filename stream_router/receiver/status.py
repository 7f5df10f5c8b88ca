"""The receiver's report on itself: a snapshot taken on the event loop, and the admin port's pages made from it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from stream_router import aws_error_codes
from stream_router.aws_answers import NO_ANSWER
from stream_router.process import iso
from stream_router.receiver.app import App
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.states import StreamSpeed
from stream_router.receiver.stats import Stats
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import parse_host_names
from stream_router.telemetry import prometheus
from stream_router.telemetry import status as common_status
from stream_router.telemetry.admin_server import AdminServer, ProbeAnswer, routes
from stream_router.telemetry.metrics_catalogue import RECEIVER
from stream_router.telemetry.snapshot import Snapshot
from stream_router.telemetry.status import RecentSamples, Sample
from stream_router.telemetry.verdict import Code, Condition, Verdict, VerdictLog, judge

WAITS_IN_SPILL = "New events wait in the spill, and none is lost."
ANSWERED_503 = "Events that the stream does not take in time are answered 503; their senders have to send them again."
"""Meanings of a failing stream for events: with a spill that takes them, and without."""

LOOP_HANGS = "Senders get no answer until the receiver goes on. Events that were answered 202 are stored."

HANGS_AFTER_S = 5.0
"""Seconds without a round of the event loop after which the verdict is that the process hangs."""

SILENT_S = 30.0
"""Seconds without a round of the event loop after which only a restart helps, and `/healthz` fails."""


class Status:
    """The receiver's latest snapshot and verdict, and the admin port's answers made from them.

    `update` is called on the loop, every other method on any thread. `disk_problem` returns a description of a full
    disk, or "" if no disk is full. `clock` is monotonic.
    """

    def __init__(
        self,
        settings: Receiver,
        stats: Stats,
        clock: Callable[[], float] = time.monotonic,
        disk_problem: Callable[[], str] = str,
    ) -> None:
        self._region, self._stream = settings.aws_region, settings.stream
        self._stats = stats
        self._clock = clock
        self._disk_problem = disk_problem
        self._speed = StreamSpeed()
        self._verdict_log = VerdictLog()
        self._recent = RecentSamples()
        self._lock = threading.Lock()
        self.latest = stats.snapshot({"up": 0, "ready": 0})
        """Latest snapshot. It is never modified: each call of `update` replaces it by a new snapshot."""
        self._verdict = judge([Condition(Code.STARTING)], self.latest.at_s)
        self.latest.states = self._verdict.fields()

    def update(self, batcher: Batcher, app: App, certificate_ends_s: float | None, *, up: bool) -> None:
        """Record the receiver's present state. Called a few times a second."""
        stream, backlog = batcher.stream, batcher.backlog
        known = {
            **(backlog.snapshot() if backlog is not None else dict.fromkeys(SPILL, 0.0)),
            "stream_up": int(not stream.refuses),
            "buckets_refusing": stream.refusing_groups,
            "tls_certificate_end_timestamp_seconds": certificate_ends_s,
            "up": int(up),
            "ready": int(up and app.ready),
        }
        snapshot = self._stats.snapshot(known)
        last_outcome_s = time.time() - (batcher.now_s() - stream.last_outcome_s) if stream.last_outcome_s else None
        self._speed.observe(batcher.now_s(), self._stats, is_down=stream.refuses or batcher.calls.is_silent)
        current_troubles = conditions(
            app, batcher, snapshot.at_s, up=up, is_slow=self._speed.is_slow, disk_problem=self._disk_problem()
        )
        self._verdict = verdict = judge(current_troubles, snapshot.at_s, self._verdict)
        self._verdict_log.note(verdict, snapshot.at_s)
        snapshot.states = {
            **verdict.fields(),
            "streamCode": stream.failing_code or None,
            "streamTriedS": last_outcome_s,
        }
        with self._lock:
            self._recent.note(Sample(self._clock(), snapshot, {}))
            self.latest = snapshot

    def verdict(self) -> Verdict:
        """Return the present verdict: the latest one, or that the event loop hangs."""
        verdict, still_s = self._verdict, time.time() - self.latest.at_s
        if still_s < HANGS_AFTER_S:
            return verdict
        hangs = Condition(Code.HANGING, f"the event loop has not run for {still_s:.0f} s", self.latest.at_s, LOOP_HANGS)
        return judge([hangs], time.time())

    def health(self) -> ProbeAnswer:
        """Return the answer of `/healthz`. It fails if the event loop hangs for SILENT_S, and for no other reason."""
        is_well = time.time() - self.latest.at_s <= SILENT_S
        return ProbeAnswer(is_well, self.verdict().probe_words(healthy=is_well))

    def ready(self) -> ProbeAnswer:
        """Return the answer of `/readyz`: ready if the receiver takes events, is not draining, and does not hang."""
        is_ready = bool(self.latest.gauge("receiver_ready")) and self.health().good
        not_ready = "draining" if self._verdict.code is Code.DRAINING else "not ready"
        return ProbeAnswer(is_ready, "ready" if is_ready else not_ready)

    def current_snapshot(self) -> Snapshot:
        """Return the latest snapshot, with `receiver_ready` of this moment: it is 0 if the event loop hangs."""
        return replace(self.latest, gauges=self.latest.gauges | {"receiver_ready": {(): float(self.ready().good)}})

    def metrics(self) -> bytes:
        """Return the page `/metrics`."""
        return prometheus.page(self.current_snapshot(), RECEIVER, "receive")

    def page(self) -> bytes:
        """Return the JSON of `/status`."""
        with self._lock:
            now, at = self.latest, self._clock()
            now = replace(now, states={**now.states, **self.verdict().fields()})
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
            shape, recent = common_status.RECEIVER, self._recent
            document = common_status.status(shape, self._region, self._stream, now, recent, at, parts)
        return orjson.dumps(document)


SPILL = ("spilled_events", "spill_bytes", "spill_oldest_age_seconds", "spill_failing")
"""Metrics of the spill, without their prefix `receiver_`. They are 0 if there is no spill."""
GAUGES = ("up", "connections", "held_bytes", "buckets_refusing", *SPILL)


def conditions(
    app: App, batcher: Batcher, at_s: float, *, up: bool, is_slow: bool, disk_problem: str
) -> Iterator[Condition]:
    """Yield every state that the receiver is in. `judge` chooses the one that counts (telemetry/verdict.py)."""
    stream, backlog, calls = batcher.stream, batcher.backlog, batcher.calls
    takes = backlog is not None and backlog.takes
    meaning = WAITS_IN_SPILL if takes else ANSWERED_503

    def epoch_s(loop_s: float | None) -> float | None:
        """Return a time of the loop's clock in epoch seconds; None for None."""
        return None if loop_s is None else at_s - (batcher.now_s() - loop_s)

    is_silent = calls.is_silent or (stream.refuses and stream.code in NO_ANSWER)
    if is_silent:
        since = [s for s in (calls.silent_since_s, stream.refuses_since_s) if s is not None]
        yield Condition(
            Code.AWS_SILENT, f"Kinesis{_describe_untried(app, batcher, at_s)}", epoch_s(min(since)), meaning
        )
    if app.draining:
        yield Condition(Code.DRAINING, "stopping on request")
        return
    if not up:
        yield Condition(Code.STARTING)
        return
    if backlog is not None and backlog.error:
        yield Condition(Code.SPILL_DOWN, f"{backlog.error}; {backlog.cure}")
    if disk_problem:
        yield Condition(
            Code.DISK_FULL, disk_problem, meaning="While the stream takes events, none is lost. " + ANSWERED_503
        )
    if stream.refuses and not is_silent:
        reason = f"{stream.code}{_describe_untried(app, batcher, at_s)}"
        yield Condition(Code.STREAM_DOWN, reason, epoch_s(stream.refuses_since_s), meaning, _format_cure(stream.code))
    if stream.refusing_groups:
        yield Condition(
            Code.STREAM_PARTLY_DOWN, f"{stream.code}; {stream.refusing_groups} of its partition groups", None, meaning
        )
    if is_slow:
        consequence = "events go through the spill" if takes else "senders are answered 503"
        yield Condition(Code.STREAM_SLOW, f"a call takes {calls.typical_s:.1f} s, {consequence}", None, meaning)


def _describe_untried(app: App, batcher: Batcher, at_s: float) -> str:
    """Return words that say since when no event has come to try the stream with; "" if they do not apply.

    They apply while the receiver is ready and no spill takes events: only a new event can then try the stream.
    """
    takes = batcher.backlog is not None and batcher.backlog.takes
    last_outcome_s = batcher.stream.last_outcome_s
    if takes or not app.ready or not last_outcome_s:
        return ""
    return f"; no event has come to try it since {iso((at_s - (batcher.now_s() - last_outcome_s)) * 1000)}"


def _format_cure(code: str) -> str:
    """Return the cure for AWS's code as a sentence."""
    text = aws_error_codes.find_cure(code)
    return f"{text[0].upper()}{text[1:]}."


def serve(settings: Receiver, status: Status) -> AdminServer:
    """Start the admin port's server, and return it. Raises SettingsError if the server cannot listen."""
    server = AdminServer(
        settings.receiver_admin_listen,
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN",
        settings.strong_secret("admin_token") or None,
        parse_host_names(settings.admin_hosts),
        routes(status.health, status.ready, status.page, status.metrics),
    )
    server.start()
    return server
