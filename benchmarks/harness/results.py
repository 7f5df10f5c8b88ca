"""A result file: one schema for every benchmark, read and written here only.

`{"schema": 1, "name", "question", "at" (UTC), "seconds", "machine", "versions", "commit", "load": {"before", "after"},
"rounds", "rows": [{"name", "role", "note", "at", "figures": {name: SPREAD}, "times": {"baseline" or "floor": {figure:
SPREAD}}, "series": [[s, value], …]}], "facts": {…}}`, each SPREAD `{"median", "q1", "q3", "values"}`.

`times` compares in pairs: each round's value with the same round's value of the baseline or the floor. `facts` holds
what is worked out of the rows, for example a fitted line.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.rounds import Row, spread

SCHEMA = 1
FOLDER = Path(__file__).resolve().parents[1] / "results"

Result = dict[str, Any]


def result_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as the file has them."""
    beside = {role: next((row for row in rows if row.case.role == role), None) for role in ("baseline", "floor")}
    return [_row(row, {role: other for role, other in beside.items() if other}) for row in rows]


def _row(row: Row, beside: Mapping[str, Row]) -> dict[str, Any]:
    names = list(row.rounds[0].figures)
    created: dict[str, Any] = {"name": row.case.name, "role": row.case.role, "note": row.case.note, "at": row.case.at}
    created["figures"] = {name: spread(row.values(name)) for name in names}
    created["times"] = {
        role: result for role, other in beside.items() if other is not row and (result := _times(row, other, names))
    }
    created["series"] = [list(point) for point in row.rounds[-1].series]
    return created


def _times(row: Row, other: Row, names: Sequence[str]) -> dict[str, Any]:
    shared = [name for name in names if name in other.rounds[0].figures]
    pairs = {
        name: [item / two for item, two in zip(row.values(name), other.values(name), strict=False) if two]
        for name in shared
    }
    return {name: spread(ratios) for name, ratios in pairs.items() if ratios}


def write(result: Result, path: Path) -> None:
    """Write it, a line a row so that a diff can be read."""
    head = {key: value for key, value in result.items() if key != "rows"}
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in result["rows"])
    start = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    path.write_text(f'{start},\n "rows": [\n{rows}\n ]\n}}\n', "utf-8")


def read(path: Path) -> Result:
    """A result. Raises ValueError where the file is none of this schema."""
    parsed: Result = json.loads(path.read_text("utf-8"))
    if not isinstance(parsed, dict) or parsed.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a result of a benchmark (schema {SCHEMA})")
    return parsed


def latest(name: str) -> Result:
    """The result that is kept of a benchmark."""
    return read(FOLDER / f"{name}.json")


def row(result: Result, name: str) -> dict[str, Any]:
    """The row of that name. Raises KeyError without one."""
    for path in result["rows"]:
        if path["name"] == name:
            return dict(path)
    raise KeyError(f"{result['name']} has no row {name!r}")


def median(result: Result, name: str, figure: str) -> float:
    """A row's median of a figure."""
    return float(row(result, name)["figures"][figure]["median"])


def times(result: Result, name: str, role: str, figure: str) -> float:
    """A row's median ratio to the `baseline` or the `floor`."""
    return float(row(result, name)["times"][role][figure]["median"])
