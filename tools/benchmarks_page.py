"""Writes docs/benchmarks.md, the README's figures, docs/scale.md's tables from the kept results. Run by `make docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from marked import filled  # noqa: E402

from benchmarks import cost, to_reach  # noqa: E402  # a script's path has only its own folder
from benchmarks.harness import results  # noqa: E402
from benchmarks.harness.rounds import shown, unit  # noqa: E402

PAGE, SCALE, README = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md", ROOT / "README.md"
SHOWN = ("child", "faults", "whole", "worker", "receiver_load", "sizes")
FIGURES = ("cpuUs", "jvmUs", "childUs", "perSecond", "p50Ms", "p99Ms", "lost", "twice", "rssMb")
NONE = "No result of the present code is kept yet: `make bench` takes one, `make docs` writes it here."


def goals() -> Iterator[str]:
    """Every goal, held or missed, by the results of the present code."""
    yield "| | asked | measured | | result |"
    yield "|---|---|---|---|---|"
    for goal, measured in to_reach.reached():
        figure = "" if measured is None else f"{measured:,.3g}"
        yield f"| {goal.what} | {goal.asked} | {figure} | {to_reach.Reached(goal, measured).verdict} | `{goal.of}` |"


def table(name: str) -> Iterator[str]:
    """One result: what it asked, on what, and the medians of each case."""
    result = to_reach.kept(name)
    yield f"\n### {result['question']}\n"
    load = f"load {result['load']['before'][0]} before, {result['load']['after'][0]} after"
    of = f"{result['rounds']} rounds, {load}; {result['machine']}; {result['commit']}"
    yield f"`{name}`, {result['at'][:10]}, {of}.\n"
    figures = [one for one in FIGURES if any(one in row["figures"] for row in result["rows"])]
    yield "| | " + " | ".join(f"{one}{unit(one) and ', ' + unit(one)}" for one in figures) + " |"
    yield "|---" * (len(figures) + 1) + "|"
    for row in result["rows"]:
        cells = [shown(row["figures"][one]["median"]) if one in row["figures"] else "" for one in figures]
        yield f"| {row['name']} | " + " | ".join(cells) + " |"


def tables() -> Iterator[str]:
    """Those of SHOWN that the present code has given."""
    found = False
    for name in SHOWN:
        try:
            yield from table(name)
            found = True
        except KeyError:
            continue
    if not found:
        yield f"\n{NONE}"


def page() -> str:
    """The page: its prose as it is, its tables as the results have them."""
    text = filled(PAGE.read_text("utf-8"), "<!-- goals: written by `make docs` -->", "\n".join(goals()))
    return filled(text, "<!-- results: written by `make docs` -->", "\n".join(tables()))


def _whole(found: Any) -> str:
    row = "whole pipeline, 500/s"
    p50, p99 = (results.median(found, row, name) for name in ("p50Ms", "p99Ms"))
    worst = max(results.row(found, row)["figures"]["p99Ms"]["values"])
    figures = f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms (worst round {worst:,.0f})"
    return f"webhook received to EventBridge's yes, 500/s | {figures} |"


def _receiver(found: Any) -> str:
    own, other = found["closed"], found["starletteBoto3"]
    return f"receiver, CPU a webhook | {own['cpuUs']:,.0f} µs | Starlette with boto3: {other['cpuUs']:,.0f} µs"


def _child(found: Any) -> str:
    peers = {"Rust": to_reach.RUST, "Go": to_reach.GO, "boto3 in a loop": to_reach.LOOP}
    have = {row["name"] for row in found["rows"]}
    beside = [f"{who}: {results.median(found, of, 'cpuUs'):,.0f} µs" for who, of in peers.items() if of in have]
    us = results.median(found, to_reach.COMPACT, "cpuUs")
    return f"consumer's child, CPU an event | {us:,.0f} µs | {', '.join(beside)}"


def readme() -> str:
    """The README with the figures that the present code has given; a bad round is not hidden by the median."""
    lines = []
    for name, line in {"whole": _whole, "receiver-2-cpus": _receiver, "child": _child}.items():
        try:
            lines.append(f"| {line(to_reach.kept(name))} | [{name}.json](benchmarks/results/{name}.json) |")
        except KeyError:
            continue
    head = ["| | this product | beside, same run | result |", "|---|---|---|---|"]
    told = "\n".join([*head, *lines]) if lines else NONE
    return filled(README.read_text("utf-8"), "<!-- figures: written by `make docs` -->", told)


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
    main()
