"""What do a webhook's CPU and the answers' latency come to, beside a plain Go receiver with the same duties?

Open loop: requests come at their own pace, latency counts from when each was meant to be sent; 512 connections,
Standard Webhooks checked, the stream answers after 15 ms (one row: 40 ms). Then closed loops, each connection sending
its next request when its last is answered: what one process takes at the most, beside Starlette + boto3. The load takes
a core of its own, so a rate that neither receiver keeps is the load's limit. `benchmarks.peers.programs` builds Go's.
"""

import base64
import contextlib
import hmac
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.driven_child import cpu_s, memory_mb
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, Taken
from benchmarks.peers import programs
from tests.fakeaws.process import FakeAwsProcess
from tests.ports import free_port
from tests.receiver_kit import KEY, receiver
from tests.receiver_load import percentile_s, post, send
from tests.system.world import until

SECRET = b"a key of thirty-two bytes length"
WHSEC = f"whsec_{base64.b64encode(SECRET).decode()}"
CONNECTIONS = 512
ROWS = ((50, 15), (500, 15), (1_000, 15), (2_000, 15), (5_000, 15), (8_000, 15), (16_000, 15), (1_000, 40))
"""Events a second (the most is more than either receiver takes), and milliseconds until the stream answers."""
EVENTS, CONVERSATIONS = 2_000, 500


def bodies() -> list[bytes]:
    """Events of about 0.6 KB over 500 conversations, some text in them not ASCII."""
    result = []
    for number in range(EVENTS):
        payload = {"agent": "José Núñez", "skill": "billing", "channel": "voice", "notes": "x" * 380}
        event = {
            "interactionId": f"int-{number:08d}",
            "conversationId": f"conv-{number % CONVERSATIONS:06d}",
            "eventType": "interaction.created",
            "timestamp": "2026-11-24T09:30:00.123Z",
            "payload": payload,
        }
        result.append(json.dumps(event, ensure_ascii=False).encode())
    return result


