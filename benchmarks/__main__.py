"""`make bench`: every benchmark of this folder, one after the other, each to its file in benchmarks/results.

`python -m benchmarks [NAME…]` runs those named, `--quick` less of each (under 5 minutes for all, nothing written),
`python -m benchmarks compare A.json B.json` sets two results beside each other.
"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import compare, results

FOLDER = Path(__file__).parent
QUICK = ("child", "sizes", "faults")
"""What `make bench-quick` runs: the questions that can be answered without the JVM and without a long load."""


def names() -> list[str]:
    """The benchmarks: the modules that can be run."""
    runnable = 'if __name__ == "__main__":'
    stems = [path.stem for path in sorted(FOLDER.glob("*.py")) if runnable in path.read_text("utf-8")]
    return [name for name in stems if name != "__main__"]


def asks(name: str) -> bool:
    """Whether the module's result has the schema of all, so that it can be written for the report."""
    return "ask(QUESTION)" in (FOLDER / f"{name}.py").read_text("utf-8")


def run(chosen: list[str], *, quick: bool) -> int:
    """Run them with their progress; 1 if any failed, 130 after Ctrl-C."""
    failed, start_s = [], time.monotonic()
    for number, name in enumerate(chosen, 1):
        print(f"--- {name} ({number} of {len(chosen)}, {time.monotonic() - start_s:.0f} s so far)", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if asks(name):
            command += ["--quick"] if quick else ["--json", str(results.FOLDER / f"{name}.json")]
        try:
            if _ended(command):
                failed.append(name)
        except KeyboardInterrupt:
            print("broken off", file=sys.stderr)
            return 130
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _ended(command: list[str]) -> int:
    """Its exit status. Ctrl-C has reached it too: it is given the time to end what it has started."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def main() -> int:
    """The command; exit code 2 for what it cannot read."""
    words = sys.argv[1:]
    helped = bool({"-h", "--help"} & {*words})
    if helped or (words[:1] == ["compare"] and len(words) != 3):
        print(__doc__)
        return 0 if helped else 2
    try:
        if words[:1] == ["compare"]:
            return compare.command(Path(words[1]), Path(words[2]))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    quick = "--quick" in words
    chosen = [word for word in words if word != "--quick"] or (list(QUICK) if quick else names())
    if unknown := [name for name in chosen if name not in names()]:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    return run(chosen, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
