"""What the receiver's tests share: a clock that a test moves, a stream that breaks by script, the real process."""

import base64
import hashlib
import heapq
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import orjson

from stream_router.aws_answers import Answer
from stream_router.receiver import request
from stream_router.receiver.server import HttpServer
from stream_router.receiver.spill import ROW_BYTES, Row, SegmentContent
from stream_router.receiver.stats import Stats
from stream_router.settings.receiver import Receiver
from tests.constants import with_constants
from tests.ports import free_port

KEY = "a webhook secret of some length"


def front(loop: Any, app: Any, stats: Stats | None = None, **settings: Any) -> HttpServer:
    """A server of which nobody's connections come: a test makes them."""
    listener: Any = SimpleNamespace(listen=lambda _: None, fileno=lambda: -1)
    loop.add_reader = lambda *_: None
    value = Receiver(aws_region="x", webhook_scheme="none", **settings)
    return HttpServer(loop, value, listener, app, lambda: None, stats or Stats())


class Headers(request.Headers):
    """Request headers by name; a list is a header that came several times."""

    def __init__(self, values: dict[str, str | list[str]]) -> None:
        lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        super().__init__(
            (name.encode(), item.encode("utf-8", "replace")) for name, some in lists.items() for item in some
        )


class Handle:
    """A timer of the fake loop."""

    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeTransport:
    """A connection's other end: keeps what is written, and says whether it is read from."""

    def __init__(self) -> None:
        self.written = b""
        self.reads = True

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: False


