"""Writes stream_router/control/plan/measured.json, the figures that `plan` reckons with, from the newest results.

Run by `make docs`. A wheel has no benchmarks/results: so they are copied, each with the file it comes from.
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TARGET = ROOT / "stream_router" / "control" / "plan" / "measured.json"


def _result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text("utf-8"))


def _jvm_us() -> float:
    """`worker` has the JVM by rate, not by record: its figure for a record stands in docs/facts.md."""
    found = re.search(
        r"\| the KCL's JVM, a Kinesis record \| ([0-9.]+) µs \|", (ROOT / "docs/facts.md").read_text("utf-8")
    )
    assert found, "docs/facts.md no longer says what the JVM takes a record"
    return float(found[1])


def _read_us(child_us: float, jvm_us: float) -> float:
    """What a read of a shard takes of daemon and child besides its events: the median of what `worker` had more."""
    from benchmarks.harness import results
    from benchmarks.worker import EVENTS_A_RECORD, SHARDS
    from stream_router.control.plan.capacity import READS_PER_S

    worker = results.latest("worker")
    took = {
        row: results.median(worker, f"worker, {row}/s, {each} events a record", "cpuUs")
        for row, each in EVENTS_A_RECORD.items()
    }
    more = [
        (took[rate] - child_us - jvm_us / each) * rate / (SHARDS * READS_PER_S)
        for rate, each in EVENTS_A_RECORD.items()
    ]
    return round(statistics.median(more))


def _added_bytes() -> tuple[int, int]:
    """What the envelope and the entry add to the sender's body, of the event that the benchmarks use."""
    from benchmarks import events, transform
    from stream_router.model import Entry

    body = events.body(1)
    (event,) = transform.events([body])
    entry = transform.transform("off")(event)
    assert isinstance(entry, Entry)
    return len(events.envelope(1)) + 1 - len(body), entry.size_bytes - len(body)


def text() -> str:
    """The file as it should be."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.harness import results
    from benchmarks.sizes import FITTED

    sizes, receiver = results.latest("sizes"), _result("receiver-2-cpus.json")
    small, large = FITTED
    memory = {size: results.median(sizes, f"child, {size} bytes", "rssMb") for size in FITTED}
    line = sizes["facts"]["line"]
    slope = (memory[large] - memory[small]) / (large - small)
    envelope, entry = _added_bytes()
    figures = {
        "child_base_us": (line["baseUs"], "benchmarks/results/sizes.json"),
        "child_ns_per_byte": (line["perByteNs"], "benchmarks/results/sizes.json"),
        "child_base_mb": (round(memory[small] - slope * small, 1), "benchmarks/results/sizes.json"),
        "child_mb_per_kb": (round(slope * 1000, 3), "benchmarks/results/sizes.json"),
        "receiver_us": (round(receiver["closed"]["cpuUs"], 1), "benchmarks/results/receiver-2-cpus.json"),
        "receiver_mb": (round(receiver["rssMb"], 1), "benchmarks/results/receiver-2-cpus.json"),
        "jvm_us_per_record": (_jvm_us(), "docs/facts.md"),
        "read_us": (
            _read_us(line["baseUs"] + line["perByteNs"] * small / 1000, _jvm_us()),
            "benchmarks/results/worker.json",
        ),
        "envelope_bytes": (envelope, "what the envelope adds to the body of benchmarks/events.py"),
        "entry_bytes": (entry, "what the entry adds to the body of benchmarks/events.py"),
    }
    return (
        json.dumps(
            {
                "machine": f"{sizes['machine']}, Python {sizes['versions']['python']}",
                "event_bytes": small,
                "figures": {name: {"value": value, "source": source} for name, (value, source) in figures.items()},
            },
            indent=1,
        )
        + "\n"
    )


def main() -> None:
    """Write it."""
    TARGET.write_text(text(), "utf-8")


if __name__ == "__main__":
    main()
