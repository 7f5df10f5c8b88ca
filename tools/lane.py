"""Writes the table of docs/lane.md, and the README's sentence: what the kept runs gave. Run by `make docs`."""

import json
from pathlib import Path
from typing import Any

from marked import columns, filled

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "lane.md", ROOT / "README.md"
RESULTS = ROOT / "tests" / "fault" / "lane" / "results"
BEGIN, BEGIN_README = "<!-- results: written by `make docs` -->", "<!-- lane: written by `make docs` -->"


def results() -> list[dict[str, Any]]:
    """The runs that are kept, by their files' names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def table() -> str:
    """One column a run."""
    if not (runs := results()):
        return "No run is kept yet."
    figures = [run["figures"] for run in runs]
    rows: dict[str, list[str]] = {
        "workers": ["1" if "--short" in run["command"] else "2" for run in runs],
        "events sent": [f"{one['sent']:,}" for one in figures],
        "`kill -9`": [f"{one['kills']}" for one in figures],
        "delivered": [f"{one['delivered']:,}" for one in figures],
        "dead letters": [f"{one['dead']:,}" for one in figures],
        "checkpoints watched": [f"{one['checkpoints']:,}" for one in figures],
        **{f"**{rule}**": [f"{run['rules'][rule]}" for run in runs] for rule in runs[0]["rules"]},
        "copies": [f"{one['copies']:,}" for one in figures],
    }
    for cause in sorted({cause for run in runs for cause in run["copies"]}):
        rows[f"of these: {cause}"] = [f"{run['copies'].get(cause, 0):,}" for run in runs]
    rows["most copies by one kill"] = [f"{one['mostCopiesAKill']:,}" for one in figures]
    rows["until each shard was read again, s"] = [f"{one.get('healingS', '')}" for one in figures]
    rows["fresh events then within, s"] = [f"{one['freshAfterS']}" for one in figures]
    rows["took, s"] = [f"{run['seconds']:,}" for run in runs]
    rows["verdict"] = [run["verdict"] for run in runs]
    return columns("seed", [f"{run['seed']}" for run in runs], rows)


def page() -> str:
    """The page with its table as it should be."""
    return filled(PAGE.read_text("utf-8"), BEGIN, table())


def readme() -> str:
    """The README with its sentence of what the kept runs came to."""
    runs = [run for run in results() if run["verdict"] != "invalid"]
    sent, kills = (sum(run["figures"][name] for run in runs) for name in ("sent", "kills"))
    lost = sum(run["rules"]["lost"] for run in runs)
    count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    said = f"""**Tried:** [the lane](docs/lane.md), chaos over all of it in {count}: {kills} times `kill -9`, stops, cut
lines, failing AWS. {sent:,} events sent, {lost} lost. To try it: `.venv/bin/python -m tests.fault.lane --short`."""
    return filled(README.read_text("utf-8"), BEGIN_README, said)


def main() -> None:
    """Write both."""
    PAGE.write_text(page(), "utf-8")
    README.write_text(readme(), "utf-8")


if __name__ == "__main__":
    main()
