"""The benchmarks' harness: what two results tell beside each other."""

import contextlib

import pytest

from benchmarks.harness import compare, question, results
from benchmarks.harness.question import Options, Question
from benchmarks.harness.rounds import Case, Taken


def result(**rows: list[float]) -> results.Result:
    """A result with these rows, of one round for each value; `base` is the baseline."""

    def case(name: str, values: list[float]) -> Case:
        left = iter(values)
        return Case(name, lambda: Taken({"cpuUs": next(left)}), "baseline" if name == "base" else "ours")

    cases = [case(name, values) for name, values in rows.items()]
    rounds = len(next(iter(rows.values())))
    return question.answer(Question("q", "?", lambda _: contextlib.nullcontext(cases)), Options(rounds=rounds))


def test_a_ratio_is_of_pairs() -> None:
    """A machine that is twice as slow in one round doubles both."""
    outcome = result(base=[10.0, 20.0, 40.0], ours=[5.0, 10.0, 20.0])
    assert outcome["rows"][1]["times"]["baseline"]["cpuUs"]["values"] == [0.5, 0.5, 0.5]


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
    (check_result,) = compare.differences(result(a=[9.0, 10.0, 11.0]), result(a=after))
    assert check_result.verdict == verdict
