"""Writes the table of docs/proof.md and the sentence of the README: the figures of the kept chaos runs."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import asked
from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "proof.md", ROOT / "README.md"
RESULTS = ROOT / "tests" / "fault" / "chaos_run" / "results"
AWS_FAILS = ("call_error", "entry_error", "html", "reset", "short", "stall")
"""Faults of the fake AWS's own answers; delays are none."""

BEGIN = "<!-- chaos runs: written by `make docs` -->"


def results() -> list[dict[str, Any]]:
    """The runs that are kept, by their files' names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def table() -> str:
    """One line a run; of the judge's rules only how many were broken, since each file has them."""
    if not (runs := results()):
        return "No run is kept yet."
    lines = ["| run | events sent | `kill -9` | lost | rules broken | copies |", "|---|---|---|---|---|---|"]
    for run in runs:
        figures, broken = run["figures"], sum(1 for count in run["rules"].values() if count)
        name = f"{'short, ' if '--short' in run['command'] else ''}seed {run['seed']}, {run['commit'][:7]}"
        sent, copies = f"{figures['sent']:,}", f"{figures['copies']:,}"
        lines.append(f"| {name} | {sent} | {figures['kills']} | {run['rules']['lost']} | {broken} | {copies} |")
    return "\n".join(lines)


def page() -> str:
    """The page with its table as it should be."""
    return filled(PAGE.read_text("utf-8"), BEGIN, table())


def readme() -> str:
    """The README with its sentence of what the kept runs came to."""
    runs = [run for run in results() if run["verdict"] != "invalid"]
    sent, kills = (sum(run["figures"][name] for run in runs) for name in ("sent", "kills"))
    lost = sum(run["rules"]["lost"] for run in runs)
    count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    bites = Counter[str]()
    for run in runs:
        bites.update(run["bites"])
    wires = sum(number for name, number in bites.items() if name.startswith("wire "))
    failed = sum(bites[name] for name in AWS_FAILS)
    sentence = f"""**Tried:** [chaos runs](docs/proof.md#chaos-runs) over the whole system, in {count}. Its faults:
{kills} `kill -9`, {bites["stop"]} stops, {wires:,} faults of connections, {failed:,} failed answers of AWS.
{sent:,} events sent, {lost} lost. Try it:
`.venv/bin/python -m tests.fault.chaos_run --seed 7 --short`."""
    return filled(README.read_text("utf-8"), BEGIN, sentence)


def main() -> None:
    """Write both."""
    PAGE.write_text(page(), "utf-8")
    README.write_text(readme(), "utf-8")


if __name__ == "__main__":
    asked.for_help(__doc__)
    main()
