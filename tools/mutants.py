"""Writes what was noticed of the known mistakes: a sentence of docs/proof.md, and a table beside the results.

tests/fault/results/mutants.jsonl comes from `MUTANTS_RESULTS=FILE make prove PROVE='-k mistake'`; it has each mistake,
the test that noticed it, and the seconds. The last row of a name counts. Run by `make docs`.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import asked
from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proof.md"
RESULTS = ROOT / "tests" / "fault" / "results" / "mutants.jsonl"
TABLE = RESULTS.with_name("mistakes.md")
BEGIN = "<!-- mistakes: written by `make docs` from tests/fault/results/mutants.jsonl -->"
PROMISES = ROOT / "docs" / "guarantees.md"


def results() -> list[dict[str, Any]]:
    """The newest row of each mistake, in the order of the page's lines."""
    newest = {line["mutant"]: line for line in map(json.loads, RESULTS.read_text("utf-8").splitlines())}
    page = PROMISES.read_text("utf-8")
    return sorted(newest.values(), key=lambda row: page.index(f"| {row['promise']}"))


def sentence(rows: list[dict[str, Any]]) -> str:
    """How many there are, and how many were noticed."""
    noticed, lines = sum(bool(row["status"]) for row in rows), len({row["promise"] for row in rows})
    return f"""Of {len(rows)} mistakes, which break {lines} lines of that page, {noticed} were noticed: [line, mistake,
test](../tests/fault/results/mistakes.md)."""


def table(rows: list[dict[str, Any]]) -> str:
    """A line of docs/guarantees.md, a mistake, and the test that noticed it."""
    noticed_by = [f"`{row['killedBy'].partition('[')[0]}`" if row["status"] else "nothing" for row in rows]
    promises = [row["promise"] for row in rows]
    begins = ["" if item == before else item for before, item in itertools.pairwise(["", *promises])]
    lines = [f"| {begin} | {row['mutant']} | {by} |" for begin, row, by in zip(begins, rows, noticed_by, strict=True)]
    return "\n".join(["| line of guarantees.md begins | mistake | noticed by |", "|---|---|---|", *lines, ""])


def main() -> None:
    """Write both."""
    rows = results()
    PAGE.write_text(filled(PAGE.read_text("utf-8"), BEGIN, sentence(rows)), "utf-8")
    TABLE.write_text(table(rows), "utf-8")


if __name__ == "__main__":
    asked.for_help(__doc__)
    main()
