"""How late is an event from webhook to target on this machine, and what does it cost in each of our processes?

The real programs on the embedded stack (`stream-router demo`). The emulator is one Python process that takes most of
the machine: its share stands apart, and its delays are in the latencies.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from benchmarks import processes
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken

RATES = (100, 500, 1_500)
SETTLED = "children, one a shard"
"""The demo's line when events begin to flow."""

FROM_SHARE, TO_SHARE = 0.4, 0.95
"""The part of the load over which CPU is counted: the JVM has compiled by then."""


def demo(rate: int, seconds: float) -> Taken:
    """One demo at a steady rate."""
    command = [sys.executable, "-m", "stream_router", "demo", "--json", "--poison", "0"]
    return run([*command, "--events", str(int(rate * seconds)), "--rate", str(rate)], rate, seconds)


def run(command: Sequence[str], rate: int, seconds: float) -> Taken:
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
    before, start_s = processes.cpu_by_role(process.pid), time.monotonic()
    time.sleep(seconds * (TO_SHARE - FROM_SHARE))
    after, took_s = processes.cpu_by_role(process.pid), time.monotonic() - start_s
    memory = processes.memory_by_role(process.pid)
    output = process.stdout.read()
    assert process.wait() == 0, "".join(said[-5:])
    return _figures(
        json.loads(output.splitlines()[-1]), {name: after[name] - before[name] for name in after}, memory, rate * took_s
    )


def _figures(found: dict[str, object], used_s: dict[str, float], memory: Mapping[str, float], count: float) -> Taken:
    late = found["latencyMs"]
    assert isinstance(late, dict)
    figures = {f"{name}Ms": float(late[name]) for name in ("p50", "p99", "p999")}
    figures["cpuUs"] = sum(used_s.get(name, 0.0) for name in processes.PRODUCT) / count * 1e6
    figures |= {f"{name}Us": used_s.get(name, 0.0) / count * 1e6 for name in (*processes.PRODUCT, "emulator", "load")}
    figures |= {f"{name}Mb": memory.get(name, 0.0) for name in ("receiver", "jvm", "child")}
    return Taken({**figures, "lost": float(str(found["lost"])), "twice": float(str(found["duplicates"]))})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """One rate after the other, each with a stack of its own."""
    seconds = options.count(20, 8)
    yield [Case(f"whole pipeline, {rate}/s", partial(demo, rate, seconds), at=rate) for rate in RATES]


QUESTION = Question("whole", str(__doc__).partition("\n")[0], cases, rounds=2, bound_s=330)

if __name__ == "__main__":
    ask(QUESTION)
