"""Writes docs/benchmarks.md, the README's figures, docs/scale.md's tables from the kept results. Run by `make docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import asked

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from marked import filled  # noqa: E402

from benchmarks import cost, to_reach  # noqa: E402  # a script's path has only its own folder
from benchmarks.harness import results  # noqa: E402
from benchmarks.harness.rounds import shown, unit  # noqa: E402

PAGE, SCALE, README = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md", ROOT / "README.md"
SHOWN = ("child", "receiver_beside_go", "whole", "worker", "sizes", "catch_up")
"""With their rows. Of the others the page has what was asked for."""
FIGURES = ("cpuUs", "jvmUs", "childUs", "p50Ms", "p99Ms", "storedPerSecond", "caughtUpS", "lost")
NONE = "No result is kept yet: `make bench` takes one, `make docs` writes it here."


def goals() -> Iterator[str]:
    """Every goal that was measured, held or missed, and which results are still to be taken."""
    yield "| | asked | measured | |\n|---|---|---|---|"
    open_results = dict.fromkeys(goal.result for goal in to_reach.GOALS if goal.measured is None)
    for goal in to_reach.GOALS:
        if (measured := goal.measured) is not None:
            yield f"| {goal.what} | {goal.asked} | {measured:,.3g} | {to_reach.verdict(goal.asked, measured)} |"
    if open_results:
        yield f"\nNot measured yet, in whole or in part: {', '.join(open_results)}."


def table(name: str) -> Iterator[str]:
    """One result: what it asked, on what, and the medians of each case."""
    result = results.latest(name)
    yield f"\n### {result['question']}\n"
    load = f"load {result['load']['before'][0]} to {result['load']['after'][0]}"
    rounds = f"{result['rounds']} round{'s' * (result['rounds'] > 1)}"
    yield f"`{name}`, {result['at'][:10]}, {rounds}, {load}; {result['commit']}\n"
    figures = [figure for figure in FIGURES if any(figure in row["figures"] for row in result["rows"])]
    yield "| | " + " | ".join(f"{figure}{unit(figure) and ', ' + unit(figure)}" for figure in figures) + " |"
    yield "|---" * (len(figures) + 1) + "|"
    for row in result["rows"]:
        cells = [shown(row["figures"][figure]["median"]) if figure in row["figures"] else "" for figure in figures]
        yield f"| {row['name']} | " + " | ".join(cells) + " |"


def tables() -> Iterator[str]:
    """Those of SHOWN that are kept."""
    kept = [name for name in SHOWN if (results.FOLDER / f"{name}.json").exists()]
    for name in kept:
        yield from table(name)
    if not kept:
        yield f"\n{NONE}"


def page() -> str:
    """The page: its prose as it is, its tables as the results have them."""
    text = filled(PAGE.read_text("utf-8"), "<!-- goals: written by `make docs` -->", "\n".join(goals()))
    return filled(text, "<!-- results: written by `make docs` -->", "\n".join(tables()))


def _whole(outcome: results.Result) -> str:
    p50, p99 = (results.median(outcome, to_reach.SLOW, name) for name in ("p50Ms", "p99Ms"))
    worst = max(results.row(outcome, to_reach.SLOW)["figures"]["p99Ms"]["values"])
    figures = f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms (worst round {worst:,.0f})"
    return f"webhook received to EventBridge's yes, 500/s | {figures} |"


def _receiver(outcome: results.Result) -> str:
    row = "receiver, 1000/s, stream 15 ms"
    own, go = (results.median(outcome, name, "cpuUs") for name in (row, row.replace("receiver", "Go")))
    return f"receiver, CPU a webhook at 1,000/s | {own:,.0f} µs | Go: {go:,.0f} µs"


def _child(outcome: results.Result) -> str:
    peers = {"Rust": to_reach.RUST, "Go": to_reach.GO, "boto3 in a loop": to_reach.LOOP}
    have = {row["name"] for row in outcome["rows"]}
    beside = [f"{who}: {results.median(outcome, of, 'cpuUs'):,.0f} µs" for who, of in peers.items() if of in have]
    us = results.median(outcome, to_reach.COMPACT, "cpuUs")
    return f"consumer's child, CPU an event | {us:,.0f} µs | {', '.join(beside)}"


def readme() -> str:
    """The README with the figures that are kept; a bad round is not hidden by the median."""
    lines = []
    for name, line in {"whole": _whole, "receiver_beside_go": _receiver, "child": _child}.items():
        if (results.FOLDER / f"{name}.json").exists():
            reported = line(results.latest(name))
            lines.append(f"| {reported} | [{name}.json](benchmarks/results/{name}.json) |")
    head = ["| | this product | beside, same run | result |", "|---|---|---|---|"]
    reported = "\n".join([*head, *lines]) if lines else NONE
    return filled(README.read_text("utf-8"), "<!-- figures: written by `make docs` -->", reported)


def scale() -> str:
    """docs/scale.md with its tables of loads and of prices as they should be."""
    text = filled(SCALE.read_text("utf-8"), "<!-- loads: written by `make docs` -->", "\n".join(cost.load_table()))
    return filled(text, "<!-- cost: written by `make docs` -->", "\n".join(cost.table()))


def main() -> None:
    """Write them."""
    PAGE.write_text(page(), "utf-8")
    README.write_text(readme(), "utf-8")
    SCALE.write_text(scale(), "utf-8")


if __name__ == "__main__":
    asked.for_help(__doc__)
    main()
