"""How many events a CPU-second buys in the child, beside the loop that teams write today, in one run.

`python -m benchmarks.child [--events N] [--rounds N] [--json FILE]`. Daemon lines go in over the pipe, signed
PutEvents calls come out at the fake AWS on loopback; masking is off but where a row says. Each round runs the loop and
the children in turn: a machine whose speed drifts drifts for all; the ratio is the figure to read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import events
from stream_router.fakeaws.process import FakeAwsProcess
from tests.daemon import Child

V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"
LINES_PER_RECORD = 20
RECORDS_PER_BATCH = 500


def cpu_s(pid: int) -> float:
    """User and system time of a live process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peer(name: str, url: str, count: int) -> float:
    """The CPU of a program in `benchmarks.peers`, µs an event."""
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", url, str(count)]
    ran = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(json.loads(ran.stdout)["cpuUs"])


def child(
    fake_aws: FakeAwsProcess, count: int, bus: str = "default", share: float = 1.0, **environment: str
) -> dict[str, float]:
    """The child's CPU and wall time, µs an event, once it is warm, until a `share` of the events is accepted."""
    datas = [
        b"\n".join(events.envelope(number) for number in range(at, at + LINES_PER_RECORD))
        for at in range(0, count, LINES_PER_RECORD)
    ]
    batches = [datas[at : at + RECORDS_PER_BATCH] for at in range(0, len(datas), RECORDS_PER_BATCH)]
    with Child(
        fake_aws.url, None, STREAM_ROUTER_EVENT_BUS=bus, STREAM_ROUTER_CHECKPOINT_S="5", **environment
    ) as running:
        running.initialize()
        running.process_batch(batches[0])
        made = [
            json.dumps({"action": "processRecords", "millisBehindLatest": 0, "records": running.records(batch)})
            for batch in batches
        ]
        while accepted(fake_aws) < (first := RECORDS_PER_BATCH * LINES_PER_RECORD):
            time.sleep(0.01)
        wanted = first + int(share * count)
        before, start = cpu_s(running.process.pid), time.perf_counter()
        for line in made:
            assert running.process.stdin
            running.process.stdin.write(line.encode() + b"\n")
            running.process.stdin.flush()
            running.done("processRecords")
        while accepted(fake_aws) < wanted:
            time.sleep(0.002)
        wall, used = time.perf_counter() - start, cpu_s(running.process.pid) - before
    return {"cpuUs": used / count * 1e6, "wallUs": wall / count * 1e6}


def accepted(fake_aws: FakeAwsProcess) -> int:
    """Entries that the fake AWS accepted, or knew again: the warm part comes twice, and a v2 bus knows that."""
    items = fake_aws.stats()["items"]
    took = [verdicts for name, verdicts in items.items() if name.startswith("PutEvents")]
    return sum(verdicts.get("accepted", 0) + verdicts.get("deduplicated", 0) for verdicts in took)


BASE = "boto3 loop"
PEERS = {BASE: ("boto3_loop", 8), "bare libraries, 10 a call": ("bare_pipe", 1)}
"""Module, and the part of the events that it gets: the loop is slow."""

CHILDREN: dict[str, tuple[str, dict[str, str]]] = {
    "classic bus, 10 a call": ("default", {}),
    "v2 bus, 25 a call": (V2_BUS, {}),
    "classic bus, default masking policy": ("default", {"STREAM_ROUTER_MASKING": "default"}),
    "v2 bus, default masking policy": (V2_BUS, {"STREAM_ROUTER_MASKING": "default"}),
}


def ratios(fake_aws: FakeAwsProcess, count: int, rounds: int) -> dict[str, object]:
    """Loop and children in turn; CPU per event and the ratio of the loop's to each child's."""
    rows: dict[str, list[float]] = {name: [] for name in (*PEERS, *CHILDREN)}
    for number in range(rounds):
        for name, (module, share) in PEERS.items():
            rows[name].append(peer(module, fake_aws.url, count // share))
        for name, (bus, environment) in CHILDREN.items():
            fake_aws.reset()  # the v2 bus would know the copies, and the count begins at none
            rows[name].append(child(fake_aws, count, bus, 1.0, **environment)["cpuUs"])
        print(f"round {number + 1}:", ", ".join(f"{found[-1]:.1f}" for found in rows.values()), "µs", flush=True)
    base = rows[BASE]
    result: dict[str, object] = {}
    for name, found in rows.items():
        times = statistics.median(one / other for one, other in zip(base, found, strict=True))
        result[name] = {"cpuUsPerEvent": round(statistics.median(found), 2), "timesTheLoop": round(times, 2)}
        print(f"{name:36} {statistics.median(found):6.1f} µs an event, {times:5.2f} times the loop")
    return result


def rates(count: int) -> dict[str, float]:
    """Events a second from one child where the bus takes its time."""
    found = {}
    for delay_ms in (20, 100):
        with FakeAwsProcess(None, None, 0, "--delay-ms", str(delay_ms)) as fake_aws:
            rate = 1e6 / child(fake_aws, count)["wallUs"]
        found[f"{delay_ms} ms"] = rate
        print(f"bus answers after {delay_ms:3} ms: {rate:8.0f} events a second from one child")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with FakeAwsProcess() as fake_aws:
        result: dict[str, object] = {"cpu": ratios(fake_aws, chosen.events, chosen.rounds)}
    result["rate"] = rates(chosen.events // 2)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
