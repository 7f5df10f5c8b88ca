"""Plots of results: bars with their spread, lines by what was varied, percentiles as curves, a rate over time.

matplotlib comes with the extra `bench`. Colours and marks are told apart in grey too; every plot says what a better
value is.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.harness.results import Result
from benchmarks.harness.rounds import higher_is_better, shown, unit

COLOURS = {"ours": "#1b6ca8", "baseline": "#b8b8b8", "floor": "#6fae6f", "peer": "#d98841"}
LINES = ("#1b6ca8", "#d98841", "#4f9d4f", "#8e5ea2", "#444444", "#c0504d")
MARKS = ("o", "s", "^", "D", "v", "P")
PERCENTILES = {"p50Ms": 50.0, "p90Ms": 90.0, "p99Ms": 99.0, "p999Ms": 99.9}
plt.rcParams.update(
    {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130, "axes.axisbelow": True}
)


def _named(figure: str, words: str = "") -> str:
    better = "higher is better" if higher_is_better(figure) else "lower is better"
    return f"{words or figure}{f' ({unit(figure)})' if unit(figure) else ''} - {better}"


def _begin(result: Result, height: float = 3.6) -> Axes:
    _, axes = plt.subplots(figsize=(7.6, height), layout="constrained")
    axes.set_title(result["question"], loc="left", fontsize=9.5, wrap=True)
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.7)
    return axes


def _plain(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _log_y(axes: Axes) -> None:
    """A logarithmic axis with marks at 1, 2 and 5: a decade alone may have no mark within."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def bars(result: Result, figure: str, words: str = "") -> None:
    """A bar a row, with its quartiles."""
    rows = [row for row in result["rows"] if figure in row["figures"]][::-1]
    axes = _begin(result, 1.2 + 0.3 * len(rows))
    values = [row["figures"][figure] for row in rows]
    medians = [value["median"] for value in values]
    below = [max(0.0, value["median"] - value["q1"]) for value in values]
    above = [max(0.0, value["q3"] - value["median"]) for value in values]
    colours = [COLOURS[row["role"]] for row in rows]
    axes.barh(range(len(rows)), medians, xerr=(below, above), color=colours, ecolor="#333333", capsize=2, height=0.68)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    most = max((value["q3"] for value in values), default=1)
    for at, value in enumerate(values):
        axes.text(value["q3"] + most * 0.015, at, shown(value["median"]), va="center", fontsize=8)
    axes.set_xlim(0, most * 1.13)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # more may run into each other
    _plain(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_named(figure, words))
    present = [role for role in COLOURS if any(row["role"] == role for row in rows)]
    if len(present) > 1:
        handles = [Rectangle((0, 0), 1, 1, color=COLOURS[role]) for role in present]
        plt.gcf().legend(handles, present, frameon=False, fontsize=8, loc="outside lower center", ncol=4)


def by(result: Result, figures: Sequence[str], across: str, *, log_x: bool = True, log_y: bool = False) -> None:
    """Lines over what was varied; rows are joined whose names agree up to their last comma."""
    axes = _begin(result)
    at = 0
    groups: dict[str, list[Any]] = {}
    for row in result["rows"]:
        if row["at"] is not None:
            groups.setdefault(row["name"].rpartition(", ")[0], []).append(row)
    for group, rows in groups.items():
        for figure in figures:
            found = [(row["at"], row["figures"][figure]) for row in rows if figure in row["figures"]]
            label = " ".join(part for part in (group, figure if len(figures) > 1 else "") if part)
            places = [x for x, _ in found]
            medians = [value["median"] for _, value in found]
            style: dict[str, Any] = {"color": LINES[at % len(LINES)], "marker": MARKS[at % len(MARKS)]}
            axes.plot(places, medians, label=label, markersize=4.5, **style)
            low, high = [value["q1"] for _, value in found], [value["q3"] for _, value in found]
            axes.fill_between(places, low, high, alpha=0.18, color=style["color"], linewidth=0)
            at += 1
    places = sorted({row["at"] for rows in groups.values() for row in rows})
    if log_x:
        axes.set_xscale("log")
        axes.set_xticks(places)
    if log_y:
        _log_y(axes)
    else:
        axes.set_ylim(bottom=0)
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    axes.set_xlabel(across)
    axes.set_ylabel(_named(figures[0], "" if len(figures) == 1 else "latency"))
    if at > 1:
        axes.legend(frameon=False, fontsize=8)


def percentiles(result: Result) -> None:
    """A curve a row: latency by percentile, the tail drawn wide."""
    axes = _begin(result)
    names = list(PERCENTILES)
    at = 0
    for row in result["rows"]:
        shown = [name for name in names if name in row["figures"]]
        if len(shown) > 1:
            places = [names.index(name) for name in shown]
            values = [row["figures"][name] for name in shown]
            style: dict[str, Any] = {"color": LINES[at % len(LINES)], "marker": MARKS[at % len(MARKS)]}
            axes.plot(places, [value["median"] for value in values], label=row["name"], markersize=4.5, **style)
            low, high = [value["q1"] for value in values], [value["q3"] for value in values]
            axes.fill_between(places, low, high, alpha=0.15, color=style["color"], linewidth=0)
            at += 1
    axes.set_xticks(range(len(names)), [f"p{PERCENTILES[name]:g}" for name in names])
    _log_y(axes)
    _plain(axes.yaxis)
    axes.set_ylabel("latency (ms) - lower is better")
    axes.legend(frameon=False, fontsize=8)


def over_time(result: Result, words: str) -> None:
    """The course of every row that has one."""
    axes = _begin(result)
    for at, row in enumerate(row for row in result["rows"] if row["series"]):
        seconds, values = zip(*row["series"], strict=True)
        axes.plot(seconds, values, label=row["name"], color=LINES[at % len(LINES)], linewidth=1.3)
    for begin, end in result["facts"].get("faultFromToS", []):
        axes.axvspan(begin, end, color="#c0504d", alpha=0.13, linewidth=0, label="fault")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel(words)
    axes.legend(frameon=False, fontsize=8)


Plot = Callable[[Result], None]


def save(plot: Plot, result: Result, path: Path) -> None:
    """Draw it to a PNG; dates and versions stay out of the file, so that it is the same again."""
    plot(result)
    plt.savefig(path, metadata={"Software": None})
    plt.close()
