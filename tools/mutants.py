"""Writes the table of docs/proof.md, "Mistakes": how many were tried in each part, and noticed. Run by `make docs`.

tests/fault/results/mutants.jsonl comes from `MUTANTS_RESULTS=FILE make prove PROVE='-k mistake'`; it has each mistake,
the test that noticed it, and the seconds. The last row of a name counts.
"""

import json
from collections import Counter
from pathlib import Path

import asked
from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proof.md"
RESULTS = ROOT / "tests" / "fault" / "results" / "mutants.jsonl"
BEGIN = "<!-- mistakes: written by `make docs` from tests/fault/results/mutants.jsonl -->"


def table() -> str:
    """By part of the package."""
    newest = {line["mutant"]: line for line in map(json.loads, RESULTS.read_text("utf-8").splitlines())}
    tried, noticed = Counter[str](), Counter[str]()
    for line in newest.values():
        part = line["path"].split("/")[0].removesuffix(".py")
        tried[part] += 1
        noticed[part] += bool(line["status"])
    rows = [f"| `{part}` | {tried[part]} | {noticed[part]} |" for part in sorted(tried)]
    return "\n".join(["| part | mistakes | noticed |", "|---|---|---|", *rows])


def main() -> None:
    """Replace what stands between the two marks."""
    PAGE.write_text(filled(PAGE.read_text("utf-8"), BEGIN, table()), "utf-8")


if __name__ == "__main__":
    asked.for_help(__doc__)
    main()
