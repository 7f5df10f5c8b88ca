"""Drives a child as the KCL daemon does, with the fake AWS behind it: at full speed (`flood`), or at a rate (`paced`).

Daemon lines go in over the pipe, signed PutEvents calls come out on loopback. Lines are made before the clock starts.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import events
from benchmarks.harness.rounds import Taken
from tests.daemon import Child
from tests.fakeaws.process import FakeAwsProcess

V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"
LINES_PER_RECORD = 20
RECORDS_PER_BATCH = 500
RECORD_BYTES, BATCH_BYTES = 250_000, 8_000_000
"""How much goes into a record and into a batch: below what Kinesis would hand over."""

QUIET = {"STREAM_ROUTER_LOG_LEVEL": "ERROR", "STREAM_ROUTER_BUS_PROOF": "trust"}
"""Bus and rule are the supervisor's to ask for: a child that nobody supervises would do it by itself."""

PACE_S = 0.1
"""A paced child gets a batch so often."""

PACED_LINES_PER_RECORD = 5
SETTLE_WITHIN_S = 90.0


@dataclass(frozen=True)
class Load:
    """What the child gets, and under which settings; `share` of the events ends the wall clock (1.0: all)."""

    count: int
    size_bytes: int = 0
    spaced: bool = False
    share: float = 1.0
    lines_per_record: int = LINES_PER_RECORD
    module: str = "stream_router.consumer.child"
    environment: Mapping[str, str] = field(default_factory=dict)


def cpu_s(pid: int) -> float:
    """User and system time of a live process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, kind: str = "VmRSS") -> float:
    """Resident memory of a live process, in MB; `VmHWM` is the most that it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024 / 1e6


def accepted(fake_aws: FakeAwsProcess) -> int:
    """Entries that the fake AWS accepted, or knew again: the warm part comes twice, and a v2 bus knows that."""
    items = fake_aws.stats()["items"]
    took = [verdicts for name, verdicts in items.items() if name.startswith("PutEvents")]
    return sum(verdicts.get("accepted", 0) + verdicts.get("deduplicated", 0) for verdicts in took)


def calls(fake_aws: FakeAwsProcess) -> int:
    """PutEvents calls that the fake AWS got."""
    return sum(count for name, count in fake_aws.stats()["calls"].items() if name.startswith("PutEvents"))


