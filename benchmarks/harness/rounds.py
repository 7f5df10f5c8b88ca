"""Cases in turns: every round runs each case once, so that a machine whose speed drifts drifts for all of them.

A case's figures are named with their unit at the end (`cpuUs`, `p99Ms`, `rssMb`, `perSecond`): `unit` and `better` read
them there.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["ours", "baseline", "floor", "peer"]
"""`baseline`: what the others are compared with (at most one a question); `floor`: what the libraries permit."""

UNITS = {"Us": "µs", "Ms": "ms", "Mb": "MB", "S": "s", "Ns": "ns", "perSecond": "/s", "Share": "", "Times": ""}
HIGHER_IS_BETTER = ("perSecond", "Share", "eventsACall", "eventsARecord")


@dataclass(frozen=True)
class Taken:
    """What one case gave in one round: figures by name, and a course over time where it has one (s, value)."""

    figures: Mapping[str, float]
    series: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Case:
    """One row of a question. `at` is its place on the axis of its plot, `note` where it does less than the others."""

    name: str
    run: Callable[[], Taken]
    role: Role = "ours"
    note: str = ""
    at: float | None = None


@dataclass
class Row:
    """A case with all that its rounds gave."""

    case: Case
    rounds: list[Taken] = field(default_factory=list)

    def values(self, figure: str) -> list[float]:
        """The figure of every round."""
        return [taken.figures[figure] for taken in self.rounds]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles and every value; with one or two values the quartiles are the least and the most."""
    if len(values) < 3:
        low, high = min(values), max(values)
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    each = {"median": statistics.median(values), "q1": low, "q3": high}
    return {**{key: _short(value) for key, value in each.items()}, "values": [_short(value) for value in values]}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def take(cases: Sequence[Case], rounds: int, bound_s: float) -> list[Row]:
    """Run the cases, round by round; begins no round that would pass `bound_s` seconds by the last one's length."""
    rows = [Row(case) for case in cases]
    start_s = time.monotonic()
    for number in range(rounds):
        begun_s = time.monotonic()
        # Each round begins elsewhere: what comes after a heavy case is slower on a machine that is throttled.
        first = number * max(1, len(rows) // rounds) % len(rows)
        for row in (*rows[first:], *rows[:first]):
            taken = row.case.run()
            row.rounds.append(taken)
            _tell(f"round {number + 1} of {rounds}: {row.case.name}: {text(taken.figures)}")
        now_s = time.monotonic()
        if number + 1 < rounds and now_s - start_s + (now_s - begun_s) > bound_s:
            _tell(f"{number + 1} of {rounds} rounds: the next would pass the bound of {bound_s:.0f} s")
            break
    return rows


def shown(value: float) -> str:
    """A figure for a reader: four digits, and never an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def text(figures: Mapping[str, float]) -> str:
    """Figures in a line, for a reader."""
    return ", ".join(f"{name} {shown(value)}" for name, value in figures.items())


def unit(figure: str) -> str:
    """The unit that the figure's name ends with; nothing for a number of things."""
    return next((unit for end, unit in UNITS.items() if figure.endswith(end)), "")


def higher_is_better(figure: str) -> bool:
    """Whether more of it is better."""
    return figure.endswith(HIGHER_IS_BETTER)


def _tell(line: str) -> None:
    print(f"  {line} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
