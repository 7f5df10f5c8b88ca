"""`stream-router doctor`: runs the checks, shows them, and ends with what they say. It changes nothing."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from stream_router.checks import CheckVerdict, Finding, of_error, skipped
from stream_router.operate.doctor import bus, host, probe, stream, surroundings
from stream_router.operate.doctor.world import Check, Subject, World
from stream_router.send.signing import own_url

SUBJECTS = (
    *(host.SETTINGS, host.JAVA, host.HERE, host.ACCOUNT),
    *(stream.ITSELF, stream.SPILL, stream.LEASES, bus.BUS_AND_RULE, surroundings.SURROUNDINGS),
    *(bus.LETTERS, bus.DEPLOYMENT),
)
"""In the order in which they are shown; docs/doctor.md has the same."""

CHECKS: dict[str, Check] = {code: check for one in SUBJECTS for code, check in one.checks.items()} | probe.CHECKS


def run(
    program: str | None = None,
    *,
    as_json: bool = False,
    offline: bool = False,
    end_to_end: bool = False,
    url: str | None = None,
) -> int:
    """0 well, 1 something is wrong, 2 cannot judge. Bad settings are findings here."""
    world = World(program, offline=offline)
    console = Console(stderr=True)
    with console.status("looks at everything"):
        findings = run_checks(world)
    if end_to_end:
        with console.status("an event of our own goes the whole way"):
            findings += probe.run(world, url or (own_url(world.receive) if world.receive else ""))
    code = status(findings)
    if as_json:
        sys.stdout.write(findings_as_json(findings, code) + "\n")
    else:
        show(findings, code)
    sys.stdout.flush()
    return code


def run_checks(world: World, subjects: Sequence[Subject] = SUBJECTS) -> list[Finding]:
    """Return the findings of every check that concerns the programs of `world`, in the order of the tables.

    Each check has at least one. Each call of AWS's is tried once and bounded. Where AWS does not take the credentials,
    nothing else of it is asked.
    """
    findings: list[Finding] = []
    waits = "" if world.common else "waits for the settings (SR001, SR002)"
    for subject in subjects:
        if world.offline and (subject.aws or subject is host.HERE):
            continue
        of_subject, why = ([], waits) if subject.aws and waits else _run_subject(subject, world)
        for code in subject.checks:
            findings += [finding for finding in of_subject if finding.code == code] or [skipped(code, why)]
        if subject is host.ACCOUNT and not waits and of_subject[0].verdict is CheckVerdict.WRONG:
            waits = "waits for SR010"
    return [finding for finding in findings if CHECKS[finding.code].programs & world.programs]


def _run_subject(subject: Subject, world: World) -> tuple[list[Finding], str]:
    """Return a subject's findings, and why later ones were not asked. A check that breaks leaves the others."""
    findings: list[Finding] = []
    try:
        findings.extend(subject.check(world))  # what came before an error is kept
    except Exception as error:  # noqa: BLE001 - it is said
        seen = {finding.code for finding in findings}
        code = next((code for code in subject.checks if code not in seen), next(reversed(subject.checks)))
        about = subject.checks[code].about
        findings.append(of_error(code, about, about, error))
    last = findings[-1]
    return findings, last.says if last.verdict is CheckVerdict.SKIPPED else f"waits for {last.code}"


# --- showing them

WELL, WRONG, UNJUDGED = 0, 1, 2
SIGNS = {
    CheckVerdict.WRONG: ("failure", "bold red"),
    CheckVerdict.WARNING: ("warning", "yellow"),
    CheckVerdict.UNKNOWN: ("unknown", "magenta"),
    CheckVerdict.WELL: ("ok", "green"),
    CheckVerdict.SKIPPED: ("-", "dim"),
}


def status(findings: Sequence[Finding]) -> int:
    """0 all is well, 1 something is wrong, 2 it cannot be judged."""
    seen = {finding.verdict for finding in findings}
    if CheckVerdict.WRONG in seen:
        return WRONG
    return UNJUDGED if CheckVerdict.UNKNOWN in seen else WELL


def verdict(findings: Sequence[Finding], code: int) -> str:
    """Return the last line."""
    counts = Counter(finding.verdict for finding in findings)
    words = {WELL: "well", WRONG: "something is wrong", UNJUDGED: "cannot judge"}
    parts = []
    for kind, (sign, _) in SIGNS.items():
        if counts[kind] or kind is CheckVerdict.WELL:
            plural = "s" * (counts[kind] > 1 and kind in (CheckVerdict.WRONG, CheckVerdict.WARNING))
            parts.append(f"{counts[kind]} {'not asked' if kind is CheckVerdict.SKIPPED else sign + plural}")
    return f"{words[code]}: {', '.join(parts)}"


def show(findings: Sequence[Finding], code: int) -> None:
    """One line each, as it is: a terminal folds what is too long."""
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        sign, style = SIGNS[finding.verdict]
        console.print(
            Text(f"{sign:8}", style),
            Text(f"{finding.code}  {CHECKS[finding.code].about:22} {_format_finding(finding)}"),
        )
    console.print(Text(verdict(findings, code), "bold green" if code == WELL else "bold red"))


def _format_finding(finding: Finding) -> str:
    """One line, without what would drive a terminal."""
    setting = f"{finding.setting}: " if finding.setting and finding.verdict is not CheckVerdict.WELL else ""
    more = f"; {finding.cure}" if finding.cure else ""
    page = f" ({_runbook_path(finding)})" if _runbook_path(finding) else ""
    return "".join(char if char.isprintable() else " " for char in f"{setting}{finding.says}{more}{page}")


def _runbook_path(finding: Finding) -> str:
    """Return the runbook that goes on where the cure ends; "" if there is none, or nothing is wrong."""
    name = CHECKS[finding.code].runbook
    return f"docs/runbooks/{name}.md" if name and finding.verdict in (CheckVerdict.WARNING, CheckVerdict.WRONG) else ""


def findings_as_json(findings: Sequence[Finding], code: int) -> str:
    """Return the findings for programs, as JSON."""
    checks: list[dict[str, Any]] = [
        {
            "code": finding.code,
            "about": CHECKS[finding.code].about,
            "verdict": finding.verdict.value,
            "setting": finding.setting,
            "says": finding.says,
            "cure": finding.cure,
            **({"runbook": page} if (page := _runbook_path(finding)) else {}),
        }
        for finding in findings
    ]
    return json.dumps({"verdict": verdict(findings, code), "status": code, "checks": checks})
