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

    def over(one: float, other: float) -> float:
        return one / other if other else float("nan")

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
    for what in ("machine", "commit", "load", "versions", "quick", "scale"):
        one, other = first.get(what), second.get(what)
        yield f"{what}: {one}" if one == other else f"{what}: {one} -> {other}"
    for found in differences(first, second):
        mark = "*" if found.verdict in ("better", "worse") else " "
        times = f"{found.ratio:.3f}x [{found.least:.3f}, {found.most:.3f}], " if found.before else ""
        medians = f"{shown(found.before)} -> {shown(found.after)}"
        yield f"{mark} {found.row}, {found.figure}: {medians}, {times}{found.verdict}"
    for words, one, other in (("first", first, second), ("second", second, first)):
        if alone := [row["name"] for row in one["rows"] if row["name"] not in {row["name"] for row in other["rows"]}]:
            yield f"only in the {words}: {'; '.join(alone)}"
    yield "* outside noise: the quartiles of the two do not overlap"


def command(first: Path, second: Path) -> int:
    """Print it; 1 where the two answer different questions."""
    one, other = results.read(first), results.read(second)
    if one["name"] != other["name"]:
        print(f"{first} is a result of {one['name']}, {second} of {other['name']}: they cannot be compared")
        return 1
    print("\n".join(lines(one, other)))
    return 0
