"""Writes docs/benchmarks.md from the kept results: what was asked for, and every table. Run by `make docs`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from marked import filled  # noqa: E402

from benchmarks import cost, to_reach  # noqa: E402  # a script's path has only its own folder
from benchmarks.harness import results  # noqa: E402
from benchmarks.harness.rounds import shown, unit  # noqa: E402

PAGE, SCALE, README = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md", ROOT / "README.md"
COST = "<!-- cost: written by `make docs` -->"
INTRO = """# Measured

Written by `make docs` from [benchmarks/results](../benchmarks/results): no figure here is typed. `make bench` measures
anew, `make report` draws the plots, `python -m benchmarks compare A.json B.json` sets two results side by side
([benchmarks](../benchmarks/README.md) has the rules).

All of it comes from a small shared machine, and each table names its load averages: read the ratios, which are medians
of pairs from the same round, rather than the absolute figures. The peers take events and not the daemon's lines, check
nothing, keep no watermark and have no dead letters; what else each lacks stands in its row.

## What was asked for
"""


def goals() -> Iterator[str]:
    """Every goal, held or missed."""
    yield "| | asked | measured | | result |"
    yield "|---|---|---|---|---|"
    for goal, measured in to_reach.reached():
        shown = "-" if measured is None else f"{measured:,.3g}"
        verdict = to_reach.Reached(goal, measured).verdict
        noted = " (see its note below)" if measured is not None and _note(goal.of) else ""
        yield f"| {goal.what} | {goal.asked} | {shown} | {verdict}{noted} | `{goal.of}` |"


def _note(name: str) -> str:
    """What is to be known of a result before it is believed; most have none."""
    return "" if name in to_reach.OLDER_FORMS else str(results.latest(name)["facts"].get("note", ""))


def table(result: results.Result) -> Iterator[str]:
    """One result."""
    yield f"\n## {result['question']}\n"
    load = f"load {result['load']['before'][0]} before, {result['load']['after'][0]} after"
    yield f"`{result['name']}`, {result['at']}, {result['rounds']} rounds, {load}; {result['machine']}; Python"
    yield f"{result['versions']['python']}; commit {result['commit']}. Medians, quartiles in brackets.\n"
    figures = list(dict.fromkeys(name for row in result["rows"] for name in row["figures"]))
    roles = [role for role in ("baseline", "floor") if any(role in row["times"] for row in result["rows"])]
    head = [f"{name}{unit(name) and ', ' + unit(name)}" for name in figures]
    head += [f"{figures[0]} over the {role}'s" for role in roles]
    yield "| | " + " | ".join(head) + " |"
    yield "|---" * (len(head) + 1) + "|"
    for row in result["rows"]:
        cells = [_cell(row["figures"].get(name)) for name in figures]
        for role in roles:
            found = row["times"].get(role, {}).get(figures[0])
            cells.append(f"{found['median']:.2f}" if found else "")
        mark = f" ({row['role']})" if row["role"] in ("baseline", "floor") else ""
        note = f"; {row['note']}" if row["note"] else ""
        yield f"| {row['name']}{mark}{note} | " + " | ".join(cells) + " |"
    for name, value in result["facts"].items():
        yield f"\n{name}: `{value}`"


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return ""
    if value["q1"] == value["q3"]:
        return shown(value["median"])
    return f"{shown(value['median'])} [{shown(value['q1'])}, {shown(value['q3'])}]"


def page() -> str:
    """The page as it should be."""
    lines = [INTRO, *goals()]
    for path in sorted(results.FOLDER.glob("*.json")):
        try:
            lines += table(results.read(path))
        except ValueError:
            continue  # a result of another form, which its own page shows
    return "\n".join(lines) + "\n"


def _child_line() -> str:
    """The README's line of the child, beside peers of the same run where there is one."""
    start = "| consumer's child, CPU for an event of 0.6 KB "
    try:
        found = results.latest("child")
    except FileNotFoundError:
        us = results.median(results.latest("sizes"), "child, 600 bytes", "cpuUs")
        return f"{start}([sizes.json](benchmarks/results/sizes.json)) | {us:,.0f} µs | no peer in that run |"
    peers = {"Rust": to_reach.RUST, "Go": to_reach.GO, "boto3 in a loop": to_reach.LOOP}
    have = {row["name"] for row in found["rows"]}
    beside = [f"{results.median(found, of, 'cpuUs'):,.0f} µs {who}" for who, of in peers.items() if of in have]
    us = results.median(found, to_reach.COMPACT, "cpuUs")
    return f"{start}([child.json](benchmarks/results/child.json)) | {us:,.0f} µs | {', '.join(beside)} |"


def _receiver_line() -> str:
    found = json.loads((results.FOLDER / "receiver-2-cpus.json").read_text("utf-8"))
    cells = [
        f"{one['cpuUs']:,.{digits}f} µs, {round(one['perSecond'], -places):,.0f}/s"
        for one, digits, places in ((found["closed"], 0, 2), (found["starletteBoto3"], 0, 1))
    ]
    start = "| receiver, CPU for a webhook ([receiver-2-cpus.json](benchmarks/results/receiver-2-cpus.json))"
    return f"{start} | {cells[0]} | {cells[1]}, Starlette with boto3 |"


def _whole_line() -> str:
    """The README's line of the whole way, at 500 events a second; a bad round is not hidden by the median."""
    found, row = results.latest("whole"), "whole pipeline, 500/s"
    p50, p99 = (results.median(found, row, name) for name in ("p50Ms", "p99Ms"))
    rounds = results.row(found, row)["figures"]["p99Ms"]["values"]
    of = f"medians of {len(rounds)} rounds; the worst p99: {max(rounds):,.0f} ms"
    start = "| from the webhook received to EventBridge's yes, at 500/s "
    return f"{start}([whole.json](benchmarks/results/whole.json)) | p50 {p50:,.0f} ms, p99 {p99:,.0f} ms ({of}) | |"


def readme() -> str:
    """The README with its tables of figures and of prices as they should be."""
    figures = ["| | this product | beside |", "|---|---|---|", _whole_line(), _receiver_line(), _child_line()]
    text = filled(README.read_text("utf-8"), "<!-- figures: written by `make docs` -->", "\n".join(figures))
    return filled(text, COST, "\n".join(cost.table()))


def scale() -> str:
    """docs/scale.md with its tables of loads and of prices as they should be."""
    text = filled(SCALE.read_text("utf-8"), "<!-- loads: written by `make docs` -->", "\n".join(cost.load_table()))
    return filled(text, COST, "\n".join(cost.table()))


def main() -> None:
    """Write them."""
    PAGE.write_text(page(), "utf-8")
    README.write_text(readme(), "utf-8")
    SCALE.write_text(scale(), "utf-8")


if __name__ == "__main__":
    main()
