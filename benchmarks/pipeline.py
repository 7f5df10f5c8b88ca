"""How fast, how late, and in how full calls does the whole pipeline run on this machine?

Runs `stream-router demo` (the real programs on the embedded stack) as fast as it can and at two steady rates. The
embedded stack is one Python process and takes most of the CPU: the figures say how the pipeline behaves here, not how
fast it can be.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNS = (("as fast as it can", 20_000, 0), ("300 events/s", 6_000, 300), ("50 events/s", 1_000, 50))


def run(events: int, rate: int) -> dict[str, Any]:
    """One demo; what it printed."""
    command = [str(Path(sys.executable).parent / "stream-router"), "demo", "--json"]
    arguments = ["--events", str(events), "--rate", str(rate), "--poison", "2"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line for each run."""
    argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__).parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first run")
    for name, events, rate in RUNS:
        found = run(events, rate)
        late = found["latencyMs"]
        print(
            f"{name}: {found['eventsPerSecond']:,.0f} events/s, {found['entriesPerCall']:.2f} entries a call, lost "
            f"{found['lost']}, duplicates {found['duplicates']}, received to target p50 {late['p50']:,.0f} ms, "
            f"p99 {late['p99']:,.0f} ms, p99.9 {late['p999']:,.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
