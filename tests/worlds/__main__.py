"""Runs the worlds one after the other and prints a table: `python -m tests.worlds [--folder DIR] [NAME...]`."""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.worlds.environments import FOLDER, HERE, Environments, NotInstalledError
from tests.worlds.foreign import Steps

WORLDS = {
    "localstack": "tests.worlds.localstack_world",
    "kinesis-local": "tests.worlds.kinesis_local_world",
    "moto-iam": "tests.worlds.iam_world",
    "take-away": "tests.worlds.take_away_world",
    "template": "tests.worlds.template_world",
    "differences": "tests.worlds.differences_world",
}
"""The worlds by name, in the order in which they run."""

NOT_RUN = "not run"
"""The step of a world whose emulator cannot be installed here. The result of an earlier run stays."""


def main() -> None:
    """Run the worlds that are named, or all; exit 1 if a step of one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORLDS)}; all without one")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the emulators' folder")
    parser.add_argument("--keep", action="store_true", help="keep the programs' logs")
    options = parser.parse_args()
    if unknown := set(options.names) - set(WORLDS):
        parser.error(f"no such world: {', '.join(sorted(unknown))}")
    environments = Environments(options.folder.absolute())
    runs = {name: _run(name, environments, keep=options.keep) for name in options.names or WORLDS}
    _print_table(runs)
    if not all(row.held for steps in runs.values() for row in steps.rows):
        sys.exit(1)


def _run(name: str, environments: Environments, *, keep: bool) -> Steps:
    steps, begun = Steps(), time.time()
    folder = Path(tempfile.mkdtemp(prefix=f"world-{name}-"))
    sys.stdout.write(f"{name}: {folder}\n")
    sys.stdout.flush()
    with steps.step("the world came to its end"):
        try:
            import_module(WORLDS[name]).run(folder, environments, steps)
        except NotInstalledError as missing:
            steps.record(NOT_RUN, held=False, figure=str(missing))
    if not keep:
        shutil.rmtree(folder)
    if all(row.name != NOT_RUN for row in steps.rows):
        _write_result(name, steps, begun)
    return steps


def _write_result(name: str, steps: Steps, begun: float) -> None:
    """One JSON file a world, written again by each run."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=HERE
    )
    result = {
        "world": name,
        "commit": head.stdout.strip(),
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        "took_s": round(time.time() - begun),
        "python": platform.python_version(),
        "steps": [asdict(row) for row in steps.rows],
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def _print_table(runs: dict[str, Steps]) -> None:
    lines = ["", "| world | step | result | figure | took |", "|---|---|---|---|---|"]
    for name, steps in runs.items():
        for row in steps.rows:
            verdict = "ok" if row.held else "**failed**"
            lines.append(f"| {name} | {row.name} | {verdict} | {row.figure} | {row.took_s} s |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
