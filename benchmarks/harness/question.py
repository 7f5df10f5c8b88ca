"""The command of a benchmark: its options, its rounds, its table, its result file. Every benchmark ends in `ask`."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import circumstances, results
from benchmarks.harness.rounds import Case, Row, shown, take, unit


@dataclass(frozen=True)
class Options:
    """How much is asked for: `quick` is for `make bench-quick`, `only` a part of the names of the cases that run."""

    quick: bool = False
    only: str = ""
    rounds: int = 3
    bound_s: float = 300.0
    scale: float = 1.0

    def count(self, whole: int, quick: int) -> int:
        """The bigger number, or the one for the quick run; times `scale`."""
        return max(1, int((quick if self.quick else whole) * self.scale))


class NoSuchCaseError(ValueError):
    """What was asked for is no case of this question; the text names those that are."""


Cases = Callable[[Options], contextlib.AbstractContextManager[Sequence[Case]]]
Facts = Callable[[Sequence[Row]], dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """What a module asks: `cases` opens what they need and closes it again; `facts` works out what the rows tell."""

    name: str
    text: str
    cases: Cases
    rounds: int = 3
    quick_rounds: int = 1
    bound_s: float = 300.0
    facts: Facts = field(default=lambda _: {})


def answer(question: Question, options: Options) -> results.Result:
    """Ask it; the result as its file has it. Raises NoSuchCaseError where `only` is in no case's name."""
    start_s, before = time.time(), circumstances.load()
    with question.cases(options) as cases:
        if not any(options.only in case.name for case in cases):
            raise NoSuchCaseError(f"no case has {options.only!r} in its name: {', '.join(case.name for case in cases)}")
        chosen = [case for case in cases if options.only in case.name or case.role in ("baseline", "floor")]
        rows = take(chosen, options.rounds, options.bound_s)
    return {
        "schema": results.SCHEMA,
        "name": question.name,
        "question": question.text,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_s)),
        "seconds": round(time.time() - start_s, 1),
        **circumstances.circumstances(),
        "load": {"before": before, "after": circumstances.load()},
        "quick": options.quick,
        "scale": options.scale,
        "rounds": min((len(row.rounds) for row in rows), default=0),
        "facts": question.facts(rows),
        "rows": results.result_rows(rows),
    }


def table(result: results.Result) -> Iterator[str]:
    """The result for a reader, a line a row: medians with their quartiles, and the ratios of the first figure."""
    yield result["question"]
    yield f"{result['machine']}; load {result['load']['before'][0]} before, {result['load']['after'][0]} after"
    for row in result["rows"]:
        figures = ", ".join(
            f"{name} {shown(of['median'])} [{shown(of['q1'])}, {shown(of['q3'])}]{unit(name) and ' ' + unit(name)}"
            for name, of in row["figures"].items()
        )
        first = next(iter(row["figures"]))
        beside = "".join(
            f"; {times[first]['median']:.2f}x the {role}" for role, times in row["times"].items() if first in times
        )
        yield f"  {row['name']}: {figures}{beside}" + (f" ({row['note']})" if row["note"] else "")
    for name, value in result["facts"].items():
        yield f"  {name}: {value}"


def more_than_zero(text: str) -> float:
    """A number of an option. Raises ValueError, which argparse tells."""
    if (number := float(text)) > 0:
        return number
    raise ValueError


def at_least_one(text: str) -> int:
    """A count of an option. Raises ValueError, which argparse tells."""
    if (count := int(text)) > 0:
        return count
    raise ValueError


def result_file(text: str) -> Path:
    """A file of an option, in a folder that is there. Raises ArgumentTypeError."""
    if (path := Path(text)).parent.is_dir():
        return path
    raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")


def ask(question: Question) -> None:
    """The module's command; exit code 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{question.name}", description=question.text)
    parser.add_argument("--quick", action="store_true", help="less of all, for a first look")
    parser.add_argument("--rounds", type=at_least_one, help=f"default {question.rounds}")
    parser.add_argument("--bound-s", type=more_than_zero, default=question.bound_s, help="begins no round beyond it")
    parser.add_argument("--scale", type=more_than_zero, default=1.0, help="times the events or seconds of a round")
    parser.add_argument("--only", default="", help="a part of the names of the cases to run")
    parser.add_argument("--json", type=result_file, help="the result file to write")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (question.quick_rounds if chosen.quick else question.rounds)
    try:
        result = answer(question, Options(chosen.quick, chosen.only, rounds, chosen.bound_s, chosen.scale))
    except NoSuchCaseError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"{question.name}: broken off, so there is no result", file=sys.stderr)
        sys.exit(130)
    print("\n".join(table(result)))
    if chosen.json:
        results.write(result, chosen.json)
