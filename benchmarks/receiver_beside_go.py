"""Is any cell of the table worse than a plain Go receiver with the same duties, in the same run?

`python -m benchmarks.receiver_beside_go [--rounds 5] [--seconds 10] [--json FILE]`. Standard Webhooks checked, stream
answering after 15 ms (one row: 40 ms), 512 connections, rounds in pairs, medians shown. Go must be there; the peer is
built from `benchmarks/peers/receiver_go` by way of the Go module proxy. Load of other programs spoils it.
"""

import argparse
import base64
import hmac
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.receiver import bodies, cpu_s
from tests.fakeaws.process import FakeAwsProcess
from tests.ports import free_port
from tests.receiver_kit import ReceiverProcess, receiver
from tests.receiver_load import percentile_s, post, send

SECRET = b"a key of thirty-two bytes length"
WHSEC = f"whsec_{base64.b64encode(SECRET).decode()}"
CONNECTIONS = 512
ROWS = ((50, 15), (1_000, 15), (5_000, 15), (1_000, 40))
"""Events a second, and milliseconds until the stream answers."""
PEER = Path(__file__).parent / "peers" / "receiver_go"


class Cell(NamedTuple):
    """What one receiver did at one rate."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int
    events_a_record: float


def requests(count: int) -> list[bytes]:
    """Signed posts, each with an id of its own; made before the clock starts."""
    made, stamp = [], int(time.time())
    kinds = bodies()
    for number in range(count):
        body, identity = kinds[number % len(kinds)], f"msg_{stamp}_{number}"
        mac = hmac.digest(SECRET, f"{identity}.{stamp}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(mac).decode()}"
        headers = {"webhook-id": identity, "webhook-timestamp": str(stamp), "webhook-signature": signature}
        made.append(post(body, headers))
    return made


def measure(address: tuple[str, int], pid: int, rate: int, seconds: float) -> Cell:
    """One load; the second before it warms connections up."""
    connections = min(CONNECTIONS, rate)
    send(address, requests(rate), rate, connections)
    load = requests(int(rate * seconds))
    before_s = cpu_s(pid)
    outcomes = send(address, load, rate, connections)
    used_us = (cpu_s(pid) - before_s) / len(outcomes) * 1e6
    errors = sum(outcome.status != 202 for outcome in outcomes)
    return Cell(used_us, percentile_s(outcomes, 0.5) * 1e3, percentile_s(outcomes, 0.99) * 1e3, errors, 0.0)


@contextmanager
def go_receiver(program: Path, url: str) -> Iterator[tuple[tuple[str, int], int]]:
    """The peer: its address and process."""
    address = ("127.0.0.1", free_port())
    own = {"LISTEN": f"{address[0]}:{address[1]}", "SECRET": WHSEC, "STREAM": "cxone-events"}
    aws = {"AWS_ENDPOINT_URL_KINESIS": url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x"}
    environment = {**os.environ, **own, **aws, "AWS_SECRET_ACCESS_KEY": "y", "GOMAXPROCS": "1"}
    process = subprocess.Popen([program], env=environment)
    try:
        time.sleep(0.5)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(10)


def ours(running: ReceiverProcess, rate: int, seconds: float) -> Cell:
    """Our receiver's cell, with how well it groups."""
    cell = measure(running.address, running.process.pid, rate, seconds)
    time.sleep(0.5)
    metrics = running.metrics()
    return cell._replace(events_a_record=metrics["events_stored_total"] / metrics["records_total"])


def table(program: Path, rounds: int, seconds: float, only: str) -> dict[str, dict[str, Cell]]:
    """Every row's medians: `ours` and `go`."""
    found: dict[str, dict[str, Cell]] = {}
    with FakeAwsProcess() as fake_aws, tempfile.TemporaryDirectory() as folder:
        for rate, delay_ms in ROWS:
            name = f"{rate}/s, stream {delay_ms} ms"
            if only not in name:
                continue
            rules = [{"fault": "delay", "ms": delay_ms, "operation": "PutRecords"}]
            fake_aws.plan({"shard_limits": False, "rules": rules})
            cells: dict[str, list[Cell]] = {"ours": [], "go": []}
            for _ in range(rounds):
                settings = {"WEBHOOK_SCHEME": "standard-webhooks", "WEBHOOK_SECRETS": WHSEC}
                with receiver(fake_aws.url, Path(folder), **settings) as running:
                    cells["ours"].append(ours(running, rate, seconds))
                with go_receiver(program, fake_aws.url) as (address, pid):
                    cells["go"].append(measure(address, pid, rate, seconds))
            found[name] = {who: median(of) for who, of in cells.items()}
            report(name, found[name])
    return found


def median(cells: list[Cell]) -> Cell:
    """The median of each figure; of errors all."""
    figures = [statistics.median(column) for column in zip(*cells, strict=True)]
    return Cell(*figures)._replace(errors=sum(cell.errors for cell in cells))


def report(name: str, row: dict[str, Cell]) -> None:
    """One row, ours beside the peer's."""
    for who, cell in row.items():
        print(
            f"{name:22} {who:5} {cell.cpu_us:7.0f} µs CPU  p50 {cell.p50_ms:6.1f}  p99 {cell.p99_ms:6.1f} ms"
            f"  errors {cell.errors}  events a record {cell.events_a_record or 1:.1f}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="", help="a part of a row's name, for example 1000/s")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not shutil.which("go"):
        print("left out: Go is not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "receiver_go"
        subprocess.run(["go", "build", "-o", program, "."], cwd=PEER, check=True)
        found = table(program, arguments.rounds, arguments.seconds, arguments.only)
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
        rows = {name: {who: cell._asdict() for who, cell in row.items()} for name, row in found.items()}
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        arguments.json.write_text(json.dumps({"at": at, "machine": machine, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
