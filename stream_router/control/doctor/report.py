"""Shows what was found: one line each and the verdict last; or the same as one JSON object."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_router.checks.finding import Verdict
from stream_router.control.doctor.catalogue import runbook
from stream_router.control.doctor.runner import Result

WELL, WRONG, UNJUDGED = 0, 1, 2
TROUBLE = (Verdict.WARNING, Verdict.WRONG)
SIGNS = {
    Verdict.WELL: ("ok", "green"),
    Verdict.WARNING: ("warning", "yellow"),
    Verdict.WRONG: ("failure", "bold red"),
    Verdict.UNKNOWN: ("unknown", "magenta"),
    Verdict.SKIPPED: ("-", "dim"),
}


def status(results: Sequence[Result]) -> int:
    """0 all is well, 1 something is wrong, 2 it cannot be judged."""
    seen = {result.finding.verdict for result in results}
    if Verdict.WRONG in seen:
        return WRONG
    return UNJUDGED if Verdict.UNKNOWN in seen else WELL


def verdict(results: Sequence[Result], code: int) -> str:
    """The last line."""
    counts = Counter(result.finding.verdict for result in results)
    words = {WELL: "well", WRONG: "something is wrong", UNJUDGED: "cannot judge"}
    plural = {Verdict.WRONG: "failure", Verdict.WARNING: "warning", Verdict.UNKNOWN: "unknown"}
    told = [
        f"{counts[kind]} {word}{'s' if counts[kind] > 1 and kind is not Verdict.UNKNOWN else ''}"
        for kind, word in plural.items()
        if counts[kind]
    ]
    told.append(f"{counts[Verdict.WELL]} ok")
    if counts[Verdict.SKIPPED]:
        told.append(f"{counts[Verdict.SKIPPED]} not asked")
    return f"{words[code]}: {', '.join(told)}"


def show(results: Sequence[Result], code: int) -> None:
    """For people: aligned, folded where the terminal is narrow; piped, one line each, as it is."""
    console = Console()
    if not console.is_terminal:
        for result in results:
            sign = SIGNS[result.finding.verdict][0]
            sys.stdout.write(f"{sign:8} {result.check.code}  {result.check.about:22} {_text(result)}\n")
        sys.stdout.write(verdict(results, code) + "\n")
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for result in results:
        sign, style = SIGNS[result.finding.verdict]
        dim = "dim" if result.finding.verdict is Verdict.SKIPPED else ""
        text = Text.assemble((f"{result.check.about}: ", "bold"), _text(result), style=dim)
        table.add_row(Text(sign, style), Text(result.check.code, dim), text)
    console.print(table)
    console.print(Text(verdict(results, code), "bold green" if code == WELL else "bold red"))


def _text(result: Result) -> str:
    finding = result.finding
    whose = f"{finding.setting}: " if finding.setting and finding.verdict is not Verdict.WELL else ""
    more = f"; {finding.cure}" if finding.cure else ""
    return _printable(f"{whose}{finding.says}{more}" + (f" ({page})" if (page := _page(result)) else ""))


def _page(result: Result) -> str:
    return runbook(result.check.code) if result.finding.verdict in TROUBLE else ""


def _printable(line: str) -> str:
    """One line, without what would drive a terminal."""
    return "".join(char if char.isprintable() else " " for char in line)


def as_json(results: Sequence[Result], code: int) -> str:
    """The same for programs."""
    checks: list[dict[str, Any]] = [
        {
            "code": result.check.code,
            "about": result.check.about,
            "verdict": result.finding.verdict.value,
            "setting": result.finding.setting,
            "says": result.finding.says,
            "cure": result.finding.cure,
            **({"runbook": page} if (page := _page(result)) else {}),
            "tookMs": round(result.took_ms),
        }
        for result in results
    ]
    return json.dumps({"verdict": verdict(results, code), "status": code, "checks": checks})
