"""Two results of one benchmark beside each other: which figures differ by more than the rounds scatter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import results
from benchmarks.harness.rounds import higher_is_better, shown

LEAST_ROUNDS = 3
"""With fewer rounds nothing is known of the scatter."""


class Difference(NamedTuple):
    """One figure of one row: the second median over the first, at the least and at the most by the quartiles."""

    row: str
    figure: str
    before: float
    after: float
    ratio: float
    least: float
    most: float
    verdict: str


def difference(row: str, figure: str, before: dict[str, Any], after: dict[str, Any]) -> Difference:
    """Better or worse only where the quartiles of both do not overlap; `noise` else."""
    rounds = min(len(before["values"]), len(after["values"]))
    apart = after["q1"] > before["q3"] or after["q3"] < before["q1"]
    rose = after["median"] > before["median"]
    verdict = "noise" if not apart else ("better" if rose == higher_is_better(figure) else "worse")
    if rounds < LEAST_ROUNDS:
        verdict = f"unknown ({rounds} rounds)"

    def over(candidate: float, other: float) -> float:
        return candidate / other if other else float("nan")

    ratio = over(after["median"], before["median"])
    least, most = over(after["q1"], before["q3"]), over(after["q3"], before["q1"])
    return Difference(row, figure, before["median"], after["median"], ratio, least, most, verdict)


def differences(first: results.Result, second: results.Result) -> Iterator[Difference]:
    """All figures that both have."""
    old = {row["name"]: row["figures"] for row in first["rows"]}
    for row in second["rows"]:
        for figure, after in row["figures"].items():
            before = old.get(row["name"], {}).get(figure)
            if before:
                yield difference(row["name"], figure, before, after)


def lines(first: results.Result, second: results.Result) -> Iterator[str]:
    """The comparison for a reader, and what only one of the two has."""
    for name in ("machine", "commit", "load", "versions", "quick", "scale"):
        item, other = first.get(name), second.get(name)
        yield f"{name}: {item}" if item == other else f"{name}: {item} -> {other}"
    for check_result in differences(first, second):
        mark = "*" if check_result.verdict in ("better", "worse") else " "
        times = (
            f"{check_result.ratio:.3f}x [{check_result.least:.3f}, {check_result.most:.3f}], "
            if check_result.before
            else ""
        )
        medians = f"{shown(check_result.before)} -> {shown(check_result.after)}"
        yield f"{mark} {check_result.row}, {check_result.figure}: {medians}, {times}{check_result.verdict}"
    for words, item, other in (("first", first, second), ("second", second, first)):
        if alone := [row["name"] for row in item["rows"] if row["name"] not in {row["name"] for row in other["rows"]}]:
            yield f"only in the {words}: {'; '.join(alone)}"
    yield "* outside noise: the quartiles of the two do not overlap"


def command(first: Path, second: Path) -> int:
    """Print it; 1 where the two answer different questions."""
    path, other = results.read(first), results.read(second)
    if path["name"] != other["name"]:
        print(f"{first} is a result of {path['name']}, {second} of {other['name']}: they cannot be compared")
        return 1
    print("\n".join(lines(path, other)))
    return 0
