"""What does an event of the child cost in CPU by its size, and how much memory does the child take?

`python -m benchmarks.sizes [--rounds N] [--json FILE]`. As `benchmarks.child`: daemon lines in over the pipe, signed
PutEvents calls out at the fake AWS on loopback, a classic bus (10 entries a call), masking off. The sizes take turns in
each round. A line is laid through the smallest and the largest size; the one between shows whether the line holds:
`stream-router plan` reckons with it.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import orjson

from benchmarks import events
from benchmarks.child import accepted, cpu_s
from stream_router.fakeaws.process import FakeAwsProcess
from tests.daemon import Child

SIZES = {600: 30_000, 4_096: 12_000, 65_536: 1_200}
"""Bytes of the sender's body, and how many events of it go in a round."""

RECORD_BYTES, BATCH_BYTES = 250_000, 4_000_000
"""How much goes into a record and into a batch: well below what Kinesis would hand over."""


def envelopes(size_bytes: int, count: int) -> list[bytes]:
    """Events whose body has about so many bytes: the usual one, its note drawn out."""
    made = []
    for number in range(count):
        body = orjson.loads(events.body(number))
        missing = size_bytes - len(events.body(number))
        body["payload"]["note"] += (events.NOTE * (missing // len(events.NOTE) + 1))[: max(missing, 0)]
        head, _, _ = events.envelope(number).partition(b'"body":')
        made.append(head + b'"body":' + orjson.dumps(body) + b"}")
    return made


def batches(lines: list[bytes], size_bytes: int) -> list[list[bytes]]:
    """The lines as records, several a batch."""
    in_record = max(1, min(20, RECORD_BYTES // size_bytes))
    datas = [b"\n".join(lines[at : at + in_record]) for at in range(0, len(lines), in_record)]
    in_batch = max(1, BATCH_BYTES // (in_record * size_bytes))
    return [datas[at : at + in_batch] for at in range(0, len(datas), in_batch)]


def rss_mb(pid: int) -> float:
    """Resident memory of a live process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(fake_aws: FakeAwsProcess, size_bytes: int, count: int) -> dict[str, float]:
    """CPU an event once the child is warm (a tenth of the events), its memory, entries a call."""
    fake_aws.reset()
    made = batches(envelopes(size_bytes, count), size_bytes)
    warm = made[: max(1, len(made) // 10)]
    with Child(fake_aws.url, None, STREAM_ROUTER_CHECKPOINT_S="5") as running:
        running.initialize()
        for batch in warm:
            running.process_batch(batch)
        first = sum(data.count(b"\n") + 1 for batch in warm for data in batch)
        while accepted(fake_aws) < first:
            time.sleep(0.01)
        before = cpu_s(running.process.pid)
        for batch in made:
            running.process_batch(batch)
        while accepted(fake_aws) < first + count:
            time.sleep(0.005)
        used, memory = cpu_s(running.process.pid) - before, rss_mb(running.process.pid)
    return {"cpuUs": used / count * 1e6, "rssMb": memory}


def line(cpu: dict[int, float]) -> dict[str, float]:
    """The line through the smallest and the largest size, and how far it is off at the ones between (as a share)."""
    small, large = min(cpu), max(cpu)
    per_byte_ns = (cpu[large] - cpu[small]) / (large - small) * 1000
    base_us = cpu[small] - small * per_byte_ns / 1000
    off = max(abs((base_us + size * per_byte_ns / 1000) / us - 1) for size, us in cpu.items())
    return {"baseUs": round(base_us, 2), "perByteNs": round(per_byte_ns, 3), "offAtMost": round(off, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    with FakeAwsProcess() as fake_aws:
        for _ in range(chosen.rounds):
            for size, count in SIZES.items():
                rounds[size].append(measure(fake_aws, size, count))
    sizes = {
        size: {key: round(statistics.median(one[key] for one in found), 2) for key in ("cpuUs", "rssMb")}
        for size, found in rounds.items()
    }
    fitted = line({size: one["cpuUs"] for size, one in sizes.items()})
    for size, one in sizes.items():
        print(f"{size:7,} bytes: {one['cpuUs']:7.1f} µs an event, {one['rssMb']:5.0f} MB")
    print(f"line: {fitted['baseUs']:.1f} µs + {fitted['perByteNs']:.2f} ns a byte, off by {fitted['offAtMost']:.0%}")
    if chosen.json:
        machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
        load = round(os.getloadavg()[0], 1)
        text = json.dumps({"machine": machine, "load1": load, "sizes": sizes, "line": fitted}, indent=1)
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
