"""The benchmarks' harness: what a result says, and what two of them tell."""

import contextlib
import json
from pathlib import Path

import pytest

from benchmarks.harness import compare, question, results
from benchmarks.harness.question import Options, Question
from benchmarks.harness.rounds import Case, Taken, take


def case(name: str, values: list[float]) -> Case:
    """A case that gives one value after the other."""
    left = iter(values)
    return Case(name, lambda: Taken({"cpuUs": next(left)}), "baseline" if name == "base" else "ours")


def result(**rows: list[float]) -> results.Result:
    """A result with these rows; `base` is the baseline."""
    cases = [case(name, values) for name, values in rows.items()]
    rounds = len(next(iter(rows.values())))
    return question.answer(Question("q", "?", lambda _: contextlib.nullcontext(cases)), Options(rounds=rounds))


def test_cases_take_turns() -> None:
    """Every round runs each case once, beginning with another, so that what drifts does so for all."""
    order: list[str] = []

    def case(name: str) -> Case:
        return Case(name, lambda: order.append(name) or Taken({"cpuUs": 1.0}))  # type: ignore[func-returns-value]

    take([case("a"), case("b")], 2, 60.0)
    assert order == ["a", "b", "b", "a"]


def test_a_result_names_its_circumstances_and_its_ratios_are_of_pairs(tmp_path: Path) -> None:
    """A machine that is twice as slow in one round doubles both; the file gives back what was written."""
    found = result(base=[10.0, 20.0, 40.0], ours=[5.0, 10.0, 20.0])
    results.write(found, tmp_path / "q.json")
    again = results.read(tmp_path / "q.json")
    assert again == json.loads(json.dumps(found))
    assert all(again[what] for what in ("machine", "load", "versions", "commit", "at"))
    assert again["rows"][1]["times"]["baseline"]["cpuUs"]["values"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([5.0, 5.1, 5.2], "better"),
        ([20.0, 21.0, 22.0], "worse"),
        ([9.0, 10.5, 12.0], "noise"),
        ([5.0, 5.1], "unknown (2 rounds)"),
    ],
)
def test_only_what_is_outside_the_scatter_is_a_difference(after: list[float], verdict: str) -> None:
    """Quartiles that overlap prove nothing, nor do two rounds."""
    (found,) = compare.differences(result(a=[9.0, 10.0, 11.0]), result(a=after))
    assert found.verdict == verdict
