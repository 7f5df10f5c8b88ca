"""Writes the table of docs/proof.md: which test kills which mistake, and how fast. Run by `make docs`.

tests/fault/results/mutants.jsonl comes from `MUTANTS_RESULTS=FILE make prove PROVE='-k mistake'`; the last row of a
name counts.
"""

import json
from pathlib import Path

from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proof.md"
RESULTS = ROOT / "tests" / "fault" / "results" / "mutants.jsonl"
BEGIN = "<!-- written by `make docs` from tests/fault/results/mutants.jsonl -->"


def rows() -> dict[str, dict[str, object]]:
    """The newest result of each mistake, by its name."""
    lines = map(json.loads, RESULTS.read_text("utf-8").splitlines())
    return {line["mutant"]: line for line in lines}


def table() -> str:
    """By part, in order."""
    found = sorted(rows().values(), key=lambda row: (str(row["path"]), str(row["mutant"])))
    told = [
        f"| {row['mutant']} | `{str(row['killedBy']).removeprefix('tests/')}` | {row['seconds']} |" for row in found
    ]
    return "\n".join(["| mistake | killed by | seconds |", "|---|---|---|", *told])


def main() -> None:
    """Replace what stands between the two marks."""
    PAGE.write_text(filled(PAGE.read_text("utf-8"), BEGIN, table()), "utf-8")


if __name__ == "__main__":
    main()
