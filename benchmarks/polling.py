"""How late is an event where the KCL asks a shard for records every 200, 250, 500 or 1,000 ms?

Each ask is a GetRecords call, of which a shard takes five a second. The embedded stack, 200 events a second. Enhanced
fan-out is not in it: the stack does not have it.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import processes
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken

PROPERTIES = Path(__file__).resolve().parents[1] / "properties"
IDLE_MS = (200, 250, 500, 1_000)
RATE = 200
SHIPPED_MS = 250
SETTLED = "children, one a shard"
"""The demo's line when events begin to flow."""

FROM_SHARE, TO_SHARE = 0.4, 0.95
"""The part of the load over which CPU is counted."""


def polled(folder: Path, idle_ms: int, seconds: float) -> Taken:
    """One demo with this pause between two reads; `callsPerSecond` is what the pause allows, not counted."""
    file = folder / f"{idle_ms}.properties"
    text = "\n".join((PROPERTIES / name).read_text("utf-8") for name in ("consumer.properties", "local.properties"))
    file.write_text("\n".join(line for line in text.splitlines() if "idleTimeBetweenReads" not in line))
    with file.open("a") as more:
        more.write(f"\nidleTimeBetweenReadsInMillis = {idle_ms}\n")
    command = [sys.executable, "-m", "benchmarks.harness.demo_with", f"STREAM_ROUTER_PROPERTIES={file}", "--"]
    return run([*command, str(int(RATE * seconds)), str(RATE)], idle_ms, seconds)


def run(command: Sequence[str], idle_ms: int, seconds: float) -> Taken:
    """A demo by its command; CPU is that of the middle of its load."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    assert process.stdout
    said = []
    for line in process.stderr:
        said.append(line)
        if SETTLED in line:
            break
    rest = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    rest.start()
    time.sleep(seconds * FROM_SHARE)
    used, start_s = processes.cpu_by_role(process.pid), time.monotonic()
    time.sleep(seconds * (TO_SHARE - FROM_SHARE))
    after, count = processes.cpu_by_role(process.pid), RATE * (time.monotonic() - start_s)
    output = process.stdout.read()
    assert process.wait() == 0, "".join(said[-5:])
    found = json.loads(output.splitlines()[-1])
    figures = {f"{name}Ms": float(found["latencyMs"][name]) for name in ("p50", "p99", "p999")}
    figures |= {f"{name}Us": (after[name] - used[name]) / count * 1e6 for name in ("jvm", "child", "emulator")}
    return Taken({**figures, "lost": float(found["lost"]), "callsPerSecond": 1000 / idle_ms})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """The pause that we ship is the baseline."""
    seconds = options.count(15, 8)
    with tempfile.TemporaryDirectory() as folder:
        yield [
            Case(
                f"polling, {idle_ms} ms",
                partial(polled, Path(folder), idle_ms, seconds),
                "baseline" if idle_ms == SHIPPED_MS else "ours",
                at=idle_ms,
            )
            for idle_ms in IDLE_MS
        ]


QUESTION = Question("polling", str(__doc__).partition("\n")[0], cases, rounds=2, bound_s=280)

if __name__ == "__main__":
    ask(QUESTION)
