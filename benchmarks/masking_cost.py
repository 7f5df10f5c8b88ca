"""What the policy `default` costs an event, beside another commit of this repository, in one run.

Run: python -m benchmarks.masking_cost [--rev COMMIT] [--rounds N] [--json]. One core, no network; half a minute. The
default commit is the last one of the policy that looked for private fields. Both sides take turns in one run; each
figure is the least of all rounds, in CPU time.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
BEFORE = "ff1e2d7c"
"""The last commit of the policy that named what is private, and let the rest pass."""

ROUNDS = 60
EVENTS = 200

WORKER = """
import sys, time, orjson
from benchmarks.transform import body, events, transform

message, count = orjson.loads(sys.stdin.readline())
texts = {
    "article's shape": [orjson.dumps(body(number)) for number in range(count)],
    "MessageCreated": [orjson.dumps({**message, "eventId": f"id-{number:012x}"}) for number in range(count)],
}
made = {masking: transform(masking) for masking in ("off", "default")}
for _ in sys.stdin:
    found = {}
    for shape, lines in texts.items():
        for masking, call in made.items():
            opened = events(lines)
            start = time.process_time_ns()
            for event in opened:
                call(event)
            found[f"{shape}, {masking}"] = (time.process_time_ns() - start) / count / 1000
            call.take_masked_counts()
    print(orjson.dumps(found).decode(), flush=True)
"""


def message_created() -> dict[str, Any]:
    """NICE's example of the commonest digital event (tests/data/nice-examples.json says where it is from)."""
    examples = orjson.loads((ROOT / "tests" / "data" / "nice-examples.json").read_bytes())
    found: dict[str, Any] = next(one["event"] for one in examples if one["name"] == "MessageCreatedEvent")
    return found


def unpack(commit: str, folder: Path) -> None:
    """The files of a commit. Raises CalledProcessError where git knows it not."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


class Side:
    """One checkout's worker and its least figures."""

    def __init__(self, folder: Path, first_line: bytes) -> None:
        command = [sys.executable, "-c", WORKER]
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.best: dict[str, float] = {}
        self._tell(first_line)

    def round(self) -> None:
        self._tell(b"go")
        assert self._process.stdout
        for name, us in orjson.loads(self._process.stdout.readline()).items():
            self.best[name] = min(us, self.best.get(name, us))

    def end(self) -> None:
        self._process.communicate()

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()


def measure(commit: str, rounds: int) -> dict[str, dict[str, float]]:
    """By case: microseconds an event at `commit` and now, and their ratio."""
    first_line = orjson.dumps([message_created(), EVENTS])
    with tempfile.TemporaryDirectory() as folder:
        unpack(commit, Path(folder))
        sides = [Side(Path(folder), first_line), Side(ROOT, first_line)]
        for _ in range(rounds):
            for side in sides:
                side.round()
        for side in sides:
            side.end()
    before, now = (side.best for side in sides)
    return {
        name: {"before": round(us, 2), "now": round(now[name], 2), "ratio": round(now[name] / us, 3)}
        for name, us in before.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rev", default=BEFORE, help="the commit to stand beside")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    try:
        rows = measure(chosen.rev, chosen.rounds)
    except (subprocess.CalledProcessError, FileNotFoundError):
        print(f"left out: git does not know the commit {chosen.rev} here")
        return
    if chosen.json:
        print(orjson.dumps({"beside": chosen.rev, "cases": rows}).decode())
        return
    print(f"{'µs an event':32} {chosen.rev[:8]:>8} {'now':>8} {'ratio':>6}")
    for name, row in rows.items():
        print(f"{name:32} {row['before']:8.2f} {row['now']:8.2f} {row['ratio']:6.3f}")


if __name__ == "__main__":
    main()
