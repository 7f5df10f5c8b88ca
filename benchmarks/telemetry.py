"""What telemetry costs: a child's CPU an event with it on and off, in paired rounds.

`python -m benchmarks.telemetry [--events N] [--rounds N] [--json FILE]`. Each round drives one child with its telemetry
and one without (`benchmarks.peers.silent_child`), in turn, first the one and then the other; the median of the rounds'
ratios is the figure. Snapshots are written (every 2 s, so the events should last for some seconds) and CloudWatch gets
its minute's data.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import events
from benchmarks.child import LINES_PER_RECORD, RECORDS_PER_BATCH, accepted, cpu_s
from stream_router.fakeaws.process import FakeAwsProcess
from tests.daemon import Child

ON, OFF = "stream_router.consumer.child", "benchmarks.peers.silent_child"
CEILING = 0.03


def cpu_us(fake_aws: FakeAwsProcess, module: str, count: int) -> float:
    """The CPU of one child, µs an event, once it is warm."""
    fake_aws.reset()
    with tempfile.TemporaryDirectory() as folder:
        return _cpu_us(fake_aws, module, count, Path(folder))


def _cpu_us(fake_aws: FakeAwsProcess, module: str, count: int, folder: Path) -> float:
    (folder / "bus-proof").write_text(repr(time.monotonic() + 3600))
    datas = [
        b"\n".join(events.envelope(number) for number in range(at, at + LINES_PER_RECORD))
        for at in range(0, RECORDS_PER_BATCH * LINES_PER_RECORD, LINES_PER_RECORD)
    ]
    with Child(fake_aws.url, folder, module=module, STREAM_ROUTER_CHECKPOINT_S="5") as running:
        running.initialize()
        running.process_batch(datas)
        batch = len(datas) * LINES_PER_RECORD
        made = [
            json.dumps({"action": "processRecords", "millisBehindLatest": 0, "records": running.records(datas)})
            for _ in range(count // batch)
        ]
        while accepted(fake_aws) < batch:
            time.sleep(0.01)
        before = cpu_s(running.process.pid)
        for line in made:
            assert running.process.stdin
            running.process.stdin.write(line.encode() + b"\n")
            running.process.stdin.flush()
            running.done("processRecords")
        while accepted(fake_aws) < batch * (1 + count // batch):
            time.sleep(0.002)
        return (cpu_s(running.process.pid) - before) / (count // batch * batch) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    pairs: list[tuple[float, float]] = []
    with FakeAwsProcess() as fake_aws:
        for number in range(chosen.rounds):
            order = (ON, OFF) if number % 2 else (OFF, ON)
            found = {module: cpu_us(fake_aws, module, chosen.events) for module in order}
            pairs.append((found[ON], found[OFF]))
            print(f"round {number + 1}: on {found[ON]:.2f} µs, off {found[OFF]:.2f} µs", flush=True)
    costs = sorted(on / off - 1 for on, off in pairs)
    result = {
        "rounds": len(pairs),
        "events": chosen.events,
        "cpuUsOn": round(statistics.median(on for on, _ in pairs), 3),
        "cpuUsOff": round(statistics.median(off for _, off in pairs), 3),
        "cost": round(statistics.median(costs), 4),
        "quartiles": [round(one, 4) for one in statistics.quantiles(costs, n=4)] if len(costs) > 1 else [],
        "ceiling": CEILING,
    }
    print(json.dumps(result))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