def daemon_batches(lines: Sequence[bytes], lines_per_record: int = LINES_PER_RECORD) -> list[list[bytes]]:
    """Envelopes as the data of Kinesis records, several a batch."""
    size_bytes = max(len(line) for line in lines)
    in_record = max(1, min(lines_per_record, RECORD_BYTES // size_bytes))
    datas = [b"\n".join(lines[at : at + in_record]) for at in range(0, len(lines), in_record)]
    in_batch = max(1, min(RECORDS_PER_BATCH, BATCH_BYTES // (in_record * size_bytes)))
    return [datas[at : at + in_batch] for at in range(0, len(datas), in_batch)]


def flooded(fake_aws: FakeAwsProcess, load: Load) -> Taken:
    """`flood` from a clean slate: a v2 bus would know the last round's events again."""
    fake_aws.reset()
    return flood(fake_aws, load)


def flood(fake_aws: FakeAwsProcess, load: Load) -> Taken:
    """The child's CPU an event, its events a second, its memory, once it is warm."""
    lines = events.envelopes(load.count, load.size_bytes, spaced=load.spaced)
    batches = daemon_batches(lines, load.lines_per_record)
    warm = batches[: max(1, min(len(batches) // 2, -(-10_000 * len(batches) // load.count)))]
    start_count = accepted(fake_aws)
    environment = {**QUIET, "STREAM_ROUTER_CHECKPOINT_S": "5", **load.environment}
    with Child(fake_aws.url, None, load.module, **environment) as running:
        running.initialize()
        for batch in warm:
            running.process_batch(batch)
        first = start_count + sum(data.count(b"\n") + 1 for batch in warm for data in batch)
        until_accepted(fake_aws, first - (first - start_count) // 20)
        result = [_line(running, batch) for batch in batches]
        until_accepted(fake_aws, start_count + int(load.share * (first - start_count)))
        pid, calls_before = running.process.pid, calls(fake_aws)
        before, start = cpu_s(pid), time.perf_counter()
        for line in result:
            _write(running, line)
            running.done("processRecords")
        until_accepted(fake_aws, start_count + int(load.share * (first - start_count + load.count)))
        wall, used = time.perf_counter() - start, cpu_s(pid) - before
        each = load.count / max(1, calls(fake_aws) - calls_before)
        memory, most = memory_mb(pid), memory_mb(pid, "VmHWM")
    figures = {"cpuUs": used / load.count * 1e6, "perSecond": load.count / wall, "eventsACall": each}
    return Taken({**figures, "rssMb": memory, "mostMb": most})


def _line(running: Child, batch: Sequence[bytes]) -> bytes:
    records = running.records(batch)
    return json.dumps({"action": "processRecords", "millisBehindLatest": 0, "records": records}).encode() + b"\n"


def _write(running: Child, line: bytes) -> None:
    assert running.process.stdin
    running.process.stdin.write(line)
    running.process.stdin.flush()


def until_accepted(fake_aws: FakeAwsProcess, wanted: int) -> None:
    """Wait until the fake AWS accepted so many entries."""
    until = time.monotonic() + SETTLE_WITHIN_S
    while (result := accepted(fake_aws)) < wanted:
        assert time.monotonic() < until, f"{result} of {wanted} events were accepted within {SETTLE_WITHIN_S:.0f} s"
        time.sleep(0.002)


def paced(
    fake_aws: FakeAwsProcess,
    rate: int,
    seconds: float,
    load: Load,
    series_s: float = 0.0,
    begins: Callable[[], object] = bool,
) -> Taken:
    """Latency of the healthy events from the daemon's line to their acceptance, at `rate` events a second.

    Healthy is an event that the bus never refused. `fake_aws` keeps a ledger. `lost` are events that were never
    accepted, `twice` acceptances beyond one. `begins` is called as the load begins. With `series_s` the series is
    events accepted a second, in steps of so long.
    """
    lines = events.envelopes(int(rate * seconds), load.size_bytes, spaced=load.spaced)
    ids = [events.identity(number) for number in range(len(lines))]
    each = int(rate * PACE_S)
    environment = {**QUIET, "STREAM_ROUTER_CHECKPOINT_S": "1", **load.environment}
    with Child(fake_aws.url, None, **environment) as running:
        running.initialize()
        result = []
        for at in range(0, len(lines), each):
            texts = [_line(running, batch) for batch in daemon_batches(lines[at : at + each], PACED_LINES_PER_RECORD)]
            result.append((ids[at : at + each], texts))
        sent: dict[str, float] = {}
        begins()
        before, start = cpu_s(running.process.pid), time.time()
        for number, (names, texts) in enumerate(result):
            due = start + number * PACE_S
            time.sleep(max(0.0, due - time.time()))
            sent.update(dict.fromkeys(names, due * 1000))  # from when it was meant to come: what waits, waits
            for text in texts:
                _write(running, text)
                running.done("processRecords")
        used = cpu_s(running.process.pid) - before
        _keep_company(running, len(lines), each)
    return _latencies(fake_aws.lines("PutEvents"), sent, used / len(lines) * 1e6, start, series_s)


def _keep_company(running: Child, first: int, each: int) -> None:
    """Go on at the same rate, with events that nobody counts, until all so far are settled.

    A child that got nothing more could not tell an event that is sick from a bus that is.
    """
    last, until = running.sequence, time.monotonic() + SETTLE_WITHIN_S
    while not running.checkpoints or int(running.checkpoints[-1][0] or 0) < last:
        assert time.monotonic() < until, f"not settled: {running.checkpoints[-1:]} of {last}"
        lines = [events.envelope(number) for number in range(first, first + each)]
        first += each
        for batch in daemon_batches(lines, PACED_LINES_PER_RECORD):
            running.process_batch(batch)
        time.sleep(PACE_S)


def _latencies(
    ledger: Sequence[Mapping[str, Any]], sent: Mapping[str, float], cpu_us: float, start_s: float, series_s: float
) -> Taken:
    took: dict[str, float] = {}
    refused, twice, at_s = set(), 0, []
    for line in ledger:
        name = str(line.get("eventId"))
        if name not in sent or line["time"] < start_s * 1000 - 1:
            continue
        if line["verdict"] in ("accepted", "accepted_then_dropped"):
            twice += name in took
            took.setdefault(name, line["time"] - sent[name])
            at_s.append(line["time"] / 1000 - start_s)
        else:
            refused.add(name)
    healthy = [value for name, value in took.items() if name not in refused]
    cuts = statistics.quantiles(healthy, n=1000, method="inclusive")
    figures = {"p50Ms": cuts[499], "p90Ms": cuts[899], "p99Ms": cuts[989], "p999Ms": cuts[998], "cpuUs": cpu_us}
    figures |= {"lost": len(sent) - len(took), "twice": twice}
    return Taken(figures, _rates(at_s, series_s) if series_s else ())


def _rates(at_s: Sequence[float], step_s: float) -> list[tuple[float, float]]:
    counts = [0] * (int(max(at_s) / step_s) + 1)
    for at in at_s:
        counts[int(max(0.0, at) / step_s)] += 1
    return [(round(number * step_s, 3), count / step_s) for number, count in enumerate(counts)]
