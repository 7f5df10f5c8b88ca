"""The benchmarks' harness: what a result says, what two of them tell, and that the documents show the kept ones."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import to_reach
from benchmarks.harness import compare, question, results
from benchmarks.harness.question import Options, Question
from benchmarks.harness.rounds import Case, Row, Taken, take

ROOT = Path(__file__).parents[2]


def case(name: str, values: list[float], role: Any = "ours") -> Case:
    """A case that gives one value after the other."""
    left = iter(values)
    return Case(name, lambda: Taken({"cpuUs": next(left)}), role)


def result(name: str, **rows: list[float]) -> results.Result:
    """A result with these rows; the first is the baseline."""
    roles = ["baseline", *["ours"] * len(rows)]
    made = [Row(case(row, []), [Taken({"cpuUs": value}) for value in values]) for row, values in rows.items()]
    named = [Row(Case(row.case.name, row.case.run, role), row.rounds) for row, role in zip(made, roles, strict=False)]  # type: ignore[arg-type]
    head = {"machine": "m", "commit": "c", "load": {"before": [1.0], "after": [1.0]}, "versions": {"python": "3"}}
    about = {"schema": 1, "name": name, "question": "?", "at": "", "seconds": 1, "rounds": 3, "facts": {}}
    return {**about, **head, "rows": results.result_rows(named)}


def test_cases_take_turns() -> None:
    """Every round runs each case once, beginning with another, so that what drifts does so for all."""
    order: list[str] = []

    def run(name: str) -> Taken:
        order.append(name)
        return Taken({"cpuUs": 1.0})

    take([Case("a", lambda: run("a")), Case("b", lambda: run("b"))], 2, 60.0)
    assert order == ["a", "b", "b", "a"]


def test_ratios_are_of_pairs() -> None:
    """A machine that is twice as slow in one round doubles both: the ratio stays."""
    _, ours = result("x", base=[10.0, 20.0, 40.0], ours=[5.0, 10.0, 20.0])["rows"]
    assert ours["times"]["baseline"]["cpuUs"] == {"median": 0.5, "q1": 0.5, "q3": 0.5, "values": [0.5, 0.5, 0.5]}


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
    (found,) = compare.differences(result("x", a=[9.0, 10.0, 11.0]), result("x", a=after))
    assert found.verdict == verdict


def test_a_case_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped `--only` ends with the names that there are, and never with the baseline alone."""
    asked = Question("child", "?", lambda _: contextlib.nullcontext([case("spaced", [1.0]), case("floor", [1.0])]))
    monkeypatch.setattr(sys, "argv", ["child", "--only", "spaecd"])
    with pytest.raises(SystemExit, match="2"):
        question.ask(asked)
    assert "no case has 'spaecd' in its name: spaced, floor" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["child", "-h"], ["compare", "a.json", "-h"]])
def test_help_is_asked_for_in_any_place(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no benchmark's name, and runs none."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    assert bench.main() == 0
    assert capsys.readouterr().out == f"{bench.__doc__}\n"


def test_a_question_that_is_broken_off_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that there is no result of it; what its cases had opened is closed."""
    opened = contextlib.ExitStack()
    closed: list[str] = []
    opened.callback(closed.append, "closed")

    def interrupted() -> Taken:
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def cases(_: Options) -> Iterator[list[Case]]:
        with opened:
            yield [Case("a", interrupted)]

    monkeypatch.setattr(sys, "argv", ["child"])
    with pytest.raises(SystemExit, match="130"):
        question.ask(Question("child", "?", cases))
    assert capsys.readouterr().err == "child: broken off, so there is no result\n"
    assert closed


def test_a_result_names_its_circumstances(tmp_path: Path) -> None:
    """Machine, load, versions, commit; the file gives back what was written."""

    class Opened:
        def __enter__(self) -> list[Case]:
            return [case("a", [1.0, 2.0]), case("b", [2.0, 2.0], "baseline")]

        def __exit__(self, *_: object) -> None:
            return None

    found = question.answer(Question("q", "?", lambda _: Opened()), Options(rounds=2))
    results.write(found, tmp_path / "q.json")
    again = results.read(tmp_path / "q.json")
    assert again == json.loads(json.dumps(found))
    assert all(again[what] for what in ("machine", "load", "versions", "commit", "at"))
    assert results.times(again, "a", "baseline", "cpuUs") == 0.75


@pytest.mark.parametrize(
    ("asked", "measured", "verdict"),
    [
        ("at most 1.05", 1.05, "held"),
        ("at most 1.05", 1.06, "**missed**"),
        ("at least 0.6", 0.6, "held"),
        ("at least 0.6", 0.5, "**missed**"),
        ("at least 0.6", None, "not measured"),
    ],
)
def test_a_goal_is_held_or_missed_by_its_bound(asked: str, measured: float | None, verdict: str) -> None:
    """And never held where it was not measured."""
    assert to_reach.verdict(asked, measured) == verdict


@pytest.mark.parametrize("tool", sorted((ROOT / "tools").glob("*.py")), ids=lambda tool: tool.stem)
def test_a_tool_that_is_asked_for_help_writes_nothing(tool: Path, tmp_path: Path) -> None:
    """It says how it is used; a `--help` that is taken for a folder's name makes an environment in it."""
    if "__main__" not in tool.read_text("utf-8"):
        return
    done = subprocess.run([sys.executable, tool, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "usage: " in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
