"""How late is an event where the KCL asks a shard for records every 200, 250, 500 or 1,000 ms?

Each ask is a GetRecords call, of which a shard takes five a second. The embedded stack, 200 events a second. Enhanced
fan-out is not in it: the stack does not have it.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import whole
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken

PROPERTIES = Path(__file__).resolve().parents[1] / "properties"
IDLE_MS = (200, 250, 500, 1_000)
RATE = 200
SHIPPED_MS = 250


def polled(folder: Path, idle_ms: int, seconds: float) -> Taken:
    """One demo with this pause between two reads; `callsPerSecond` is what the pause allows, not counted."""
    file = folder / f"{idle_ms}.properties"
    text = "\n".join((PROPERTIES / name).read_text("utf-8") for name in ("consumer.properties", "local.properties"))
    file.write_text("\n".join(line for line in text.splitlines() if "idleTimeBetweenReads" not in line))
    with file.open("a") as more:
        more.write(f"\nidleTimeBetweenReadsInMillis = {idle_ms}\n")
    command = [sys.executable, "-m", "benchmarks.harness.demo_with", f"STREAM_ROUTER_PROPERTIES={file}", "--"]
    taken = whole.run([*command, str(int(RATE * seconds)), str(RATE)], RATE, seconds)
    kept = ("p50Ms", "p99Ms", "p999Ms", "jvmUs", "childUs", "emulatorUs", "lost")
    return Taken({name: taken.figures[name] for name in kept} | {"callsPerSecond": 1000 / idle_ms})


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
