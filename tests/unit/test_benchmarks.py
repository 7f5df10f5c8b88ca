"""The benchmarks' harness: what a result says, what two of them tell, and that the documents show the kept ones."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import receiver_load, to_reach
from benchmarks.harness import compare, question, report, results
from benchmarks.harness.question import Options, Question
from benchmarks.harness.rounds import Case, Row, Taken, spread, take

ROOT = Path(__file__).parents[2]


def test_a_closed_loop_has_no_knee() -> None:
    """It has no rate; without `wrk` no p99 either, which ended the question after all its rounds."""
    rows = [
        Row(Case("Go, 500/s", lambda: Taken({}), at=500), [Taken({"errors": 0.0, "p99Ms": 24.0})]),
        Row(Case("Go, closed loop", lambda: Taken({})), [Taken({"errors": 0.0, "cpuUs": 60.0})]),
    ]
    assert receiver_load.facts(rows) == {"kneePerSecond": {"Go": 500}}


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


def test_a_round_beyond_the_bound_is_not_begun() -> None:
    """The first is always taken."""
    (row,) = take([case("a", [1.0, 2.0])], 5, 0.0)
    assert row.values("cpuUs") == [1.0]


def test_ratios_are_of_pairs() -> None:
    """A machine that is twice as slow in one round doubles both: the ratio stays."""
    _, ours = result("x", base=[10.0, 20.0, 40.0], ours=[5.0, 10.0, 20.0])["rows"]
    assert ours["times"]["baseline"]["cpuUs"] == {"median": 0.5, "q1": 0.5, "q3": 0.5, "values": [0.5, 0.5, 0.5]}


def test_quartiles_lie_within_what_was_measured() -> None:
    """Also of one value or two."""
    assert [spread([3.0])[key] for key in ("q1", "median", "q3")] == [3.0, 3.0, 3.0]
    assert [spread([1.0, 3.0])[key] for key in ("q1", "median", "q3")] == [1.0, 2.0, 3.0]
    assert [spread([1.0, 2.0, 3.0, 4.0, 5.0])[key] for key in ("q1", "median", "q3")] == [2.0, 3.0, 4.0]


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


def test_more_events_a_second_are_better() -> None:
    """The name of a figure says which way is up."""
    one, other = spread([1.0, 1.0, 1.0]), spread([2.0, 2.0, 2.0])
    assert compare.difference("a", "perSecond", one, other).verdict == "better"
    assert compare.difference("a", "p99Ms", one, other).verdict == "worse"


def test_nothing_is_told_as_times_of_none() -> None:
    """What was 0 before has no ratio; what has too few rounds is not marked as outside the scatter."""
    told = list(compare.lines(result("x", lost=[0.0] * 3, a=[1.0]), result("x", lost=[0.0] * 3, a=[2.0])))
    assert "  lost, cpuUs: 0 -> 0, noise" in told
    assert "  a, cpuUs: 1 -> 2, 2.000x [2.000, 2.000], unknown (1 rounds)" in told


def test_a_row_that_one_result_has_alone_is_named() -> None:
    """A case that was renamed, or left out, is not passed over as if it were the same."""
    told = list(compare.lines(result("x", a=[1.0], gone=[1.0]), result("x", a=[1.0], new=[1.0])))
    assert [line for line in told if line.startswith("only in")] == [
        "only in the first: gone",
        "only in the second: new",
    ]


def test_results_of_different_questions_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and ends with 1."""
    for name in ("x", "y"):
        results.write(result(name, a=[1.0, 2.0, 3.0]), tmp_path / f"{name}.json")
    assert compare.command(tmp_path / "x.json", tmp_path / "y.json") == 1
    assert "cannot be compared" in capsys.readouterr().out


def test_a_quick_result_is_named_where_two_are_compared() -> None:
    """Less of all is another load: who compares it with a whole run reads so."""
    first, second = result("child", a=[1.0]), result("child", a=[1.0])
    second["quick"] = True
    assert "quick: None -> True" in list(compare.lines(first, second))


def test_a_case_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped `--only` ends with the names that there are, and never with the baseline alone."""
    asked = Question("child", "?", lambda _: contextlib.nullcontext([case("spaced", [1.0]), case("floor", [1.0])]))
    monkeypatch.setattr(sys, "argv", ["child", "--only", "spaecd"])
    with pytest.raises(SystemExit, match="2"):
        question.ask(asked)
    assert "no case has 'spaecd' in its name: spaced, floor" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--rounds", "-1"], ["--rounds", "0"], ["--scale", "0"], ["--bound-s", "-5"]])
def test_a_count_of_nothing_is_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that leave nothing to measure end with one line before anything is opened."""
    monkeypatch.setattr(sys, "argv", ["child", *words])
    with pytest.raises(SystemExit, match="2"):
        question.ask(Question("child", "?", lambda _: contextlib.nullcontext([])))
    assert f"argument {words[0]}: invalid" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["report", "--help"], ["child", "-h"], ["compare", "a.json", "-h"]])
def test_help_is_asked_for_in_any_place(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no folder to write a report into, and no benchmark's name."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    monkeypatch.setattr(report, "command", lambda _: 1)
    assert bench.main() == 0
    assert capsys.readouterr().out == f"{bench.__doc__}\n"


def test_what_was_begun_may_end_after_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C reaches a benchmark too, which then ends its JVM and its folders: it is waited for, and not killed."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\ntrap 'sleep 1; echo ended; exit 1' INT\necho begun\nwhile :; do sleep 0.05; done\n")
    slow.chmod(0o755)
    program = f"""import signal, sys
from benchmarks import __main__ as bench
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.executable, sys.argv = {str(slow)!r}, ["benchmarks", "cost"]
sys.exit(bench.main())"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout
        while running.stdout.readline() not in ("begun\n", ""):
            pass
        os.killpg(running.pid, signal.SIGINT)
        said, errors = running.communicate(timeout=20)
    assert (said, errors, running.returncode) == ("ended\n", "broken off\n", 130)


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


def test_a_result_file_in_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured, which may take minutes."""
    monkeypatch.setattr(sys, "argv", ["child", "--json", str(tmp_path / "none" / "child.json")])
    with pytest.raises(SystemExit, match="2"):
        question.ask(Question("child", "?", lambda _: contextlib.nullcontext([])))
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err


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


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    """One line, not a traceback."""
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="no result"):
        results.read(tmp_path / "x.json")


def test_a_goal_is_held_or_missed_by_its_bound() -> None:
    """And never held where it was not measured."""
    goal = to_reach.Goal("x", "", "x", lambda _: 0.0, most=1.3)
    verdicts = [to_reach.Reached(goal, value).verdict for value in (1.3, 1.31, None)]
    assert verdicts == ["held", "**missed**", "not measured"]


def test_the_report_needs_nothing_else() -> None:
    """One file: no script, no picture, no style from elsewhere."""
    text = report.page([(result("x", base=[1.0, 2.0, 3.0], ours=[2.0, 3.0, 4.0]), [])])
    assert "src=" not in text
    assert "http" not in text
    assert "(baseline)" in text
