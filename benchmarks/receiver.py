"""How much CPU a webhook costs, how many a second one worker takes, how late its answers are; beside Starlette + boto3.

`python -m benchmarks.receiver [--seconds N] [--connections N] [--rate N] [--json FILE]`. HMAC on, one event of 0.6 KB a
request, every setting at its default, one worker, the fake AWS as the stream. All of them share the machine.
`wrk` (a Debian package) makes the closed loop; without it a Python load does, which takes much more of the machine.
The peer needs the extra `bench` (starlette, uvicorn); without it, it is left out and said so.
"""

import argparse
import hmac
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.fakeaws.process import FakeAwsProcess
from tests.ports import free_port
from tests.receiver_kit import KEY, receiver
from tests.receiver_load import percentile_s, post, send

EVENTS = 2_000
CONVERSATIONS = 500
TARGETS = {"cpuUs": 50.0, "perSecond": 15_000.0, "openP99Ms": 15.0}
LUA = """
local parts = {}
for line in io.lines("FILE") do parts[#parts + 1] = line end
local ready, at = {}, 0
init = function()
  for i = 1, #parts, 2 do
    ready[#ready + 1] = wrk.format("POST", "/v1/events", {["X-Signature"] = parts[i]}, parts[i + 1])
  end
end
request = function() at = at % #ready + 1; return ready[at] end
"""


def bodies() -> list[bytes]:
    """Events of about 0.6 KB over 500 conversations, some text in them not ASCII."""
    made = []
    for number in range(EVENTS):
        payload = {"agent": "José Núñez", "skill": "billing", "channel": "voice", "notes": "x" * 380}
        event = {
            "interactionId": f"int-{number:08d}",
            "conversationId": f"conv-{number % CONVERSATIONS:06d}",
            "eventType": "interaction.created",
            "timestamp": "2026-11-24T09:30:00.123Z",
            "payload": payload,
        }
        made.append(json.dumps(event, ensure_ascii=False).encode())
    return made


def signature(body: bytes) -> str:
    return hmac.digest(KEY.encode(), body, "sha256").hex()


def cpu_s(pid: int) -> float:
    """User and system time of a live process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def closed_loop(address: tuple[str, int], pid: int, seconds: float, connections: int) -> dict[str, float]:
    """Every connection sends its next request when its last is answered. `p99Ms` is there where `wrk` is installed."""
    latency: dict[str, float] = {}
    before_s, start_s = cpu_s(pid), time.perf_counter()
    if shutil.which("wrk"):
        count, errors, latency["p99Ms"] = _wrk(address, seconds, connections)
    else:
        requests = [post(body, {"x-signature": signature(body)}) for body in bodies()] * max(1, int(seconds * 2))
        outcomes = send(address, requests, 1e9, connections)
        count, errors = len(outcomes), sum(outcome.status != 202 for outcome in outcomes)
    used_s, wall_s = cpu_s(pid) - before_s, time.perf_counter() - start_s
    return {"cpuUs": used_s / count * 1e6, "perSecond": count / wall_s, **latency, "errors": errors}


def _wrk(address: tuple[str, int], seconds: float, connections: int) -> tuple[int, int, float]:
    with tempfile.TemporaryDirectory() as folder:
        lines = [part for body in bodies() for part in (signature(body).encode(), body)]
        (Path(folder) / "events").write_bytes(b"\n".join(lines) + b"\n")
        script = Path(folder) / "post.lua"
        script.write_text(LUA.replace("FILE", str(Path(folder) / "events")))
        url = f"http://{address[0]}:{address[1]}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{int(seconds)}", "--latency", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    found = re.search(r"(\d+) requests in", said)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert found
    assert tail
    p99_ms = float(tail[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[tail[2]]
    return int(found[1]), int(bad[1]) if bad else 0, p99_ms


def open_loop(address: tuple[str, int], rate: int, seconds: float) -> dict[str, float]:
    """Requests come at their own pace; latency counts from when each was meant to be sent."""
    made = [post(body, {"x-signature": signature(body)}) for body in bodies()]
    requests = [made[number % len(made)] for number in range(int(rate * seconds))]
    outcomes = send(address, requests, rate, 128)
    # The first second warms up connections and caches.
    steady = sorted(outcomes, key=lambda outcome: outcome.answered_s)[rate:]
    errors = sum(outcome.status != 202 for outcome in outcomes)
    return {"p50Ms": percentile_s(steady, 0.5) * 1e3, "p99Ms": percentile_s(steady, 0.99) * 1e3, "errors": errors}


@contextmanager
def peer(url: str) -> Iterator[tuple[tuple[str, int], int]]:
    """Starlette under uvicorn: its address and process."""
    port = free_port()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_KINESIS": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "STREAM_ROUTER_WEBHOOK_SECRETS": KEY,
    }
    arguments = ["--port", str(port), "--no-access-log", "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.receiver_peer:app", *arguments]
    process = subprocess.Popen(command, env=environment)
    try:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield ("127.0.0.1", port), process.pid
    finally:
        process.terminate()
        process.wait(20)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    }
    with FakeAwsProcess() as fake_aws, tempfile.TemporaryDirectory() as folder:
        fake_aws.plan({"shard_limits": False})
        with receiver(fake_aws.url, Path(folder), WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY) as running:
            closed_loop(running.address, running.process.pid, 2, arguments.connections)
            found["closed"] = closed_loop(
                running.address, running.process.pid, arguments.seconds, arguments.connections
            )
            found["open"] = open_loop(running.address, arguments.rate, arguments.seconds)
            found["rssMb"] = running.rss_bytes() / 1e6
            metrics = running.metrics()
            found["eventsPerCall"] = metrics["events_stored_total"] / metrics["calls_total"]
            found["load1"] = os.getloadavg()[0]
        if importlib.util.find_spec("starlette") and importlib.util.find_spec("uvicorn"):
            with peer(fake_aws.url) as (address, pid):
                found["starletteBoto3"] = closed_loop(address, pid, min(5.0, arguments.seconds), 64)
        else:
            print("the peer is left out: `make setup` brings starlette and uvicorn")
    return found


def report(found: dict[str, Any]) -> None:
    """The figures, each beside its target and its peer."""
    closed, opened = found["closed"], found["open"]
    rows: Sequence[tuple[str, float, str]] = (
        ("CPU a webhook, µs", closed["cpuUs"], f"at most {TARGETS['cpuUs']:.0f}"),
        ("closed loop, webhooks/s", closed["perSecond"], f"at least {TARGETS['perSecond']:.0f}"),
        *([("closed loop, p99 ms", closed["p99Ms"], "")] if "p99Ms" in closed else ()),
        ("open loop, p50 ms", opened["p50Ms"], ""),
        ("open loop, p99 ms", opened["p99Ms"], f"at most {TARGETS['openP99Ms']:.0f}"),
        ("answers that were not 202", closed["errors"] + opened["errors"], "0"),
        ("events a PutRecords call", found["eventsPerCall"], ""),
        ("memory, MB", found["rssMb"], ""),
    )
    print(found["machine"])
    for name, value, target in rows:
        print(f"{name:28} {value:10.1f}   {target}")
    if "starletteBoto3" in found:
        other = found["starletteBoto3"]
        print(f"Starlette + boto3, 64 connections: {other['cpuUs']:.0f} µs, {other['perSecond']:.0f}/s", end="")
        print(f" ({other['cpuUs'] / closed['cpuUs']:.1f} times the CPU)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=512)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments)
    report(found)
    if arguments.json:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        arguments.json.write_text(json.dumps({"at": at, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