def requests(count: int) -> list[bytes]:
    """Signed posts, each with an id of its own; made before the clock starts."""
    result, stamp = [], int(time.time())
    kinds = bodies()
    for number in range(count):
        body, identity = kinds[number % len(kinds)], f"msg_{stamp}_{number}"
        mac = hmac.digest(SECRET, f"{identity}.{stamp}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"webhook-id": identity, "webhook-timestamp": str(stamp), "webhook-signature": signature}
        result.append(post(body, headers))
    return result


def offered(address: tuple[str, int], pid: int, rate: int, seconds: float) -> Taken:
    """One rate at one receiver; the second before it warms connections up."""
    connections = min(CONNECTIONS, rate)
    send(address, requests(rate), rate, connections)
    load = requests(int(rate * seconds))
    before_s, start_s = cpu_s(pid), time.perf_counter()
    outcomes = send(address, load, rate, connections)
    wall_s = time.perf_counter() - start_s
    used_us = (cpu_s(pid) - before_s) / len(outcomes) * 1e6
    stored = [outcome for outcome in outcomes if outcome.status == 202]
    p50_ms, p99_ms = (percentile_s(outcomes, share) * 1e3 for share in (0.5, 0.99))
    figures = {"cpuUs": used_us, "p50Ms": p50_ms, "p99Ms": p99_ms, "errors": float(len(outcomes) - len(stored))}
    return Taken({**figures, "storedPerSecond": len(stored) / wall_s, "rssMb": memory_mb(pid)})


def closed_loop(address: tuple[str, int], pid: int, seconds: float, connections: int) -> Taken:
    """As much as it takes, signed by a plain HMAC of the body."""
    signed = [post(body, {"x-signature": hmac.digest(KEY.encode(), body, "sha256").hex()}) for body in bodies()]
    send(address, signed, 1e9, connections)
    before_s, start_s = cpu_s(pid), time.perf_counter()
    outcomes = send(address, signed * max(1, int(seconds * 2)), 1e9, connections)
    used_s, wall_s = cpu_s(pid) - before_s, time.perf_counter() - start_s
    errors = float(sum(outcome.status != 202 for outcome in outcomes))
    return Taken({"cpuUs": used_s / len(outcomes) * 1e6, "perSecond": len(outcomes) / wall_s, "errors": errors})


def ours(fake_aws: FakeAwsProcess, folder: Path, rate: int, stream_ms: int, seconds: float) -> Taken:
    """Our receiver, every setting at its default, with how well it groups."""
    _slow(fake_aws, stream_ms)
    before = _records(fake_aws)
    with receiver(fake_aws.url, folder, WEBHOOK_SCHEME="standard-webhooks", WEBHOOK_SECRETS=WHSEC) as running:
        taken = offered(running.address, running.process.pid, rate, seconds)
        stored = running.metrics()["events_stored_total"]
    return Taken({**taken.figures, "eventsARecord": stored / (_records(fake_aws) - before)})


def _records(fake_aws: FakeAwsProcess) -> int:
    return int(fake_aws.stats()["items"].get("PutRecords", {}).get("accepted", 0))


def go(fake_aws: FakeAwsProcess, program: Path, rate: int, stream_ms: int, seconds: float) -> Taken:
    """The Go receiver, which puts one event into a record."""
    _slow(fake_aws, stream_ms)
    address = ("127.0.0.1", free_port())
    own = {"LISTEN": f"{address[0]}:{address[1]}", "SECRET": WHSEC, "STREAM": "cxone-events", "GOMAXPROCS": "1"}
    with _process([str(program)], address, fake_aws.url, **own) as pid:
        return offered(address, pid, rate, seconds)


def saturated(fake_aws: FakeAwsProcess, folder: Path, seconds: float) -> Taken:
    """Our receiver's closed loop."""
    _slow(fake_aws, 15)
    with receiver(fake_aws.url, folder, WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY) as running:
        return closed_loop(running.address, running.process.pid, seconds, CONNECTIONS)


def starlette(fake_aws: FakeAwsProcess, seconds: float) -> Taken:
    """The same at Starlette + boto3, with as many connections as its threads can serve."""
    _slow(fake_aws, 15)
    address = ("127.0.0.1", free_port())
    words = ["--port", str(address[1]), "--no-access-log", "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.receiver_peer:app", *words]
    with _process(command, address, fake_aws.url, STREAM_ROUTER_WEBHOOK_SECRETS=KEY) as pid:
        return closed_loop(address, pid, min(5.0, seconds), 64)


def _slow(fake_aws: FakeAwsProcess, stream_ms: int) -> None:
    rules = [{"fault": "delay", "ms": stream_ms, "operation": "PutRecords"}]
    fake_aws.plan({"shard_limits": False, "rules": rules})


@contextmanager
def _process(command: list[str], address: tuple[str, int], url: str, **settings: str) -> Iterator[int]:
    """A peer that listens at the address: its process."""
    aws = {"AWS_ENDPOINT_URL_KINESIS": url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    process = subprocess.Popen(command, env={**os.environ, **aws, **keys, **settings})
    try:
        until(lambda: _listens(address), 20, "the peer listens")
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(address, 1.0).close()
        return True
    return False


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Rate by rate, ours and Go's in turn; then both closed loops."""
    seconds = options.count(8, 2)
    with FakeAwsProcess() as fake_aws, tempfile.TemporaryDirectory() as name:
        folder, program, result = Path(name), _go_program(), []
        for rate, stream_ms in ROWS:
            words = f"{rate}/s, stream {stream_ms} ms"
            result.append(
                Case(f"receiver, {words}", partial(ours, fake_aws, folder, rate, stream_ms, seconds), at=rate)
            )
            if program:
                result.append(Case(f"Go, {words}", partial(go, fake_aws, program, rate, stream_ms, seconds), "peer"))
        result.append(Case("receiver, closed loop", partial(saturated, fake_aws, folder, seconds)))
        if importlib.util.find_spec("starlette") and importlib.util.find_spec("uvicorn"):
            note = "64 connections; one PutRecords call a request"
            result.append(Case("Starlette + boto3, closed loop", partial(starlette, fake_aws, seconds), "peer", note))
        yield result


def _go_program() -> Path | None:
    try:
        return programs.built("receiver_go")
    except programs.SkippedError as error:
        print(f"  skipped: Go: {error}")
        return None


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """Ours over Go's, round by round, medians."""
    by_name = {row.case.name: row for row in rows}
    result: dict[str, dict[str, float]] = {}
    for name, row in by_name.items():
        beside = by_name.get(name.replace("receiver", "Go"))
        if beside and beside is not row:
            result[name] = {
                figure: round(sorted(a / b for a, b in pairs)[len(pairs) // 2], 3)
                for figure in ("cpuUs", "p50Ms", "p99Ms")
                if (pairs := [*zip(row.values(figure), beside.values(figure), strict=False)])
            }
    return {"overGo": result} if result else {}


QUESTION = Question("receiver_beside_go", str(__doc__).partition("\n")[0], cases, rounds=5, bound_s=900, facts=facts)

if __name__ == "__main__":
    ask(QUESTION)
