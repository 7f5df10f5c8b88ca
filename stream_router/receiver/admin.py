"""The receiver's admin port: health, readiness, `/status` and `/metrics`, from the rows that the workers show."""

import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream_router.process import iso
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.admin_server import JSON, AdminServer, Page, Verdict, probe
from stream_router.telemetry.receiver import receiver_page
from stream_router.telemetry.receiver.receiver_board import Board, Numbers
from stream_router.telemetry.receiver.receiver_stats import (
    FAILURES,
    SILENT_S,
    SPILL_TAKES,
    STREAM_CODE,
    STREAM_HEARD_S,
    code_of,
)

SCHEMA = "stream-router.receiver-status/1"

KEPT_S = 1.0
LOOK_EVERY_S = 1.0
RATES_S = 60.0
SAMPLES_MAX = 120
RATES = {"storedPerS": "events_stored", "spilledPerS": "events_spilled", "refusedPerS": "events_refused"}


class ReceiverStatus:
    """What the workers' rows say. `clock` is monotonic, `now_s` the wall clock. Cheap: made at most once a second."""

    def __init__(
        self,
        board: Board,
        settings: Receiver,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._stream = settings.stream
        self._clock = clock
        self._now_s = now_s
        self._lock = threading.Lock()
        self._state, self._since_s = "", now_s()
        self._reason: str | None = None
        self._served = False
        self._samples: deque[tuple[float, Numbers]] = deque(maxlen=SAMPLES_MAX)
        self._made_at = -KEPT_S
        self._made = b""

    def health(self) -> Verdict:
        """Ill where a worker's loop has stood still for half a minute; never for the stream."""
        silent = [at for at in self._board.each("heartbeat_timestamp_seconds") if at and self._now_s() - at > SILENT_S]
        return Verdict(not silent, "ill" if silent else "well")

    def ready(self) -> Verdict:
        """Ready while a worker can take events and none drains."""
        if any(self._board.each("draining")):
            return Verdict(False, "draining")
        is_ready = self._board.ready() > 0
        return Verdict(is_ready, "ready" if is_ready else "not ready")

    def look(self) -> None:
        """Note a state when it begins, and the counts of the moment: who asks later asks since when, and how fast."""
        with self._lock:
            numbers = self._numbers()
            self._note(numbers)
            self._keep(self._clock(), numbers)

    def page(self) -> bytes:
        """`/status`."""
        with self._lock:
            now = self._clock()
            if now - self._made_at >= KEPT_S:
                self._made, self._made_at = orjson.dumps(self._status(now)), now
            return self._made

    def _status(self, now: float) -> dict[str, Any]:
        numbers, at_s = self._numbers(), self._now_s()
        self._note(numbers)
        over_s, before = self._before(now, numbers)
        gauges = numbers.gauges
        answers = {f"{status} {why}": 0 for _, status, why in numbers.answers}
        for (_, status, why), count in numbers.answers.items():
            answers[f"{status} {why}"] += int(count)
        return {
            "schema": SCHEMA,
            "at": iso(at_s * 1000),
            "version": version("stream_router"),
            "state": self._state,
            "since": iso(self._since_s * 1000),
            "reason": self._reason,
            "workers": int(gauges["up"]),
            "stream": self._of_stream(gauges),
            "rates": {
                name: round((numbers.counters[one] - before.counters[one]) / over_s, 3) if over_s else None
                for name, one in RATES.items()
            },
            "latencyMs": numbers.latency.summary(),
            "recent": {"seconds": round(over_s), "latencyMs": numbers.latency.since(before.latency).summary()},
            "connections": int(gauges["connections"]),
            "tlsCertificateEndsAt": iso(ends_s * 1000) if (ends_s := self._board.certificate_end_s()) else None,
            "spill": {
                "events": int(gauges["spilled_events"]),
                "bytes": int(gauges["spill_bytes"]),
                "oldestAgeS": round(gauges["spill_oldest_age_seconds"], 3) if gauges["spilled_events"] else None,
                "failing": bool(gauges["spill_failing"]),
            },
            "answers": {name: count for name, count in answers.items() if count},
            "failures": {code: int(n) for code, n in zip(FAILURES, numbers.failures, strict=True) if n},
            "counters": {name: int(value) for name, value in numbers.counters.items()},
        }

    def _of_stream(self, gauges: dict[str, float]) -> dict[str, Any]:
        return {
            "name": self._stream,
            "up": bool(gauges["stream_up"]) if gauges["up"] else None,
            "code": (code_of(gauges[STREAM_CODE]) or None) if gauges["up"] else None,
            "bucketsRefusing": int(gauges["buckets_refusing"]),
            "lastTriedAt": iso(gauges[STREAM_HEARD_S] * 1000) if gauges[STREAM_HEARD_S] else None,
        }

    def _numbers(self) -> Numbers:
        return Numbers(self._board.total(), self._board.sources)

    def _note(self, numbers: Numbers) -> None:
        state, self._reason = self._verdict(numbers)
        if state != self._state:
            self._state, self._since_s = state, self._now_s()

    def _verdict(self, numbers: Numbers) -> tuple[str, str | None]:
        gauges = numbers.gauges
        if gauges["draining"]:
            return "draining", "told to stop"
        if not gauges["up"]:
            return ("not ready", "no worker serves; the log says why") if self._served else ("starting", None)
        self._served = True
        if gauges["spill_failing"]:
            return "spill failing", "the spill takes nothing, since it is full or its disk refuses; see the log"
        if not gauges["stream_up"]:
            code = f" ({code_of(gauges[STREAM_CODE])})" if gauges[STREAM_CODE] else ""
            return "stream down", f"the stream takes no events{code}; {self._where_events_go(gauges)}"
        if refusing := int(gauges["buckets_refusing"]):
            where = "events of theirs wait in the spill" if gauges[SPILL_TAKES] else "senders are answered 503"
            return "stream partly down", f"the stream refuses {refusing} of its buckets and takes others; {where}"
        return ("ready", None) if gauges["ready"] else ("not ready", "no worker can take events")

    @staticmethod
    def _where_events_go(gauges: dict[str, float]) -> str:
        """While the stream refuses. Without a spill, ready means that traffic may try again, and none came."""
        if not gauges["ready"]:
            return "senders are answered 503"
        if gauges[SPILL_TAKES]:
            return "events wait in the spill"
        return f"nothing came to try it with since {iso(gauges[STREAM_HEARD_S] * 1000)}"

    def _before(self, now: float, numbers: Numbers) -> tuple[float, Numbers]:
        """The numbers of a minute ago, or of the first look, and how long ago that was; 0.0 before there are any."""
        self._keep(now, numbers)
        at, before = self._samples[0]
        return (now - at, before) if now - at >= KEPT_S else (0.0, numbers)

    def _keep(self, now: float, numbers: Numbers) -> None:
        while len(self._samples) > 1 and now - self._samples[1][0] >= RATES_S:
            self._samples.popleft()
        self._samples.append((now, numbers))


def serve(board: Board, settings: Receiver, status: ReceiverStatus) -> AdminServer:
    """Serve the pages until the returned server is closed. Raises SettingsError where it cannot listen."""
    token = settings.key("admin_token") or None
    server = AdminServer(
        settings.receiver_admin_listen,
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN",
        token,
        {
            "/healthz": lambda: probe(status.health()),
            "/readyz": lambda: probe(status.ready()),
            "/status": lambda: Page(200, JSON, status.page()),
            "/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, receiver_page.page(board)),
        },
    )
    server.start()
    return server
