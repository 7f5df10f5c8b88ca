"""`python -m benchmarks report`: every kept result as one HTML page that needs nothing else, and its plots as PNG."""

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness import results
from benchmarks.harness.results import Result
from benchmarks.harness.rounds import shown, unit

LOOKS = """
:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
padding: 0 1rem; } h2 { margin-top: 3rem; } img { max-width: 100%; background: #fff; border-radius: 4px; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; } td, th { padding: .25rem .6rem;
border-bottom: 1px solid #8884; text-align: right; white-space: nowrap; } td:first-child, th:first-child {
text-align: left; white-space: normal; } small { opacity: .75; }
.baseline td:first-child::after { content: " (baseline)"; }
.floor td:first-child::after { content: " (floor)"; } .peer td:first-child::after { content: " (peer)"; }
"""


def _cell(value: dict[str, float]) -> str:
    return f"{shown(value['median'])} <small>{shown(value['q1'])} to {shown(value['q3'])}</small>"


def _times(row: dict[str, dict[str, dict[str, dict[str, float]]]], role: str, figure: str) -> str:
    found = row["times"].get(role, {}).get(figure)
    return f"{found['median']:.2f}" if found else ""


def _table(result: Result) -> Iterator[str]:
    figures = list(dict.fromkeys(name for row in result["rows"] for name in row["figures"]))
    roles = [role for role in ("baseline", "floor") if any(role in row["times"] for row in result["rows"])]
    head = [f"{name}{unit(name) and f' ({unit(name)})'}" for name in figures]
    head += [f"times the {role}'s {figures[0]}" for role in roles]
    yield "<table><tr><th></th>" + "".join(f"<th>{html.escape(one)}</th>" for one in head) + "</tr>"
    for row in result["rows"]:
        cells = [_cell(row["figures"][name]) if name in row["figures"] else "" for name in figures]
        cells += [_times(row, role, figures[0]) for role in roles]
        note = f"<br><small>{html.escape(row['note'])}</small>" if row["note"] else ""
        name = f"<td>{html.escape(row['name'])}{note}</td>"
        yield f'<tr class="{row["role"]}">{name}' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def section(result: Result, pictures: Sequence[Path]) -> Iterator[str]:
    """One benchmark: what it asks, how it was taken, its plots, its table."""
    yield f'<h2 id="{result["name"]}">{html.escape(result["question"])}</h2>'
    load = f"load {result['load']['before'][0]} before and {result['load']['after'][0]} after"
    taken = f"{result['name']}, {result['at']}, {result['rounds']} rounds, {result['seconds']} s, {load}"
    yield f"<p><small>{taken}; {html.escape(result['machine'])}; Python {result['versions']['python']}; "
    yield f"commit {result['commit']}</small></p>"
    for picture in pictures:
        text = base64.b64encode(picture.read_bytes()).decode()
        yield f'<p><img alt="{html.escape(picture.stem)}" src="data:image/png;base64,{text}"></p>'
    yield from _table(result)
    for name, value in result["facts"].items():
        yield f"<p>{html.escape(name)}: {html.escape(str(value))}</p>"


def page(parts: Sequence[tuple[Result, Sequence[Path]]]) -> str:
    """The whole page."""
    links = " · ".join(f'<a href="#{result["name"]}">{result["name"]}</a>' for result, _ in parts)
    body = "\n".join(line for result, pictures in parts for line in section(result, pictures))
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>stream_router, measured</title>'
    intro = (
        "<p>Medians of the rounds; in small print the quartiles. Ratios are medians of pairs taken in the same round. "
        "Figures of different sections were taken at different times: compare within a section.</p>"
    )
    return f"{head}<style>{LOOKS}</style><h1>stream_router, measured</h1><p>{links}</p>{intro}{body}</html>\n"


def command(target: Path) -> int:
    """Write page and plots of all kept results into a folder, and say where."""
    try:
        from benchmarks.harness import pictures
    except ModuleNotFoundError as error:
        print(f"the report needs {error.name}: `make setup` brings it")
        return 1
    target.mkdir(parents=True, exist_ok=True)
    parts = []
    for path in sorted(results.FOLDER.glob("*.json")):
        try:
            result = results.read(path)
        except ValueError as error:
            print(f"left out: {error}")
            continue
        parts.append((result, pictures.draw(result, target)))
    (target / "report.html").write_text(page(parts), "utf-8")
    print(f"{len(parts)} results: {target / 'report.html'}")
    return 0