class FakeLoop:
    """An event loop's clock and timers, moved by the test: nothing waits in real time."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._timers: list[tuple[float, int, Handle, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self._now_s

    def call_later(self, delay_s: float, subject: Callable[..., None], *arguments: Any) -> Handle:
        handle = Handle()
        at_s = self._now_s + max(0.0, delay_s)
        heapq.heappush(self._timers, (at_s, next(self._numbers), handle, lambda: subject(*arguments)))
        return handle

    def call_soon(self, subject: Callable[..., None], *arguments: Any) -> Handle:
        return self.call_later(0.0, subject, *arguments)

    def move(self, seconds: float) -> None:
        """Let time pass, and every timer that is due ring in its order."""
        until_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= until_s:
            due_s, _, handle, kind = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, due_s)
            if not handle.is_cancelled:
                kind()
        self._now_s = until_s


LATE_S = 2.5
"""When a call of the fake stream lands that is late."""


class FakeStream:
    """A Kinesis stream on the fake loop. `verdicts` says of each call what becomes of it; then all is accepted.

    A verdict is "ok", "down" (503), "hang" (no answer within the call's time, and nothing stored), "no way" (no
    connection within that time), "lost" (stored, no answer), "late" (stored after LATE_S), or a list with an error
    code, or "", for each record.
    """

    def __init__(self, loop: FakeLoop, verdicts: Iterable[Any] = (), latency_s: float = 0.01) -> None:
        self._loop = loop
        self._verdicts = iter(verdicts)
        self.latency_s = latency_s
        self.stored: list[tuple[str, bytes]] = []
        """Partition key and line of each event, in the order in which the stream took it."""
        self.calls: list[list[dict[str, Any]]] = []
        self.unanswered = 0
        """Events that were stored by a call without an answer."""

    def send(self, body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        records = orjson.loads(body)["Records"]
        self.calls.append(records)
        verdict = next(self._verdicts, "ok")
        slow_s = {"hang": timeout_s, "no way": timeout_s, "lost": timeout_s, "late": LATE_S}
        delay_s = slow_s.get(str(verdict), self.latency_s)
        self._loop.call_later(delay_s, self._answer, records, verdict, done)

    def _answer(self, records: list[dict[str, Any]], verdict: Any, done: Callable[[Answer], None]) -> None:
        if verdict == "down":
            done(Answer(503, b'{"__type":"ServiceUnavailableException"}', {}, ""))
        elif verdict == "hang":
            done(Answer(0, b"", {}, "curl 28: timed out", timed_out=True))
        elif verdict == "no way":
            done(Answer(0, b"", {}, "curl 28: Connection timed out"))
        elif verdict == "lost":
            before = len(self.stored)
            self._store(records, [""] * len(records))
            self.unanswered += len(self.stored) - before
            done(Answer(0, b"", {}, "curl 28: timed out", timed_out=True))
        else:
            well = verdict in ("ok", "late")
            codes = [""] * len(records) if well else [verdict[i % len(verdict)] for i in range(len(records))]
            done(self._store(records, codes))

    def _store(self, records: list[dict[str, Any]], codes: list[str]) -> Answer:
        results: list[dict[str, str]] = []
        for record, code in zip(records, codes, strict=True):
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": "as scripted"})
                continue
            lines = base64.b64decode(record["Data"]).split(b"\n")
            self.stored.extend((record["PartitionKey"], line) for line in lines)
            results.append({"SequenceNumber": str(len(self.stored)), "ShardId": "shardId-000000000000"})
        failed = sum(bool(code) for code in codes)
        return Answer(200, orjson.dumps({"FailedRecordCount": failed, "Records": results}), {}, "")


class FakeDisk:
    """A spill in memory, on the fake loop: `delay_s` for each job, and appends that fail by script.

    `rows` are those that wait, by number: conversation and line. `synced` is every line that ever was.
    """

    folder = Path("/spill")
    error = ""

    def __init__(self, loop: FakeLoop, delay_s: float, failing: Iterable[bool] = ()) -> None:
        self.rows: dict[int, tuple[int, bytes]] = {}
        self.synced: list[bytes] = []
        self.set_aside_lines: list[bytes] = []
        self._loop = loop
        self._delay_s = delay_s
        self._failing = iter(failing)
        self._next = 0
        self._read_to = 0

    @property
    def size_bytes(self) -> int:
        return sum(len(line) + ROW_BYTES for _, line in self.rows.values())

    @property
    def unread(self) -> int:
        return len(self.rows)

    def put(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """What an earlier process left."""
        for key, line in lines:
            self.rows[self._next] = (key, line)
            self._next += 1

    def append(self, lines: list[tuple[int, bytes]], done: Any) -> None:
        fails = next(self._failing, False)

        def job() -> None:
            first = self._next
            if not fails:
                self.put(lines)
                self.synced += [line for _, line in lines]
            done(None if fails else first)

        self._loop.call_later(self._delay_s, job)

    def read(self, done: Any) -> None:
        def job() -> None:
            rows: list[Row] = []
            while self._read_to < self._next and len(rows) < 5:
                key, line = self.rows[self._read_to]
                rows.append(Row(self._read_to, key, line))
                self._read_to += 1
            done(SegmentContent(rows, 0, self._read_to))

        self._loop.call_later(self._delay_s, job)

    def remove_before(self, row: int) -> None:
        for number in [number for number in self.rows if number < row]:
            del self.rows[number]

    def set_aside(self, line: bytes, done: Any) -> None:
        self.set_aside_lines.append(line)
        self._loop.call_later(self._delay_s, done, True)


class ReceiverProcess:
    """The real receiver as a process, in front of the stream at `stream_url`."""

    def __init__(self, stream_url: str, folder: Path, around: Sequence[str] = (), **settings: str) -> None:
        """`around`: a command that runs the receiver's, given behind it."""
        port, admin = int(settings.get("LISTEN", ":0").rpartition(":")[2]) or free_port(), free_port()
        scheme = "https" if "TLS_CERT" in settings else "http"
        self.address = ("127.0.0.1", port)
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.log = folder / "receiver.log"
        arguments = {
            "LISTEN": f"127.0.0.1:{port}",
            "RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{admin}",
            "WEBHOOK_SCHEME": "none",
            "WEAK_SECRETS": "allow",
            **settings,
        }
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))},
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL_KINESIS": stream_url,
            "AWS_ENDPOINT_URL_CLOUDWATCH": stream_url,
            **{
                name if name in with_constants({}) else f"STREAM_ROUTER_{name}": value
                for name, value in arguments.items()
            },
        }
        run = "import sys; from stream_router.receiver.__main__ import main; sys.exit(main())"
        self._command = [*around, sys.executable, "-c", run]
        self._verify = False
        self.start()

    def start(self) -> None:
        """Start it (again, after a kill) and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self.environment, stderr=log, stdout=log)
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                time.sleep(0.05)
                continue
            return
        raise RuntimeError("the receiver does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        """SIGTERM; the exit status, which must come within 10 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def metrics(self) -> dict[str, float]:
        text = httpx.get(f"{self.admin_url}/metrics").text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("stream_router_receiver_"): float(value) for name, value in pairs}

    def metrics_once(self, is_so: Callable[[dict[str, float]], bool], within_s: float = 10.0) -> dict[str, float]:
        """Return the metrics as soon as `is_so` holds for them. The receiver publishes its counts four times a second.

        The admin port may not be open yet: on a shared port another receiver can answer the wait for this one's start.
        """

        def fitting() -> dict[str, float] | None:
            try:
                metrics = self.metrics()
            except httpx.ConnectError:
                return None
            return metrics if is_so(metrics) else None

        return cast("dict[str, float]", eventually(fitting, within_s))

    def lines(self, *levels: str) -> list[dict[str, Any]]:
        """The log so far, of these levels where they are given."""
        documents = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in documents if not levels or line["level"] in levels]

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@contextmanager
def receiver(stream_url: str, folder: Path, around: Sequence[str] = (), **settings: str) -> Iterator[ReceiverProcess]:
    """A receiver that is killed at the end where the test did not stop it."""
    running = ReceiverProcess(stream_url, folder, around, **settings)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def eventually(is_so: Callable[[], Any], within_s: float = 10.0) -> Any:
    """What is asked becomes true within so long: its answer."""
    deadline_s = time.monotonic() + within_s
    while not (result := is_so()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return result


def expected_id(scheme: str, delivery_id: str, index: int, body: bytes) -> str:
    """An event's id by the contract's text, worked out anew."""
    parts = [scheme.encode(), delivery_id.encode(), str(index).encode(), hashlib.sha256(body).digest()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def event(number: int, conversation: int = 0) -> bytes:
    """A small event."""
    return json.dumps({"interactionId": f"i-{number}", "conversationId": f"c-{conversation}", "payload": {}}).encode()


def stored_ids(lines: list[dict[str, Any]]) -> list[str]:
    """The ids of all events that the fake AWS's ledger shows as stored, in order, copies included."""
    kept = [line for line in lines if line["verdict"] in ("accepted", "accepted_then_dropped")]
    return [identity for line in kept for identity in line.get("eventIds") or [line["eventId"]]]


def raw(address: tuple[str, int], sent: bytes, timeout_s: float = 5.0) -> bytes:
    """What comes back for these bytes until the receiver closes or falls silent."""
    received = b""
    with socket.create_connection(address, timeout=timeout_s) as connection:
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    return received
