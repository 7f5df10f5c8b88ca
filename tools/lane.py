"""Writes docs/proof.md's table of the lane, and the README's sentence: what the kept runs gave. Run by `make docs`."""

import json
from pathlib import Path
from typing import Any

from marked import columns, filled

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "proof.md", ROOT / "README.md"
RESULTS = ROOT / "tests" / "fault" / "lane" / "results"
BEGIN = "<!-- lane: written by `make docs` -->"


def results() -> list[dict[str, Any]]:
    """The runs that are kept, by their files' names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def table() -> str:
    """One column a run; of the judge's rules only their sum, since each file has them."""
    if not (runs := results()):
        return "No run is kept yet."
    figures = [run["figures"] for run in runs]
    rows: dict[str, list[str]] = {
        "commit": [run["commit"][:7] for run in runs],
        "workers": ["1" if "--short" in run["command"] else "2" for run in runs],
        "events sent": [f"{one['sent']:,}" for one in figures],
        "`kill -9`": [f"{one['kills']}" for one in figures],
        "delivered": [f"{one['delivered']:,}" for one in figures],
        "dead letters": [f"{one['dead']:,}" for one in figures],
        "**lost**": [f"{run['rules']['lost']}" for run in runs],
        "rules broken": [f"{sum(1 for broken in run['rules'].values() if broken)}" for run in runs],
        "copies": [f"{one['copies']:,}" for one in figures],
        "took, s": [f"{run['seconds']:,}" for run in runs],
    }
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
    said = f"""**Tried:** [the lane](docs/proof.md#the-lane), chaos over all of it, in {count}: {kills} times `kill -9`,
stops, cut lines, failing AWS; {sent:,} events sent, {lost} lost. Try it:
`.venv/bin/python -m tests.fault.lane --seed 7 --short`."""
    return filled(README.read_text("utf-8"), BEGIN, said)


def main() -> None:
    """Write both."""
    PAGE.write_text(page(), "utf-8")
    README.write_text(readme(), "utf-8")


if __name__ == "__main__":
    main()
